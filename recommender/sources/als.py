"""Products that lie close in the space of a factorisation (implicit's alternating least squares)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from features.config import Config
from features.events import EventLog
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
    among: int = Field(20_000, ge=2)
    """Only so many products, those of most people, are anybody's neighbours: comparing all costs their square."""
    profile_decay: float = Field(0.7, gt=0, le=1)
    """Weight of a step of the shopper's history relative to the next newer one."""
    profile_steps: int = Field(20, ge=1)
    """How many steps of the history count."""


def fit(log: EventLog, config: AlsConfig, seed: int) -> NeighbourSource:
    """Cosine between product vectors of the factorisation (Hu, Koren & Volinsky 2008), kept for the closest pairs.

    Sums of floats and random starts depend on the order of people and products, so the library gets them in an order
    that does not depend on their ids: renaming them changes nothing.
    """
    matrix = interest_matrix(log, config.newest)
    n = matrix.shape[1]
    people, products = nameless_order(matrix)
    people = people[np.diff(matrix.indptr)[people] > 0]
    products = products[np.bincount(matrix.indices, minlength=n)[products] > 0]
    table = csr_array((n, n), dtype=np.float32)
    if len(products) > 1:
        ordered = csr_array(matrix[people][:, products])
        ordered.sort_indices()
        close, cosine = closest(ordered, config, seed)
        products = products.astype(np.int32)
        others = close != np.arange(len(close))[:, None]
        near = (cosine > 0) & others & (others.cumsum(axis=1, dtype=np.int32) <= config.neighbours)
        pairs = products.repeat(near.sum(axis=1)), products[close[near]]
        table = csr_array((cosine[near], pairs), shape=(n, n), dtype=np.float32)
    return NeighbourSource(table, config.profile_decay, config.profile_steps, "people_also_like")


def nameless_order(matrix: csr_array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of a binary matrix, fullest first, in an order that follows from the pattern alone.

    Ties are told apart by colours refined over neighbours (Weisfeiler & Leman 1968). What three rounds cannot tell
    apart, nearly always rows with the same columns, keeps its order.
    """
    ones = csr_array((np.ones(matrix.nnz, dtype=np.uint64), matrix.indices, matrix.indptr), shape=matrix.shape)
    row_size, column_size = np.diff(matrix.indptr), np.bincount(matrix.indices, minlength=matrix.shape[1])
    rows, columns = mixed(row_size.astype(np.uint64)), mixed(column_size.astype(np.uint64))
    for _ in range(3):
        rows = mixed(rows + ones @ columns)
        columns = mixed(columns + ones.T @ rows)
    return np.lexsort((rows, -row_size)), np.lexsort((columns, -column_size))


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of each number: the finaliser of SplitMix64 (Steele, Lea & Flood 2014); sums wrap around."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def closest(matrix: csr_array, config: AlsConfig, seed: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The products with the closest vectors to each, itself often among them, and their cosines.

    Args:
        matrix: who took an interest in what, (people, products), the products of most people first.
        config: hyper-parameters.
        seed: of the random start.

    Returns:
        Columns of the matrix and cosines, both (products, k).
    """
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
        among = np.arange(min(config.among, matrix.shape[1]))
        k = min(config.neighbours + 1, len(among))
        close, cosine = model.similar_items(np.arange(matrix.shape[1]), N=k, items=among)
    return np.asarray(close, dtype=np.int32), np.asarray(cosine, dtype=np.float32)
