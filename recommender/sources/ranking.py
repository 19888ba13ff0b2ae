"""Rankings of the whole shop, the same for everybody: best sellers, trending, new arrivals, on sale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from features.catalogue import Catalogue, Time
from features.events import DAY, EventLog, Kind
from recommender.queries import Queries
from recommender.sources.base import Config, Reason
from recommender.sources.scores import Scores


@dataclass(frozen=True)
class RankingSource:
    """Proposes the best of one ranking, inside what a request allows.

    Attributes:
        scores: float32[products], 0 where a product is not ranked.
        measure: float32[products], what reasons tell of a product beside its place.
        measured: the name of that measure in reasons.
        code: reason code.
        limit: how many candidates a question gets.
        at: microseconds UTC, the moment the ranking is of.
        half_life: microseconds; so far from ``at`` the ranking says half as much. Infinite: it does not age.
    """

    scores: NDArray[np.float32]
    measure: NDArray[np.float32]
    measured: str
    code: str
    limit: int
    at: int
    half_life: float

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Ranked products, best first, ties by code."""
        best = np.argsort(-self.scores, kind="stable")
        return best[self.scores[best] > 0]

    def score(self, queries: Queries) -> Scores:
        """See `Source`."""
        best = (
            self.order[: self.limit] if queries.allowed is None else first_of(self.order, queries.allowed, self.limit)
        )
        best = np.sort(best)
        n = len(queries)
        return Scores(np.arange(n + 1) * len(best), np.tile(best.astype(np.int32), n), np.tile(self.scores[best], n))

    def relevance(self, queries: Queries) -> NDArray[np.float32]:
        """How much the ranking says at the moment of each question, float32[queries], 1 at its own moment.

        Last week's best sellers say little of what sold a year before, nor will they of what sells in a year.
        """
        return np.exp2(-np.abs(queries.at - self.at) / self.half_life).astype(np.float32)

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """The measure behind each place."""
        return [{"code": self.code, self.measured: float(self.measure[product])} for product in products]


def first_of(order: NDArray[np.int64], allowed: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """The first ``count`` of an order that are allowed (bool[products]), without walking all of it if few are not."""
    found = order[: 4 * count]
    found = found[allowed[found]]
    return found[:count] if len(found) >= count else order[allowed[order]][:count]


class PopularityConfig(Config):
    """Hyper-parameters of `popularity`."""

    kind: Literal["popularity"] = "popularity"
    half_life_days: float | None = Field(30, gt=0)
    """Older events count less; None: all the same."""
    view: float = Field(0.02, ge=0)
    """Weight of a view or click."""
    cart: float = Field(0.1, ge=0)
    """Weight of a product put into a cart or on a wish list."""
    purchase: float = Field(1.0, ge=0)
    """Weight of a purchase line."""
    first_only: bool = False
    """Count only a person's first event of a kind about a product: what people try, not what they stock up on."""
    limit: int = Field(500, ge=1)
    """How many candidates a question gets."""


class TrendConfig(Config):
    """Hyper-parameters of `trend`."""

    kind: Literal["trend"] = "trend"
    recent_half_life_days: float = Field(7, gt=0)
    """What counts as now."""
    usual_half_life_days: float = Field(60, gt=0)
    """What counts as usual."""
    prior: float = Field(5, gt=0)
    """Events of evidence that nothing has changed."""
    limit: int = Field(500, ge=1)
    """How many candidates a question gets."""


class NewArrivalsConfig(Config):
    """Hyper-parameters of `new_arrivals`."""

    kind: Literal["new_arrivals"] = "new_arrivals"
    half_life_days: float = Field(21, gt=0)
    """A product this much older scores half."""
    settling: float = Field(0.1, ge=0, lt=1)
    """Products first seen in this share of the log's span may be old: they are no arrivals."""
    limit: int = Field(500, ge=1)
    """How many candidates a question gets."""


class OnSaleConfig(Config):
    """Hyper-parameters of `on_sale`."""

    kind: Literal["on_sale"] = "on_sale"
    limit: int = Field(500, ge=1)
    """How many candidates a question gets."""


def decayed_counts(
    log: EventLog, at: int, half_life_days: float | None, weights: dict[Kind, float]
) -> NDArray[np.float64]:
    """Σ weight(kind) · 2^(−age / half_life) over the events of each product, float64; ages from ``at``."""
    weight = np.zeros(max(Kind) + 1)
    for kind, value in weights.items():
        weight[kind] = value
    rows = np.flatnonzero((log.product >= 0) & (weight[log.kind] > 0))
    counted: NDArray[np.float64] = weight[log.kind[rows]]
    if half_life_days is not None:
        counted = counted * 0.5 ** (np.maximum(at - log.time[rows], 0) / (half_life_days * DAY))
    return np.bincount(log.product[rows], weights=counted, minlength=len(log.products)).astype(np.float64)


def first_events(log: EventLog) -> NDArray[np.int64]:
    """Rows, int64 ascending, of each person's first event of a kind about a product."""
    rows = np.flatnonzero(log.product >= 0)
    pair = log.person[rows].astype(np.int64) * len(log.products) + log.product[rows]
    _, first = np.unique(pair * (max(Kind) + 1) + log.kind[rows], return_index=True)
    return np.sort(rows[first])


#: For what looks at traffic of any kind.
_TRAFFIC = {Kind.VIEW: 1.0, Kind.CLICK: 1.0, Kind.CART: 2.0, Kind.WISHLIST: 2.0, Kind.PURCHASE: 4.0}


def popularity(log: EventLog, at: int, config: PopularityConfig) -> RankingSource:
    """Best sellers: decayed, weighted counts of events."""
    weights = {
        Kind.VIEW: config.view,
        Kind.CLICK: config.view,
        Kind.CART: config.cart,
        Kind.WISHLIST: config.cart,
        Kind.PURCHASE: config.purchase,
    }
    counted = log.take(first_events(log)) if config.first_only else log
    counts = decayed_counts(counted, at, config.half_life_days, weights).astype(np.float32)
    sold = decayed_counts(log, at, None, {Kind.PURCHASE: 1.0}).astype(np.float32)
    half_life = np.inf if config.half_life_days is None else config.half_life_days * DAY
    return RankingSource(counts, sold, "purchases", "popular", config.limit, at, half_life)


def trend(log: EventLog, at: int, config: TrendConfig) -> RankingSource:
    """Rate of change: events lately over events expected from the usual rate, shrunk to 1.

    A decayed count with half-life h of a steady stream of rate r tends to r · h / ln 2, so the expected recent count is
    the usual one times the ratio of half-lives, and change = (recent + prior) / (expected + prior). Only what rises is
    ranked.
    """
    recent = decayed_counts(log, at, config.recent_half_life_days, _TRAFFIC)
    usual = decayed_counts(log, at, config.usual_half_life_days, _TRAFFIC)
    expected = usual * config.recent_half_life_days / config.usual_half_life_days
    change = (recent + config.prior) / (expected + config.prior)
    scores = np.where((recent > 0) & (change > 1), change - 1, 0).astype(np.float32)
    measure = change.astype(np.float32)
    return RankingSource(scores, measure, "change", "trending", config.limit, at, config.recent_half_life_days * DAY)


def new_arrivals(log: EventLog, catalogue: Catalogue, at: int, config: NewArrivalsConfig) -> RankingSource:
    """What came into the shop last: by ``available_from``, else by the first event, more popular first among equals."""
    n = len(catalogue)
    first = np.full(n, at, dtype=np.int64)
    seen = log.product >= 0
    np.minimum.at(first, log.product[seen], log.time[seen])
    start = int(log.time[0]) if len(log) else at
    arrival = np.where(first > start + config.settling * (at - start), first, np.iinfo(np.int64).min)
    arrival[first == at] = np.iinfo(np.int64).min
    column = catalogue.columns.get("available_from")
    if isinstance(column, Time):
        known = (column.values != np.iinfo(np.int64).min) & (column.values <= at)
        arrival[known] = column.values[known]
    dated = arrival != np.iinfo(np.int64).min
    age = np.where(dated, at - np.where(dated, arrival, at), 0) / DAY
    traffic = decayed_counts(log, at, None, _TRAFFIC)
    liked = 1 + 0.1 * np.log1p(traffic)
    scores = np.where(dated, np.maximum(liked * 0.5 ** (age / config.half_life_days), 1e-30), 0).astype(np.float32)
    measure = age.astype(np.float32)
    return RankingSource(scores, measure, "days", "new", config.limit, at, config.half_life_days * DAY)


def on_sale(log: EventLog, catalogue: Catalogue, at: int, config: OnSaleConfig) -> RankingSource:
    """What costs less than usual now, by discount times the square root of sales."""
    price, sale = catalogue.number("price"), catalogue.number("sale_price")
    discount = np.where(sale < price, 1 - sale / np.where(price > 0, price, 1), 0)
    sales = decayed_counts(log, at, 90, _TRAFFIC)
    scores = np.where(discount > 0, discount * np.sqrt(1 + sales), 0).astype(np.float32)
    return RankingSource(scores, discount.astype(np.float32), "discount", "on_sale", config.limit, at, np.inf)
