"""Several sources as one ranking."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.histories import rows_of
from recommender.queries import Queries
from recommender.sources.base import Source
from recommender.sources.ranking import RankingSource
from recommender.sources.scores import Scores


def blend(
    sources: Mapping[str, Source], weights: Mapping[str, float], queries: Queries, products: int
) -> tuple[Scores, dict[str, Scores]]:
    """The weighted sum of relative scores, and what each source gave to it. Rankings count less as they age."""
    parts: dict[str, Scores] = {}
    for name, weight in sorted(weights.items()):  # a sum of floats depends on its order, a configuration must not
        source = sources[name]
        aged = weight * source.relevance(queries) if isinstance(source, RankingSource) and len(weights) > 1 else weight
        parts[name] = source.score(queries).relative(aged)
    if len(parts) == 1:
        return next(iter(parts.values())), parts
    if not parts:
        return Scores.none(len(queries)), parts
    total = Scores.summed(
        np.concatenate([rows_of(part.indptr) for part in parts.values()]),
        np.concatenate([part.product for part in parts.values()]),
        np.concatenate([part.value for part in parts.values()]),
        len(queries),
        products,
    )
    return total, parts


def shares(parts: Mapping[str, Scores], products: NDArray[np.int32]) -> NDArray[np.float32]:
    """What each source gave to the scores of some candidates of a single question, float32[sources, products]."""
    return np.stack([part.of(0, products) for part in parts.values()])
