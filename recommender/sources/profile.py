"""A shopper's taste as weights over products: the newest steps count most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

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


def profile(queries: Queries, products: int, *, decay: float, steps: int, anchors_only: bool = False) -> csr_array:
    """Weights decay^(steps back), float32 of shape (queries, products).

    The anchors (page, cart) are the newest step of all, with weight 1; ``anchors_only`` leaves the history out.
    ``steps``: how far back to look.
    """
    n = len(queries)
    anchor_rows = rows_of(queries.anchors.indptr)
    row, column = anchor_rows, queries.anchors.values
    weight = np.ones(len(row), dtype=np.float32)
    if not anchors_only:
        history = queries.history
        back = steps_back(history)
        near = back < steps
        history_rows = rows_of(history.indptr)[near]
        anchored = np.diff(queries.anchors.indptr) > 0
        age = back[near] + anchored[history_rows]
        row = np.concatenate([row, history_rows])
        column = np.concatenate([column, history.product[near]])
        weight = np.concatenate([weight, np.power(decay, age, dtype=np.float32)])
    return csr_array((weight, (row, column)), shape=(n, products))
