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
from recommender.sources.scores import Votes, distinct


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

    def votes(self, queries: Queries) -> Votes:
        """1 / (1 + steps back) of the newest event of a product, or decay^(steps back) of each of its events."""
        history = queries.history.bought if self.config.of == "bought" else queries.history.looked_at
        row, product, back = history.row, history.product, history.steps_back
        if self.config.of == "viewed" and len(product) and len(queries.history.bought.product):
            kept = np.flatnonzero(~self._bought_since(queries.history))
            row, product, back = row[kept], product[kept], back[kept]
        if self.config.rank_by == "frequency":
            return Votes.of(row, product, np.power(self.config.decay, back).astype(np.float32), len(queries))
        cells, place = distinct(row * self.products + product, len(queries) * self.products)
        last = np.empty(len(cells), dtype=np.int64)
        last[place] = np.arange(len(place))  # written last stays
        return Votes.of(row[last], product[last], (1 / (1 + back[last])).astype(np.float32), len(queries))

    def _bought_since(self, history: Histories) -> NDArray[np.bool_]:
        """Whether what was looked at was bought then or later, bool[events of looked_at]. Something was bought."""
        looked, bought = history.looked_at, history.bought
        keys, place = distinct(bought.row * self.products + bought.product, len(history) * self.products)
        last = np.empty(len(keys), dtype=np.int64)
        last[place] = bought.time  # written last stays
        asked = looked.row * self.products + looked.product
        at = np.minimum(keys.searchsorted(asked), len(keys) - 1)
        return np.asarray((keys[at] == asked) & (last[at] >= looked.time))

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """Nothing but the fact."""
        code = "viewed_before" if self.config.of == "viewed" else "bought_before"
        return [{"code": code} for _ in products]

    def grown(self, growth: Growth) -> OwnHistorySource:
        """See `Source`."""
        return replace(self, products=len(growth.catalogue))
