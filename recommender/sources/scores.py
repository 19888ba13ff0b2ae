"""Scores of candidates, a ragged row a question: what sources propose and blends add up.

SciPy's sparse matrices check and copy at every step, which costs a single question more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from features.histories import rows_of

Key = TypeVar("Key", bound=np.integer)


@dataclass(frozen=True)
class Scores:
    """Candidates of n questions: those of question q are indptr[q]:indptr[q + 1] of the other arrays.

    indptr: int64[n + 1]; product: int32, ascending within a row, each once; value: float32, positive.
    """

    indptr: NDArray[np.int64]
    product: NDArray[np.int32]
    value: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @staticmethod
    def none(n: int) -> Scores:
        """No candidate for anyone."""
        return Scores(np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))

    @staticmethod
    def summed(
        row: NDArray[np.int64], product: NDArray[np.int32], value: NDArray[np.float32], n: int, products: int
    ) -> Scores:
        """From entries in any order; those of one row and product are added up, what is not positive is left out.

        Sums are taken in float64 in the order given, so a row comes out the same whatever other rows there are.

        Args:
            row, product, value: parallel arrays of entries.
            n: number of rows.
            products: number of products.
        """
        if n == 1:
            return _summed(product, value, products)
        key = row * products + product
        if n * products <= 16 * len(key) + 65_536:  # a table of all cells costs less than sorting the entries
            table = np.bincount(key, weights=value, minlength=n * products)
            cells = np.flatnonzero(table > 0)
            total = table[cells]
        else:
            cells, place = np.unique(key, return_inverse=True)
            total = np.bincount(place, weights=value, minlength=len(cells))
            positive = total > 0
            cells, total = cells[positive], total[positive]
        indptr = np.searchsorted(cells, np.arange(n + 1) * products)
        return Scores(indptr, (cells % max(products, 1)).astype(np.int32), total.astype(np.float32))

    @staticmethod
    def added(parts: Sequence[Scores], products: int) -> Scores:
        """The sums of several, which answer the same questions; there is at least one."""
        n = len(parts[0])
        product = np.concatenate([part.product for part in parts])
        value = np.concatenate([part.value for part in parts])
        if n == 1:
            return _summed(product, value, products)
        return Scores.summed(np.concatenate([rows_of(part.indptr) for part in parts]), product, value, n, products)

    def row(self, q: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Products and values of one question."""
        span = slice(self.indptr[q], self.indptr[q + 1])
        return self.product[span], self.value[span]

    def cells(self, n: int) -> NDArray[np.integer]:
        """Where the candidates stand in a table of n products: question · n + product, ascending."""
        return self.product if len(self) == 1 else rows_of(self.indptr) * n + self.product

    @cached_property
    def best_first(self) -> NDArray[np.int64]:
        """Places of all candidates, row by row, best first, ties by code."""
        # Positive floats are in the order of their bits: one sort of integers is several times quicker.
        bits = np.ascontiguousarray(self.value, dtype=np.float32).view(np.int32)
        if len(self) == 1:
            return np.argsort(-bits, kind="stable")
        return np.argsort((rows_of(self.indptr) << 32) - bits, kind="stable")

    @cached_property
    def ranks(self) -> NDArray[np.float32]:
        """The place of each candidate in its row, best 0, ties by code."""
        found = np.empty(len(self.value), dtype=np.float32)
        place = np.arange(len(self.value))
        found[self.best_first] = place if len(self) == 1 else place - self.indptr[rows_of(self.indptr)]
        return found

    def first(self, count: int) -> tuple[Scores, NDArray[np.int64]]:
        """The best candidates of each row, ties by code, and where they stand among all."""
        if len(self) == 1:
            place = highest(self.value, count)
            return Scores(np.array([0, len(place)]), self.product[place], self.value[place]), place
        place = np.flatnonzero(self.ranks < count)
        indptr = place.searchsorted(self.indptr)
        return Scores(indptr, self.product[place], self.value[place]), place

    def where(self, kept: NDArray[np.bool_]) -> Scores:
        """Some of the candidates."""
        if kept.all():
            return self
        indptr = np.concatenate([[0], np.cumsum(kept)])[self.indptr]
        return Scores(indptr, self.product[kept], self.value[kept])

    def relative(self, weight: float | NDArray[np.float32] = 1.0) -> Scores:
        """Scores as shares of the best of their row, times a weight: sources of different units can be added.

        ``weight``: one for all, or float32[n], one a row.
        """
        if len(self.value) == 0:
            return self
        if len(self) == 1:
            return Scores(self.indptr, self.product, self.value * (np.float32(weight) / self.best))
        lengths = self.indptr[1:] - self.indptr[:-1]
        scale = np.broadcast_to(np.asarray(weight, dtype=np.float32), lengths.shape) / self.best
        return Scores(self.indptr, self.product, self.value * np.repeat(scale, lengths))

    @cached_property
    def best(self) -> NDArray[np.float32]:
        """The highest score of each row, float32[n]; 1 where a row is empty."""
        if len(self) == 1:
            return self.value.max(keepdims=True) if len(self.value) else np.ones(1, dtype=np.float32)
        found = np.ones(len(self), dtype=np.float32)
        full = self.indptr[1:] > self.indptr[:-1]
        if full.any():
            found[full] = np.maximum.reduceat(self.value, self.indptr[:-1][full])
        return found

    def dense(self, products: int) -> NDArray[np.float32]:
        """float32[n, products], 0 where there is no candidate."""
        table = np.zeros((len(self), products), dtype=np.float32)
        table[rows_of(self.indptr), self.product] = self.value
        return table


def scores_of(parts: Sequence[Scores], cells: NDArray[np.integer], n: int) -> NDArray[np.float32]:
    """Scores by each of several that answer the same questions: float32[parts, cells], 0 where there are none.

    Args:
        parts: of the same number of questions.
        cells: question · n + product.
        n: number of products.
    """
    value = np.concatenate([part.value for part in parts]) if parts else np.zeros(0, dtype=np.float32)
    if not len(value):
        return np.zeros((len(parts), len(cells)), dtype=np.float32)
    first = np.arange(len(parts)) * (len(parts[0]) * n)  # the cells of every part are numbered on
    known = np.concatenate([part.cells(n) for part in parts]) + first.repeat([len(part.value) for part in parts])
    sought = (first[:, None] + cells).ravel()
    place = np.minimum(known.searchsorted(sought), len(known) - 1)
    return np.where(known[place] == sought, value[place], np.float32(0)).reshape(len(parts), len(cells))


def highest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Places of the ``count`` highest values, ascending; of equal ones the first."""
    if len(values) <= count:
        return np.arange(len(values))
    floor = np.partition(values, len(values) - count)[len(values) - count]
    high = values > floor
    equal = np.flatnonzero(values == floor)
    high[equal[: count - np.count_nonzero(high)]] = True
    return np.flatnonzero(high)


#: So few keys are looked up sooner than a table is written.
_FEW = 100


def distinct(keys: NDArray[Key], n: int) -> tuple[NDArray[Key], NDArray[np.integer]]:
    """The distinct ones of keys of 0 … n − 1, ascending, and the place of each key among them.

    `numpy.unique` sorts places with keys, which takes several times as long: it is for where n is very large.
    """
    if n > 2**22 and len(keys) > _FEW:
        return np.unique(keys, return_inverse=True)
    ordered = keys.copy()
    ordered.sort()
    fresh = np.empty(len(ordered), dtype=np.bool_)
    fresh[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    found = ordered[fresh]
    if len(keys) <= _FEW:
        return found, found.searchsorted(keys)
    place = np.empty(n, dtype=np.int32)  # only the cells of what was found are written and read
    place[found] = np.arange(len(found), dtype=np.int32)
    return found, place[keys]


def _summed(product: NDArray[np.int32], value: NDArray[np.float32], products: int) -> Scores:
    """`Scores.summed` of a single row: a table of all products would cost more than the entries."""
    found, place = distinct(product, products)
    total = np.bincount(place, weights=value, minlength=len(found))
    positive = total > 0
    if not positive.all():
        found, total = found[positive], total[positive]
    return Scores(np.array([0, len(found)]), found, total.astype(np.float32))
