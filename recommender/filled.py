"""Lists from scores: the best scored products, then popularity to the end."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from features.histories import Ragged
from recommender.answers import Lists
from recommender.queries import Queries

_CHUNK = 1_000  # questions scored together


class Scored(Protocol):
    """Something that scores some products and knows nothing of the others."""

    def score(self, queries: Queries) -> csr_array:
        """float32 of shape (queries, products): positive where proposed, absent elsewhere."""
        ...


def filled_lists(
    scored: Scored, counts: NDArray[np.int64], queries: Queries, count: int, exclude: Ragged | None
) -> Lists:
    """Rank by score, then popularity, then product id; nothing depends on which questions are asked together.

    Args:
        scored: scores some products of each question.
        counts: int64[products], popularity: ranks what has the same score or none.
        queries: anchors and what is not allowed stay out of the lists.
        count: length of the lists, -1 where the catalogue ends before.
        exclude: a row a question of products that stay out as well.
    """
    product = np.full((len(queries), count), -1, dtype=np.int32)
    score = np.zeros((len(queries), count), dtype=np.float32)
    order = np.lexsort((np.arange(len(counts)), -counts)).astype(np.int32)
    popular = np.argsort(order)
    if queries.allowed is not None:
        order = order[queries.allowed[order]]
    for start in range(0, len(queries), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(queries)))
        chunk = queries.take(rows)
        blocked = _pairs(chunk.anchors)
        if exclude is not None:
            blocked = np.hstack([blocked, _pairs(exclude.take(rows))])
        own, own_score = _best(scored.score(chunk), popular, blocked, queries.allowed, count)
        row, place = np.nonzero(own >= 0)
        blocked = np.hstack([blocked, np.stack([row, own[row, place]])])
        rest = _unblocked(order, len(counts), blocked, len(rows), count)
        gaps = np.cumsum(own < 0, axis=1) - 1
        product[rows] = np.where(own >= 0, own, np.take_along_axis(rest, np.maximum(gaps, 0), axis=1))
        score[rows] = own_score
    return Lists(product=product, score=score)


def _pairs(ragged: Ragged) -> NDArray[np.int64]:
    """(row, product) of every entry, int64[2, entries]."""
    return np.stack([np.repeat(np.arange(len(ragged)), np.diff(ragged.indptr)), ragged.values]).astype(np.int64)


def _best(
    scores: csr_array,
    popular: NDArray[np.int64],
    blocked: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None,
    count: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The best scored products of each row, int32[n, count] with -1 past the end, and their scores.

    popular: int64[products], place of each product by popularity, which decides between equal scores.
    """
    n, width = scores.shape
    found = scores.tocoo()
    row, product, value = found.row.astype(np.int64), found.col.astype(np.int64), found.data
    open_ = (value > 0) & ~np.isin(row * width + product, blocked[0] * width + blocked[1])
    if allowed is not None:
        open_ &= allowed[product]
    row, product, value = row[open_], product[open_], value[open_]
    chosen = first_of_each(row, np.lexsort((popular[product], -value, row)), count)
    place = np.arange(len(chosen)) - np.searchsorted(row[chosen], row[chosen])
    best = np.full((n, count), -1, dtype=np.int32)
    best_score = np.zeros((n, count), dtype=np.float32)
    best[row[chosen], place] = product[chosen]
    best_score[row[chosen], place] = value[chosen]
    return best, best_score


def _unblocked(
    order: NDArray[np.int32], products: int, blocked: NDArray[np.int64], n: int, count: int
) -> NDArray[np.int32]:
    """The first ``count`` products of ``order`` that are not blocked in a row, int32[n, count], -1 past the end.

    With b_0 < b_1 < … the places of a row's blocked products, b_i - i products before b_i are free, so the free product
    number j stands at place j + |{i: b_i - i ≤ j}|.
    """
    place = np.full(products, -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    key = np.unique((blocked[0] * products + place[blocked[1]])[place[blocked[1]] >= 0])
    row, at = np.divmod(key, max(products, 1))
    free_before = at - (np.arange(len(row)) - np.searchsorted(row, row))
    early = free_before < count
    passed = np.bincount(row[early] * count + free_before[early], minlength=n * count).reshape(n, count)
    spot = np.arange(count) + np.cumsum(passed, axis=1)
    padded = np.append(order, np.int32(-1))
    return padded[np.minimum(spot, len(order))]


def first_of_each(group: NDArray[np.int64], order: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Of ``order``, which sorts entries by group first, the first ``count`` entries of each group."""
    grouped = group[order]
    return order[np.arange(len(order)) - np.searchsorted(grouped, grouped) < count]
