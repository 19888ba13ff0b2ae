"""What a list is made for: who, when, beside which products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.histories import Histories, Ragged

#: Moments that lists are made at: the end of the log for everybody, or the end of what each person did.
AsOf = Literal["last", "customer"]


@dataclass(frozen=True)
class Queries:
    """n questions, asked of sources together.

    Attributes:
        at: int64[n], microseconds since 1970 UTC: the moment of each question. Histories end before it.
        history: what each shopper did so far.
        anchors: the products of the page, cart or order; empty rows where there are none.
        allowed: bool[products], what any answer may hold (stock, filter, category), or None for everything. A hint that
            lets sources of long rankings skip what will be dropped anyway.
    """

    at: NDArray[np.int64]
    history: Histories
    anchors: Ragged
    allowed: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.at)

    @cached_property
    def made(self) -> dict[tuple[Any, ...], Any]:
        """What `recommender.sources.profile` made of these questions before."""
        return {}

    def take(self, rows: NDArray[np.int64]) -> Queries:
        """Some of the questions."""
        return replace(self, at=self.at[rows], history=self.history.take(rows), anchors=self.anchors.take(rows))


@dataclass(frozen=True)
class Questions:
    """Lists to ask for. Queries are made a chunk at a time: many histories of one person at once would fill memory.

    Attributes:
        at: int64[n], microseconds UTC.
        histories: one row a person.
        shopper: int64[n], whose row of ``histories`` a question is about.
        seen: int64[n], how many events of that row had happened.
        anchors: n rows of products.
        exclude: n rows of products that must not be in the answer.
        allowed: bool[products], what answers may hold; None for everything.
    """

    at: NDArray[np.int64]
    histories: Histories
    shopper: NDArray[np.int64]
    seen: NDArray[np.int64]
    anchors: Ragged
    exclude: Ragged
    allowed: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.at)

    def queries(self, start: int = 0, stop: int | None = None) -> Queries:
        """Questions start:stop as they are put to a recommender."""
        rows = np.arange(len(self))[start:stop]
        history = self.histories.take(self.shopper[rows], self.seen[rows])
        return Queries(self.at[rows], history, self.anchors.take(rows), self.allowed)
