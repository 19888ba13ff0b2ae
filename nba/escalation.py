"""Following up on one thing, channel after channel: the next only if what was sent on the one before was ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Column, Number
from features.events import DAY, HOUR
from nba.codes import Code
from nba.config import WindowConfig
from nba.crowd import Crowd
from nba.menu import ListedAction, Menu

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Codes = NDArray[np.int8]

#: A moment that is not known.
UNKNOWN = int(np.iinfo(np.int64).min)


@dataclass(frozen=True)
class FollowUp:
    """Where n customers stand on the ladder of one action.

    Attributes:
        reasons: int8[n, C + 1] of `nba.codes.Code`, against the action on each channel.
        not_before: int64[n], when the next contact may be made at the earliest; `UNKNOWN` for at once.
        counted: bool[k], contacts of the action that its cooldown counts: those of earlier occasions.
    """

    reasons: Codes
    not_before: Ints
    counted: Mask


def moments(window: WindowConfig, known: Mapping[str, Column], at: Ints) -> Ints:
    """The moment that a window is counted from, int64[n] microseconds since 1970 UTC, `UNKNOWN` where there is none."""
    column = known[window.since or window.until or ""]
    days = column.values if isinstance(column, Number) else np.full(len(at), np.nan)
    distance = days * (-DAY if window.since is not None else DAY)
    there = np.abs(distance) < 2.0**62  # NaN is not
    return np.where(there, at + np.rint(np.where(there, distance, 0)).astype(np.int64), UNKNOWN)


def follow_up(action: ListedAction, known: Mapping[str, Column], crowd: Crowd, menu: Menu, reached: Mask) -> FollowUp:
    """How far an action has come with each customer since what it is about happened.

    Contacts since then count as steps, planned ones too. The step that is due is the first channel of the ladder
    that lies beyond the furthest one used and reaches the customer. After an answer none is.

    Args:
        action: one with a ladder.
        known: what is known of the customers.
        crowd: n customers.
        menu: where channels stand.
        reached: bool[n, C + 1], channels on which the action could be made as far as the request and consent go.
    """
    n, contacts = len(crowd), crowd.contacts
    ladder = [menu.arms.channels.index(name) for name in action.config.escalate if name in menu.arms.channels]
    rung = np.full(len(menu.channels) + 1, -1, dtype=np.int64)
    rung[ladder] = np.arange(len(ladder))
    reasons = np.zeros((n, len(menu.channels) + 1), dtype=np.int8)
    furthest = np.full(n, -1, dtype=np.int64)
    latest = np.full(n, UNKNOWN, dtype=np.int64)
    counted = np.zeros(len(contacts.time), dtype=np.bool_)
    if len(contacts.time) and action.config.window is not None:
        began = moments(action.config.window, known, crowd.at)
        mine = menu.action_places(contacts.actions)[contacts.action] == menu.places[action.name]
        this = mine & (contacts.time > began[contacts.owner])
        counted = mine & ~this
        owner = contacts.owner[this]
        np.maximum.at(latest, owner, contacts.time[this])
        np.maximum.at(furthest, owner, rung[menu.channel_places(contacts.channels)[contacts.channel[this]]])
        reasons[contacts.owner[this & contacts.answered]] = Code.ANSWERED
    due = reached[:, ladder] & (np.arange(len(ladder)) > furthest[:, None])
    step = np.where(due.any(axis=1), due.argmax(axis=1), -1)
    early = (rung >= 0) & (rung != step[:, None]) & (reasons == 0)
    reasons[early] = Code.NOT_ITS_TURN
    wait = round(action.config.escalate_hours * HOUR)
    return FollowUp(reasons, np.where(latest > UNKNOWN, latest + wait, UNKNOWN), counted)
