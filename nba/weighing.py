"""What each open arm is worth to each customer, at the best hour there is for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.events import HOUR
from nba.codes import Code
from nba.crowd import Crowd
from nba.menu import ListedAction, Menu
from nba.openings import Openings
from nba.values import Values

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Weighed:
    """n customers and A arms, hold included.

    Attributes:
        crowd: the customers.
        menu: the arms.
        openings: when arms may be made.
        values: what the model says.
        gain: float64[n, K], as the model says, but of a deeper offer not less than of a lesser one.
        value: float64[n, A], incremental value at the best slot; 0 for hold. Also told of arms that are not open, as of
            an average hour.
        chance: float32[n, A], lift at the best slot, what waiting takes included; 1 where there is none.
        slot: int16[n, A], the best open slot; -1 where there is none, and for hold.
        codes: int8[n, A] of `nba.codes.Code`; 0: open.
    """

    crowd: Crowd
    menu: Menu
    openings: Openings
    values: Values
    gain: Floats
    value: Floats
    chance: NDArray[np.float32]
    slot: NDArray[np.int16]
    codes: NDArray[np.int8]

    @property
    def open(self) -> Mask:
        """bool[n, A], what may be chosen; hold always."""
        return np.asarray(self.codes == Code.OPEN)


def weigh(crowd: Crowd, menu: Menu, openings: Openings, values: Values, codes: NDArray[np.int8]) -> Weighed:
    """The value of every arm at its best slot (`nba.values`, the formula).

    The best slot of an arm is the open one at which a contact is most likely to be attended, the earliest of equal
    ones. It depends on channel and action only through what is open to them: customers to whom all slots of an action
    are open share one search over C channels × S slots among all such actions.

    Args:
        crowd: n customers.
        menu: A arms.
        openings: when arms may be made.
        values: what the model says.
        codes: int8[n, A], reasons so far; arms without an open slot get theirs added, in place.
    """
    slot, chance = _best_slots(menu, openings, values, codes)
    gain = values.gain.copy() if menu.families else values.gain
    for family in menu.families:
        gain[:, family] = np.maximum.accumulate(gain[:, family], axis=1)
    attended = values.attend[:, menu.channel] * chance
    # Hold has the last action (-1) here, and no channel; its column is written over.
    value = gain[:, menu.arms.action] * attended - values.cost - values.attention[:, menu.channel]
    value[:, 0] = 0.0
    return Weighed(crowd, menu, openings, values, gain, value, chance, slot, codes)


def at_slots(weighed: Weighed, arm: Ints, slot: NDArray[np.int16]) -> tuple[Floats, Floats]:
    """Incremental value and standard error, float64[n] each, of an arm each, at a slot that need not be the best.

    Args:
        weighed: n customers.
        arm: int64[n].
        slot: int16[n], -1 for hold.
    """
    everybody = np.arange(len(arm))
    menu, values = weighed.menu, weighed.values
    value = weighed.value[everybody, arm]
    attended = values.attend[everybody, menu.channel[arm]] * weighed.chance[everybody, arm]
    other = np.flatnonzero(slot != weighed.slot[everybody, arm])
    if len(other):
        arms, channel = arm[other], menu.channel[arm[other]]
        time, cell = weighed.openings.grid.time[other, slot[other]], weighed.openings.grid.cell[other, slot[other]]
        chance = values.lift[other, channel, cell].copy()
        for place in set(menu.action[arms].tolist()):
            mine = menu.action[arms] == place
            chance[mine] *= _faded(menu.actions[place], place, weighed.openings, other[mine], time[mine])
        attended[other] = values.attend[other, channel] * chance
        gain = weighed.gain[other, menu.arms.action[arms]]
        value[other] = gain * attended[other] - values.cost[arms] - values.attention[other, channel]
    error = np.zeros(len(arm))
    sent = np.flatnonzero(arm > 0)
    if len(sent):
        error[sent] = values.gain_error(sent, menu.arms.action[arm[sent]]) * attended[sent]
    return value, error


def _best_slots(
    menu: Menu, openings: Openings, values: Values, codes: NDArray[np.int8]
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """The best slot of each arm, int16[n, A], and how much the hour raises the chance, float32[n, A]."""
    n, arms = codes.shape
    slot = np.full((n, arms), -1, dtype=np.int16)
    chance = np.ones((n, arms), dtype=np.float32)
    channels = np.arange(values.lift.shape[1])[:, None]
    lift = values.lift[np.arange(n)[:, None, None], channels, openings.grid.cell[:, None, :]]
    open_arms = (codes == 0).any(axis=0)
    free: tuple[NDArray[np.int16], NDArray[np.float32]] | None = None
    for place, action in enumerate(menu.actions):
        if not open_arms[action.arms].any():
            continue
        wanted = (codes[:, action.arms] == 0).any(axis=1)
        theirs = openings.action[place]
        bound = wanted & ~theirs.all(axis=1) if theirs is not None else np.zeros(n, dtype=np.bool_)
        if action.config.fades_hours is not None:
            bound = wanted
        if not bound[wanted].all():
            if free is None:
                free = _best(lift, openings.channel)
            loose = np.flatnonzero(wanted & ~bound)
            cells = (loose[:, None], menu.channel[action.arms])
            slot[loose[:, None], action.arms] = free[0][cells]
            chance[loose[:, None], action.arms] = free[1][cells]
        rows = np.flatnonzero(bound)
        if len(rows):
            columns = (rows[:, None], action.channels)
            open_ = openings.channel[columns]
            if theirs is not None:
                open_ = open_ & theirs[rows][:, None, :]
            raised = lift[columns]
            if action.config.fades_hours is not None:
                raised = raised * _faded(action, place, openings, rows, openings.grid.time[rows])[:, None, :]
            local = np.searchsorted(action.channels, menu.channel[action.arms])
            best, highest = _best(raised, open_)
            slot[rows[:, None], action.arms] = best[:, local]
            chance[rows[:, None], action.arms] = highest[:, local]
    lost = (codes == 0) & (slot < 0)
    lost[:, 0] = False
    if lost.any():
        rows, of = np.nonzero(lost)
        codes[rows, of] = openings.why(rows, menu.action[of], menu.channel[of])
    shut = codes != 0
    slot[shut] = -1
    chance[shut] = 1.0
    return slot, chance


def _best(lift: NDArray[np.float32], open_: Mask) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """The open slot of the highest lift along the last axis, -1 where none is open, and its lift (1 there)."""
    masked = np.where(open_, lift, np.float32(-np.inf))
    found = masked.max(axis=-1)
    there = found > -np.inf
    return np.where(there, masked.argmax(axis=-1), -1).astype(np.int16), np.where(there, found, np.float32(1.0))


def _faded(action: ListedAction, place: int, openings: Openings, rows: Ints, time: Ints) -> NDArray[np.float32]:
    """What waiting until ``time`` (int64[r, …]) leaves of what an action adds, float32 of that shape."""
    if action.config.fades_hours is None:
        return np.ones(time.shape, dtype=np.float32)
    start = openings.grid.at[rows]
    opens = openings.opens[place]
    if opens is not None:
        start = np.maximum(start, opens[rows])
    waited = np.maximum(time - start.reshape(-1, *[1] * (time.ndim - 1)), 0)
    return np.asarray(np.exp2(waited / (-action.config.fades_hours * HOUR)), dtype=np.float32)
