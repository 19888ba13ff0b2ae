"""What sources say of a few candidates alone: what a ranker is told costs less than what is proposed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.queries import Queries
from recommender.sources.neighbours import NeighbourSource
from recommender.sources.profile import recent
from recommender.sources.scores import Runs, Scores, Votes, best_of

Floats = NDArray[np.float32]


def votes_of_step(source: NeighbourSource, queries: Queries, step: int) -> Votes:
    """What a table says of one of the newest steps of a profile alone: 0 is the newest, 1 the one before it …"""
    row, product, back = recent(queries, source.steps)
    near = np.flatnonzero(back == step)
    weight = np.full(len(near), source.decay**step, dtype=np.float32)
    return source.votes_of(row[near], product[near], weight)


def opinions(votes: Sequence[Votes], chosen: Scores, products: int) -> Floats:
    """What each of k says of candidates: float32[k, candidates], 0 where one does not propose them.

    Args:
        votes: of k.
        chosen: candidates, n rows.
        products: number of products.
    """
    runs, n, width = Runs.of(votes), len(chosen), len(chosen.product)
    keys, cells = runs.keys(n, products), chosen.cells(products)
    known = np.zeros(n * products, dtype=np.bool_)
    known[cells] = True
    hit = np.flatnonzero(known.take(keys))  # indexing by int32 is slow
    run = runs.length.cumsum().searchsorted(hit, side="right")
    place = runs.voter[run] * width + cells.searchsorted(keys[hit])
    total = np.bincount(place, runs.value[hit] * runs.weight[run], len(votes) * width)
    return total.astype(np.float32).reshape(len(votes), width)


def standings(scores: Floats, indptr: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """How candidates stand among those of their row, by each of k measures.

    Args:
        scores: float32[k, candidates], 0 where nothing is said.
        indptr: rows of candidates.

    Returns:
        Share of the best of the row (0 where nothing is said), and how many in the row are better (NaN): equals share a
        rank, or trees would learn from the order of ids.
    """
    if not scores.size:
        return scores, scores
    lengths = indptr[1:] - indptr[:-1]
    row = np.arange(len(lengths)).repeat(lengths)
    share = scores / best_of(scores, indptr)[:, row]
    # Positive floats are in the order of their bits: one sort of integers is several times quicker.
    own = np.arange(len(scores))[:, None] * len(lengths) + row
    key = ((own << 32) - np.ascontiguousarray(scores, dtype=np.float32).view(np.int32)).ravel()
    ordered = np.sort(key)
    first = (np.arange(len(scores))[:, None] * len(row) + indptr[row]).ravel()
    rank = (ordered.searchsorted(key) - first).astype(np.float32).reshape(scores.shape)
    rank[scores <= 0] = np.nan
    return share, rank
