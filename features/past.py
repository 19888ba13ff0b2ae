"""What had happened, and what was known, before a row or a moment of an event log.

Rows of a log are in canonical order, so "before" a row means a smaller row number, and ties in time are decided as
everywhere. A purchase that was ever refunded is nobody's target; in a history it counts until the refund is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.events import INTEREST, NEVER, EventLog, Kind
from features.histories import Ragged

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Orders:
    """Orders in the order of their numbers, i.e. by (first time, person).

    first: int64[n], row of the first line; started: int64[n], its time; person: int32[n]; products: distinct ones.
    """

    first: Rows
    started: NDArray[np.int64]
    person: NDArray[np.int32]
    products: Ragged

    @staticmethod
    def of(log: EventLog, *, customers_only: bool) -> Orders:
        """Orders as they stand after all refunds; those sent back whole are none."""
        lines = log.of_kind(Kind.PURCHASE) & (log.order >= 0)
        if customers_only:
            lines &= of_customers(log)
        rows = np.flatnonzero(lines)
        numbers, first = np.unique(log.order[rows], return_index=True)
        kept = rows[log.reversed_at[rows] == NEVER]
        width = max(len(log.products), 1)
        order, product = np.divmod(np.unique(log.order[kept].astype(np.int64) * width + log.product[kept]), width)
        standing = np.isin(numbers, order)
        indptr = np.searchsorted(order, np.append(numbers[standing], NEVER)).astype(np.int64)
        first = rows[first[standing]]
        return Orders(first, log.time[first], log.person[first], Ragged(indptr, product.astype(np.int32)))


def target_kind(log: EventLog) -> Kind:
    """What is predicted: purchases where the log has any of a product, else views."""
    return Kind.PURCHASE if log.of_kind(Kind.PURCHASE).any() else Kind.VIEW


def target_events(log: EventLog) -> Mask:
    """Events that may be a right answer, bool[n]: those of `target_kind`, less purchases that were ever refunded."""
    return np.asarray(log.targets() & (log.reversed_at == NEVER), dtype=np.bool_)


def of_customers(log: EventLog) -> Mask:
    """Events of customers, not of visitors, bool[n]."""
    return np.asarray(~log.anonymous[log.person], dtype=np.bool_)


def customer_count(log: EventLog) -> int:
    """How many customers the shop has, with events or without."""
    return int((~log.anonymous).sum())


def known_before(log: EventLog, cut: int) -> EventLog:
    """What was known before the cut, with no word of refunds after it."""
    known = log.known_before(cut)
    return replace(known, reversed_at=np.full(len(known), NEVER, dtype=np.int64))


def before_rows(log: EventLog, people: Rows, rows: Rows) -> EventLog:
    """The log without what each of these people did from their row on; purchases refunded by then are gone."""
    stop = np.full(len(log.people), len(log), dtype=np.int64)
    stop[people] = rows
    at = np.full(len(log.people), NEVER, dtype=np.int64)
    at[people] = just_before(log, rows)
    kept = log.take((np.arange(len(log)) < stop[log.person]) & (log.reversed_at >= at[log.person]))
    return replace(kept, reversed_at=np.full(len(kept), NEVER, dtype=np.int64))


def just_before(log: EventLog, rows: Rows) -> NDArray[np.int64]:
    """A microsecond after the person's event before each row; the row's own time if there is none. int64[rows]."""
    by_person = np.argsort(log.person, kind="stable")
    place = np.empty(len(log), dtype=np.int64)
    place[by_person] = np.arange(len(log))
    previous = by_person[np.maximum(place[rows] - 1, 0)]
    there = (place[rows] > 0) & (log.person[previous] == log.person[rows])
    return np.where(there, log.time[previous] + 1, log.time[rows])


def events_before(log: EventLog, person: NDArray[np.int32], rows: Rows) -> Rows:
    """How many events in a person's history (`Histories.of`) stand before a row, int64[rows]."""
    interest = np.flatnonzero(log.of_kind(*INTEREST))
    width = len(log) + 1
    keys = np.sort(log.person[interest].astype(np.int64) * width + interest)
    starts = np.searchsorted(keys, person.astype(np.int64) * width)
    return np.asarray(np.searchsorted(keys, person.astype(np.int64) * width + rows) - starts, dtype=np.int64)


def products_by_person(log: EventLog, rows: Mask) -> Ragged:
    """Distinct products of each person of the log in these rows, ascending."""
    width = max(len(log.products), 1)
    person, product = np.divmod(np.unique(log.person[rows].astype(np.int64) * width + log.product[rows]), width)
    indptr = np.searchsorted(person, np.arange(len(log.people) + 1)).astype(np.int64)
    return Ragged(indptr, product.astype(np.int32))


def end_of(log: EventLog) -> int:
    """A microsecond after the last event."""
    return int(log.time.max(initial=-1)) + 1
