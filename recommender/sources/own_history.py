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
from recommender.sources.scores import Scores, distinct


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
        if not len(product):
            return Scores.none(len(queries))
        if self.config.rank_by == "frequency":
            weight = np.power(self.config.decay, back).astype(np.float32)
            return Scores.summed(row, product, weight, len(queries), self.products)
        cells, place = self._pairs(row, product, len(queries))
        newest = np.empty(len(cells), dtype=np.int64)
        newest[place] = back  # written last stays
        weight = (1 / (1 + newest)).astype(np.float32)
        row, product = cells // self.products, (cells % self.products).astype(np.int32)
        return Scores.summed(row, product, weight, len(queries), self.products)

    def _bought_since(
        self, history: Histories, row: NDArray[np.int64], product: NDArray[np.int32], time: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        bought = history.bought
        if len(bought.product) == 0:
            return np.zeros(len(row), dtype=np.bool_)
        keys, place = self._pairs(bought.row, bought.product, len(history))
        last = np.empty(len(keys), dtype=np.int64)
        last[place] = bought.time  # written last stays
        asked = row * self.products + product
        at = np.minimum(keys.searchsorted(asked), len(keys) - 1)
        return np.asarray((keys[at] == asked) & (last[at] >= time))

    def _pairs(
        self, row: NDArray[np.int64], product: NDArray[np.int32], n: int
    ) -> tuple[NDArray[np.int64], NDArray[np.integer]]:
        """The pairs of row and product among some entries, as row · products + product, and the place of each entry."""
        return distinct(row * self.products + product, n * self.products)

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """Nothing but the fact."""
        code = "viewed_before" if self.config.of == "viewed" else "bought_before"
        return [{"code": code} for _ in products]

    def grown(self, growth: Growth) -> OwnHistorySource:
        """See `Source`."""
        return replace(self, products=len(growth.catalogue))
