"""Tables of the strongest neighbours of each product, and the source that walks them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from features.histories import rows_of
from recommender.queries import Queries
from recommender.sources.base import Growth, Reason
from recommender.sources.profile import profile
from recommender.sources.scores import Votes


def strongest(matrix: csr_array, k: int) -> csr_array:
    """The k largest positive entries of each row, ties by ascending column; indices of a row ascend."""
    result = entries_of(matrix, are_strongest(matrix, k))
    result.sort_indices()
    return result


def are_strongest(matrix: csr_array, k: int) -> NDArray[np.bool_]:
    """Which entries are among the k largest positive ones of their row, bool[entries]; ties go by ascending column."""
    indptr, indices, data = matrix.indptr, matrix.indices, matrix.data
    kept = data > 0
    for row in np.flatnonzero(np.diff(indptr) > k).tolist():
        span = slice(indptr[row], indptr[row + 1])
        values = data[span]
        floor = np.partition(values, len(values) - k)[len(values) - k]
        if floor > 0:
            above = values > floor
            ties = np.flatnonzero(values == floor)
            ties = ties[np.argsort(indices[span][ties])]
            above[ties[: k - np.count_nonzero(above)]] = True
            kept[span] = above
    return np.asarray(kept)


def entries_of(matrix: csr_array, kept: NDArray[np.bool_]) -> csr_array:
    """The matrix with some of its entries, bool[entries], the others absent."""
    before = np.concatenate([[0], np.cumsum(kept, dtype=np.int32 if len(kept) < 2**31 else np.int64)])
    return csr_array((matrix.data[kept], matrix.indices[kept], before[matrix.indptr]), shape=matrix.shape)


def product_blocks(left: csr_array, right: csr_array, entries: int = 30_000_000) -> Iterator[tuple[int, csr_array]]:
    """Blocks of rows of ``left @ right`` with their first row, each bounded to about ``entries`` multiplications.

    Memory stays bounded whatever the shape of the product.
    """
    work = np.concatenate([[0], np.cumsum(np.diff(right.indptr)[left.indices])])[left.indptr]
    start = 0
    while start < left.shape[0]:
        stop = max(start + 1, int(np.searchsorted(work, work[start] + entries, side="right")) - 1)
        stop = min(stop, left.shape[0])
        yield start, csr_array(left[start:stop] @ right)
        start = stop


def stack(blocks: list[csr_array], shape: tuple[int, int]) -> csr_array:
    """Blocks of rows as one float32 matrix."""
    indptr = np.concatenate([[0], np.cumsum(np.concatenate([np.diff(b.indptr) for b in blocks]))])
    if indptr[-1] < 2**31:
        indptr = indptr.astype(np.int32)  # SciPy stores indices in the same type
    indices = np.concatenate([b.indices for b in blocks]).astype(np.int32)
    data = np.concatenate([b.data for b in blocks]).astype(np.float32)
    return csr_array((data, indices, indptr), shape=shape)


def neighbours_of(left: csr_array, right: csr_array, k: int) -> csr_array:
    """The k strongest neighbours of each product in ``left @ right``, the product itself left out."""
    n = left.shape[0]
    if n == 0 or left.nnz == 0 or right.nnz == 0:
        return csr_array((n, n), dtype=np.float32)
    blocks = []
    for start, block in product_blocks(left, right):
        block.data[block.indices == rows_of(block.indptr) + start] = 0
        blocks.append(strongest(block, k))
    return stack(blocks, (n, n))


#: Neighbours of each of some products: codes, ascending, and weights.
Neighbours = tuple[list[NDArray[np.int32]], list[NDArray[np.float32]]]


def rows_of_table(table: csr_array, rows: NDArray[np.integer]) -> Neighbours:
    """Some rows of a table, not copied."""
    ends = zip(table.indptr[rows].tolist(), table.indptr[rows + 1].tolist(), strict=True)
    spans = [slice(*span) for span in ends]
    return [table.indices[span] for span in spans], [table.data[span] for span in spans]


def padded(table: csr_array, n: int) -> csr_array:
    """A square table with empty rows and columns behind its own, n of them in all; its entries are shared."""
    rows = n - table.shape[0]
    indptr = np.append(table.indptr, np.full(rows, table.indptr[-1], dtype=table.indptr.dtype))
    return csr_array((table.data, table.indices, indptr), shape=(n, n), copy=False)


@dataclass(frozen=True)
class NeighbourSource:
    """Proposes the neighbours of what a shopper looked at last.

    score(q, j) = Σ_i profile(q, i) · weight(i, j), profile as in `recommender.sources.profile`.

    Attributes:
        table: float32 of shape (products, products), the strongest neighbours of each product.
        decay: weight of a step relative to the one after it.
        steps: how many steps of the history count.
        code: reason code of what this source proposes.
    """

    table: csr_array
    decay: float
    steps: int
    code: str

    def votes(self, queries: Queries) -> Votes:
        """See `Source`."""
        return self.votes_of(*profile(queries, decay=self.decay, steps=self.steps))

    def votes_of(self, row: NDArray[np.int64], product: NDArray[np.int32], weight: NDArray[np.float32]) -> Votes:
        """What it proposes to tastes, parallel entries of question, product and weight."""
        return Votes(row, weight, *self.neighbours(product))

    def neighbours(self, products: NDArray[np.int32]) -> Neighbours:
        """The neighbours of each of some products."""
        return rows_of_table(self.table, products)

    def entries(self, product: int, others: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where in the table the pairs of a product with others stand, and which of them stand there at all."""
        start, stop = int(self.table.indptr[product]), int(self.table.indptr[product + 1])
        if start == stop:
            return np.zeros(len(others), dtype=np.int64), np.zeros(len(others), dtype=np.bool_)
        row = self.table.indices[start:stop]
        place = np.minimum(row.searchsorted(others), stop - start - 1)
        return start + place, row[place] == others

    def nearer(self, product: int, weight: float) -> NDArray[np.int32]:
        """The neighbours of a product of at least some weight."""
        [others], [weights] = self.neighbours(np.array([product], dtype=np.int32))
        return np.asarray(others[weights >= weight])

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """The product of the shopper's profile that speaks loudest for each, the first among equals."""
        one = queries if len(queries) == 1 else queries.take(np.array([row]))
        _, taste, weights = profile(one, decay=self.decay, steps=self.steps)
        if not len(taste):
            return [{"code": self.code} for _ in products]
        others, strengths = self.neighbours(taste)
        candidate = np.concatenate(others)
        sought = np.zeros(self.table.shape[0], dtype=np.bool_)
        sought[products] = True
        hit = np.flatnonzero(sought.take(candidate))
        speaker = np.array([len(run) for run in others]).cumsum().searchsorted(hit, side="right")
        spoken = (candidate[hit], np.concatenate(strengths)[hit] * weights[speaker], taste[speaker])
        loudest: dict[int, tuple[float, int]] = {}
        for product, loud, by in zip(*(column.tolist() for column in spoken), strict=True):
            if loud > loudest.get(product, (0.0, -1))[0]:
                loudest[product] = (loud, by)
        return [
            {"code": self.code, "product": loudest[product][1]} if product in loudest else {"code": self.code}
            for product in products.tolist()
        ]

    def grown(self, growth: Growth) -> Self:
        """See `Source`: what nobody has done anything with has no neighbours."""
        return replace(self, table=padded(self.table, len(growth.catalogue)))
