"""Moments at which a contact can be made, on the customer's own clock, daylight saving included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from features.events import DAY, HOUR
from features.fold import offset_hours
from nba.config import QuietHours
from nba.values import DAY_HOURS, HOUR_CELLS

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: Changes of a zone's clock are looked up for so many days at once.
_SPAN = 400 * DAY
_SECOND = 1_000_000


@dataclass(frozen=True)
class Grid:
    """S slots for each of n customers: now, then every full hour (UTC) up to the horizon.

    Attributes:
        time: int64[n, S], microseconds since 1970 UTC, ascending.
        cell: int64[n, S], hour cell (`nba.values.HOUR_CELLS`) on the customer's own clock.
    """

    time: Ints
    cell: Ints

    @property
    def at(self) -> Ints:
        """int64[n], the first slot: now."""
        return self.time[:, 0]


def grid(at: Ints, zones: Sequence[str | None], horizon_hours: int) -> Grid:
    """The slots of n customers.

    Args:
        at: int64[n], microseconds since 1970 UTC.
        zones: n IANA names; None, and what is no zone: UTC.
        horizon_hours: no slot lies further ahead.
    """
    time = at[:, None] // HOUR * HOUR + np.arange(horizon_hours + 1, dtype=np.int64) * HOUR
    time[:, 0] = at
    return Grid(time, hour_cells(time, zones))


def hour_cells(time: Ints, zones: Sequence[str | None]) -> Ints:
    """The hour cell of moments on their zones' clocks.

    Args:
        time: int64[n, …], microseconds since 1970 UTC.
        zones: n IANA names; None, and what is no zone: UTC.
    """
    local = time.copy()
    places: dict[str | None, int] = {}
    code = np.fromiter((places.setdefault(zone, len(places)) for zone in zones), dtype=np.int64, count=len(zones))
    for zone, place in places.items():
        if zone is None:
            continue
        rows: Mask | slice = code == place if len(places) > 1 else slice(None)
        moments = time[rows]
        starts, offsets = _clock(zone, int(moments.min() // _SPAN), int(moments.max() // _SPAN))
        local[rows] += offsets[0] if len(offsets) == 1 else offsets[np.searchsorted(starts, moments, "right") - 1]
    hours = local // HOUR
    weekend = (hours // DAY_HOURS + 3) % 7 >= 5  # 1970 began on a Thursday
    return weekend * DAY_HOURS + hours % DAY_HOURS


def quiet_cells(quiet: QuietHours) -> Mask:
    """bool[HOUR_CELLS], the hours in which nobody is to be contacted."""
    first, last = quiet
    hours = np.arange(HOUR_CELLS) % DAY_HOURS
    return (hours >= first) & (hours < last) if first <= last else (hours >= first) | (hours < last)


@lru_cache(maxsize=4096)
def _clock(zone: str, first: int, last: int) -> tuple[Ints, Ints]:
    """From which moments on a zone is how far ahead of UTC, both in microseconds, over some spans."""
    starts, offsets = [first * _SPAN], [_offset(zone, first * _SPAN)]
    for day in range(first * _SPAN, (last + 1) * _SPAN, DAY):
        if _offset(zone, day + DAY) != offsets[-1]:
            before, after = day // _SECOND, (day + DAY) // _SECOND
            while after - before > 1:
                middle = (before + after) // 2
                before, after = (middle, after) if _offset(zone, middle * _SECOND) == offsets[-1] else (before, middle)
            starts.append(after * _SECOND)
            offsets.append(_offset(zone, after * _SECOND))
    return np.array(starts, dtype=np.int64), np.array(offsets, dtype=np.int64)


def _offset(zone: str, at: int) -> int:
    return round(offset_hours(zone, at) * HOUR)
