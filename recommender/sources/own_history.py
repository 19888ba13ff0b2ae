"""The shopper's own history: what they viewed, what they buy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from features.config import Config
from features.histories import Histories
from recommender.queries import Queries
from recommender.sources.base import Growth, Reason
from recommender.sources.scores import Scores


class OwnHistoryConfig(Config):
    """What of their own history a shopper is shown."""

    kind: Literal["own_history"] = "own_history"
    of: Literal["viewed", "bought"] = "viewed"
    """Viewed (or carted, wished for) and not bought since; or bought before."""
    rank_by: Literal["recency", "frequency"] = "recency"
    """The newest first, or by decayed frequency."""
    decay: float = Field(0.9, gt=0, le=1)
    """Weight of a step (an order, a product viewed) relative to the next newer one, for frequency."""


@dataclass(frozen=True)
class OwnHistorySource:
    """Proposes what the shopper knows already. ``products``: size of the catalogue."""

    products: int
    config: OwnHistoryConfig

    def score(self, queries: Queries) -> Scores:
        """1 / (1 + steps back) of the newest event of a product, or Σ decay^(steps back) over all of its events."""
        history = queries.history.bought if self.config.of == "bought" else queries.history.looked_at
        row, product, back = history.row, history.product, history.steps_back
        if self.config.of == "viewed":
            kept = ~self._bought_since(queries.history, row, product, history.time)
            row, product, back = row[kept], product[kept], back[kept]
        if self.config.rank_by == "frequency":
            weight = np.power(self.config.decay, back).astype(np.float32)
            return Scores.summed(row, product, weight, len(queries), self.products)
        key = row * self.products + product
        _, newest = np.unique(key[::-1], return_index=True)
        newest = len(key) - 1 - newest
        weight = (1 / (1 + back[newest])).astype(np.float32)
        return Scores.summed(row[newest], product[newest], weight, len(queries), self.products)

    def _bought_since(
        self, history: Histories, row: NDArray[np.int64], product: NDArray[np.int32], time: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        bought = history.bought
        if len(bought.product) == 0:
            return np.zeros(len(row), dtype=np.bool_)
        keys, place = np.unique(bought.row * self.products + bought.product, return_inverse=True)
        last = np.full(len(keys), np.iinfo(np.int64).min)
        np.maximum.at(last, place, bought.time)
        asked = row * self.products + product
        at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
        return np.asarray((keys[at] == asked) & (last[at] >= time))

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """Nothing but the fact."""
        code = "viewed_before" if self.config.of == "viewed" else "bought_before"
        return [{"code": code} for _ in products]

    def grown(self, growth: Growth) -> OwnHistorySource:
        """See `Source`."""
        return replace(self, products=len(growth.catalogue))
