"""When each arm may be made: its window, quiet hours, cooldowns and caps, slot by slot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Column
from features.events import HOUR
from nba.asked import Asked
from nba.codes import Code
from nba.config import NbaConfig
from nba.contact_policy import capped, cooling
from nba.crowd import Crowd
from nba.eligibility import exclude
from nba.escalation import UNKNOWN, follow_up, moments
from nba.menu import ListedAction, Menu
from nba.slots import Grid

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Codes = NDArray[np.int8]


@dataclass(frozen=True)
class Closed:
    """Slots that are closed for some reason: to one action on all channels, or to some channels for all actions.

    Attributes:
        code: the reason.
        mask: bool[n, S].
        action: place in `Menu.actions`, or None: all.
        channels: bool[C + 1].
    """

    code: Code
    mask: Mask
    action: int | None
    channels: Mask


@dataclass(frozen=True)
class Openings:
    """Slots of n customers that are open. An arm may use a slot that is open to its channel and to its action.

    Attributes:
        grid: the slots.
        channel: bool[n, C + 1, S].
        action: of each action bool[n, S], or None: all slots.
        opens: of each action int64[n], when its window opens; None where it has none.
        closed: what closed the others, in the order of reasons.
    """

    grid: Grid
    channel: Mask
    action: tuple[Mask | None, ...]
    opens: tuple[Ints | None, ...]
    closed: tuple[Closed, ...]

    def of(self, rows: Ints, action: int, channel: Ints) -> Mask:
        """Slots open to one action, bool[r, S], of some customers, on a channel each."""
        found: Mask = self.channel[rows, channel]
        theirs = self.action[action]
        return found if theirs is None else found & theirs[rows]

    def why(self, rows: Ints, action: Ints, channel: Ints) -> Codes:
        """What closed the last slot of p combinations of customer, action and channel, int8[p]."""
        codes = np.zeros(len(rows), dtype=np.int8)
        still = np.ones((len(rows), self.grid.time.shape[1]), dtype=np.bool_)
        for closed in self.closed:
            touched = closed.channels[channel] & (True if closed.action is None else action == closed.action)
            if not touched.any():
                continue
            still[touched] &= ~closed.mask[rows[touched]]
            codes[touched & (codes == 0) & ~still.any(axis=1)] = closed.code
        return codes


def openings(
    asked: Asked,
    crowd: Crowd,
    known: Mapping[str, Column],
    menu: Menu,
    config: NbaConfig,
    *,
    grid: Grid,
    codes: Codes,
) -> Openings:
    """When arms may be made.

    Args:
        asked: not_before and not_after of the request.
        crowd: n customers with their contacts.
        known: what windows name.
        menu: A arms.
        config: windows, quiet hours, caps, cooldowns.
        grid: the slots of the customers.
        codes: int8[n, A], reasons against arms; what a ladder says is added. Slots of actions that nobody may have are
            left open.
    """
    everywhere = np.ones(len(menu.channels) + 1, dtype=np.bool_)
    closed = _outside_request(asked, grid, everywhere)
    closed += _immediate(menu, grid)
    opens: list[Ints | None] = [None] * len(menu.actions)
    cooldowns: list[Closed] = []
    contact_action = menu.action_places(crowd.contacts.actions)[crowd.contacts.action]
    wanted = set(menu.action[(codes == 0).any(axis=0)].tolist())
    for place, action in enumerate(menu.actions):
        if place not in wanted:
            continue
        windows, opens[place] = _window(action, known, grid)
        counted = contact_action == place
        if action.config.escalate:
            reached = _reached(codes, action, menu)
            step = follow_up(action, known, crowd, menu, reached)
            exclude(codes, np.where(menu.action == place, step.reasons[:, menu.channel], np.int8(0)))
            counted = step.counted
            if len(crowd.contacts.time):
                windows.append(grid.time < step.not_before[:, None])
        closed += [Closed(Code.OUTSIDE_WINDOW, mask, place, everywhere) for mask in windows]
        if counted.any():
            owner, time = crowd.contacts.owner[counted], crowd.contacts.time[counted]
            mask = cooling(action.config.cooldown_hours, owner, time, grid)
            cooldowns += [] if mask is None else [Closed(Code.COOLDOWN, mask, place, everywhere)]
    closed += cooldowns
    closed += _quiet(menu, grid)
    closed += _caps(menu, config, crowd, grid)
    return _opened(closed, tuple(opens), grid, menu)


def _opened(closed: list[Closed], opens: tuple[Ints | None, ...], grid: Grid, menu: Menu) -> Openings:
    n, size = grid.time.shape
    channel = np.ones((n, len(menu.channels) + 1, size), dtype=np.bool_)
    action: list[Mask | None] = [None] * len(menu.actions)
    for one in closed:
        if one.action is None:
            if one.channels.all():
                channel &= ~one.mask[:, None, :]
            else:
                channel[:, one.channels] &= ~one.mask[:, None, :]
        else:
            before = action[one.action]
            action[one.action] = ~one.mask if before is None else before & ~one.mask
    return Openings(grid, channel, tuple(action), opens, tuple(closed))


def _outside_request(asked: Asked, grid: Grid, everywhere: Mask) -> list[Closed]:
    limits = asked.constraints
    found = []
    if limits.not_before is not None:
        found.append(Closed(Code.OUTSIDE_WINDOW, grid.time < limits.not_before, None, everywhere))
    if limits.not_after is not None:
        found.append(Closed(Code.OUTSIDE_WINDOW, grid.time > limits.not_after, None, everywhere))
    return found


def _immediate(menu: Menu, grid: Grid) -> list[Closed]:
    """Channels that know only now."""
    found = Closed(Code.OUTSIDE_WINDOW, _later(grid), None, menu.immediate)
    return [found] if menu.immediate.any() else []


def _later(grid: Grid) -> Mask:
    mask = np.ones(grid.time.shape, dtype=np.bool_)
    mask[:, 0] = False
    return mask


def _window(action: ListedAction, known: Mapping[str, Column], grid: Grid) -> tuple[list[Mask], Ints | None]:
    """Slots outside the window of an action, and when it opens (int64[n])."""
    masks = [_later(grid)] if action.config.on_page else []
    window = action.config.window
    if window is None:
        return masks, None
    moment = moments(window, known, grid.at)
    unknown = moment == UNKNOWN
    moment = np.where(unknown, grid.at, moment)
    first = moment + round((window.from_hours or 0) * HOUR)
    if window.from_hours is not None:
        masks.append(grid.time < first[:, None])
    if window.to_hours is not None:
        masks.append(grid.time > (moment + round(window.to_hours * HOUR))[:, None])
    if unknown.any():
        masks.append(np.repeat(unknown[:, None], grid.time.shape[1], axis=1))
    return masks, (first if window.from_hours is not None else None)


def _reached(codes: Codes, action: ListedAction, menu: Menu) -> Mask:
    """bool[n, C + 1], channels with an arm of the action that nothing speaks against."""
    reached = np.zeros((len(codes), len(menu.channels) + 1), dtype=np.bool_)
    for arm in action.arms:
        reached[:, menu.channel[arm]] |= codes[:, arm] == 0
    return reached


def _quiet(menu: Menu, grid: Grid) -> list[Closed]:
    """Quiet hours; channels with the same ones together."""
    return [Closed(Code.QUIET_HOURS, cells[grid.cell], None, channels) for cells, channels in menu.quiet]


def _caps(menu: Menu, config: NbaConfig, crowd: Crowd, grid: Grid) -> list[Closed]:
    """Caps over all channels, then those of each. Contacts on channels that nobody knows count over all."""
    contacts = crowd.contacts
    owner, channel = contacts.owner, menu.channel_places(contacts.channels)[contacts.channel]
    # A channel that no arm of the model uses may be configured all the same.
    known = [config.channels[name].counts if name in config.channels else True for name in contacts.channels]
    counted = np.array([*known, True])[contacts.channel]
    found = []
    overall = capped(config.contact, owner[counted], contacts.time[counted], grid)
    if overall is not None:
        found.append(Closed(Code.CONTACT_CAP, overall, None, menu.counts))
    used = set(channel.tolist())
    for place, one in enumerate(menu.channels):
        if place not in used and 0 not in (one.per_day, one.per_week):
            continue
        mine = channel == place
        mask = capped(one, owner[mine], contacts.time[mine], grid)
        if mask is not None:
            found.append(Closed(Code.CHANNEL_CAP, mask, None, np.arange(len(menu.channels) + 1) == place))
    return found
