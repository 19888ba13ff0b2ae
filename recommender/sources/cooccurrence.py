"""What is bought with what: pairs of products in one order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from features.config import Config
from features.events import DAY, EventLog, Kind
from features.histories import rows_of
from recommender.queries import Queries
from recommender.sources.base import Growth, Reason
from recommender.sources.neighbours import NeighbourSource, are_strongest, entries_of, padded, product_blocks, stack

#: So many orders more than there are a product must be seen against to be an everyday one: a few orders do not tell.
_UNKNOWN = 50


class CooccurrenceConfig(Config):
    """Hyper-parameters of `fit`."""

    kind: Literal["cooccurrence"] = "cooccurrence"
    half_life_days: float | None = Field(180, gt=0)
    """Older orders weigh less; None: all the same."""
    damping: float = Field(0.0, ge=0, le=1)
    """Exponent of the popularity of the proposed product. 0 ranks by how often, 1 by lift."""
    everyday: float | None = Field(0.5, gt=0)
    """A product in this share of all orders, or more, is bought with anything: of a pair with it counts only what is
    more than chance. The rarer a product, the less is taken off; None: nothing."""
    largest_order: int = Field(500, ge=2)
    """Orders with more products tell nothing of pairs and are left out."""
    support: int = Field(1, ge=1)
    """Pairs seen in fewer orders are left out, unless no pair is seen as often."""
    neighbours: int = Field(200, ge=1)
    """Strongest companions kept for each product."""
    profile_decay: float = Field(0.7, gt=0, le=1)
    """Weight of a step of the shopper's history relative to the next newer one."""
    profile_steps: int = Field(10, ge=1)
    """How many steps of the history count."""


@dataclass(frozen=True)
class CooccurrenceSource(NeighbourSource):
    """Neighbours by orders in common; knows support and lift of each pair.

    Attributes:
        pairs: int32 of the shape and pattern of ``table``: orders that hold both products.
        orders: int32[products]: orders that hold the product.
        total: number of orders.
    """

    pairs: csr_array
    orders: NDArray[np.int32]
    total: int

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """The companion that speaks loudest, with support (share of orders with both) and lift.

        support(i, j) = n_ij / N and lift(i, j) = n_ij · N / (n_i · n_j) (Agrawal et al. 1993, Brin et al. 1997).
        """
        found = super().reasons(queries, row, products)
        for reason, product in zip(found, products.tolist(), strict=True):
            if "product" in reason:
                anchor = reason["product"]
                at, _ = self.entries(anchor, np.array([product], dtype=np.int32))
                together = int(self.pairs.data[at[0]])  # same pattern as the table
                reason["orders"] = together
                reason["support"] = together / self.total
                reason["lift"] = together * self.total / (int(self.orders[anchor]) * int(self.orders[product]))
        return found

    def grown(self, growth: Growth) -> Self:
        """See `Source`: no order holds a new product."""
        n = len(growth.catalogue)
        return replace(
            super().grown(growth), pairs=padded(self.pairs, n), orders=np.pad(self.orders, (0, n - len(self.orders)))
        )


def order_matrix(log: EventLog, largest: int) -> tuple[csr_array, NDArray[np.int64]]:
    """Orders (sessions where nothing was bought) as rows: binary float32 (orders, products), and their times (µs)."""
    rows = log.of_kind(Kind.PURCHASE)
    number = log.order
    if not rows.any():
        rows, number = log.of_kind(Kind.VIEW, Kind.CART), log.session
    kept = np.flatnonzero(rows)
    names, order = np.unique(number[kept], return_inverse=True)
    matrix = csr_array(
        (np.ones(len(kept), dtype=np.float32), (order, log.product[kept])), shape=(len(names), len(log.products))
    )
    matrix.data[:] = 1  # the constructor adds the lines of one product up
    time = np.zeros(len(names), dtype=np.int64)
    time[order] = log.time[kept]
    small = np.flatnonzero(np.diff(matrix.indptr) <= largest)
    return csr_array(matrix[small]), time[small]


def fit(log: EventLog, at: int, config: CooccurrenceConfig) -> CooccurrenceSource:
    """Fit on the orders of the log; ages are counted back from ``at`` (microseconds UTC).

    weight(i, j) = together(i, j) − min(1, orders_j / (everyday · (N + 50))) · chance(i, j), at least a tenth of it,
    divided by orders_j^damping and, so that anchors of a cart are heard alike, by orders_i^damping.
    together(i, j) = Σ_o 2^(−age_o / half_life) / (|o| − 1)^½ over orders o with both; chance as in `by_chance`.
    """
    matrix, time = order_matrix(log, config.largest_order)
    orders = np.asarray(matrix.sum(axis=0)).ravel()
    size = np.diff(matrix.indptr)
    weight = 1 / np.sqrt(np.maximum(size - 1, 1))
    if config.half_life_days is not None:
        weight = weight * 0.5 ** ((at - time) / (config.half_life_days * DAY))
    damp = np.maximum(orders, 1) ** -config.damping
    right = csr_array(matrix.multiply(weight[:, None]).multiply(damp), dtype=np.complex64)
    right.data += 1j  # counts ride along in the imaginary part: one product gives both
    chance = by_chance(matrix.T @ (weight * (size - 1)))
    common = 0 if config.everyday is None else np.minimum(1, orders / (config.everyday * (len(size) + _UNKNOWN)))
    left, expected = csr_array(matrix.T, dtype=np.complex64), chance * common * damp
    table, pairs = companions(left, right, config.neighbours, chance, expected)
    table.data *= np.repeat(damp, np.diff(table.indptr)).astype(np.float32)
    often = pairs.data >= config.support
    if often.any():
        table, pairs = entries_of(table, often), entries_of(pairs, often)
    return CooccurrenceSource(
        table,
        config.profile_decay,
        config.profile_steps,
        "bought_together",
        pairs,
        orders.astype(np.int32),
        matrix.shape[0],
    )


def by_chance(met: NDArray[np.float64]) -> NDArray[np.float64]:
    """How readily each product meets others: a with Σ_{j≠i} a_i · a_j = met_i, so that a_i · a_j is what i and j would
    have together if products met at random, each as often as it meets any.

    Iterative proportional fitting of a symmetric table without its diagonal (quasi-independence, Goodman 1968); the
    geometric mean of two rounds keeps it from swinging.
    """
    readiness = met / np.sqrt(max(met.sum(), 1e-12))
    for _ in range(20):
        others = np.maximum(readiness.sum() - readiness, 1e-12)
        readiness = np.sqrt(readiness * met / others)
    return np.asarray(readiness)


def companions(
    left: csr_array, right: csr_array, k: int, row: NDArray[np.float64], column: NDArray[np.float64]
) -> tuple[csr_array, csr_array]:
    """The k strongest companions of each product, and how many orders they have in common.

    Strength is the real part x of ``left @ right`` less ``row[i] · column[j]``, at least x / 10; the count is the
    imaginary part. Two square matrices of one pattern, float32 and int32; the diagonal is left out.
    """
    n = left.shape[0]
    if left.nnz == 0:
        return csr_array((n, n), dtype=np.float32), csr_array((n, n), dtype=np.int32)
    row, column = row.astype(np.float32), column.astype(np.float32)
    tables: list[csr_array] = []
    counts: list[csr_array] = []
    for start, block in product_blocks(left, right):
        strength = csr_array((block.data.real.copy(), block.indices, block.indptr), shape=block.shape)
        product = rows_of(block.indptr) + start
        less = row[product]
        less *= column[block.indices]
        strength.data -= np.minimum(less, np.float32(0.9) * strength.data, out=less)
        strength.data[block.indices == product] = 0
        kept = are_strongest(strength, k)
        count = csr_array((block.data.imag.astype(np.int32), block.indices, block.indptr), shape=block.shape)
        for part, parts in ((strength, tables), (count, counts)):
            chosen = entries_of(part, kept)
            chosen.sort_indices()
            parts.append(chosen)
    pairs = stack(counts, (n, n))
    pairs.data = pairs.data.astype(np.int32)
    return stack(tables, (n, n)), pairs
