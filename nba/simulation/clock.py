"""The clocks of the simulated shop's people: time zones over a span of time, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.events import DAY, HOUR, MICROSECOND
from nba.values import DAY_HOURS

Ints = NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_THURSDAY = 3  # the weekday of 1970-01-01, Monday being 0
_SATURDAY = 5


@dataclass(frozen=True)
class Clock:
    """What people's clocks show in a span of time.

    Attributes:
        offsets: int64[Z, H], µs that the clocks of zone z are ahead of UTC in hour h after ``first``.
        first: µs since 1970 UTC, a full hour.
    """

    offsets: Ints
    first: int

    @staticmethod
    def of(zones: tuple[str, ...], first: int, last: int) -> Clock:
        """For moments from ``first`` to ``last`` (µs), and two days more on either side.

        The zones may move their clocks only at full hours of UTC, as those of today do.
        """
        first = (first - 2 * DAY) // HOUR * HOUR
        hours = (last + 2 * DAY - first) // HOUR + 1
        offsets = np.empty((len(zones), hours), dtype=np.int64)
        moments = [_EPOCH + timedelta(microseconds=first + hour * HOUR) for hour in range(hours)]
        for row, name in enumerate(zones):
            zone = ZoneInfo(name)
            ahead = [moment.astimezone(zone).utcoffset() or timedelta(0) for moment in moments]
            offsets[row] = [offset // timedelta(microseconds=MICROSECOND) for offset in ahead]
        return Clock(offsets, first)

    def ahead(self, zone: Ints, time: Ints) -> Ints:
        """int64[n], µs that the clocks of ``zone`` (places) are ahead of UTC at ``time`` (µs)."""
        found: Ints = self.offsets[zone, (time - self.first) // HOUR]
        return found

    def local(self, zone: Ints, time: Ints) -> Ints:
        """int64[n], what the clock shows, as µs since 1970 on that clock."""
        return time + self.ahead(zone, time)

    def utc(self, zone: Ints, local: Ints) -> Ints:
        """int64[n], µs UTC at which the clock shows ``local``; an hour skipped in spring is the one after it."""
        return local - self.ahead(zone, local - self.ahead(zone, local))

    def cells(self, zone: Ints, time: Ints) -> Ints:
        """int64[n], hour cell (`nba.values.HOUR_CELLS`) of ``time`` by the clock of ``zone``."""
        local = self.local(zone, time)
        return weekend(local // DAY) * DAY_HOURS + local // HOUR % DAY_HOURS


def weekend(day: Ints) -> Ints:
    """1 for Saturdays and Sundays, else 0; days since 1970."""
    return ((day + _THURSDAY) % 7 >= _SATURDAY).astype(np.int64)
