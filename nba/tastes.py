"""What customers care for when they buy: a low price, brands they know. Shares of what they bought, shrunk.

Both are computed from the purchases themselves, in training as in serving, since no state feature holds what a product
usually costs or who makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: What is told.
TASTES = ("discount_affinity", "brand_loyalty")

#: Only so many of a customer's newest purchase lines are looked at, in training and in serving. With few of them, who
#: buys much seems to try new brands all the time.
NEWEST = 200

#: A price this far below the usual one is a bargain.
BARGAIN = 0.9

#: What a product usually costs: this quantile of what was paid for it, if it was sold often enough.
USUAL, LEAST_SOLD = 0.75, 5

FILE = "tastes.npz"


@dataclass(frozen=True)
class Bought:
    """Purchase lines of n customers: those of customer i are rows start[i]:start[i + 1], by time, the newest `NEWEST`.

    Attributes:
        start: int64[n + 1].
        time: int64[k], microseconds since 1970 UTC; lines of one order have one time.
        key: int64[k], `features.people.digest` of the product id.
        price: float64[k], of a piece as paid, NaN if unknown.
    """

    start: Ints
    time: Ints
    key: Ints
    price: Floats

    @staticmethod
    def of(people: Sequence[Sequence[tuple[int, int, float]]]) -> Bought:
        """From lines (time, key, price) of each customer, by time."""
        start = np.concatenate([[0], np.cumsum([len(lines) for lines in people])]).astype(np.int64)
        rows = [line for lines in people for line in lines]
        time, key, price = zip(*rows, strict=True) if rows else ((), (), ())
        return Bought(
            start,
            np.array(time, dtype=np.int64),
            np.array(key, dtype=np.int64),
            np.array(price, dtype=np.float64),
        )

    @property
    def owner(self) -> Ints:
        """int64[k], whose line each row is."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))


@dataclass(frozen=True)
class Share:
    """Everybody's share, and how many lines it weighs against a customer's own: the mean and size of a beta prior."""

    mean: float
    weight: float

    def of(self, hits: Floats, lines: Floats) -> Floats:
        """The share of each customer, shrunk: (hits + weight · mean) / (lines + weight)."""
        return (hits + self.weight * self.mean) / (lines + self.weight)


@dataclass(frozen=True)
class Tastes:
    """What is known of p products, and everybody's shares.

    Attributes:
        key: int64[p], ascending.
        usual: float64[p], what it usually costs, NaN if unknown.
        brand: int32[p], number of its brand, -1 if unknown.
        bargains: of lines bought as a bargain; None if no usual price is known.
        familiar: of lines in the newer half, after the first order, that are of a brand bought before; None if no brand
            is known.
    """

    key: Ints
    usual: Floats
    brand: NDArray[np.int32]
    bargains: Share | None
    familiar: Share | None

    def score(self, bought: Bought) -> dict[str, Floats]:
        """``discount_affinity`` and ``brand_loyalty``, float64[n] each.

        discount_affinity: share of purchases below `BARGAIN` of the usual price; NaN where no purchase has one.
        brand_loyalty: chance that the next purchase is of a brand bought before; NaN where no brand was bought yet.
        """
        found = {}
        if self.bargains is not None:
            hits, lines = self.bargain_lines(bought)
            found["discount_affinity"] = np.where(lines > 0, self.bargains.of(hits, lines), np.nan)
        if self.familiar is not None:
            hits, lines, any_brand = self.familiar_lines(bought)
            found["brand_loyalty"] = np.where(any_brand, self.familiar.of(hits, lines), np.nan)
        return found

    def bargain_lines(self, bought: Bought) -> tuple[Floats, Floats]:
        """Lines that were a bargain, and lines whose price and usual price are known, of each customer."""
        owner, n = bought.owner, len(bought.start) - 1
        usual = np.append(self.usual, np.nan)[_places(self.key, bought.key)]
        told = ~np.isnan(usual) & ~np.isnan(bought.price)
        bargain = told & (bought.price < BARGAIN * usual)
        return _sum(owner, bargain, n), _sum(owner, told, n)

    def familiar_lines(self, bought: Bought) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Lines of a brand bought in an earlier order, lines that could be, and whether any brand is known.

        Lines that could be are those after the first order in the newer half: before, few brands could be familiar yet.
        """
        n = len(bought.start) - 1
        brand = np.append(self.brand, np.int32(-1))[_places(self.key, bought.key)]
        known = brand >= 0
        owner, time, brand = bought.owner[known], bought.time[known], brand[known].astype(np.int64)
        if not len(owner):
            return np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.bool_)
        # Rows stand by customer and time, so the first row of a customer (and brand) is the earliest.
        _, first, pair = np.unique(owner * (brand.max() + 1) + brand, return_index=True, return_inverse=True)
        customers, begin, customer = np.unique(owner, return_index=True, return_inverse=True)
        later = time > time[begin][customer]
        place = np.arange(len(owner)) - begin[customer]
        later &= 2 * place >= np.bincount(customer)[customer]
        any_brand = np.zeros(n, dtype=np.bool_)
        any_brand[customers] = True
        return _sum(owner, later & (time > time[first][pair]), n), _sum(owner, later, n), any_brand

    def write(self, folder: Path) -> None:
        """As ``tastes.npz``."""
        shares = [[np.nan, np.nan] if one is None else [one.mean, one.weight] for one in (self.bargains, self.familiar)]
        np.savez(folder / FILE, key=self.key, usual=self.usual, brand=self.brand, shares=np.array(shares))

    @staticmethod
    def read(folder: Path) -> Tastes:
        """What `write` wrote."""
        with np.load(folder / FILE, allow_pickle=False) as held:
            bargains, familiar = (None if np.isnan(one[0]) else Share(*one) for one in held["shares"].tolist())
            return Tastes(held["key"], held["usual"], held["brand"], bargains, familiar)


def fit_tastes(bought: Bought, brands: dict[int, int]) -> Tastes:
    """Usual prices and everybody's shares.

    Args:
        bought: what customers bought.
        brands: number of the brand by product key, of products that have one.
    """
    key, usual = usual_prices(bought.key, bought.price)
    brand = np.array([brands.get(one, -1) for one in key.tolist()], dtype=np.int32)
    told = Tastes(key, usual, brand, None, None)
    bargain_hits, bargain_lines = told.bargain_lines(bought)
    familiar_hits, familiar_lines, _ = told.familiar_lines(bought)
    return Tastes(key, usual, brand, share_of(bargain_hits, bargain_lines), share_of(familiar_hits, familiar_lines))


def usual_prices(key: Ints, price: Floats) -> tuple[Ints, Floats]:
    """Products in ascending order of their keys, and what each usually costs: a high quantile of what was paid.

    A regular price is what a product costs when it is not on offer, so it lies near the upper end of what was paid.
    """
    products, where = np.unique(key, return_inverse=True)
    told = ~np.isnan(price)
    where, price = where[told], price[told]
    count = np.bincount(where, minlength=len(products))
    place = np.cumsum(count) - count + np.floor(USUAL * np.maximum(count - 1, 0)).astype(np.int64)
    usual = np.append(price[np.lexsort((price, where))], np.nan)[np.minimum(place, len(price))]
    return products, np.where(count >= LEAST_SOLD, usual, np.nan)


def share_of(hits: Floats, lines: Floats) -> Share | None:
    """The beta prior of customers' shares, by moments; None without two customers and two lines of one of them.

    The weight is 1/ρ − 1 with the analysis-of-variance estimator of the intraclass correlation ρ (Ridout, Demétrio &
    Firth, Biometrics 55, 1999, section 2).
    """
    there = lines > 0
    hits, lines = hits[there], lines[there]
    total, customers = lines.sum(), len(lines)
    if customers < 2 or total <= customers:
        return None
    mean, share = hits.sum() / total, hits / lines
    between = (lines * (share - mean) ** 2).sum() / (customers - 1)
    within = (lines * share * (1 - share)).sum() / (total - customers)
    size = (total - (lines**2).sum() / total) / (customers - 1)
    spread = between + (size - 1) * within
    correlation = np.clip((between - within) / spread, 1e-3, 0.9) if spread > 0 else 0.9
    return Share(float(mean), float(1 / correlation - 1))


def _places(keys: Ints, wanted: Ints) -> Ints:
    """Where keys stand in an ascending array; its length where they do not."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, len(keys))


def _sum(owner: Ints, rows: NDArray[np.bool_], n: int) -> Floats:
    return np.bincount(owner[rows], minlength=n).astype(np.float64)
