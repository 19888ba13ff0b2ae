"""What tables of neighbours say of a few candidates alone: what a ranker is told costs less than what is proposed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.histories import rows_of
from recommender.queries import Queries
from recommender.sources.neighbours import NeighbourSource
from recommender.sources.profile import profile, recent
from recommender.sources.scores import Scores

Floats = NDArray[np.float32]


class Voice(NamedTuple):
    """A table of neighbours, and what it is asked about: parallel entries of tastes.

    row: int64, the question, ascending; product: int32; weight: float32; topic: int64, which of so many ``topics`` an
    entry belongs to. Each gets an opinion of its own.
    """

    source: NeighbourSource
    row: NDArray[np.int64]
    product: NDArray[np.int32]
    weight: NDArray[np.float32]
    topic: NDArray[np.int64]
    topics: int


def of_profile(source: NeighbourSource, queries: Queries) -> Voice:
    """About the whole profile: what it says is what `NeighbourSource.score` has."""
    row, product, weight = profile(queries, decay=source.decay, steps=source.steps)
    return Voice(source, row, product, weight, np.zeros(len(row), dtype=np.int64), 1)


def of_steps(source: NeighbourSource, queries: Queries, steps: int) -> Voice:
    """About each of so many of the newest steps of a profile alone: the newest, the one before it …"""
    entries = recent(queries, source.steps)
    near = np.flatnonzero(entries.back < steps)
    if len(queries) > 1:
        near = near[np.argsort(entries.row[near], kind="stable")]
    back = entries.back[near]
    weight = np.power(source.decay, back, dtype=np.float32)
    return Voice(source, entries.row[near], entries.product[near], weight, back, steps)


def opinions(voices: Sequence[Voice], chosen: Scores, products: int) -> list[Floats]:
    """Scores of candidates by each voice, 0 where it does not propose them.

    Args:
        voices: k of them.
        chosen: candidates, n rows.
        products: number of products.

    Returns:
        k arrays, float32[topics, candidates].
    """
    found = [np.zeros((voice.topics, len(chosen.product)), dtype=np.float32) for voice in voices]
    slot = np.full(products, -1, dtype=np.int32)
    bounds = [voice.row.searchsorted(np.arange(len(chosen) + 1)) for voice in voices]
    for q in range(len(chosen)):
        span = slice(int(chosen.indptr[q]), int(chosen.indptr[q + 1]))
        candidates = chosen.product[span]
        slot[candidates] = np.arange(len(candidates))
        for voice, told, bound in zip(voices, found, bounds, strict=True):
            mine = slice(int(bound[q]), int(bound[q + 1]))
            told[:, span] = _heard(voice, mine, slot, len(candidates))
        slot[candidates] = -1
    return found


def _heard(voice: Voice, entries: slice, slot: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """Opinions on the candidates of one question, float64[topics, size]; ``slot``: their place, -1 for any other."""
    indptr, candidate, value = voice.source.neighbours(voice.product[entries])
    place = slot[candidate]
    hit = np.flatnonzero(place >= 0)
    speaker = rows_of(indptr)[hit]
    said = value[hit] * voice.weight[entries][speaker]
    cell = voice.topic[entries][speaker] * size + place[hit]
    total = np.bincount(cell, weights=said, minlength=voice.topics * size)
    return np.asarray(total, dtype=np.float64).reshape(voice.topics, size)


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
    full = lengths > 0
    best = np.maximum.reduceat(scores, indptr[:-1][full], axis=1)
    best[best <= 0] = 1
    share = scores / np.repeat(best, lengths[full], axis=1)
    # Positive floats are in the order of their bits: one sort of integers is several times quicker.
    row = np.repeat(np.arange(len(lengths)), lengths)
    key = (row << 32) - np.ascontiguousarray(scores, dtype=np.float32).view(np.int32)
    order = np.argsort(key, axis=1, kind="stable")
    ordered = np.take_along_axis(key, order, axis=1)
    place = np.zeros(ordered.shape, dtype=np.int64)
    place[:, 1:] = np.where(ordered[:, 1:] != ordered[:, :-1], np.arange(1, ordered.shape[1]), 0)
    better = np.maximum.accumulate(place, axis=1) - indptr[row]
    rank = np.empty_like(scores)
    np.put_along_axis(rank, order, better.astype(np.float32), axis=1)
    rank[scores <= 0] = np.nan
    return share, rank
