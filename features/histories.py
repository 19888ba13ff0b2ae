"""What each person did, as ragged arrays: the part of an event log that a list is made from."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.events import INTEREST, NEVER, EventLog, Kind

_PURCHASE = np.int8(Kind.PURCHASE)  # comparing with the enumeration takes five times as long


@dataclass(frozen=True)
class Ragged:
    """Rows of product codes of differing length: row q is values[indptr[q]:indptr[q + 1]].

    indptr: int64[n + 1]; values: int32.
    """

    indptr: NDArray[np.int64]
    values: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.values[self.indptr[row] : self.indptr[row + 1]]

    @staticmethod
    def of(rows: Sequence[Sequence[int]]) -> Ragged:
        """From lists of codes."""
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=indptr[1:])
        return Ragged(indptr, np.array([code for row in rows for code in row], dtype=np.int32))

    @staticmethod
    def empty(n: int) -> Ragged:
        """n empty rows."""
        return Ragged(np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int32))

    def take(self, rows: NDArray[np.int64]) -> Ragged:
        """Some rows, in the order asked for."""
        indptr, entries = gather(self.indptr, rows)
        return Ragged(indptr, self.values[entries])


def rows_of(indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row number of every entry of a ragged array, int64."""
    if len(indptr) == 2:
        return np.zeros(int(indptr[1] - indptr[0]), dtype=np.int64)
    return np.arange(len(indptr) - 1).repeat(indptr[1:] - indptr[:-1])


def gather(
    indptr: NDArray[np.int64], rows: NDArray[np.int64], lengths: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row pointer and entry numbers of some rows of a ragged array, without a loop.

    ``lengths``: take only the first so many entries of each row; all by default.
    """
    start = indptr[rows]
    whole = indptr[rows + 1] - start
    taken = np.zeros(len(rows) + 1, dtype=np.int64)
    sizes = whole if lengths is None else np.minimum(whole, lengths)
    sizes.cumsum(out=taken[1:])
    entries = np.arange(taken[-1]) + (start - taken[:-1]).repeat(sizes)
    return taken, entries


def carts_taken_back(person: NDArray[np.int32], product: NDArray[np.int32], kind: NDArray[np.int8]) -> NDArray[np.int8]:
    """The kinds of events, with VIEW for CART where the product was taken out of the cart again.

    That is where the next event of the person about the product that is no CART, among removals and purchases, is a
    REMOVE_FROM_CART: what was bought in between stays bought from a cart. Quantities do not matter.

    Args:
        person, product, kind: parallel arrays, int32, int32 and int8; a person's events stand oldest first.
    """
    about = np.flatnonzero((kind == Kind.CART) | (kind == Kind.REMOVE_FROM_CART) | (kind == Kind.PURCHASE))
    about = about[np.lexsort((product[about], person[about]))]
    settled = np.flatnonzero(kind[about] != Kind.CART)
    carts = np.flatnonzero(kind[about] == Kind.CART)
    after = settled.searchsorted(carts)
    carts, after = carts[there := after < len(settled)], after[there]
    carts, ends = about[carts], about[settled[after]]
    back = (person[carts] == person[ends]) & (product[carts] == product[ends]) & (kind[ends] == Kind.REMOVE_FROM_CART)
    told = kind.copy()
    told[carts[back]] = Kind.VIEW
    return told


@dataclass(frozen=True)
class Histories:
    """The events of n people that tell of a taste for a product (`INTEREST`), oldest first.

    What was put into the cart and taken out again was only looked at: see `carts_taken_back`.

    Row q is indptr[q]:indptr[q + 1] of the other arrays. indptr: int64[n + 1]; product: int32; kind: int8;
    time: int64 microseconds UTC.
    """

    indptr: NDArray[np.int64]
    product: NDArray[np.int32]
    kind: NDArray[np.int8]
    time: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @staticmethod
    def empty(n: int) -> Histories:
        """n people nobody has seen."""
        none = np.zeros(0, dtype=np.int64)
        return Histories(np.zeros(n + 1, dtype=np.int64), none.astype(np.int32), none.astype(np.int8), none)

    @staticmethod
    def of_one(product: NDArray[np.int32], kind: NDArray[np.int8], time: NDArray[np.int64]) -> Histories:
        """One row: what one person did, oldest first."""
        return Histories(np.array([0, len(product)], dtype=np.int64), product, kind, time)

    @staticmethod
    def of(log: EventLog) -> Histories:
        """One row for each person of the log, in the order of ``log.people``.

        Removals from the cart are taken as known throughout: cut the log at the moment the histories are asked at.
        """
        rows = np.flatnonzero(log.of_kind(*INTEREST, Kind.REMOVE_FROM_CART))
        rows = rows[np.argsort(log.person[rows], kind="stable")]
        kind = log.kind[rows]
        if (kind == Kind.REMOVE_FROM_CART).any():
            kind = carts_taken_back(log.person[rows], log.product[rows], kind)
            rows, kind = rows[stays := kind != Kind.REMOVE_FROM_CART], kind[stays]
        indptr = np.searchsorted(log.person[rows], np.arange(len(log.people) + 1)).astype(np.int64)
        return Histories(indptr, log.product[rows], kind, log.time[rows])

    def take(self, rows: NDArray[np.int64], lengths: NDArray[np.int64] | None = None) -> Histories:
        """Some people, in the order asked for; with ``lengths`` only the first so many events of each."""
        taken, entries = gather(self.indptr, rows, lengths)
        return Histories(taken, self.product[entries], self.kind[entries], self.time[entries])

    def where(self, kept: NDArray[np.bool_]) -> Histories:
        """Some of the events."""
        (entries,) = kept.nonzero()
        if len(entries) == len(kept):
            return copy(self)  # what keeps itself is freed late
        indptr = entries.searchsorted(self.indptr)
        return Histories(indptr, self.product[entries], self.kind[entries], self.time[entries])

    def of_kinds(self, kinds: tuple[Kind, ...]) -> Histories:
        """The events of some kinds."""
        wanted = np.zeros(max(Kind) + 1, dtype=np.bool_)
        wanted[list(kinds)] = True
        return self.where(wanted[self.kind])

    @cached_property
    def bought(self) -> Histories:
        """The purchases."""
        return self.where(self.kind == _PURCHASE)

    @cached_property
    def looked_at(self) -> Histories:
        """All but the purchases."""
        return self.where(self.kind != _PURCHASE)

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """When each product was first in an event, microseconds UTC, int64[highest product code + 1], else `NEVER`."""
        found = np.full(int(self.product.max(initial=-1)) + 1, NEVER, dtype=np.int64)
        np.minimum.at(found, self.product, self.time)
        return found

    @cached_property
    def row(self) -> NDArray[np.int64]:
        """Whose event it is: the row number of every event, int64[events]."""
        return rows_of(self.indptr)

    @cached_property
    def moments_back(self) -> NDArray[np.int64]:
        """How many moments (of purchases: orders) an event lies behind the newest of its row, int64[events]."""
        return self._back_from_newest(self.time[1:] != self.time[:-1])

    @cached_property
    def steps_back(self) -> NDArray[np.int64]:
        """How many steps an event lies behind the newest of its row (0 = the newest), int64[events].

        What happened at one moment (the lines of an order) is one step, and so is a run of events about one product
        (viewed, carted, bought).
        """
        return self._back_from_newest((self.time[1:] != self.time[:-1]) & (self.product[1:] != self.product[:-1]))

    def _back_from_newest(self, parted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many steps lie between each event and the newest of its row, int64[events].

        ``parted``: bool[events − 1], whether an event is of another step than the one before it in its row.
        """
        number = np.zeros(len(self.time), dtype=np.int64)
        parted.cumsum(out=number[1:])
        newest = number[-1:] if len(self) == 1 else number[self.indptr[1:][self.row] - 1]
        return np.asarray(newest - number)
