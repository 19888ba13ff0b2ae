"""What a customer is due to buy again: intervals between purchases of one product, or from one category."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtr

from features.catalogue import Catalogue
from features.config import Config
from features.events import DAY, EventLog
from features.histories import Histories
from recommender.queries import Queries
from recommender.sources.base import Growth, Reason
from recommender.sources.scores import Votes


class RepurchaseConfig(Config):
    """Hyper-parameters of `fit`."""

    kind: Literal["repurchase"] = "repurchase"
    window_days: float = Field(14, gt=0)
    """``due_probability`` is the probability that the customer buys again within this many days."""
    prior: float = Field(5, gt=0)
    """Evidence, in intervals, with which a product is drawn to its category and a category to the shop."""
    own_prior: float = Field(2, gt=0)
    """Evidence, in intervals, with which a customer's own rhythm is drawn to the product's."""
    least_probability: float = Field(0.001, ge=0, lt=1)
    """Below this a product is not proposed."""
    due_share: float = Field(0.25, gt=0, lt=1)
    """What was bought is wanted again once so large a share of intervals would be over …"""
    least_return: float = Field(0.05, ge=0, lt=1)
    """… unless it is followed by another purchase with less than this probability."""


@dataclass(frozen=True)
class Purchases:
    """Purchases of one product by one person, as numbers that add up. Parallel arrays, a row a (row, product) pair.

    Where history was told by categories (`by_category`), for product read category.

    occasions: float64, days on which it was bought; first, last: int64 µs.
    """

    row: NDArray[np.int64]
    product: NDArray[np.int64]
    occasions: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    @staticmethod
    def of(history: Histories, products: int) -> Purchases:
        """From histories; purchases of one day are one occasion."""
        bought = history.bought
        key = bought.row * products + bought.product
        order = np.argsort(key, kind="stable")  # by time within, as histories are
        key, time = key[order], bought.time[order]
        begins, another = np.ones(len(key) + 1, dtype=np.bool_), np.ones(len(key) + 1, dtype=np.bool_)
        np.not_equal(key[1:], key[:-1], out=begins[1:-1])
        day = time // DAY
        np.not_equal(day[1:], day[:-1], out=another[1:-1])
        bounds = np.flatnonzero(begins)
        start, stop = bounds[:-1], bounds[1:] - 1
        number = (begins | another).cumsum()
        occasions = (number[stop] - number[start] + 1).astype(np.float64)
        return Purchases(key[start] // products, key[start] % products, occasions, time[start], time[stop])

    def mean_gap(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """(last − first) / (occasions − 1) in days, of pairs with more than one occasion."""
        days = (self.last[pairs] - self.first[pairs]) / DAY
        found: NDArray[np.float64] = np.maximum(days, 1) / (self.occasions[pairs] - 1)
        return found


@dataclass(frozen=True)
class Rhythms:
    """When each of n things (products, categories, or pairs of a person and one of these) is bought again.

    The time between purchases is log-normal; a share ``1 − rate`` of purchases is never followed by another (a cure
    model, Boag 1949). F is the distribution of the interval, e the time since the last purchase in days.

    Attributes:
        gap: float64[n], mean of the log of the interval in days.
        rate: float64[n], share of purchases followed by another.
        spread: standard deviation of the log interval around a customer's rhythm.
    """

    gap: NDArray[np.float64]
    rate: NDArray[np.float64]
    spread: float

    def of(self, bought: Purchases, prior: float) -> Rhythms:
        """Those of pairs: what each person's own intervals say, drawn to the usual by ``prior`` intervals."""
        gaps, gap = bought.occasions - 1, self.gap[bought.product]
        again = np.flatnonzero(gaps)
        if len(again):
            often = gaps[again]
            gap[again] = (prior * gap[again] + often * np.log(bought.mean_gap(again))) / (prior + often)
        return Rhythms(gap, (prior * self.rate[bought.product] + gaps) / (prior + gaps), self.spread)

    def take(self, things: NDArray[np.integer]) -> Rhythms:
        """Some of them, again if a thing is named again."""
        return Rhythms(self.gap[things], self.rate[things], self.spread)

    def over(self, elapsed: NDArray[np.float64]) -> NDArray[np.float64]:
        """F(e): the share of intervals that would be over, float64[n]."""
        return np.asarray(ndtr((np.log(elapsed) - self.gap) / self.spread))

    def within(self, elapsed: NDArray[np.float64], days: float) -> NDArray[np.float64]:
        """Probability of a purchase in the next days: rate · (F(e + days) − F(e)) / (1 − rate · F(e)), float64[n]."""
        before = self.over(elapsed)
        return self.rate * (self.over(elapsed + days) - before) / np.maximum(1 - self.rate * before, 1e-9)


@dataclass(frozen=True)
class RepurchaseSource:
    """Proposes what is due, by the probability of a purchase within the window; knows what is not wanted yet.

    Attributes:
        products: of each product.
        usual: of a product of each category (by code) that nobody has bought yet; at the end that of the shop.
        categories: of buying anything from each category (by code) again.
        any_category: of one thing, the same whatever the category.
        category: int32[products], code of the category of each product, -1 for none.
        config: the hyper-parameters.
    """

    products: Rhythms
    usual: Rhythms
    categories: Rhythms
    any_category: Rhythms
    category: NDArray[np.int32]
    config: RepurchaseConfig

    def _due(self, queries: Queries) -> tuple[Purchases, Rhythms, NDArray[np.float64]]:
        bought = Purchases.of(queries.history, len(self.category))
        rhythm = self.products.of(bought, self.config.own_prior)
        return bought, rhythm, rhythm.within(_elapsed(queries.at[bought.row], bought), self.config.window_days)

    def votes(self, queries: Queries) -> Votes:
        """See `Source`."""
        bought, _, probability = self._due(queries)
        due = probability > self.config.least_probability
        row, product = bought.row[due], bought.product[due].astype(np.int32)
        return Votes.of(row, product, probability[due].astype(np.float32), len(queries))

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """``due_at`` (µs UTC: last purchase + median interval), ``due_probability``, ``every_days``."""
        bought, rhythm, probability = self._due(queries.take(np.array([row])))
        found: list[Reason] = []
        for product in products:
            place = int(np.searchsorted(bought.product, product))
            if place == len(bought.product) or bought.product[place] != product:
                found.append({"code": "due_again"})
                continue
            interval = float(np.exp(rhythm.gap[place]))
            due_at = int(bought.last[place] + interval * DAY)
            found.append(
                {
                    "code": "due_again",
                    "due_at": due_at,
                    "due_probability": float(probability[place]),
                    "every_days": interval,
                }
            )
        return found

    def resting(self, history: Histories, at: int) -> NDArray[np.int32]:
        """Products that one person (a row of history) bought and does not want yet, int32, ascending.

        Wanted is what was bought so long ago that F(e) ≥ ``due_share``, if it is bought again at all: rate ≥
        ``least_return``. Who is long overdue may want it, too.
        """
        bought = Purchases.of(history, len(self.category))
        rhythm, elapsed = self.products.of(bought, self.config.own_prior), _elapsed(at, bought)
        wanted = (rhythm.over(elapsed) >= self.config.due_share) & (rhythm.rate >= self.config.least_return)
        return bought.product[~wanted].astype(np.int32)

    def restraint(self, history: Histories, at: int, products: NDArray[np.int32]) -> NDArray[np.float32]:
        """What one person's last purchase from a category leaves of the scores of its products, float32[products].

        min(1, P / U), P the probability that they buy from the category within the window, U what it would be after as
        long a time in any category of the shop. Time stands still once half of the category's intervals would be over:
        who has not come back by then may have left, and that is not the category's fault. 1 for products they bought
        themselves, which `resting` is about, and in categories they bought nothing from.
        """
        bought = Purchases.of(by_category(history, self.category), len(self.categories.gap))
        factor = np.ones(len(self.categories.gap) + 1, dtype=np.float32)
        if len(bought.product):
            rhythm, window = self.categories.of(bought, self.config.own_prior), self.config.window_days
            elapsed = np.minimum(_elapsed(at, bought), np.exp(rhythm.gap))
            usual = self.any_category.within(elapsed, window)
            factor[bought.product] = np.minimum(rhythm.within(elapsed, window) / np.maximum(usual, 1e-9), 1)
        kept = factor[self.category]
        kept[history.bought.product] = 1
        return kept[products]

    def grown(self, growth: Growth) -> RepurchaseSource:
        """See `Source`: a new product is bought again as its category is, in a new category as the shop's are."""
        known, now = growth.before.text("category").values, growth.catalogue.text("category")
        category = np.append(known.codes(now.values), np.int32(-1))[now.codes]
        new = self.usual.take(category[len(self.category) :])
        gap, rate = np.append(self.products.gap, new.gap), np.append(self.products.rate, new.rate)
        return replace(self, products=replace(self.products, gap=gap, rate=rate), category=category)


def by_category(history: Histories, category: NDArray[np.int32]) -> Histories:
    """The purchases with categories in place of products. ``category``: int32[products], -1 for none: left out."""
    bought = history.bought.where(category[history.bought.product] >= 0)
    return replace(bought, product=category[bought.product])


def _elapsed(at: NDArray[np.int64] | int, bought: Purchases) -> NDArray[np.float64]:
    """Days since the last purchase, float64, above 0."""
    return np.asarray(np.maximum((at - bought.last) / DAY, 1e-6))


def fit(log: EventLog, catalogue: Catalogue, config: RepurchaseConfig) -> RepurchaseSource:
    """Intervals and rates of each product, drawn to those of its category, and these to the shop's.

    Those of buying from a category again, with other intervals each time, are drawn to the shop's, too.
    """
    n, histories = len(log.products), Histories.of(log)
    category, k = catalogue.text("category").codes, len(catalogue.text("category").values)
    known = category >= 0

    # One thing more than there are: of one that nobody bought only what is usual is known.
    groups = np.append(np.where(known, category, k), k).astype(np.int64)
    levels = [np.zeros(n + 1, dtype=np.int64), groups, np.arange(n + 1)]
    bought = Purchases.of(histories, n)
    gaps = bought.occasions - 1
    log_gap, again = np.zeros(len(gaps)), np.flatnonzero(gaps)
    log_gap[again] = np.log(bought.mean_gap(again))
    shop, in_category, products = _drawn(bought.product, bought.occasions, gaps, log_gap, levels, config.prior)
    drawn = products.of(bought, config.own_prior)
    products = replace(products, spread=_spread(bought, drawn, histories.bought, n, config.prior))
    usual = shop.take(np.full(k + 1, n))
    usual.gap[category[known]] = in_category.gap[:n][known]
    usual.rate[category[known]] = in_category.rate[:n][known]

    levels = [np.zeros(k + 1, dtype=np.int64), np.arange(k + 1)]
    key, days = _occasions(by_category(histories, category), k)
    each = key % max(k, 1)
    followed = ~np.isnan(days)
    log_gap = np.log(np.where(followed, days, 1))
    anything, categories = _drawn(each, np.ones(len(each)), followed.astype(float), log_gap, levels, config.prior)
    return RepurchaseSource(
        products.take(np.arange(n)),
        usual,
        categories.take(np.arange(k)),
        anything.take(np.array([k])),
        category,
        config,
    )


def _occasions(bought: Histories, things: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Days on which one person bought one thing: int64, row · things + thing, ascending; float64, days until the next
    time, NaN for none."""
    key = bought.row * things + bought.product
    order = np.lexsort((bought.time, key))
    key, day = key[order], bought.time[order] // DAY
    fresh = np.ones(len(key), dtype=np.bool_)
    fresh[1:] = (key[1:] != key[:-1]) | (day[1:] != day[:-1])
    key, day = key[fresh], day[fresh]
    until = np.full(len(key), np.nan)
    until[:-1] = np.where(key[1:] == key[:-1], day[1:] - day[:-1], np.nan)
    return key, until


def _spread(pairs: Purchases, rhythms: Rhythms, bought: Histories, things: int, prior: float) -> float:
    """Standard deviation of the log of each interval around the rhythm of its pair of person and thing."""
    key, days = _occasions(bought, things)
    followed = ~np.isnan(days)
    pair = (pairs.row * things + pairs.product).searchsorted(key[followed])
    residual = np.log(days[followed]) - rhythms.gap[pair]
    return float(np.sqrt((np.sum(residual**2) + prior * 0.5) / (len(residual) + prior)))


def _drawn(
    thing: NDArray[np.int64],
    occasions: NDArray[np.float64],
    gaps: NDArray[np.float64],
    log_gap: NDArray[np.float64],
    levels: list[NDArray[np.int64]],
    prior: float,
) -> list[Rhythms]:
    """Rhythms of things on every level, each drawn to those of the level before by ``prior`` intervals.

    Args:
        thing: what was bought, a row an occasion, or a row for several.
        occasions: how often.
        gaps: how often that was followed by another occasion.
        log_gap: mean log of the days in between; anything where ``gaps`` is 0.
        levels: int64[things] each, the group that a thing belongs to, from one for all to one for each.
        prior: evidence, in intervals.
    """
    repeated = gaps > 0
    n = len(levels[0])
    gap = np.full(n, np.log(60.0))  # two months, until the shop has seen one interval
    rate = np.full(n, 0.1)
    found: list[Rhythms] = []
    for level in levels:
        of_row = level[thing]
        size = int(level.max(initial=-1)) + 1
        evidence = np.bincount(of_row, weights=gaps, minlength=size)[level]
        summed = np.bincount(of_row, weights=gaps * log_gap, minlength=size)[level]
        times = np.bincount(of_row, weights=occasions, minlength=size)[level]
        gap = (prior * gap + summed) / (prior + evidence)
        rate = (prior * rate + evidence) / (prior + times)
        residual = (log_gap - gap[thing])[repeated]
        weight = gaps[repeated]
        variance = (np.sum(weight * residual**2) + prior * 0.5) / (np.sum(weight) + prior)
        found.append(Rhythms(gap, rate, float(np.sqrt(variance))))
    return found
