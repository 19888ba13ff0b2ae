"""Several sources as one ranking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.histories import Histories, Ragged
from recommender.config import PlacementConfig
from recommender.queries import Queries
from recommender.sources.base import Source
from recommender.sources.ranking import RankingSource
from recommender.sources.scores import Proposals, Scores, best_of, values_at


def proposals(sources: Mapping[str, Source], names: Iterable[str], queries: Queries) -> Proposals:
    """What each of some sources says of each question."""
    # A sum of floats depends on its order, a configuration must not.
    return Proposals.of({name: sources[name].votes(queries) for name in sorted(names)}, len(queries))


def blend(
    sources: Mapping[str, Source], weights: Mapping[str, float], queries: Queries, proposed: Proposals
) -> tuple[Scores, Proposals]:
    """The weighted sum of relative scores, and what each source gave to each candidate of it.

    ``proposed`` is what the weighted sources say (`proposals`). Rankings count less as they age.
    """
    names, indptr, said = proposed.names, proposed.indptr, proposed.value
    weight = np.array([weights[name] for name in names], dtype=np.float32)[:, None]
    if len(names) > 1:
        weight = weight * relevance([sources[name] for name in names], queries.at)
    scale = weight / best_of(said, indptr)
    given = said * (scale if len(queries) == 1 else scale.repeat(indptr[1:] - indptr[:-1], axis=1))
    total = Scores(indptr, proposed.product, given.sum(axis=0, dtype=np.float64).astype(np.float32))
    kept = total.value > 0
    if not kept.all():
        total, given = total.where(kept), given[:, kept]
    return total, Proposals(names, total.indptr, total.product, given)


def relevance(sources: Sequence[Source], at: NDArray[np.int64]) -> NDArray[np.float32]:
    """How much sources say at some moments: float32[sources, moments], 1 at their own moment and of what is no ranking.

    Last week's best sellers say little of what sold a year before, nor will they of what sells in a year.
    """
    aging = [(one.at, one.half_life) if isinstance(one, RankingSource) else (0, np.inf) for one in sources]
    moment, half_life = np.array([one for one, _ in aging]), np.array([each for _, each in aging])
    said: NDArray[np.float64] = np.exp2(-np.abs(at - moment[:, None]) / half_life[:, None])
    return said.astype(np.float32)


def shares(given: Proposals, products: NDArray[np.int32]) -> NDArray[np.float32]:
    """What each source gave to the scores of some products, of a single question: float32[sources, products]."""
    return values_at(given.value, given.product, products)


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
