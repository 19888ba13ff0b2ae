"""Rankings of the whole shop, the same for everybody: best sellers, trending, new arrivals, on sale.

A ranking is a function of tallies of events, of the catalogue and of a moment. It keeps its tallies, so it can be made
anew when more has happened or the catalogue has changed, without the log it was first made from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from features.catalogue import Catalogue, Time
from features.config import Config
from features.events import DAY, NEVER, EventLog, Kind
from recommender.queries import Queries
from recommender.sources.base import Growth, Reason
from recommender.sources.scores import Votes
from recommender.sources.tally import Tally, weights_of


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
        made_of: what it can be made anew from; None: it stays as it is until training.
    """

    scores: NDArray[np.float32]
    measure: NDArray[np.float32]
    measured: str
    code: str
    limit: int
    at: int
    half_life: float
    made_of: Ingredients | None = None

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Ranked products, best first, ties by code."""
        ranked = np.flatnonzero(self.scores > 0).astype(np.uint64)
        # Positive floats are in the order of their bits: one sort of integers, several times quicker than a stable one.
        bits = np.ascontiguousarray(self.scores[ranked], dtype=np.float32).view(np.uint32).astype(np.uint64)
        key = ((_BITS - bits) << np.uint64(32)) | ranked
        key.sort()
        return (key & _BITS).astype(np.int64)

    @cached_property
    def places(self) -> NDArray[np.float32]:
        """The place of each product, float32[products], best 0; NaN where it is not ranked."""
        found = np.full(len(self.scores), np.nan, dtype=np.float32)
        found[self.order] = np.arange(len(self.order))
        return found

    def votes(self, queries: Queries) -> Votes:
        """See `Source`."""
        best = (
            self.order[: self.limit] if queries.allowed is None else first_of(self.order, queries.allowed, self.limit)
        )
        product, n = best.astype(np.int32), len(queries)
        return Votes(np.arange(n), np.ones(n, dtype=np.float32), [product] * n, [self.scores[product]] * n)

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """The measure behind each place."""
        return [{"code": self.code, self.measured: float(self.measure[product])} for product in products]

    def grown(self, growth: Growth) -> RankingSource:
        """See `Source`: the ranking of the catalogue as it is now. Prices and first days count at once."""
        n = len(growth.catalogue)
        if self.made_of is not None:
            return ranking_of(self.made_of.padded(n), growth.catalogue)
        missing = (0, n - len(self.scores))
        return replace(self, scores=np.pad(self.scores, missing), measure=np.pad(self.measure, missing))


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


RankingConfig = PopularityConfig | TrendConfig | NewArrivalsConfig | OnSaleConfig


@dataclass(frozen=True)
class Ingredients:
    """What a ranking is made of beside the catalogue.

    Attributes:
        config: which ranking, and how.
        tallies: counts of events, by what they are for.
        first: int64[products], µs UTC: when a product was first seen in an event, `NEVER` if it was not; empty where
            that does not matter.
        settled: µs UTC; products first seen up to then may be old.
        products: how many products there were at training. Those behind them came later.
        at: µs UTC, the moment of the ranking: of training, or of the newest event since.
    """

    config: RankingConfig
    tallies: dict[str, Tally]
    first: NDArray[np.int64]
    settled: int
    products: int
    at: int

    def added(self, product: NDArray[np.int32], kind: NDArray[np.int8], time: NDArray[np.int64]) -> Ingredients:
        """With more events, as in `Tally.added`."""
        if len(product) == 0:
            return self
        first = self.first
        if len(first):
            first = first.copy()
            np.minimum.at(first, product, time)
        tallies = {name: tally.added(product, kind, time) for name, tally in self.tallies.items()}
        return replace(self, tallies=tallies, first=first, at=max(self.at, int(time.max())))

    def padded(self, n: int) -> Ingredients:
        """For n products."""
        tallies = {name: tally.padded(n) for name, tally in self.tallies.items()}
        first = self.first
        if len(first) or (n and isinstance(self.config, NewArrivalsConfig)):
            first = np.pad(first, (0, max(n - len(first), 0)), constant_values=NEVER)
        return replace(self, tallies=tallies, first=first)


def ranking_of(made_of: Ingredients, catalogue: Catalogue) -> RankingSource:
    """The ranking that follows from its ingredients and the catalogue as it is."""
    match made_of.config:
        case PopularityConfig() as config:
            return _best_sellers(made_of, config)
        case TrendConfig() as config:
            return _rising(made_of, config)
        case NewArrivalsConfig() as config:
            return _latest(made_of, catalogue, config)
        case OnSaleConfig() as config:
            return _reduced(made_of, catalogue, config)


def tally_of(log: EventLog, at: int, half_life_days: float | None, weights: dict[Kind, float]) -> Tally:
    """The tally of a log whose events lie before ``at``, its origin."""
    weight = weights_of(weights)
    half_life = 0 if half_life_days is None else max(round(half_life_days * DAY), 1)
    rows = np.flatnonzero((log.product >= 0) & (weight[log.kind] > 0))
    counted: NDArray[np.float64] = weight[log.kind[rows]]
    if half_life:
        counted = counted * 0.5 ** (np.maximum(at - log.time[rows], 0) / half_life)
    value = np.bincount(log.product[rows], weights=counted, minlength=len(log.products)).astype(np.float64)
    return Tally(value, weight, at, half_life)


def first_events(log: EventLog) -> NDArray[np.int64]:
    """Rows, int64 ascending, of each person's first event of a kind about a product."""
    rows = np.flatnonzero(log.product >= 0)
    pair = log.person[rows].astype(np.int64) * len(log.products) + log.product[rows]
    _, first = np.unique(pair * (max(Kind) + 1) + log.kind[rows], return_index=True)
    return np.sort(rows[first])


#: For what looks at traffic of any kind.
_TRAFFIC = {Kind.VIEW: 1.0, Kind.CLICK: 1.0, Kind.CART: 2.0, Kind.WISHLIST: 2.0, Kind.PURCHASE: 4.0}

_NOT_DATED = np.zeros(0, dtype=np.int64)
_NULL_TIME = np.iinfo(np.int64).min
_BITS = np.uint64(0xFFFFFFFF)


def popularity(log: EventLog, at: int, config: PopularityConfig) -> RankingSource:
    """Best sellers: decayed, weighted counts of events.

    With ``first_only`` the ranking stays as trained: who tried a product before is not kept.
    """
    weights = {
        Kind.VIEW: config.view,
        Kind.CLICK: config.view,
        Kind.CART: config.cart,
        Kind.WISHLIST: config.cart,
        Kind.PURCHASE: config.purchase,
    }
    counted = log.take(first_events(log)) if config.first_only else log
    tallies = {
        "counts": tally_of(counted, at, config.half_life_days, weights),
        "sold": tally_of(log, at, None, {Kind.PURCHASE: 1.0}),
    }
    ranking = _best_sellers(Ingredients(config, tallies, _NOT_DATED, at, len(log.products), at), config)
    return replace(ranking, made_of=None) if config.first_only else ranking


def _best_sellers(made_of: Ingredients, config: PopularityConfig) -> RankingSource:
    half_life = np.inf if config.half_life_days is None else config.half_life_days * DAY
    counts = made_of.tallies["counts"].value.astype(np.float32)
    sold = made_of.tallies["sold"].value.astype(np.float32)
    return RankingSource(counts, sold, "purchases", "popular", config.limit, made_of.at, half_life, made_of)


def trend(log: EventLog, at: int, config: TrendConfig) -> RankingSource:
    """Rate of change: events lately over events expected from the usual rate, shrunk to 1.

    A decayed count with half-life h of a steady stream of rate r tends to r · h / ln 2, so the expected recent count is
    the usual one times the ratio of half-lives, and change = (recent + prior) / (expected + prior). Only what rises is
    ranked.
    """
    tallies = {
        "recent": tally_of(log, at, config.recent_half_life_days, _TRAFFIC),
        "usual": tally_of(log, at, config.usual_half_life_days, _TRAFFIC),
    }
    return _rising(Ingredients(config, tallies, _NOT_DATED, at, len(log.products), at), config)


def _rising(made_of: Ingredients, config: TrendConfig) -> RankingSource:
    recent, usual = (made_of.tallies[name].at(made_of.at) for name in ("recent", "usual"))
    expected = usual * config.recent_half_life_days / config.usual_half_life_days
    change = (recent + config.prior) / (expected + config.prior)
    scores = np.where((recent > 0) & (change > 1), change - 1, 0).astype(np.float32)
    half_life = config.recent_half_life_days * DAY
    measure = change.astype(np.float32)
    return RankingSource(scores, measure, "change", "trending", config.limit, made_of.at, half_life, made_of)


def new_arrivals(log: EventLog, catalogue: Catalogue, at: int, config: NewArrivalsConfig) -> RankingSource:
    """What came into the shop last: by ``available_from``, else by the first event, more popular first among equals.

    A product that the catalogue got after training, without either, has only just come.
    """
    first = np.full(len(catalogue), NEVER, dtype=np.int64)
    seen = log.product >= 0
    np.minimum.at(first, log.product[seen], log.time[seen])
    start = int(log.time[0]) if len(log) else at
    settled = int(start + config.settling * (at - start))
    tallies = {"traffic": tally_of(log, at, None, _TRAFFIC)}
    return ranking_of(Ingredients(config, tallies, first, settled, len(catalogue), at), catalogue)


def _latest(made_of: Ingredients, catalogue: Catalogue, config: NewArrivalsConfig) -> RankingSource:
    first, at = made_of.first, made_of.at
    arrival = np.where((first > made_of.settled) & (first != NEVER), first, _NULL_TIME)
    since = arrival[made_of.products :]
    since[since == _NULL_TIME] = at
    column = catalogue.columns.get("available_from")
    if isinstance(column, Time):
        known = (column.values != _NULL_TIME) & (column.values <= at)
        arrival[known] = column.values[known]
    dated = arrival != _NULL_TIME
    age = np.maximum(at - arrival[dated], 0) / DAY
    liked = 1 + 0.1 * np.log1p(made_of.tallies["traffic"].value[dated])
    scores, days = np.zeros(len(dated), dtype=np.float32), np.zeros(len(dated), dtype=np.float32)
    scores[dated] = np.maximum(liked * 0.5 ** (age / config.half_life_days), 1e-30)
    days[dated] = age
    half_life = config.half_life_days * DAY
    return RankingSource(scores, days, "days", "new", config.limit, at, half_life, made_of)


def on_sale(log: EventLog, catalogue: Catalogue, at: int, config: OnSaleConfig) -> RankingSource:
    """What costs less than usual now, by discount times the square root of sales."""
    tallies = {"sales": tally_of(log, at, 90, _TRAFFIC)}
    return ranking_of(Ingredients(config, tallies, _NOT_DATED, at, len(catalogue), at), catalogue)


def _reduced(made_of: Ingredients, catalogue: Catalogue, config: OnSaleConfig) -> RankingSource:
    price, sale = catalogue.number("price"), catalogue.number("sale_price")
    discount = np.where(sale < price, 1 - sale / np.where(price > 0, price, 1), 0)
    sales = made_of.tallies["sales"].at(made_of.at)
    scores = np.where(discount > 0, discount * np.sqrt(1 + sales), 0).astype(np.float32)
    measure = discount.astype(np.float32)
    return RankingSource(scores, measure, "discount", "on_sale", config.limit, made_of.at, np.inf, made_of)
