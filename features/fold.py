"""A state is a fold over events: `Fold` keeps one, moves it by an event, adds two of them, and reads it.

`update`, `read` and what they call are plain Python that numba compiles as it stands: here they run over lists, one
event at a time; `training.replay` runs the very same functions over arrays, millions a second. So a feature has one
definition.

A state is two rows of cells, floats and product keys. Times in it are microseconds since 1970 UTC as floats, exact
until the year 2255. A decayed sum is one cell, Σ v_i · 2^((t_i − origin) / half_life): with an origin that all cells
share, an event of any age is added exactly, two states are added once they have the same origin, and reading multiplies
by 2^(−(at − origin) / half_life). The origin follows the newest event in steps of 256 of the shortest half-lives, so
nothing overflows. A plain count is a sum whose half-life never ends.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from features.contract import EVENT_NAMES
from features.events import DAY, HOUR, Kind
from features.people import digest
from features.slots import (
    Count,
    Decayed,
    Declaration,
    First,
    HourOfWeek,
    HoursOfDay,
    LastPrice,
    Newest,
    Occasions,
    Ratio,
    Since,
    Slot,
    Value,
)
from features.store.base import Event

NEVER = -math.inf  # a time that has not come yet

# Cells of every state, before those of the slots.
ORIGIN, NEWEST, SLOTS = 0, 1, 2

# What an event does to cells. Those up to HOURS fade.
ADD_ONE, ADD_QUANTITY, ADD_AMOUNT, HOURS, EXTREME, PRICE, RING, MOMENTS = range(8)

# What is read from cells.
SUM, AGE, PRICED, GAPS, SHARES, RATIO, CLOCK = range(7)

WEEK_HOURS = 168
DAY_HOURS = 24
EPOCH_HOUR = 72  # 1970 began on a Thursday
STEP = 256  # half-lives between two origins: 2^256 times anything paid stays a float
LEAST_WHOLE = 1e-3  # what a ratio is formed of
LEAST_MASS = 1e-9  # what shares are formed of


class Program(NamedTuple):
    """A declaration as tables of integers, lists here and arrays under numba. Few, for they are passed at every event.

    Operations of entry e (a kind of event on a channel) lie in `ops` from starts[e] to starts[e + 1], five numbers
    each: what to do, the cell, an argument (number of the half-life; room of a ring), another (first key cell of a
    ring; hours after which cells of hours begin again), sign.
    Half-life h is 1 / rates[h] microseconds; its cells are blocks[h]:blocks[h + 1]. `reads` has four numbers for each
    reading: what, from which cell, an argument, the place among the features. `step`: microseconds between origins.
    """

    starts: Any
    ops: Any
    rates: Any
    blocks: Any
    reads: Any
    step: Any
    channels: Any


# What numba compiles too. Arguments: numbers float64[cells], keys int64[key cells], program.


def advance(numbers: Any, program: Any, time: Any) -> None:
    """Move the origin to the step that ``time`` lies in."""
    origin = math.floor(time / program.step) * program.step
    if numbers[ORIGIN] != NEVER:
        for half_life in range(len(program.rates)):
            factor = math.exp2((numbers[ORIGIN] - origin) * program.rates[half_life])
            for cell in range(program.blocks[half_life], program.blocks[half_life + 1]):
                numbers[cell] *= factor
    numbers[ORIGIN] = origin


def push(
    numbers: Any, keys: Any, cell: int, first_key: int, room: int, distinct: bool, time: Any, kind: int, key: int
) -> None:
    """Put an event into a ring, sorted by (time, kind, key), that keeps the newest ``room``.

    Cells of a ring: how many, the place of the oldest, times, kinds. An event usually is the newest: nothing moves.
    """
    count, oldest = int(numbers[cell]), int(numbers[cell + 1])
    times, kinds = cell + 2, cell + 2 + room
    behind = 0  # how many entries are newer
    while behind < count:
        at = oldest + count - 1 - behind
        at -= room if at >= room else 0  # `%` costs as much as everything else here
        if numbers[times + at] < time:
            break
        if numbers[times + at] == time:
            if distinct:
                return
            if numbers[kinds + at] < kind or (numbers[kinds + at] == kind and keys[first_key + at] <= key):
                break
        behind += 1
    if count == room:
        if behind == count:
            return
        oldest = oldest + 1 if oldest + 1 < room else 0
        numbers[cell + 1] = oldest
        count -= 1
    for newer in range(behind):
        to = (oldest + count - newer) % room
        come = (oldest + count - newer - 1) % room
        numbers[times + to] = numbers[times + come]
        numbers[kinds + to] = numbers[kinds + come]
        keys[first_key + to] = keys[first_key + come]
    at = oldest + count - behind
    at -= room if at >= room else 0
    numbers[times + at] = time
    numbers[kinds + at] = kind
    keys[first_key + at] = key
    numbers[cell] = count + 1


def update(
    numbers: Any,
    keys: Any,
    program: Any,
    entry: int,
    time: int,
    known: int,
    quantity: float,
    price: float,
    key: int,
) -> None:
    """Move a state by one event.

    Args:
        numbers, keys, program: the state and its tables.
        entry: kind of event × channel, see `Fold.entry`.
        time, known: int64, microseconds.
        quantity: pieces.
        price: of a piece, NaN if unknown.
        key: product key, 0 for none.
    """
    if known > numbers[NEWEST]:
        numbers[NEWEST] = known
    starts = program.starts
    first, last = starts[entry], starts[entry + 1]
    if first == last:
        return
    if time >= numbers[ORIGIN] + program.step:
        advance(numbers, program, time)
    ops = program.ops
    age = time - numbers[ORIGIN]
    half_life, growth = -1, 1.0
    for i in range(first, last, 5):
        op, cell, sign = ops[i], ops[i + 1], ops[i + 4]
        if op <= HOURS:
            if ops[i + 2] != half_life:
                half_life = ops[i + 2]
                growth = math.exp2(age * program.rates[half_life])
            if op == ADD_ONE:
                numbers[cell] += sign * growth
            elif op == HOURS:
                numbers[cell + (time // HOUR + EPOCH_HOUR) % ops[i + 3]] += growth
            elif op == ADD_QUANTITY:
                numbers[cell] += sign * quantity * growth
            elif price == price:
                numbers[cell] += sign * quantity * price * growth
        elif op == EXTREME:
            if sign * time > numbers[cell]:
                numbers[cell] = sign * time
        elif op == PRICE:
            if price == price and (time > numbers[cell] or (time == numbers[cell] and price > numbers[cell + 1])):
                numbers[cell] = time
                numbers[cell + 1] = price
        elif op == MOMENTS:
            push(numbers, keys, cell, ops[i + 3], ops[i + 2], True, time, 0, 0)
        elif key != 0:
            push(numbers, keys, cell, ops[i + 3], ops[i + 2], False, time, entry // program.channels, key)


def shares(numbers: Any, cell: int, fade: float, at: int, offset: float, place: int, out: Any) -> None:
    """What `HourOfWeek` reads: parts of the day, weekend, and this hour, of the person's own clock."""
    whole = math.floor(offset)
    over = offset - whole
    now = int(at // HOUR + whole) % 24
    if (at % HOUR) / HOUR + over >= 1.0:
        now = (now + 1) % 24
    total = 0.0
    for part in range(6):
        out[place + part] = 0.0
    for hour in range(WEEK_HOURS):
        mass = numbers[cell + hour]
        if mass > 0.0:
            total += mass
            for later in range(2 if over > 0.0 else 1):
                part = mass * (over if later else 1.0 - over)
                local = (hour + whole + later) % WEEK_HOURS
                out[place + local % 24 // 6] += part
                if local >= 120:
                    out[place + 4] += part
                if local % 24 == now:
                    out[place + 5] += part
    for part in range(6):
        out[place + part] = out[place + part] / total if total * fade > LEAST_MASS else math.nan


def clock(numbers: Any, cell: int, fade: float, offset: float, place: int, out: Any) -> None:
    """What `HoursOfDay` reads: counts of the 24 hours of the person's own clock."""
    whole = math.floor(offset)
    over = offset - whole
    for hour in range(DAY_HOURS):
        out[place + hour] = 0.0
    for hour in range(DAY_HOURS):
        mass = numbers[cell + hour]
        if mass > 0.0:
            out[place + (hour + whole) % DAY_HOURS] += (1.0 - over) * mass * fade
            if over > 0.0:
                out[place + (hour + whole + 1) % DAY_HOURS] += over * mass * fade


def gaps(numbers: Any, cell: int, room: int, place: int, out: Any) -> None:
    """What `Occasions` reads: number, mean gap and last gap in days."""
    count, oldest = int(numbers[cell]), int(numbers[cell + 1])
    out[place] = float(count)
    out[place + 1] = math.nan
    out[place + 2] = math.nan
    if count > 1:
        newest = numbers[cell + 2 + (oldest + count - 1) % room]
        out[place + 1] = (newest - numbers[cell + 2 + oldest]) / (count - 1) / DAY
        out[place + 2] = (newest - numbers[cell + 2 + (oldest + count - 2) % room]) / DAY


def read(numbers: Any, program: Any, at: int, offset: float, fades: Any, out: Any) -> None:
    """Read all features of a state whose events were all known before ``at``.

    Args:
        numbers, program: the state and its tables.
        at: int64, microseconds.
        offset: hours by which the person's clock is ahead of UTC at that moment.
        fades: room for a number a half-life.
        out: float64[features], written.
    """
    rates = program.rates
    for half_life in range(len(rates)):
        age = at - numbers[ORIGIN] if numbers[ORIGIN] != NEVER else 0.0
        fades[half_life] = math.exp2(-age * rates[half_life])
    reads = program.reads
    for i in range(0, len(reads), 4):
        what, source, other, place = reads[i], reads[i + 1], reads[i + 2], reads[i + 3]
        if what == SUM:
            out[place] = numbers[source] * fades[other]
        elif what == AGE:  # other: 1 for a last time, -1 for a first one, which is kept negative
            out[place] = (at - other * numbers[source]) / DAY if numbers[source] != NEVER else math.nan
        elif what == PRICED:
            out[place] = numbers[source + 1] if numbers[source] != NEVER else math.nan
        elif what == GAPS:
            gaps(numbers, source, other, place, out)
        elif what == SHARES:
            shares(numbers, source, fades[other], at, offset, place, out)
        elif what == CLOCK:
            clock(numbers, source, fades[other], offset, place, out)
        else:
            out[place] = out[source] / out[other] if out[other] >= LEAST_WHOLE else math.nan


#: What `training.replay` compiles: `update`, `read` and what they call.
COMPILED = (advance, push, shares, clock, gaps, update, read)


@dataclass
class State:
    """Cells of one customer or product. ``numbers``: times and sums; ``keys``: product keys of rings."""

    numbers: list[float]
    keys: list[int]

    @property
    def newest(self) -> float:
        """When the newest event of it became known, microseconds; -inf if there is none."""
        return self.numbers[NEWEST]


@dataclass(frozen=True)
class Seen:
    """An entry of a `Newest` slot. event: its name by the contract; key: `features.people.digest` of the product id."""

    time: int
    event: str
    key: int


class Fold:
    """The states of one declaration.

    ``names``: of what is read, in order. ``program``: the tables, as lists.
    """

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self.names = declaration.features
        tables = _Tables(declaration)
        self.program = tables.program()
        self._events = EVENT_NAMES | {name: len(Kind) + place for place, name in enumerate(tables.customs)}
        self._event_names = {code: name for name, code in self._events.items()}
        self._channels = {name: place for place, name in enumerate(tables.channels)}
        self._empty = tables.empty
        self._key_cells = tables.key_cells
        self._rings = tables.rings
        self._hours = tables.hours
        self._extremes = tables.extremes
        self._prices = tables.prices
        self._named = [
            RING in self.program.ops[first:last:5]
            for first, last in zip(self.program.starts[:-1], self.program.starts[1:], strict=True)
        ]

    @property
    def fingerprint(self) -> str:
        """That of the declaration."""
        return self.declaration.fingerprint

    def empty(self) -> State:
        """The state of somebody nobody has seen."""
        return State(self._empty.copy(), [0] * self._key_cells)

    def entry(self, event: str, channel: str | None) -> int:
        """Number of the kind of event and channel, by which `update` finds what to do."""
        place = self._channels.get(channel, len(self._channels)) if channel is not None else len(self._channels)
        return self._events.get(event, 0) * (len(self._channels) + 1) + place

    def update(self, state: State, event: Event) -> None:
        """Move a state by an event, once. Events may come in any order."""
        entry = self.entry(event.event, event.channel)
        update(
            state.numbers,
            state.keys,
            self.program,
            entry,
            event.time,
            max(event.known, event.time),
            1.0 if event.quantity is None else event.quantity,
            math.nan if event.price is None else event.price,
            digest(event.product_id) if event.product_id is not None and self._named[entry] else 0,
        )

    def merge(self, one: State, other: State) -> State:
        """The state of the events of both."""
        a, b = (State(state.numbers.copy(), state.keys.copy()) for state in (one, other))
        origin = max(a.numbers[ORIGIN], b.numbers[ORIGIN])
        for state in (a, b):
            if state.numbers[ORIGIN] != origin:
                advance(state.numbers, self.program, origin)
        program = self.program
        for cell in range(program.blocks[0], program.blocks[-1]):
            a.numbers[cell] += b.numbers[cell]
        for cell in (NEWEST, *self._extremes):
            a.numbers[cell] = max(a.numbers[cell], b.numbers[cell])
        for cell in self._prices:
            a.numbers[cell : cell + 2] = max(a.numbers[cell : cell + 2], b.numbers[cell : cell + 2])
        for ring in self._rings.values():
            for time, kind, key in ring.entries(b):
                push(a.numbers, a.keys, ring.cell, ring.key, ring.room, ring.distinct, time, kind, key)
        return a

    def read(self, state: State, at: int, zone: str | None = None) -> dict[str, float]:
        """Features by name, at a moment after every event of the state; NaN where there is nothing to tell.

        Args:
            state: not changed.
            at: microseconds since 1970 UTC.
            zone: IANA name of the person's time zone; None: UTC.
        """
        out = [0.0] * len(self.names)
        read(state.numbers, self.program, at, offset_hours(zone, at), [0.0] * len(self.program.rates), out)
        return dict(zip(self.names, out, strict=True))

    def newest(self, state: State, name: str) -> list[Seen]:
        """What a `Newest` slot holds, newest first."""
        entries = self._rings[name].entries(state)
        return [Seen(int(time), self._event_names.get(kind, "custom"), key) for time, kind, key in reversed(entries)]

    def hours(self, state: State, name: str, at: int, zone: str | None = None) -> list[float]:
        """What an `HourOfWeek` slot holds at a moment: 168 decayed counts from Monday 0:00 of the person's clock."""
        cell, half_life = self._hours[name]
        origin, offset = state.numbers[ORIGIN], offset_hours(zone, at)
        fade = math.exp2((origin - at) * self.program.rates[half_life]) if origin != NEVER else 0.0
        whole, over = math.floor(offset), offset - math.floor(offset)
        masses = state.numbers[cell : cell + WEEK_HOURS]
        return [
            fade * ((1 - over) * masses[(hour - whole) % WEEK_HOURS] + over * masses[(hour - whole - 1) % WEEK_HOURS])
            for hour in range(WEEK_HOURS)
        ]

    def dump(self, state: State) -> bytes:
        """A state as bytes, compact: what differs from an empty one. Floats are kept bit for bit."""
        cells = [cell for cell, value in enumerate(state.numbers) if value != self._empty[cell]]
        keys = [cell for cell, key in enumerate(state.keys) if key != 0]
        return struct.pack(
            f"<HH{len(cells)}H{len(keys)}H{len(cells)}d{len(keys)}q",
            len(cells),
            len(keys),
            *cells,
            *keys,
            *(state.numbers[cell] for cell in cells),
            *(state.keys[cell] for cell in keys),
        )

    def load(self, data: bytes) -> State:
        """The state that was dumped, by a fold of the same fingerprint."""
        state = self.empty()
        n, m = struct.unpack_from("<HH", data)
        found = struct.unpack_from(f"<{n}H{m}H{n}d{m}q", data, 4)
        for cell, value in zip(found[:n], found[n + m : n + m + n], strict=True):
            state.numbers[cell] = value
        for cell, key in zip(found[n : n + m], found[n + m + n :], strict=True):
            state.keys[cell] = key
        return state


def offset_hours(zone: str | None, at: int) -> float:
    """Hours by which a time zone's clock is ahead of UTC at a moment; 0 for a zone nobody knows."""
    known = None if zone is None else _zone(zone)
    if known is None:
        return 0.0
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    return (moment.astimezone(known).utcoffset() or timedelta(0)) / timedelta(hours=1)


@lru_cache(maxsize=1000)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # what people send as their time zone
        return None


@dataclass(frozen=True)
class _Ring:
    cell: int
    key: int
    room: int
    distinct: bool

    def entries(self, state: State) -> list[tuple[float, int, int]]:
        """(time, kind, key), oldest first."""
        count, oldest = int(state.numbers[self.cell]), int(state.numbers[self.cell + 1])
        places = [(oldest + place) % self.room for place in range(count)]
        times, kinds = self.cell + 2, self.cell + 2 + self.room
        return [
            (state.numbers[times + place], int(state.numbers[kinds + place]), state.keys[self.key + place])
            for place in places
        ]


_ADD: dict[Value, int] = {None: ADD_ONE, "quantity": ADD_QUANTITY, "amount": ADD_AMOUNT}

_Op = tuple[int, int, int, int, int]  # op, cell, arg, more, sign


def _sums_of(slot: Decayed | HourOfWeek | HoursOfDay) -> int:
    """How many cells of a slot fade together."""
    match slot:
        case HourOfWeek():
            return WEEK_HOURS
        case HoursOfDay():
            return DAY_HOURS
        case Decayed():
            return 1


class _Tables:
    """Lays the slots of a declaration out in cells."""

    def __init__(self, declaration: Declaration) -> None:
        slots = [slot for slot in declaration.slots if isinstance(slot, Slot)]
        customs = {event for slot in slots for event in slot.events if not isinstance(event, Kind)}
        self.customs = sorted(customs)
        self.channels = sorted({slot.channel for slot in slots if slot.channel is not None})
        half_lives = {slot.half_life for slot in slots if isinstance(slot, Decayed | HourOfWeek | HoursOfDay)}
        self.half_lives: list[timedelta | None] = [*sorted(half_lives), None]
        self.key_cells = 0
        self.rings: dict[str, _Ring] = {}
        self.hours: dict[str, tuple[int, int]] = {}
        self.extremes: list[int] = []
        self.prices: list[int] = []
        self.empty: list[float] = [NEVER, NEVER]
        self._entries: dict[tuple[int, int], list[_Op]] = {}
        self._reads: list[tuple[int, int, int, int]] = []
        self._places = {name: place for place, name in enumerate(declaration.features)}
        self._sums = self._lay_sums(slots)
        for slot in declaration.slots:
            self._add(slot)

    def program(self) -> Program:
        """The tables as lists."""
        starts, ops = [0], list[int]()
        for event in range(len(Kind) + len(self.customs)):
            for channel in range(len(self.channels) + 1):
                # One half-life after the other, so that each growth is computed once.
                found = sorted(self._entries.get((event, channel), []), key=lambda op: (op[0] > HOURS, op[2], op[:2]))
                ops += [number for op in found for number in op]
                starts.append(len(ops))
        reads = [number for one in self._reads for number in one]
        microsecond = timedelta(microseconds=1)
        rates = [0.0 if half_life is None else microsecond / half_life for half_life in self.half_lives]
        step = STEP * min((half_life / microsecond for half_life in self.half_lives if half_life), default=float(DAY))
        return Program(starts, ops, rates, self._blocks, reads, step, len(self.channels) + 1)

    def _lay_sums(self, slots: Sequence[Slot]) -> dict[str, tuple[int, int]]:
        """(first cell, number of the half-life) of every slot that fades or counts: those of one half-life together."""
        found, self._blocks = {}, [SLOTS]
        for number, half_life in enumerate(self.half_lives):
            for slot in slots:
                if isinstance(slot, Count) and half_life is None:
                    found[slot.name] = (self._cells(1), number)
                elif isinstance(slot, Decayed | HourOfWeek | HoursOfDay) and slot.half_life == half_life:
                    found[slot.name] = (self._cells(_sums_of(slot)), number)
            self._blocks.append(len(self.empty))
        return found

    def _cells(self, number: int, value: float = 0.0) -> int:
        self.empty += [value] * number
        return len(self.empty) - number

    def _add(self, slot: Slot | Ratio) -> None:
        match slot:
            case Decayed() | Count():
                cell, half_life = self._sums[slot.name]
                self._on(slot, (_ADD[slot.value], cell, half_life, 0, 1))
                if slot.less is not None:
                    self._on(slot, (_ADD[slot.value], cell, half_life, 0, -1), slot.less)
                self._read(slot, SUM, cell, half_life)
            case HourOfWeek():
                self.hours[slot.name] = cell, half_life = self._sums[slot.name]
                self._on(slot, (HOURS, cell, half_life, WEEK_HOURS, 1))
                self._read(slot, SHARES, cell, half_life)
            case HoursOfDay():
                cell, half_life = self._sums[slot.name]
                self._on(slot, (HOURS, cell, half_life, DAY_HOURS, 1))
                self._read(slot, CLOCK, cell, half_life)
            case Since() | First():
                sign = 1 if isinstance(slot, Since) else -1
                cell = self._cells(1, NEVER)
                self.extremes.append(cell)
                self._on(slot, (EXTREME, cell, 0, 0, sign))
                self._read(slot, AGE, cell, sign)
            case LastPrice():
                cell = self._cells(1, NEVER)
                self._cells(1)
                self.prices.append(cell)
                self._on(slot, (PRICE, cell, 0, 0, 1))
                self._read(slot, PRICED, cell, 0)
            case Occasions() | Newest():
                distinct = isinstance(slot, Occasions)
                ring = _Ring(self._cells(2 + 2 * slot.newest), self.key_cells, slot.newest, distinct)
                self.key_cells += slot.newest
                self.rings[slot.name] = ring
                self._on(slot, (MOMENTS if distinct else RING, ring.cell, ring.room, ring.key, 1))
                if distinct:
                    self._read(slot, GAPS, ring.cell, ring.room)
            case Ratio():
                self._read(slot, RATIO, self._places[slot.part], self._places[slot.whole])

    def _on(self, slot: Slot, op: _Op, *instead: Kind) -> None:
        channels = range(len(self.channels) + 1) if slot.channel is None else [self.channels.index(slot.channel)]
        for event in instead or slot.events:
            code = int(event) if isinstance(event, Kind) else len(Kind) + self.customs.index(event)
            for channel in channels:
                self._entries.setdefault((code, channel), []).append(op)

    def _read(self, slot: Slot | Ratio, what: int, source: int, other: int) -> None:
        self._reads.append((what, source, other, self._places[slot.features[0]]))
