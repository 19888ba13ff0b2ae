"""Products two steps away: neighbours of neighbours, for products that share no shopper."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array

from features.config import Config
from recommender.sources.neighbours import NeighbourSource, neighbours_of, strongest


class TwoHopConfig(Config):
    """Hyper-parameters of `fit`."""

    kind: Literal["two_hop"] = "two_hop"
    of: str = "transitions"
    """The source whose neighbours are walked; it must be a table of neighbours."""
    width: int = Field(50, ge=1)
    """Strongest neighbours that are walked at each step."""
    damping: float = Field(0.5, ge=0, le=1)
    """Exponent of the sum of a product's weights that they are divided by: 1 walks at random."""
    neighbours: int = Field(200, ge=1)
    """Strongest products kept for each."""


def fit(source: NeighbourSource, config: TwoHopConfig) -> NeighbourSource:
    """weight(i, j) = Σ_k a(i, k) · a(k, j), a the table of the source, each row divided by its sum^damping.

    With damping 1 it is a random walk of two steps (Cooper et al. 2014). Cost: products · width² multiplications.
    """
    total = np.asarray(source.table.sum(axis=1)).ravel()
    scaled = source.table.multiply(np.maximum(total, 1e-12)[:, None] ** -config.damping)
    walked = strongest(csr_array(scaled, dtype=np.float32), config.width)
    table = neighbours_of(walked, walked, config.neighbours)
    return NeighbourSource(table, source.decay, source.steps, source.code)
