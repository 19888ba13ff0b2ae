"""Products two steps away: neighbours of neighbours, for products that share no shopper.

With another table for the first step it finds what goes with a product that nobody has bought: companions of its like.
"""

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
    by: str | None = None
    """The source whose neighbours are the first step; None: the same."""
    width: int = Field(50, ge=1)
    """Strongest neighbours that are walked at each step."""
    damping: float = Field(0.5, ge=0, le=1)
    """Exponent of the sum of a product's weights that they are divided by: 1 walks at random."""
    neighbours: int = Field(200, ge=1)
    """Strongest products kept for each."""


def fit(source: NeighbourSource, first: NeighbourSource, config: TwoHopConfig) -> NeighbourSource:
    """weight(i, j) = Σ_k b(i, k) · a(k, j), a the table of the source and b that of the first step, each row divided by
    its sum^damping.

    With damping 1 it is a random walk of two steps (Cooper et al. 2014). Cost: products · width² multiplications.
    """
    second = _walked(source, config)
    table = neighbours_of(second if first is source else _walked(first, config), second, config.neighbours)
    code = source.code if first is source else "goes_with_similar"
    return NeighbourSource(table, source.decay, source.steps, code)


def _walked(source: NeighbourSource, config: TwoHopConfig) -> csr_array:
    total = np.asarray(source.table.sum(axis=1)).ravel()
    scaled = source.table.multiply(np.maximum(total, 1e-12)[:, None] ** -config.damping)
    return strongest(csr_array(scaled, dtype=np.float32), config.width)
