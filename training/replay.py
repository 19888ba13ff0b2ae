"""What was known at a moment: states folded again from a dataset, read where a training row is needed.

What is read at t is the fold of the events that were known before t, of whoever the person was before t. So it is what
the live service would have read, whatever came late and whoever was linked to whom afterwards. People do not depend on
each other, and neither do products: a shard is a range of them, and any engine may run the shards. One state is open at
a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd
from numba.extending import register_jitable
from numpy.typing import NDArray

from features import fold as folding
from features.fold import Fold, Program
from features.people import digest
from training.ledger import IDENTITIES, Ints, Ledger, offsets

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Where rows are needed: m of them.

    Attributes:
        at: int64[m], microseconds since 1970 UTC.
        place: int64[m], how many events were known before.
        person: int64[m], number of the identity whose events count; -1 for nobody, or somebody nobody has seen.
        product: int64[m], place in the products of the ledger; -1 for none, or one nobody has seen.
        offset: float64[m], hours by which the person's clock is ahead of UTC.
    """

    at: Ints
    place: Ints
    person: Ints
    product: Ints
    offset: Floats

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True)
class Shard:
    """Some people (or products) with all that is needed to fold them: g groups, e events, m moments.

    Attributes:
        events: int64[g + 1], group k has the events events[k]:events[k + 1], ascending by ``since``.
        entry, time, since, key: int64[e]; quantity, price: float64[e].
        moments: int64[g + 1], group k is read at moments[k]:moments[k + 1], ascending by ``place``.
        at, place, row: int64[m]; ``row``: which of all moments it is. offset: float64[m].
    """

    events: Ints
    entry: Ints
    time: Ints
    since: Ints
    quantity: Floats
    price: Floats
    key: Ints
    moments: Ints
    at: Ints
    place: Ints
    offset: Floats
    row: Ints


def moments_of(ledger: Ledger, frame: pd.DataFrame, zones: dict[str, str] | None = None) -> Moments:
    """Moments from a table.

    Args:
        ledger: whose people and products are meant.
        frame: ``at`` (datetime with time zone, or int64 microseconds), and any of customer_id, anonymous_id, session_id
            and product_id (null: none). The best-named person counts.
        zones: IANA time zones by customer id; UTC for everybody else.
    """
    at = frame["at"]
    if isinstance(at.dtype, pd.DatetimeTZDtype):
        micros: Ints = at.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64)
    else:
        micros = at.to_numpy(dtype=np.int64)
    place = ledger.places(micros)
    person = np.full(len(frame), -1, dtype=np.int64)
    named = np.zeros(len(frame), dtype=np.bool_)
    for column in IDENTITIES:
        if column in frame and column != "order_id":
            there = frame[column].notna().to_numpy() & ~named
            person = np.where(there, ledger.numbers(column, frame[column]), person)
            named |= there
    person = ledger.who(person, place)
    product = np.full(len(frame), -1, dtype=np.int64)
    if "product_id" in frame:
        known = pd.Index(ledger.products, dtype="str").get_indexer(pd.Index(frame["product_id"]))
        product = np.where(frame["product_id"].notna().to_numpy(), known, -1).astype(np.int64)
    return Moments(micros, place, person, product, _offsets(ledger, frame, person, micros, zones or {}))


def _offsets(ledger: Ledger, frame: pd.DataFrame, person: Ints, at: Ints, zones: dict[str, str]) -> Floats:
    customers, first = ledger.names["customer"]
    by_number = np.array([*(zones.get(name) for name in customers), None], dtype=object)
    place = np.where((person >= first) & (person < first + len(customers)), person - first, -1)
    found = by_number[place]
    if "customer_id" in frame:  # customers who have done nothing yet have a zone all the same
        unseen = np.flatnonzero((person < 0) & frame["customer_id"].notna().to_numpy())
        found[unseen] = [zones.get(name) for name in frame["customer_id"].iloc[unseen]]
    return offsets(found.tolist(), at)


def person_shards(ledger: Ledger, moments: Moments, fold: Fold, *, rows: int) -> Iterator[Shard]:
    """The people of some moments, by the hash of their id, in shards of about ``rows`` moments."""
    owned = ledger.owned()
    asked = np.unique(moments.person[moments.person >= 0])
    kept = np.isin(owned.owner, asked)
    yield from _shards(
        ledger,
        fold,
        event=(owned.row[kept], owned.owner[kept], owned.since[kept]),
        group=moments.person,
        names={int(number): ledger.name(int(number)) for number in asked},
        moments=moments,
        rows=rows,
    )


def product_shards(ledger: Ledger, moments: Moments, fold: Fold, *, rows: int) -> Iterator[Shard]:
    """The products of some moments, by the hash of their id, in shards of about ``rows`` moments."""
    asked = np.unique(moments.product[moments.product >= 0])
    about = np.flatnonzero(np.isin(ledger.product, asked))
    yield from _shards(
        ledger,
        fold,
        event=(about, ledger.product[about].astype(np.int64), about),
        group=moments.product,
        names={int(number): ledger.products[number] for number in asked},
        moments=moments,
        rows=rows,
    )


def _shards(
    ledger: Ledger,
    fold: Fold,
    *,
    event: tuple[Ints, Ints, Ints],
    group: Ints,
    names: dict[int, str],
    moments: Moments,
    rows: int,
) -> Iterator[Shard]:
    """Events (row, group, since) and moments, by group; groups ascend by hash, nobody (-1) comes first."""
    row, owner, since = event
    rank = np.full(max(names, default=-1) + 2, -1, dtype=np.int64)
    rank[sorted(names, key=lambda number: digest(names[number]))] = np.arange(len(names))
    in_order = np.lexsort((since, rank[owner]))
    row, since, ranked = row[in_order], since[in_order], rank[owner[in_order]]
    asked = np.lexsort((moments.place, rank[group]))
    asked_rank = rank[group][asked]
    entries, keys = ledger.entries(fold), ledger.keys()
    begins = np.flatnonzero(np.diff(asked_rank, prepend=-2))
    first = 0
    while first < len(begins):
        last = max(int(np.searchsorted(begins, begins[first] + rows)), first + 1)
        ranks = asked_rank[begins[first:last]]
        end = begins[last] if last < len(begins) else len(asked)
        low, high = np.searchsorted(ranked, ranks), np.searchsorted(ranked, ranks, side="right")
        taken = slice(low[0], high[-1])
        here, which = row[taken], asked[begins[first] : end]
        # Groups that nobody asked for lie between: they were left out before, so ranges follow on each other.
        yield Shard(
            events=np.append(low, high[-1]) - low[0],
            entry=entries[here],
            time=ledger.time[here],
            since=since[taken],
            quantity=ledger.quantity[here],
            price=ledger.price[here],
            key=keys[here],
            moments=np.append(begins[first:last], end) - begins[first],
            at=moments.at[which],  # noqa: PD008  # an array
            place=moments.place[which],
            offset=moments.offset[which],
            row=which,
        )
        first = last


def run(shard: Shard, fold: Fold, out: Floats, *, cache_folder: Path | None = None, by_row: bool = False) -> None:
    """Fold a shard and read it.

    Args:
        shard: what to fold.
        fold: the declaration.
        out: float64[m, features]: row i is that of moment i of the shard; with ``by_row`` of moment shard.row[i].
        cache_folder: where compiled code is kept for the next process; None: it is compiled anew in each.
    """
    empty = fold.empty()
    kernel(cache_folder)(
        arrays(fold.program),
        np.array(empty.numbers),
        np.zeros(len(empty.keys), dtype=np.int64),
        shard.events,
        shard.entry,
        shard.time,
        shard.since,
        shard.quantity,
        shard.price,
        shard.key,
        shard.moments,
        shard.at,
        shard.place,
        shard.offset,
        shard.row if by_row else np.arange(len(shard.row)),
        out,
    )


def arrays(program: Program) -> Program:
    """The tables of a program as arrays."""
    return Program(*[np.array(column) if isinstance(column, list) else column for column in program])


@cache
def kernel(cache_folder: Path | None) -> Callable[..., None]:
    """`_replayed`, compiled. Compiled code is kept in a folder named by the sources that it was compiled from."""
    for function in folding.COMPILED:
        register_jitable(function)
    if cache_folder is None:
        compiled: Callable[..., None] = numba.njit(_replayed)
        return compiled
    sources = b"".join(Path(str(file)).read_bytes() for file in (folding.__file__, __file__))
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(cache_folder / hashlib.sha256(sources).hexdigest()[:16])
    try:
        compiled = numba.njit(cache=True)(_replayed)
    finally:
        config.CACHE_DIR = before
    return compiled


def _replayed(
    program: Any,
    empty: Any,
    keys: Any,
    events: Any,
    entry: Any,
    time: Any,
    since: Any,
    quantity: Any,
    price: Any,
    key: Any,
    moments: Any,
    at: Any,
    place: Any,
    offset: Any,
    row: Any,
    out: Any,
) -> None:
    """One group after the other: its events up to a moment, then what is read there."""
    numbers = empty.copy()
    fades = np.empty(len(program.rates))
    for group in range(len(events) - 1):
        numbers[:] = empty
        keys[:] = 0
        event = events[group]
        for moment in range(moments[group], moments[group + 1]):
            while event < events[group + 1] and since[event] < place[moment]:
                folding.update(
                    numbers,
                    keys,
                    program,
                    entry[event],
                    time[event],
                    time[event],
                    quantity[event],
                    price[event],
                    key[event],
                )
                event += 1
            folding.read(numbers, program, at[moment], offset[moment], fades, out[row[moment]])
