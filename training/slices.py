"""Where a figure comes from: parts of the rows of a split, by what is known of the targets and of who is asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.events import EventLog
from features.histories import Ragged, rows_of
from features.past import Mask, target_kind

#: Share of all target events that the most popular products make; products outside are the tail.
HEAD = 0.8
#: Target events from which on a person is no light customer.
FEW = 3


def slices_of(log: EventLog, fit_log: EventLog, truth: Ragged, person: NDArray[np.int32]) -> dict[str, Mask]:
    """Name → bool[rows], all relative to what is fitted on.

    new_products: nothing that is right had any event; tail_products: everything that is right lies outside the most
    popular products, which make `HEAD` of the target events; light_customers: fewer than `FEW` target events.

    Args:
        log: the whole log; it says what target events are.
        fit_log: what is fitted on.
        truth: right products of each row.
        person: int32[rows], whose row it is.
    """
    products = len(log.products)
    before = fit_log.of_kind(target_kind(log))
    known = np.bincount(fit_log.product[fit_log.product >= 0], minlength=products) > 0
    head = head_of(np.bincount(fit_log.product[before], minlength=products))
    return {
        "new_products": ~_any(known, truth),
        "tail_products": ~_any(head, truth),
        "light_customers": np.bincount(fit_log.person[before], minlength=len(log.people))[person] < FEW,
    }


def head_of(counts: NDArray[np.int64]) -> Mask:
    """The fewest products, most popular first, that make `HEAD` of all counts."""
    order = np.lexsort((np.arange(len(counts)), -counts))
    before = np.cumsum(counts[order]) - counts[order]
    head = np.zeros(len(counts), dtype=bool)
    head[order] = before < HEAD * counts.sum()
    return head


def _any(products: Mask, truth: Ragged) -> Mask:
    """bool[rows]: whether any right product of a row is one of these."""
    return np.bincount(rows_of(truth.indptr), weights=products[truth.values], minlength=len(truth)) > 0
