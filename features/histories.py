"""What each person did, as ragged arrays: the part of an event log that a list is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.events import INTEREST, EventLog


@dataclass(frozen=True)
class Ragged:
    """Rows of product codes of differing length: row q is values[indptr[q]:indptr[q + 1]].

    indptr: int64[n + 1]; values: int32.
    """

    indptr: NDArray[np.int64]
    values: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.values[self.indptr[row] : self.indptr[row + 1]]

    @staticmethod
    def of(rows: Sequence[Sequence[int]]) -> Ragged:
        """From lists of codes."""
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=indptr[1:])
        return Ragged(indptr, np.array([code for row in rows for code in row], dtype=np.int32))

    @staticmethod
    def empty(n: int) -> Ragged:
        """n empty rows."""
        return Ragged(np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int32))

    def take(self, rows: NDArray[np.int64]) -> Ragged:
        """Some rows, in the order asked for."""
        indptr, entries = gather(self.indptr, rows)
        return Ragged(indptr, self.values[entries])


def gather(indptr: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row pointer and entry numbers of some rows of a ragged array, without a loop."""
    lengths = indptr[rows + 1] - indptr[rows]
    taken = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=taken[1:])
    entries = np.arange(taken[-1]) + np.repeat(indptr[rows] - taken[:-1], lengths)
    return taken, entries


@dataclass(frozen=True)
class Histories:
    """The events of n people that tell of a taste for a product (`INTEREST`), oldest first.

    Row q is indptr[q]:indptr[q + 1] of the other arrays. indptr: int64[n + 1]; product: int32; kind: int8;
    time: int64 microseconds UTC.
    """

    indptr: NDArray[np.int64]
    product: NDArray[np.int32]
    kind: NDArray[np.int8]
    time: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @staticmethod
    def empty(n: int) -> Histories:
        """n people nobody has seen."""
        return Histories(
            np.zeros(n + 1, dtype=np.int64), np.zeros(0, np.int32), np.zeros(0, np.int8), np.zeros(0, np.int64)
        )

    @staticmethod
    def of(log: EventLog) -> Histories:
        """One row for each person of the log, in the order of ``log.people``."""
        rows = np.flatnonzero(log.of_kind(*INTEREST))
        rows = rows[np.argsort(log.person[rows], kind="stable")]
        indptr = np.searchsorted(log.person[rows], np.arange(len(log.people) + 1)).astype(np.int64)
        return Histories(indptr, log.product[rows], log.kind[rows], log.time[rows])

    def take(self, rows: NDArray[np.int64], lengths: NDArray[np.int64] | None = None) -> Histories:
        """Some people, in the order asked for; with ``lengths`` only the first so many events of each."""
        indptr = self.indptr
        taken, entries = gather(indptr, rows)
        if lengths is not None:
            place = np.arange(len(entries)) - np.repeat(taken[:-1], np.diff(taken))
            entries = entries[place < np.repeat(lengths, np.diff(taken))]
            taken = np.concatenate([[0], np.cumsum(np.minimum(lengths, np.diff(taken)))]).astype(np.int64)
        return Histories(taken, self.product[entries], self.kind[entries], self.time[entries])
