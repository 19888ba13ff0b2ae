"""Caps and cooldowns: when nobody may be contacted because of other contacts, before and after."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.events import DAY, HOUR
from nba.config import CapsConfig
from nba.slots import Grid

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

WEEK = 7 * DAY


def capped(caps: CapsConfig, owner: Ints, time: Ints, grid: Grid) -> Mask | None:
    """Slots at which one more contact would be too many; None: none.

    It would if any stretch of 24 hours (or 7 days) with the slot in it then held more than the cap. Two contacts
    exactly that far apart do not lie in one. Contacts planned for later than the slot count like those before it.

    Args:
        caps: how many.
        owner, time: int64[k], contacts by (owner, time).
        grid: of n customers and S slots.

    Returns:
        bool[n, S].
    """
    found: Mask | None = None
    for cap, length in ((caps.per_day, DAY), (caps.per_week, WEEK)):
        if cap is None:
            continue
        if cap == 0:
            return np.ones(grid.time.shape, dtype=np.bool_)
        if len(time) < cap:
            continue
        # A run of `cap` contacts within less than the length closes every moment that is that close to all of them.
        first, last = slice(0, len(time) - cap + 1), slice(cap - 1, None)
        close = (owner[first] == owner[last]) & (time[last] - time[first] < length)
        if close.any():
            mask = between(owner[first][close], time[last][close] - length, time[first][close] + length, grid)
            found = mask if found is None else found | mask
    return found


def cooling(hours: float, owner: Ints, time: Ints, grid: Grid) -> Mask | None:
    """Slots less than some hours away from a contact, bool[n, S]; None: none. Otherwise as `capped`."""
    if hours == 0 or not len(time):
        return None
    length = round(hours * HOUR)
    return between(owner, time - length, time + length, grid)


def between(owner: Ints, low: Ints, high: Ints, grid: Grid) -> Mask:
    """Slots that lie between two moments, neither of them included, of any interval of their customer.

    Args:
        owner, low, high: int64[k], intervals of customers in microseconds.
        grid: of n customers and S slots.

    Returns:
        bool[n, S].
    """
    n, size = grid.time.shape
    at = grid.at
    hour = at[owner] // HOUR * HOUR
    # Slot j > 0 is at hour + j · HOUR.
    first = np.clip((low - hour) // HOUR + 1, 1, size)
    end = np.clip(-((hour - high) // HOUR), first, size)
    steps = np.zeros((n, size + 1), dtype=np.int32)
    np.add.at(steps, (owner, first), 1)
    np.add.at(steps, (owner, end), -1)
    found = np.cumsum(steps[:, :-1], axis=1) > 0
    now = (low < at[owner]) & (at[owner] < high)
    found[owner[now], 0] = True
    return found
