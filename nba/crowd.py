"""Customers as they are known at a moment: what decisions are made from, for one of them or for a million."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Column, Flag, Number, Tags, Text, Time

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Contacts:
    """Contacts of n customers, past and reserved ones: those of customer i are rows start[i]:start[i + 1], by time.

    Attributes:
        start: int64[n + 1].
        time: int64[k], microseconds since 1970 UTC: when it was sent, or is to be.
        action: int32[k], place in ``actions``; -1 where nobody said, such as in other tools' sends.
        channel: int32[k], place in ``channels``; -1 where nobody said.
        answered: bool[k], the customer clicked it, or came to the shop from it.
        actions, channels: names; actions with their offers (`nba.arms.label`).
    """

    start: Ints
    time: Ints
    action: NDArray[np.int32]
    channel: NDArray[np.int32]
    answered: NDArray[np.bool_]
    actions: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    @staticmethod
    def none(n: int) -> Contacts:
        """Nobody of n was ever contacted."""
        codes = np.zeros(0, dtype=np.int32)
        empty = np.zeros(0, dtype=np.int64)
        return Contacts(np.zeros(n + 1, dtype=np.int64), empty, codes, codes, np.zeros(0, dtype=np.bool_))

    @property
    def owner(self) -> Ints:
        """int64[k], whose contact each row is."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    def part(self, first: int, last: int) -> Contacts:
        """Those of customers first:last."""
        rows = slice(int(self.start[first]), int(self.start[last]))
        start = self.start[first : last + 1] - self.start[first]
        return replace(
            self,
            start=start,
            time=self.time[rows],
            action=self.action[rows],
            channel=self.channel[rows],
            answered=self.answered[rows],
        )


@dataclass(frozen=True)
class Crowd:
    """n customers, each as known at a moment of their own.

    Attributes:
        ids: of customers or visitors.
        at: int64[n], microseconds since 1970 UTC.
        names: of the F state features (`features.slots.CUSTOMER`), in the order of ``state``.
        state: float64[n, F], read at ``at``; NaN where there is nothing to tell.
        attributes: what the shop says of them, and what a request says of the page (``context_NAME``).
        zones: IANA names of their time zones; None: UTC.
        channels: names of C channels.
        consented, reachable: bool[n, C].
        contacts: past and reserved ones.
    """

    ids: Sequence[str]
    at: Ints
    names: tuple[str, ...]
    state: Floats
    attributes: Mapping[str, Column]
    zones: Sequence[str | None]
    channels: tuple[str, ...]
    consented: NDArray[np.bool_]
    reachable: NDArray[np.bool_]
    contacts: Contacts

    def __len__(self) -> int:
        return len(self.ids)

    def columns(self) -> dict[str, Column]:
        """What an expression may name: attributes, and state features, which win over attributes of their name."""
        return {**self.attributes, **{name: Number(self.state[:, place]) for place, name in enumerate(self.names)}}


def rows_of(crowd: Crowd, rows: Ints) -> Crowd:
    """Some of the customers of a crowd, by row number."""
    contacts = crowd.contacts
    count = np.diff(contacts.start)[rows]
    start = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    picked = np.repeat(contacts.start[rows] - start[:-1], count) + np.arange(start[-1])
    return replace(
        crowd,
        ids=[crowd.ids[row] for row in rows.tolist()],
        at=crowd.at[rows],
        state=crowd.state[rows],
        attributes={name: take(column, rows) for name, column in crowd.attributes.items()},
        zones=[crowd.zones[row] for row in rows.tolist()],
        consented=crowd.consented[rows],
        reachable=crowd.reachable[rows],
        contacts=replace(
            contacts,
            start=start,
            time=contacts.time[picked],
            action=contacts.action[picked],
            channel=contacts.channel[picked],
            answered=contacts.answered[picked],
        ),
    )


def take(column: Column, rows: Ints) -> Column:
    """Some rows of a column, by number."""
    if isinstance(column, Text):
        return Text(column.codes[rows], column.values)
    if isinstance(column, Tags):
        count = np.diff(column.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
        picked = np.repeat(column.indptr[rows] - indptr[:-1], count) + np.arange(indptr[-1])
        return Tags(indptr, column.codes[picked], column.values)
    if isinstance(column, Number):
        return Number(column.values[rows])
    return Flag(column.values[rows]) if isinstance(column, Flag) else Time(column.values[rows])
