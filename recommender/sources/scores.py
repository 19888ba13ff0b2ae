"""Scores of candidates, a ragged row a question: what sources propose and blends add up.

SciPy's sparse matrices check and copy at every step, which costs a single question more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from features.histories import gather, rows_of

Key = TypeVar("Key", bound=np.integer)


class Votes(NamedTuple):
    """What a source says of n questions, in runs of products for one question each; votes for one product add up.

    row: int64[runs], the question; weight: float32[runs], what the values of a run are multiplied by; product: int32 of
    each run; value: float32, positive, of each run.
    """

    row: NDArray[np.int64]
    weight: NDArray[np.float32]
    product: list[NDArray[np.int32]]
    value: list[NDArray[np.float32]]

    @staticmethod
    def of(row: NDArray[np.int64], product: NDArray[np.int32], value: NDArray[np.float32], n: int) -> Votes:
        """From parallel entries about n questions, in order of these."""
        ends = [0, len(row)] if n == 1 else row.searchsorted(np.arange(n + 1)).tolist()
        runs = [slice(*span) for span in pairwise(ends)]
        products, values = [product[run] for run in runs], [value[run] for run in runs]
        return Votes(np.arange(n), np.ones(n, dtype=np.float32), products, values)


#: An empty run, so that there always is one.
_SILENT = Votes(
    np.zeros(1, dtype=np.int64),
    np.ones(1, dtype=np.float32),
    [np.zeros(0, dtype=np.int32)],
    [np.zeros(0, dtype=np.float32)],
)


class Runs(NamedTuple):
    """The runs of several voters, one behind the other.

    voter, row, weight, length: of each run; product, value: of each entry.
    """

    voter: NDArray[np.int64]
    row: NDArray[np.int64]
    weight: NDArray[np.float32]
    length: NDArray[np.int64]
    product: NDArray[np.int32]
    value: NDArray[np.float32]

    @staticmethod
    def of(votes: Sequence[Votes]) -> Runs:
        """Those of k voters, numbered from 0."""
        every = [*votes, _SILENT]
        products = [run for one in every for run in one.product]
        return Runs(
            np.arange(len(every)).repeat([len(one.product) for one in every]),
            np.concatenate([one.row for one in every]),
            np.concatenate([one.weight for one in every]),
            np.array([len(run) for run in products]),
            np.concatenate(products),
            np.concatenate([run for one in every for run in one.value]),
        )

    def keys(self, n: int, products: int) -> NDArray[np.integer]:
        """Question · products + product of each entry, of n questions."""
        return self.product if n == 1 else (self.row * products).repeat(self.length) + self.product


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

    def row(self, q: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Products and values of one question."""
        span = slice(self.indptr[q], self.indptr[q + 1])
        return self.product[span], self.value[span]

    def cells(self, n: int) -> NDArray[np.integer]:
        """Where the candidates stand in a table of n products: question · n + product, ascending."""
        return cells_of(self.indptr, self.product, n)

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
        rows = pairwise(self.indptr.tolist())
        places = [start + highest(self.value[start:stop], count) for start, stop in rows]
        place = np.concatenate(places) if places else np.zeros(0, dtype=np.int64)
        return Scores(place.searchsorted(self.indptr), self.product[place], self.value[place]), place

    def where(self, kept: NDArray[np.bool_]) -> Scores:
        """Some of the candidates."""
        if kept.all():
            return self
        indptr = np.concatenate([[0], np.cumsum(kept)])[self.indptr]
        return Scores(indptr, self.product[kept], self.value[kept])

    @cached_property
    def shares(self) -> NDArray[np.float32]:
        """Scores as shares of the best of their row."""
        scale = np.float32(1) / self.best
        return self.value * (scale if len(self) == 1 else scale.repeat(self.indptr[1:] - self.indptr[:-1]))

    @cached_property
    def best(self) -> NDArray[np.float32]:
        """The highest score of each row, float32[n]; 1 where a row is empty."""
        best: NDArray[np.float32]
        if len(self) == 1 and len(self.value):
            best = self.value.max(keepdims=True)
        else:
            best = best_of(self.value[None], self.indptr)[0]
        return best

    def dense(self, products: int) -> NDArray[np.float32]:
        """float32[n, products], 0 where there is no candidate."""
        table = np.zeros((len(self), products), dtype=np.float32)
        table[rows_of(self.indptr), self.product] = self.value
        return table


@dataclass(frozen=True)
class Proposals:
    """What k sources say of n questions, side by side: of all candidates that any of them proposes.

    Attributes:
        names: of the sources.
        indptr, product: the candidates, as of `Scores`.
        value: float32[k, candidates], 0 where a source does not propose one.
    """

    names: tuple[str, ...]
    indptr: NDArray[np.int64]
    product: NDArray[np.int32]
    value: NDArray[np.float32]

    @staticmethod
    def of(votes: Mapping[str, Votes], n: int) -> Proposals:
        """The sums of votes on n questions, by name.

        Sums are taken in float64 in the order given, so a row comes out the same whatever other rows there are.
        """
        runs = Runs.of(list(votes.values()))
        width = int(runs.product.max(initial=0)) + 1
        cells, place = distinct(runs.keys(n, width), n * width)
        place = place + (runs.voter * len(cells)).repeat(runs.length)
        value = np.bincount(place, runs.value * runs.weight.repeat(runs.length), len(votes) * len(cells))
        indptr = cells.searchsorted(np.arange(n + 1) * width)
        product = cells if n == 1 else cells % width
        told = value.astype(np.float32).reshape(len(votes), len(cells))
        return Proposals(tuple(votes), indptr, product.astype(np.int32, copy=False), told)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def told(self, names: Sequence[str], candidates: Scores, n: int) -> NDArray[np.float32]:
        """What some sources say of candidates: float32[names, candidates]. ``n``: number of products."""
        known = cells_of(self.indptr, self.product, n)
        return values_at(self.value, known, candidates.cells(n))[[self.names.index(name) for name in names]]

    def __getitem__(self, name: str) -> Scores:
        """What one source proposes."""
        found = Scores(self.indptr, self.product, self.value[self.names.index(name)])
        return found.where(found.value > 0)

    def take(self, rows: NDArray[np.int64]) -> Proposals:
        """Of some of the questions."""
        indptr, entries = gather(self.indptr, rows)
        return Proposals(self.names, indptr, self.product[entries], self.value[:, entries])


def cells_of(indptr: NDArray[np.int64], product: NDArray[np.int32], n: int) -> NDArray[np.integer]:
    """Where candidates stand in a table of n products: question · n + product, ascending."""
    return product if len(indptr) == 2 else rows_of(indptr) * n + product


def best_of(values: NDArray[np.float32], indptr: NDArray[np.int64]) -> NDArray[np.float32]:
    """The highest of each row (row pointer ``indptr``) of each of k measures, float32[k, n]; 1 where none is above 0.

    values: float32[k, candidates], none below 0.
    """
    if len(indptr) == 2:
        found: NDArray[np.float32] = values.max(axis=1, initial=0, keepdims=True)
    else:
        found = np.zeros((len(values), len(indptr) - 1), dtype=np.float32)
        full = indptr[1:] > indptr[:-1]
        found[:, full] = np.maximum.reduceat(values, indptr[:-1][full], axis=1) if full.any() else 0
    found[found <= 0] = 1
    return found


def values_at(
    values: NDArray[np.float32], known: NDArray[np.integer], cells: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Columns of float32[k, known] for some cells, 0 for those that are not among the known ones, which ascend."""
    if not len(known):
        return np.zeros((len(values), len(cells)), dtype=np.float32)
    place = np.minimum(known.searchsorted(cells), len(known) - 1)
    return np.where(known[place] == cells, values[:, place], np.float32(0))


def highest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Places of the ``count`` highest values, ascending; of equal ones the first."""
    if len(values) <= count:
        return np.arange(len(values))
    floor = np.partition(values, len(values) - count)[len(values) - count]
    high = np.flatnonzero(values >= floor)
    spare = len(high) - count
    if not spare:
        return high
    equal = np.flatnonzero(values[high] == floor)
    return np.delete(high, equal[len(equal) - spare :])


#: So few keys are looked up sooner than a table is written.
_FEW = 100


def distinct(keys: NDArray[Key], n: int) -> tuple[NDArray[Key], NDArray[np.integer]]:
    """The distinct ones of keys of 0 … n − 1, ascending, and the place of each key among them.

    `numpy.unique` sorts places with keys, which takes several times as long: it is for where n is very large. What is
    looked up by int32 is taken: indexing by it is slow.
    """
    if n > 2**25 and len(keys) > _FEW:
        return np.unique(keys, return_inverse=True)
    ordered = keys.copy()
    ordered.sort()
    fresh = np.empty(len(ordered), dtype=np.bool_)
    fresh[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    found = ordered.compress(fresh)
    if len(keys) <= _FEW:
        return found, found.searchsorted(keys)
    place = np.empty(n, dtype=np.int32)  # only the cells of what was found are written and read
    place[found.astype(np.int64)] = np.arange(len(found), dtype=np.int32)
    return found, place.take(keys)
