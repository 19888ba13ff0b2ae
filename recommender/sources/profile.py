"""A shopper's taste as weights over products: the newest steps count most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.histories import rows_of
from recommender.queries import Queries
from recommender.sources.scores import distinct

#: Only so many of a shopper's newest events make a profile, so that full orders cost no more than others.
NEWEST = 60


class Recent(NamedTuple):
    """Parallel entries of what shoppers did last; a product may stand in several.

    row: int64, the question; product: int32; back: int64, how many steps back (anchors 0).
    """

    row: NDArray[np.int64]
    product: NDArray[np.int32]
    back: NDArray[np.int64]


class Profile(NamedTuple):
    """Parallel entries of tastes, each product of a row once, ascending.

    row: int64, the question, ascending; product: int32; weight: float32.
    """

    row: NDArray[np.int64]
    product: NDArray[np.int32]
    weight: NDArray[np.float32]


def profile(queries: Queries, *, decay: float, steps: int) -> Profile:
    """Taste: Σ decay^(steps back) over the entries of each product, as `recent` has them."""
    key = ("profile", decay, steps)
    if key not in queries.made:  # most sources look in the same way
        row, product, place = _products(queries, steps)
        weight = np.bincount(place, weights=decay ** recent(queries, steps).back, minlength=len(product))
        queries.made[key] = Profile(row, product, weight.astype(np.float32))
    found: Profile = queries.made[key]
    return found


def recent(queries: Queries, steps: int) -> Recent:
    """What shoppers did within so many steps, no further back than the `NEWEST` events.

    Steps are those of `Histories.steps_back`. The anchors (page, cart) are the newest step of all.
    """
    key = ("recent", steps)
    if key not in queries.made:
        queries.made[key] = _recent(queries, steps)
    found: Recent = queries.made[key]
    return found


def _recent(queries: Queries, steps: int) -> Recent:
    anchors, history = queries.anchors, queries.history
    near = history.steps_back < steps
    if len(near) > NEWEST:
        near &= history.indptr[1:][history.row] - np.arange(len(near)) <= NEWEST
    entries = np.flatnonzero(near)
    past, product, back = history.row[entries], history.product[entries], history.steps_back[entries]
    if not len(anchors.values):
        return Recent(past, product, back)
    anchored = anchors.indptr[1:] > anchors.indptr[:-1]
    return Recent(
        np.concatenate([rows_of(anchors.indptr), past]),
        np.concatenate([anchors.values, product]),
        np.concatenate([np.zeros(len(anchors.values), dtype=np.int64), back + anchored[past]]),
    )


def _products(queries: Queries, steps: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.integer]]:
    """Row and product of each entry of a profile, and the place there of each of the recent entries."""
    key = ("products", steps)
    if key not in queries.made:
        row, product, _ = recent(queries, steps)
        width = int(product.max(initial=0)) + 1
        cells, place = distinct(row * width + product, len(queries) * width)
        row = cells // width
        queries.made[key] = row, (cells - row * width).astype(np.int32), place
    found: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.integer]] = queries.made[key]
    return found
