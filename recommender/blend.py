"""Several sources as one ranking."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_array

from recommender.queries import Queries
from recommender.sources.base import Source, empty_scores


def relative(scores: csr_array) -> csr_array:
    """Scores as a share of the best of their row, so that sources of different units can be added."""
    lengths = np.diff(scores.indptr)
    full = np.flatnonzero(lengths)
    if len(full) == 0:
        return scores
    best = np.zeros(scores.shape[0], dtype=np.float32)
    best[full] = np.maximum.reduceat(scores.data, scores.indptr[full])
    return csr_array((scores.data / np.repeat(best, lengths), scores.indices, scores.indptr), shape=scores.shape)


def blend(
    sources: Mapping[str, Source], weights: Mapping[str, float], queries: Queries, size: int
) -> tuple[csr_array, dict[str, csr_array]]:
    """The weighted sum of relative scores, and what each source gave to it; all float32 of shape (queries, size)."""
    parts: dict[str, csr_array] = {}
    total = empty_scores(len(queries), size)
    for name, weight in sorted(weights.items()):  # a sum of floats depends on its order, a configuration must not
        part = relative(sources[name].score(queries)) * np.float32(weight)
        parts[name] = part
        total = csr_array(total + part) if total.nnz else part
    return total, parts


def parts_of(parts: Mapping[str, csr_array], code: int) -> dict[str, float]:
    """What each source gave to the score of a candidate of a single question."""
    found = {}
    for name, part in parts.items():
        place = int(np.searchsorted(part.indices, code))
        hit = place < len(part.indices) and part.indices[place] == code
        found[name] = float(part.data[place]) if hit else 0.0
    return found


def strongest_part(parts: Mapping[str, csr_array], code: int) -> str:
    """The source that gave most to the score of a candidate of a single question."""
    given = parts_of(parts, code)
    return max(given, key=lambda name: given[name])
