"""What a list is made for: who, when, beside which products."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.histories import Histories, Ragged


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

    def take(self, rows: NDArray[np.int64]) -> Queries:
        """Some of the questions."""
        return replace(self, at=self.at[rows], history=self.history.take(rows), anchors=self.anchors.take(rows))
