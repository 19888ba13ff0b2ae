"""Several sources as one ranking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.histories import Histories, Ragged
from recommender.config import PlacementConfig
from recommender.queries import Queries
from recommender.sources.base import Source
from recommender.sources.neighbours import NeighbourSource
from recommender.sources.ranking import RankingSource
from recommender.sources.scores import Scores, scores_of


def asked_of(sources: Mapping[str, Source], placement: PlacementConfig, others: Sequence[str]) -> list[str]:
    """Sources that must be asked for a list: those of the placement, and of others those that only answer whole."""
    whole = (name for name in others if not isinstance(sources[name], RankingSource | NeighbourSource))
    return list(dict.fromkeys((*placement.sources, *whole)))


def proposals(sources: Mapping[str, Source], names: Iterable[str], queries: Queries) -> dict[str, Scores]:
    """What each of some sources says of each question."""
    return {name: sources[name].score(queries) for name in names}


def blend(
    sources: Mapping[str, Source],
    weights: Mapping[str, float],
    queries: Queries,
    proposed: Mapping[str, Scores],
    products: int,
) -> tuple[Scores, dict[str, Scores]]:
    """The weighted sum of relative scores, and what each source gave to it. Rankings count less as they age.

    ``proposed`` holds what at least the weighted sources say (`proposals`).
    """
    parts: dict[str, Scores] = {}
    for name, weight in sorted(weights.items()):  # a sum of floats depends on its order, a configuration must not
        source = sources[name]
        aged = weight * source.relevance(queries) if isinstance(source, RankingSource) and len(weights) > 1 else weight
        parts[name] = proposed[name].relative(aged)
    if len(parts) == 1:
        return next(iter(parts.values())), parts
    if not parts:
        return Scores.none(len(queries)), parts
    return Scores.added(list(parts.values()), products), parts


def shares(parts: Mapping[str, Scores], products: NDArray[np.int32], n: int) -> NDArray[np.float32]:
    """What each source gave to the scores of some of n products, of a single question: float32[sources, products]."""
    return scores_of(list(parts.values()), products, n)


def as_seen(queries: Queries, config: PlacementConfig) -> Queries:
    """The questions as a placement's sources see them: with history, anchors or both."""
    n = len(queries)
    match config.profile:
        case "anchors":
            return Queries(queries.at, Histories.empty(n), queries.anchors, queries.allowed)
        case "history":
            return Queries(queries.at, queries.history, Ragged.empty(n), queries.allowed)
        case "both":
            return queries
