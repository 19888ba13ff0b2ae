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
from recommender.sources.scores import Proposals, Scores, best_of, values_at


def asked_of(sources: Mapping[str, Source], placement: PlacementConfig, others: Sequence[str]) -> list[str]:
    """Sources that must be asked for a list: those of the placement, and of others those that only answer whole."""
    whole = (name for name in others if not isinstance(sources[name], RankingSource | NeighbourSource))
    return list(dict.fromkeys((*placement.sources, *whole)))


def proposals(sources: Mapping[str, Source], names: Iterable[str], queries: Queries) -> Proposals:
    """What each of some sources says of each question."""
    return Proposals.of({name: sources[name].votes(queries) for name in names}, len(queries))


def blend(
    sources: Mapping[str, Source], weights: Mapping[str, float], queries: Queries, proposed: Proposals
) -> tuple[Scores, dict[str, Scores]]:
    """The weighted sum of relative scores, and what each source gave to it. Rankings count less as they age.

    ``proposed`` holds what at least the weighted sources say. What they gave is told of all candidates of the sum, 0
    where a source does not propose one.
    """
    n, names = len(queries), sorted(weights)  # a sum of floats depends on its order, a configuration must not
    said = proposed.value[[proposed.names.index(name) for name in names]]
    weight = np.array([weights[name] for name in names], dtype=np.float32)[:, None].repeat(n, axis=1)
    for place, name in enumerate(names):
        source = sources[name]
        if isinstance(source, RankingSource) and len(names) > 1:
            weight[place] *= source.relevance(queries)
    scale = weight / best_of(said, proposed.indptr)
    said *= scale if n == 1 else scale.repeat(proposed.indptr[1:] - proposed.indptr[:-1], axis=1)
    total = Scores(proposed.indptr, proposed.product, said.sum(axis=0, dtype=np.float64).astype(np.float32))
    kept = total.value > 0
    if not kept.all():
        total, said = total.where(kept), said[:, kept]
    return total, {name: Scores(total.indptr, total.product, part) for name, part in zip(names, said, strict=True)}


def shares(parts: Mapping[str, Scores], products: NDArray[np.int32], n: int) -> NDArray[np.float32]:
    """What each source gave to the scores of some of n products, of a single question: float32[sources, products]."""
    known = next(iter(parts.values()), Scores.none(1)).cells(n)
    return values_at(np.array([part.value for part in parts.values()]), known, products)


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
