"""What is asked of a recommender and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


class UnknownPlacement(LookupError):
    """No placement of that name; ``known`` lists those there are."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"unknown placement {name!r}; there are: {', '.join(known)}")
        self.name, self.known = name, known


@dataclass(frozen=True)
class Lists:
    """Lists of n questions. product: int32[n, count], codes, -1 past the end; score: float32[n, count]."""

    product: NDArray[np.int32]
    score: NDArray[np.float32]


@dataclass(frozen=True)
class Shopper:
    """Who asks: a customer, a visitor, a session, or nobody known."""

    customer_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True)
class BlockRequest:
    """One placement asked for, with the context of the page and the wishes of the caller."""

    placement: str
    count: int = 10
    product_ids: tuple[str, ...] = ()
    category: str | None = None
    filter: str | None = None
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """One request as it was understood. ``at``: microseconds UTC, the moment answered for."""

    shopper: Shopper
    blocks: list[BlockRequest]
    at: int
    explain: bool = False

    def to_json(self) -> dict[str, Any]:
        """As `features.store.base.Decision.request` keeps it."""
        return {
            "shopper": dict(vars(self.shopper)),  # dataclasses.asdict takes twenty times as long
            "blocks": [dict(vars(block)) for block in self.blocks],
            "at": self.at,
            "explain": self.explain,
        }

    @staticmethod
    def of_json(request: dict[str, Any]) -> Asked:
        """The inverse of `to_json`, also after a way through JSON."""
        blocks = [
            BlockRequest(**{**block, "product_ids": tuple(block["product_ids"]), "exclude": tuple(block["exclude"])})
            for block in request["blocks"]
        ]
        return Asked(Shopper(**request["shopper"]), blocks, request["at"], request["explain"])


@dataclass(frozen=True)
class Item:
    """One entry of a list. Field names are those of the HTTP answer."""

    kind: str
    """product, category, brand or collection."""
    id: str
    rank: int
    """From 1."""
    score: float
    propensity: float
    """Probability that this product stands at this rank under the policy; 1.0 without exploration."""
    source: str
    fallback_level: int
    """0: the placement's own sources; higher: further down the fallback chain."""
    reasons: list[dict[str, Any]]
    product: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """What only some items have: support, lift; due_at (RFC 3339), due_probability; scores by source on request."""


@dataclass(frozen=True)
class Block:
    """One answered placement."""

    placement: str
    items: list[Item]
    funnel: list[tuple[str, int, int]]
    """What each step was given and let through: (step, in, out)."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What only some placements tell: bundle_total."""
