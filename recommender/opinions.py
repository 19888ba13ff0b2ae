"""What tables of neighbours say of a few candidates alone: what a ranker is told costs less than what is proposed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.queries import Queries
from recommender.sources.neighbours import NeighbourSource
from recommender.sources.profile import profile
from recommender.sources.scores import Scores

Floats = NDArray[np.float32]


def opinions(
    sources: Sequence[NeighbourSource], queries: Queries, chosen: Scores, products: int, steps: int = 0
) -> Floats:
    """Scores of candidates by each source, as `NeighbourSource.score` has them, 0 where it does not propose them.

    Args:
        sources: k of them.
        queries: n questions.
        chosen: candidates, n rows.
        products: number of products.
        steps: so many of the newest steps of a profile are told one by one, too.

    Returns:
        float32[k, 1 + steps, candidates]: of the whole profile, then of its newest step alone, of the one before it …
    """
    found = np.zeros((len(sources), 1 + steps, len(chosen.product)), dtype=np.float32)
    slot = np.full(products, -1, dtype=np.int32)
    alone = len(chosen) == 1
    tastes = [profile(queries, decay=source.decay, steps=source.steps) for source in sources]
    orders = [None if alone else np.argsort(taste.row, kind="stable") for taste in tastes]
    spans = [None if alone else np.searchsorted(np.sort(taste.row), np.arange(len(chosen) + 1)) for taste in tastes]
    for q in range(len(chosen)):
        span = slice(int(chosen.indptr[q]), int(chosen.indptr[q + 1]))
        size = span.stop - span.start
        slot[chosen.product[span]] = np.arange(size, dtype=np.int32)
        for place, (source, taste, order, bounds) in enumerate(zip(sources, tastes, orders, spans, strict=True)):
            product, weight, back = taste.product, taste.weight, taste.back
            if order is not None and bounds is not None:
                mine = order[bounds[q] : bounds[q + 1]]
                product, weight, back = product[mine], weight[mine], back[mine]
            if not len(product) or not size:
                continue
            indptr, candidate, value = source.neighbours(product)
            where = slot[candidate]
            hit = np.flatnonzero(where >= 0)
            speaker = np.repeat(np.arange(len(product)), indptr[1:] - indptr[:-1])[hit]
            where, said = where[hit], value[hit] * weight[speaker]
            found[place, 0, span] = np.bincount(where, weights=said, minlength=size)
            if steps:
                back = back[speaker]
                near = np.flatnonzero(back < steps)
                cells = back[near] * size + where[near]
                told = np.bincount(cells, weights=said[near], minlength=steps * size)
                found[place, 1:, span] = told.reshape(steps, size)
        slot[chosen.product[span]] = -1
    return found


def standings(scores: Floats, indptr: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """How candidates stand among those of their row, by each of k measures.

    Args:
        scores: float32[k, candidates], 0 where nothing is said.
        indptr: rows of candidates.

    Returns:
        Share of the best of the row (0 where nothing is said), and rank in the row, best 0, ties by place (NaN).
    """
    if not scores.size:
        return scores, scores
    lengths = indptr[1:] - indptr[:-1]
    full = lengths > 0
    best = np.maximum.reduceat(scores, indptr[:-1][full], axis=1)
    best[best <= 0] = 1
    share = scores / np.repeat(best, lengths[full], axis=1)
    # Positive floats are in the order of their bits: one sort of integers is several times quicker.
    row = np.repeat(np.arange(len(lengths)), lengths)
    key = (row << 32) - np.ascontiguousarray(scores, dtype=np.float32).view(np.int32)
    order = np.argsort(key, axis=1, kind="stable")
    rank = np.empty_like(scores)
    np.put_along_axis(rank, order, (np.arange(scores.shape[1]) - indptr[row]).astype(np.float32)[None, :], axis=1)
    rank[scores <= 0] = np.nan
    return share, rank
