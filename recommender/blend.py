"""Several sources as one ranking."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.histories import rows_of
from recommender.queries import Queries
from recommender.sources.base import Source
from recommender.sources.scores import Scores


def blend(
    sources: Mapping[str, Source], weights: Mapping[str, float], queries: Queries, products: int
) -> tuple[Scores, dict[str, Scores]]:
    """The weighted sum of relative scores, and what each source gave to it."""
    # a sum of floats depends on its order, a configuration must not: hence sorted
    parts = {name: sources[name].score(queries).relative(weight) for name, weight in sorted(weights.items())}
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
