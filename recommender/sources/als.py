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
from recommender.sources.neighbours import NeighbourSource


class AlsConfig(Config):
    """Hyper-parameters of `fit`."""

    kind: Literal["als"] = "als"
    factors: int = Field(32, ge=1)
    """Length of the vectors."""
    iterations: int = Field(8, ge=1)
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
    n = matrix.shape[1]
    popularity = np.bincount(matrix.indices, minlength=n)
    products = np.argsort(-popularity, kind="stable")
    products = products[popularity[products] > 0]
    people = np.argsort(-np.diff(matrix.indptr), kind="stable")
    table = csr_array((n, n), dtype=np.float32)
    if len(products) > 1:
        close, cosine = closest(csr_array(matrix[people][:, products]), config, seed)
        row = np.repeat(products, close.shape[1])
        column, value = products[close.ravel()], cosine.ravel()
        near = (value > 0) & (row != column)
        table = csr_array((value[near], (row[near], column[near])), shape=(n, n), dtype=np.float32)
    return NeighbourSource(table, config.profile_decay, config.profile_steps, "people_also_like")


def closest(matrix: csr_array, config: AlsConfig, seed: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The products with the closest vectors to each, itself among them, and their cosines, both (products, k + 1)."""
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
        k = min(config.neighbours + 1, matrix.shape[1])
        close, cosine = model.similar_items(np.arange(matrix.shape[1]), N=k)
    return np.asarray(close, dtype=np.int32), np.asarray(cosine, dtype=np.float32)
