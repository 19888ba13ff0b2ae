"""What a customer is due to buy again: intervals between purchases of one product."""

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
from recommender.sources.scores import Scores


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


@dataclass(frozen=True)
class Purchases:
    """Purchases of one product by one person, as numbers that add up. Parallel arrays, a row a (row, product) pair.

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
        order = np.lexsort((bought.time, key))
        key, time = key[order], bought.time[order]
        fresh = np.ones(len(key), dtype=np.bool_)
        fresh[1:] = (key[1:] != key[:-1]) | (time[1:] // DAY != time[:-1] // DAY)
        pairs, start = np.unique(key, return_index=True)
        occasions = np.add.reduceat(fresh.astype(np.float64), start) if len(pairs) else np.zeros(0)
        stop = np.append(start[1:], len(key)) - 1
        return Purchases(
            pairs // products, pairs % products, occasions, time[start], time[stop] if len(pairs) else time
        )

    def mean_gap(self) -> NDArray[np.float64]:
        """(last − first) / (occasions − 1) in days, NaN after a single occasion."""
        gaps = self.occasions - 1
        return np.where(gaps > 0, np.maximum((self.last - self.first) / DAY, 1) / np.where(gaps > 0, gaps, 1), np.nan)


@dataclass(frozen=True)
class RepurchaseSource:
    """Proposes what is due, by the probability of a purchase within the window.

    The time between purchases is log-normal around the customer's rhythm; a share ``1 − rate`` of purchases is never
    followed by another (a cure model, Boag 1949). With F the distribution of the interval and e the time since the last
    purchase, P(due within w) = rate · (F(e + w) − F(e)) / (1 − rate · F(e)).

    Attributes:
        gap: float64[products], mean of the log of the interval in days.
        spread: standard deviation of the log interval around a customer's rhythm.
        rate: float64[products], share of purchases followed by another of the same product.
        usual_gap, usual_rate: float64[categories + 1], those of a product of each category (by code) that nobody has
            bought yet; at the end those of the shop.
        config: the hyper-parameters.
    """

    gap: NDArray[np.float64]
    spread: float
    rate: NDArray[np.float64]
    usual_gap: NDArray[np.float64]
    usual_rate: NDArray[np.float64]
    config: RepurchaseConfig

    def _due(self, queries: Queries) -> tuple[Purchases, NDArray[np.float64], NDArray[np.float64]]:
        bought = Purchases.of(queries.history, len(self.gap))
        own, gaps = bought.mean_gap(), bought.occasions - 1
        prior = self.config.own_prior
        usual = self.gap[bought.product]
        rhythm = np.where(gaps > 0, (prior * usual + gaps * np.log(np.where(gaps > 0, own, 1))) / (prior + gaps), usual)
        rate = (prior * self.rate[bought.product] + gaps) / (prior + gaps)
        elapsed = np.maximum((queries.at[bought.row] - bought.last) / DAY, 1e-6)
        before = ndtr((np.log(elapsed) - rhythm) / self.spread)
        within = ndtr((np.log(elapsed + self.config.window_days) - rhythm) / self.spread)
        probability = rate * (within - before) / np.maximum(1 - rate * before, 1e-9)
        return bought, rhythm, probability

    def score(self, queries: Queries) -> Scores:
        """See `Source`."""
        bought, _, probability = self._due(queries)
        due = probability > self.config.least_probability
        value = probability[due].astype(np.float32)
        return Scores.summed(bought.row[due], bought.product[due].astype(np.int32), value, len(queries), len(self.gap))

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """``due_at`` (µs UTC: last purchase + median interval), ``due_probability``, ``every_days``."""
        bought, rhythm, probability = self._due(queries.take(np.array([row])))
        found: list[Reason] = []
        for product in products:
            place = int(np.searchsorted(bought.product, product))
            if place == len(bought.product) or bought.product[place] != product:
                found.append({"code": "due_again"})
                continue
            interval = float(np.exp(rhythm[place]))
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

    def grown(self, growth: Growth) -> RepurchaseSource:
        """See `Source`: a new product is bought again as its category is, in a new category as the shop's are."""
        known, now = growth.before.text("category").values, growth.catalogue.text("category")
        codes = [known.code(now.values[code]) if code >= 0 else -1 for code in now.codes[len(self.gap) :].tolist()]
        return replace(
            self,
            gap=np.concatenate([self.gap, self.usual_gap[codes]]),
            rate=np.concatenate([self.rate, self.usual_rate[codes]]),
        )


def fit(log: EventLog, catalogue: Catalogue, config: RepurchaseConfig) -> RepurchaseSource:
    """Intervals and rates of each product, drawn to those of its category, and these to the shop's."""
    n = len(log.products)
    bought = Purchases.of(Histories.of(log), n)
    gaps = bought.occasions - 1
    repeated = gaps > 0
    log_gap = np.log(np.where(repeated, bought.mean_gap(), 1))
    category = catalogue.text("category").codes
    group = np.where(category >= 0, category, category.max(initial=-1) + 1).astype(np.int64)

    gap = np.full(n, np.log(60.0))  # two months, until the shop has seen one interval
    rate = np.full(n, 0.1)

    def drawn_to(level: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Gap and rate of the groups that products are in, drawn to what they were before."""
        of_pair = level[bought.product]
        size = int(level.max(initial=-1)) + 1
        evidence = np.bincount(of_pair, weights=gaps, minlength=size)[level]
        summed = np.bincount(of_pair, weights=gaps * log_gap, minlength=size)[level]
        occasions = np.bincount(of_pair, weights=bought.occasions, minlength=size)[level]
        return (
            (config.prior * gap + summed) / (config.prior + evidence),
            (config.prior * rate + evidence) / (config.prior + occasions),
        )

    gap, rate = drawn_to(np.zeros(n, dtype=np.int64))
    categories = len(catalogue.text("category").values)
    shop = (gap[0], rate[0]) if n else (np.log(60.0), 0.1)
    usual_gap, usual_rate = (np.full(categories + 1, value) for value in shop)
    gap, rate = drawn_to(group)
    usual_gap[category[category >= 0]] = gap[category >= 0]
    usual_rate[category[category >= 0]] = rate[category >= 0]
    gap, rate = drawn_to(np.arange(n))
    residual = (log_gap - gap[bought.product])[repeated]
    weight = gaps[repeated]
    variance = (np.sum(weight * residual**2) + config.prior * 0.5) / (np.sum(weight) + config.prior)
    return RepurchaseSource(gap, float(np.sqrt(variance)), rate, usual_gap, usual_rate, config)
