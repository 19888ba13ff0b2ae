"""A shopper's taste as weights over products: the newest steps count most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.histories import Histories
from recommender.queries import Queries
from recommender.sources.base import rows_of


def steps_back(history: Histories) -> NDArray[np.int64]:
    """For every event, how many steps it lies behind the newest of its row (0 = the newest), int64[events].

    What happened at one moment (the lines of an order) is one step, and so is a run of events about one product
    (viewed, carted, bought).
    """
    n = len(history.product)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    row = rows_of(history.indptr)
    first = np.ones(n, dtype=np.bool_)
    first[1:] = row[1:] != row[:-1]
    moved = np.ones(n, dtype=np.bool_)
    moved[1:] = (history.time[1:] != history.time[:-1]) & (history.product[1:] != history.product[:-1])
    number = np.cumsum(first | moved)
    newest = number[np.maximum(history.indptr[1:] - 1, 0)]
    return np.asarray(newest[row] - number)


def profile(
    queries: Queries, *, decay: float, steps: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Taste as entries (question, product, weight decay^(steps back)); a product may stand in several.

    The anchors (page, cart) are the newest step of all, with weight 1. ``steps``: how far back to look.
    """
    row = rows_of(queries.anchors.indptr)
    product = queries.anchors.values
    weight = np.ones(len(row), dtype=np.float32)
    history = queries.history
    if len(history.product) == 0:
        return row, product, weight
    back = steps_back(history)
    near = np.flatnonzero(back < steps)
    past = rows_of(history.indptr)[near]
    anchored = np.diff(queries.anchors.indptr) > 0
    aged = np.power(decay, back[near] + anchored[past], dtype=np.float32)
    return (
        np.concatenate([row, past]),
        np.concatenate([product, history.product[near]]),
        np.concatenate([weight, aged]),
    )
