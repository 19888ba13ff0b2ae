"""Crowds as a matrix: what models of decisions are fitted on and asked with, by one definition.

A number becomes log(1 + x) where it is skewed, then has mean 0 and variance 1; what is unknown becomes 0 and sets a
column of its own. A text becomes one column a common value, a flag and a tag one each, a time its age in days. All
columns have mean 0, so zeros are the average customer. Columns that hardly vary are left out. All of it is learned from
the training rows alone.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Column, Flag, Number, Tags, Text, Time
from features.events import DAY, HOUR
from features.fold import offset_hours
from nba.crowd import Crowd, Floats, Ints
from nba.values import DAY_HOURS

#: A value of a text, or a tag, gets a column if so many rows have it.
LEAST_SHARE = 0.005
LEAST_ROWS = 30
#: … and is among so many of its attribute.
MOST_VALUES = 30
#: A number counts as skewed if none is negative and its largest is so many times its mean.
SKEWED = 6.0
#: A number is cut off so many standard deviations from its mean: one order of 10,000 lines is no taste.
CUT = 4.0

NULL_TIME = np.iinfo(np.int64).min

#: State features that say when, not who: `nba.timing` reads them.
LEFT_OUT = ("active_hours_", "attended_hours_", "active_this_hour", "opening_this_hour")


@dataclass(frozen=True)
class Encoder:
    """How crowds become matrices.

    Attributes:
        numbers: of each numeric column its source, whether log(1 + x) is taken, mean and standard deviation, and the
            share of rows in which it was unknown, 0 where that has no column.
        indicators: (source, value, share of rows) of columns that tell where a text is that value, or a list holds it.
        names: of all columns of the matrix.
    """

    numbers: tuple[tuple[str, bool, float, float, float], ...]
    indicators: tuple[tuple[str, str, float], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return (
            *(name for name, *_ in self.numbers),
            *(f"{name} unknown" for name, *_, unknown in self.numbers if unknown > 0),
            *(f"{name} {value}" for name, value, _ in self.indicators),
        )

    @staticmethod
    def fit(crowd: Crowd) -> Encoder:
        """Learn from training rows."""
        numbers = []
        for name, values in _numbers(crowd):
            known = values[np.isfinite(values)]
            if len(known) < LEAST_ROWS:
                continue
            logs = bool(known.min() >= 0 and known.max() > SKEWED * known.mean() > 0)
            kept = np.log1p(known) if logs else known
            spread = float(kept.std())
            missing = len(values) - len(known)
            unknown = missing / len(values) if missing >= LEAST_ROWS else 0.0
            if spread > 1e-9 or unknown > 0:
                numbers.append((name, logs, float(kept.mean()), max(spread, 1e-9), unknown))
        indicators = [
            (name, value, float(_holds(column, value, len(crowd)).mean()))
            for name, column in crowd.attributes.items()
            if isinstance(column, Text | Tags)
            for value in _common(column, len(crowd))
        ]
        return Encoder(tuple(numbers), tuple(indicators))

    def matrix(self, crowd: Crowd) -> Floats:
        """float64[n, len(names)] without NaN. What the crowd does not have is unknown."""
        n, columns = len(crowd), self._columns
        width = len(columns.names)
        out = np.empty((n, width + len(columns.unknown) + len(self.indicators)))
        raw = out[:, :width]
        raw[:] = np.nan
        state, from_state = columns.of_state(crowd.names)
        raw[:, state] = crowd.state[:, from_state]
        for name, values in _other_numbers(crowd, columns.places):
            if name in columns.places:
                raw[:, columns.places[name]] = values
        known = np.isfinite(raw)
        raw[:, columns.logs] = np.log1p(np.maximum(raw[:, columns.logs], 0.0))
        scaled = np.clip((raw - columns.mean) / columns.spread, -CUT, CUT)
        out[:, width : width + len(columns.unknown)] = ~known[:, columns.unknown] - columns.share
        out[:, :width] = np.where(known, scaled, 0.0)
        told = out[:, width + len(columns.unknown) :]
        told[:] = columns.holding
        for at, (name, value, _) in enumerate(self.indicators):
            if name in crowd.attributes:
                told[:, at] += _holds(crowd.attributes[name], value, n)
        return out

    @cached_property
    def _columns(self) -> _Columns:
        names = tuple(name for name, *_ in self.numbers)
        return _Columns(
            names,
            {name: place for place, name in enumerate(names)},
            np.flatnonzero([logs for _, logs, *_ in self.numbers]),
            np.array([mean for _, _, mean, *_ in self.numbers]),
            np.array([spread for *_, spread, _ in self.numbers]),
            np.flatnonzero([unknown > 0 for *_, unknown in self.numbers]),
            np.array([unknown for *_, unknown in self.numbers if unknown > 0]),
            -np.array([share for *_, share in self.indicators]),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"numbers": [list(one) for one in self.numbers], "indicators": [list(one) for one in self.indicators]}

    @staticmethod
    def from_json(said: dict[str, Any]) -> Encoder:
        """From what `to_json` wrote."""
        return Encoder(
            tuple((name, logs, mean, spread, unknown) for name, logs, mean, spread, unknown in said["numbers"]),
            tuple((name, value, share) for name, value, share in said["indicators"]),
        )


@dataclass(frozen=True)
class _Columns:
    """`Encoder.numbers` by column: places of those that are skewed, and of those with a column for being unknown.

    share: of rows in which these were unknown. holding: what an indicator is where the value is another, −share.
    """

    names: tuple[str, ...]
    places: Mapping[str, int]
    logs: Ints
    mean: Floats
    spread: Floats
    unknown: Ints
    share: Floats
    holding: Floats
    _of_state: dict[tuple[str, ...], tuple[list[int], list[int]]] = field(default_factory=dict)

    def of_state(self, names: tuple[str, ...]) -> tuple[list[int], list[int]]:
        """Places of the columns that are state features, and theirs among the features."""
        if names not in self._of_state:
            pairs = [(self.places[name], place) for place, name in enumerate(names) if name in self.places]
            self._of_state[names] = [at for at, _ in pairs], [place for _, place in pairs]
        return self._of_state[names]


def _numbers(crowd: Crowd) -> Iterator[tuple[str, Floats]]:
    """Everything that is a number: state, attributes, and the clock."""
    for at, name in enumerate(crowd.names):
        if not name.startswith(LEFT_OUT):
            yield name, crowd.state[:, at]
    yield from _other_numbers(crowd)


def _other_numbers(crowd: Crowd, wanted: Container[str] | None = None) -> Iterator[tuple[str, Floats]]:
    """Attributes and the clock; attributes only if they are wanted."""
    for name, column in crowd.attributes.items():
        if (wanted is not None and name not in wanted) or name in crowd.names:  # the state wins: `Crowd.columns`
            continue
        if isinstance(column, Number):
            yield name, column.values
        elif isinstance(column, Flag):
            yield name, np.where(column.values < 0, np.nan, column.values)
        elif isinstance(column, Time):
            yield name, np.where(column.values == NULL_TIME, np.nan, (crowd.at - column.values) / DAY)
    cells = hour_cells(crowd.at, crowd.zones)
    yield "clock_hour", (cells % DAY_HOURS).astype(np.float64)
    yield "clock_weekend", (cells // DAY_HOURS).astype(np.float64)


def hour_cells(at: Ints, zones: Sequence[str | None]) -> Ints:
    """The hour cell (`nba.values.HOUR_CELLS`) of each of n moments on the clock of its own zone, int64[n].

    Args:
        at: int64[n], microseconds since 1970 UTC.
        zones: n IANA names; None: UTC.
    """
    offsets = np.zeros(len(at))
    distinct: dict[tuple[str, int], float] = {}
    for row, (zone, hour) in enumerate(zip(zones, (at // HOUR).tolist(), strict=True)):
        if zone is not None:
            key = (zone, hour)
            if key not in distinct:
                distinct[key] = offset_hours(zone, hour * HOUR)
            offsets[row] = distinct[key]
    hours = np.floor(at / HOUR + offsets).astype(np.int64)
    weekend = (hours // DAY_HOURS + 3) % 7 >= 5  # 1970 began on a Thursday
    return weekend * DAY_HOURS + hours % DAY_HOURS


def _common(column: Text | Tags, n: int) -> list[str]:
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values))
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    least = max(LEAST_ROWS, LEAST_SHARE * n)
    return [column.values[int(code)] for code in order if least <= counts[code] <= n - least]


def _holds(column: Column | None, value: str, n: int) -> NDArray[np.bool_]:
    none = np.zeros(n, dtype=np.bool_)
    if not isinstance(column, Text | Tags):
        return none
    code = column.values.code(value)
    if code < 0:
        return none
    if isinstance(column, Text):
        here: NDArray[np.bool_] = column.codes == code
        return here
    owner = np.repeat(np.arange(n), np.diff(column.indptr))
    none[owner[column.codes == code]] = True
    return none
