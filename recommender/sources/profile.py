"""A shopper's taste as weights over products: the newest steps count most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.histories import rows_of
from recommender.queries import Queries

#: Only so many of a shopper's newest events make a profile, so that full orders cost no more than others.
NEWEST = 60


class Profile(NamedTuple):
    """Parallel entries of tastes.

    row: int64, the question; product: int32; weight: float32; back: int64, how many steps back (anchors 0).
    """

    row: NDArray[np.int64]
    product: NDArray[np.int32]
    weight: NDArray[np.float32]
    back: NDArray[np.int64]


def profile(queries: Queries, *, decay: float, steps: int) -> Profile:
    """Taste as entries of weight decay^(steps back); a product may stand in several.

    Steps are those of `Histories.steps_back`.
    The anchors (page, cart) are the newest step of all, with weight 1. ``steps``: how far back to look, but no further
    than the `NEWEST` events.
    """
    known = queries.profiles.get((decay, steps))  # most sources look in the same way
    if known is None:
        known = queries.profiles[decay, steps] = _profile(queries, decay, steps)
    return known


def _profile(queries: Queries, decay: float, steps: int) -> Profile:
    row = rows_of(queries.anchors.indptr)
    product = queries.anchors.values
    weight, back = np.ones(len(row), dtype=np.float32), np.zeros(len(row), dtype=np.int64)
    history = queries.history
    if len(history.product) == 0:
        return Profile(row, product, weight, back)
    events_back = history.indptr[1:][history.row] - np.arange(len(history.row))
    near = np.flatnonzero((history.steps_back < steps) & (events_back <= NEWEST))
    past = history.row[near]
    anchored = queries.anchors.indptr[1:] > queries.anchors.indptr[:-1]
    steps_back = history.steps_back[near] + anchored[past]
    return Profile(
        np.concatenate([row, past]),
        np.concatenate([product, history.product[near]]),
        np.concatenate([weight, np.power(decay, steps_back, dtype=np.float32)]),
        np.concatenate([back, steps_back]),
    )
