"""Who was shown what: a ranker must not take for taste what shoppers went for because it was put before them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.events import SECOND, EventLog, Kind

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Exposure:
    """Impressions by person, product and time.

    Attributes:
        products: number of products.
        pairs: int64[pairs], person · products + product, ascending: who was shown what at all.
        keys: int64[impressions], ascending: place in ``pairs`` · span + seconds since the first impression.
        first: microseconds UTC of the first impression.
        span: seconds, more than lie between any two of them.
    """

    products: int
    pairs: Ints
    keys: Ints
    first: int
    span: int

    @staticmethod
    def of(log: EventLog) -> Exposure:
        """The impressions of a log."""
        rows = np.flatnonzero((log.kind == Kind.IMPRESSION) & (log.product >= 0))
        n = len(log.products)
        pairs, place = np.unique(log.person[rows].astype(np.int64) * n + log.product[rows], return_inverse=True)
        time = log.time[rows]
        first = int(time.min()) if len(rows) else 0
        span = int((time.max() - first) // SECOND) + 2 if len(rows) else 1
        return Exposure(n, pairs, np.sort(place * span + (time - first) // SECOND), first, span)

    def shown(self, person: Ints, product: NDArray[np.int32], since: Ints, until: Ints) -> NDArray[np.bool_]:
        """Whether each person was shown a product in ``since`` ≤ time < ``until`` (µs UTC, to the second), bool[n]."""
        if not len(self.pairs):
            return np.zeros(len(person), dtype=np.bool_)
        wanted = person * self.products + product
        place = np.minimum(self.pairs.searchsorted(wanted), len(self.pairs) - 1)
        low, high = (
            place * self.span + np.clip((moment - self.first) // SECOND, 0, self.span - 1) for moment in (since, until)
        )
        some = self.keys.searchsorted(low) < self.keys.searchsorted(high)
        return np.asarray((self.pairs[place] == wanted) & some)
