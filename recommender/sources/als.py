"""Products that lie close in the space of a factorisation (implicit's alternating least squares)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from features.events import EventLog
from recommender.sources.base import Config
from recommender.sources.item_item import interest_matrix
from recommender.sources.neighbours import NeighbourSource, stack, strongest


class AlsConfig(Config):
    """Hyper-parameters of `fit`."""

    kind: Literal["als"] = "als"
    factors: int = Field(64, ge=1)
    """Length of the vectors."""
    iterations: int = Field(15, ge=1)
    """Sweeps over people and products."""
    regularization: float = Field(0.05, ge=0)
    """Weight of the vectors' squared length."""
    confidence: float = Field(10.0, gt=0)
    """Weight of an interest that was shown, relative to 1 for one that was not."""
    newest: int = Field(300, ge=2)
    """Only so many of a person's newest events count."""
    neighbours: int = Field(100, ge=1)
    """Closest products kept for each."""
    profile_decay: float = Field(0.7, gt=0, le=1)
    """Weight of a step of the shopper's history relative to the next newer one."""
    profile_steps: int = Field(20, ge=1)
    """How many steps of the history count."""


def fit(log: EventLog, config: AlsConfig, seed: int) -> NeighbourSource:
    """Cosine between product vectors of the factorisation (Hu, Koren & Volinsky 2008), kept for the closest pairs.

    People and products are handed to the library by popularity, not by id, so renaming ids changes next to nothing.
    """
    matrix = interest_matrix(log, config.newest)
    vectors = np.zeros((matrix.shape[1], config.factors), dtype=np.float32)
    popularity = np.diff(csr_array(matrix.T).indptr)
    products = np.argsort(-popularity, kind="stable")
    products = products[popularity[products] > 0]
    people = np.argsort(-np.diff(matrix.indptr), kind="stable")
    if len(products) > 1:
        vectors[products] = factorise(csr_array(matrix[people][:, products]), config, seed)
    return NeighbourSource(
        closest(vectors, config.neighbours), config.profile_decay, config.profile_steps, "people_also_like"
    )


def factorise(matrix: csr_array, config: AlsConfig, seed: int) -> NDArray[np.float32]:
    """Product vectors of unit length, float32[products, factors]."""
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # the library parallelises over rows itself
        model = AlternatingLeastSquares(
            factors=config.factors,
            iterations=config.iterations,
            regularization=config.regularization,
            alpha=config.confidence,
            random_state=seed,
        )
        model.fit(csr_matrix(matrix), show_progress=False)
    vectors = np.asarray(model.item_factors, dtype=np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), dtype=np.float32)


def closest(vectors: NDArray[np.float32], k: int) -> csr_array:
    """The k largest positive inner products of each row with the others, as a sparse matrix."""
    n = len(vectors)
    blocks = []
    for start in range(0, n, 1000):
        scores = vectors[start : start + 1000] @ vectors.T
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = 0
        if n > k:
            floor = np.partition(scores, n - k, axis=1)[:, n - k, None]
            scores[scores < floor] = 0
        np.maximum(scores, 0, out=scores)
        blocks.append(strongest(csr_array(scores), k))
    return stack(blocks, (n, n)) if blocks else csr_array((0, 0), dtype=np.float32)
