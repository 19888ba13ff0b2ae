"""The simulated shop's people and products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nba.arms import split_label
from nba.simulation.equations import Equations, Weights
from nba.simulation.parameters import ShopParameters

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: The hidden traits, in the order in which they are drawn.
TRAITS = ("response", "price", "activity", "habit", "rhythm", "patience", "taste")


@dataclass(frozen=True)
class Products:
    """The catalogue of P products.

    Attributes:
        category, brand: int64[P]; categories are the classes of taste.
        price, margin: float64[P], money.
        chance: float64[T, P], that somebody with a taste takes this product.
    """

    category: Ints
    brand: Ints
    price: Floats
    margin: Floats
    chance: Floats

    def __len__(self) -> int:
        return len(self.category)

    @staticmethod
    def draw(parameters: ShopParameters, generator: np.random.Generator) -> Products:
        """A catalogue."""
        says = parameters.catalogue
        shares = _shares(parameters.traits["taste"].share)
        category = np.sort(generator.choice(len(shares), says.products, p=shares))
        price = np.round(says.price_median * np.exp(says.price_spread * generator.standard_normal(says.products)), 2)
        margin = np.round(price * generator.uniform(says.margin_low, says.margin_high, says.products), 2)
        rank = np.arange(says.products) - np.searchsorted(category, category) + 1.0
        within = rank**-says.popularity
        within /= np.bincount(category, within, len(shares))[category]
        there = np.bincount(category, minlength=len(shares)) > 0
        size = shares * there / shares[there].sum()
        own = parameters.taste.own_share * np.diag(there.astype(np.float64))
        by_category = own + (1 - own.sum(axis=1))[:, None] * size
        return Products(
            category=category.astype(np.int64),
            brand=generator.integers(says.brands, size=says.products),
            price=price,
            margin=margin,
            chance=by_category[:, category] * within,
        )

    def of_category(self, categories: int) -> Floats:
        """float64[T, categories], chance that somebody with a taste takes a product of this category."""
        made = np.zeros((len(self.chance), categories))
        np.add.at(made.T, self.category, self.chance.T)
        return made

    def take(self, taste: Ints, generator: np.random.Generator) -> Ints:
        """int64[n], a product for each taste."""
        drawn = generator.random(len(taste))
        found = np.empty(len(taste), dtype=np.int64)
        for one, chances in enumerate(self.chance.cumsum(axis=1)):
            rows = taste == one
            found[rows] = np.searchsorted(chances, drawn[rows] * chances[-1], side="right")
        return found

    def order(self, parameters: ShopParameters) -> tuple[Floats, Floats]:
        """Expected margin and revenue of an order by taste, float64[T] each."""
        chances = np.array(parameters.catalogue.lines)
        lines = (chances * np.arange(1, len(chances) + 1)).sum() / chances.sum()
        return lines * (self.chance @ self.margin), lines * (self.chance @ self.price)


@dataclass(frozen=True)
class People:
    """N people.

    Attributes:
        zone: int64[N], place in the zones of the parameters.
        attributes: name → int64[N], place of the value in the parameters.
        hidden: trait → int64[N], its class.
        prior: trait → float64[N, classes], chances given the attributes.
        account: bool[N], has one at the start.
        consented, reachable: bool[N, C], at the start.
        appeal: float64[N, K], factor of the potency of each label.
    """

    zone: Ints
    attributes: Mapping[str, Ints]
    hidden: Mapping[str, Ints]
    prior: Mapping[str, Floats]
    account: Mask
    consented: Mask
    reachable: Mask
    appeal: Floats

    def __len__(self) -> int:
        return len(self.zone)

    @staticmethod
    def draw(equations: Equations, number: int, generator: np.random.Generator) -> People:
        """People of a shop."""
        parameters = equations.parameters
        zones = _shares(parameters.zones)
        zone = generator.choice(len(zones), number, p=zones)
        attributes = {
            name: generator.choice(len(shares), number, p=_shares(shares))
            for name, shares in parameters.attributes.items()
        }
        prior = {name: priors(parameters, name, attributes) for name in TRAITS}
        hidden = {name: draw(chances, generator) for name, chances in prior.items()}
        asked = consent_chances(equations)[hidden["habit"]]
        consented = generator.random(asked.shape) < asked
        reach = np.array([parameters.channels[name].reachable for name in equations.channels])
        return People(
            zone=zone.astype(np.int64),
            attributes=attributes,
            hidden=hidden,
            prior=prior,
            account=generator.random(number) >= parameters.guests.share,
            consented=consented,
            reachable=generator.random(asked.shape) < reach,
            appeal=appeals(equations, attributes),
        )

    def weights(self, equations: Equations) -> Weights:
        """The classes they are of, as weights."""
        return known(equations, self.hidden)


def known(equations: Equations, hidden: Mapping[str, Ints]) -> Weights:
    """Weight 1 for the classes of n people."""
    size = {name: len(equations.trait(name)) for name in TRAITS}
    rows = np.arange(len(hidden["taste"]))
    reach = np.zeros((len(rows), size["habit"], size["rhythm"], size["patience"]))
    reach[rows, hidden["habit"], hidden["rhythm"], hidden["patience"]] = 1.0
    buying = np.zeros((len(rows), size["response"], size["price"], size["activity"]))
    buying[rows, hidden["response"], hidden["price"], hidden["activity"]] = 1.0
    taste = np.zeros((len(rows), size["taste"]))
    taste[rows, hidden["taste"]] = 1.0
    return Weights(reach, buying.reshape(len(rows), -1), taste)


def priors(parameters: ShopParameters, trait: str, attributes: Mapping[str, Ints]) -> Floats:
    """float64[n, classes], chances of the classes of a trait given attributes: a softmax of added log odds."""
    says = parameters.traits[trait]
    classes = list(says.share)
    number = len(next(iter(attributes.values())))
    odds = np.tile(np.log([says.share[name] for name in classes]), (number, 1))
    for attribute, by_value in says.leaning.items():
        table = np.array(
            [[by_value.get(value, {}).get(name, 0.0) for name in classes] for value in parameters.attributes[attribute]]
        )
        odds += table[attributes[attribute]]
    chances = np.exp(odds - odds.max(axis=1, keepdims=True))
    total: Floats = chances / chances.sum(axis=1, keepdims=True)
    return total


def consent_chances(equations: Equations) -> Floats:
    """float64[H, C], chance to consent to a channel by habit."""
    parameters = equations.parameters
    share = np.array([parameters.channels[name].consent for name in equations.channels])
    doublings = np.log2(equations.attend / equations.attend.mean(axis=1, keepdims=True)).T
    with np.errstate(divide="ignore"):  # consent of everybody: infinite odds
        odds = share / (1 - share) * parameters.consents.odds_per_doubling**doublings
    return np.where(np.isinf(odds), 1.0, odds / (1 + np.where(np.isinf(odds), 0.0, odds)))


def appeals(equations: Equations, attributes: Mapping[str, Ints]) -> Floats:
    """float64[n, K], factor of the potency of each label."""
    parameters = equations.parameters
    made = np.ones((len(next(iter(attributes.values()))), len(equations.arms.actions)))
    for column, text in enumerate(equations.arms.actions):
        for attribute, factors in parameters.appeal.get(split_label(text)[0], {}).items():
            table = np.array([factors.get(value, 1.0) for value in parameters.attributes[attribute]])
            made[:, column] *= table[attributes[attribute]]
    return made


def draw(chances: Floats, generator: np.random.Generator) -> Ints:
    """int64[n], a column for each row of float64[n, k], which add up to 1."""
    above = chances.cumsum(axis=1) < generator.random(len(chances))[:, None]
    column: Ints = np.minimum(above.sum(axis=1), chances.shape[1] - 1)
    return column


def _shares(shares: Mapping[str, float]) -> Floats:
    found = np.array(list(shares.values()))
    total: Floats = found / found.sum()
    return total
