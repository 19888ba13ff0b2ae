"""A share of answers shows its list in another order, so that what other orders would have done can be learned.

The policy: with probability ``share`` one of the arrangements of a kind is drawn, all of them alike; with probability
``new_share`` the last place goes to one of the m new products that are in no list, all of them alike; else the list
stands as it was made. One draw decides, so an answer never does both. Slots are the free places of the list, n of them,
and behind them the ``reach`` best products that did not get in, r of them. With N the number of arrangements, the
probability that the product of one slot is shown in another is

    pair       share / N      two slots trade, one of them shown;           N = (n + r)(n + r − 1)/2 − r(r − 1)/2
    adjacent   share / N      a slot trades with the one behind it;         N = n − 1, or n where r > 0
    shuffle    share / N      everything is mixed anew;                     N = n + r

(for slots that may trade at all), a new product is shown in the last place with new_share / m, and what is left of 1
is the probability that a product stays where it is. Every draw is a hash, so there is no
seed to keep: who knows the name of the draw knows the list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field, model_validator

from features.config import Config

Swap = Literal["pair", "adjacent", "shuffle"]

#: Numbers in [0, 1) by their place.
Draws = Callable[[int], float]


class ExplorationConfig(Config):
    """How often and how a placement shows its list in another order."""

    share: float = Field(0.0, ge=0, le=1)
    """Probability that an answer explores."""
    swap: Swap = "pair"
    """What trades places: any two products, two that follow each other, or all of them."""
    reach: int = Field(0, ge=0, le=100)
    """How many products from below the end of the list may come into it."""
    new_share: float = Field(0.0, ge=0, le=1)
    """Probability that a new product gets the last place of the list."""
    new_days: int = Field(30, ge=1)
    """New is what came into the shop within so many days, and what nobody has looked at yet."""

    @model_validator(mode="after")
    def _is_a_probability(self) -> ExplorationConfig:
        if self.share + self.new_share > 1:
            msg = "share and new_share exclude each other: together they are at most 1"
            raise ValueError(msg)
        return self


def draws(name: str, block: int) -> Draws:
    """Numbers in [0, 1), uniform as far as anyone can tell, for one block of one answer: BLAKE2b of name and places."""

    def draw(place: int) -> float:
        text = f"{name}\n{block}\n{place}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") / 2**64

    return draw


def arrangement(config: ExplorationConfig, shown: int, below: int, draw: Draws | None) -> list[int]:
    """Which slot's product stands in each of the first ``shown`` slots.

    Args:
        config: the policy.
        shown: n, free places of the list.
        below: r, products behind them.
        draw: where chance comes from; None: nothing is explored.
    """
    still = list(range(shown))
    trades = _arrangements(config.swap, shown, below)
    if draw is None or trades < 1 or draw(0) >= config.share:
        return still
    slots = list(range(shown + below))
    match config.swap:
        case "pair":
            chosen = _of(draw(1), trades)
            first = 0
            while chosen >= len(slots) - 1 - first:
                chosen -= len(slots) - 1 - first
                first += 1
            _trade(slots, first, first + 1 + chosen)
        case "adjacent":
            first = _of(draw(1), trades)
            _trade(slots, first, first + 1)
        case "shuffle":  # Fisher & Yates, from the front
            for place in range(shown):
                _trade(slots, place, place + _of(draw(1 + place), len(slots) - place))
    return slots[:shown]


def propensities(config: ExplorationConfig, shown: int, below: int, arranged: Sequence[int]) -> list[float]:
    """The probability, under the policy, that the product of slot ``arranged[i]`` stands in slot i, for every i.

    Args:
        config, shown, below: as of `arrangement`.
        arranged: what it gave.
    """
    trades = _arrangements(config.swap, shown, below)
    if trades < 1 or config.share == 0:
        return [1.0] * shown
    each = config.share / trades
    return [
        each if slot != place else max(1 - each * _partners(config.swap, place, shown, below), 0.0)
        for place, slot in enumerate(arranged)
    ]


def newcomer(config: ExplorationConfig, new: int, draw: Draws | None) -> int | None:
    """Which of the new products gets the last place, each with probability ``new_share`` / m; None: none of them.

    Args:
        config: the policy.
        new: m, how many there are.
        draw: that of `arrangement`; None: nothing is explored.
    """
    if draw is None or new == 0 or not config.share <= draw(0) < config.share + config.new_share:
        return None
    return _of(draw(1), new)


def _arrangements(swap: Swap, shown: int, below: int) -> int:
    """N of the formulas above; 0 where nothing can trade."""
    slots = shown + below
    if shown == 0 or slots < 2:
        return 0
    match swap:
        case "pair":
            return slots * (slots - 1) // 2 - below * (below - 1) // 2
        case "adjacent":
            return shown - 1 + (below > 0)
        case "shuffle":
            return slots


def _partners(swap: Swap, place: int, shown: int, below: int) -> int:
    """How many of the N arrangements put another slot's product into a place."""
    if swap == "adjacent":
        return (place > 0) + (place < shown - 1 or below > 0)
    return shown + below - 1


def _of(number: float, n: int) -> int:
    """One of 0 … n − 1."""
    return min(int(number * n), n - 1)


def _trade(slots: list[int], one: int, other: int) -> None:
    slots[one], slots[other] = slots[other], slots[one]
