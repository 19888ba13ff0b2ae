"""What somebody who knows every equation can know of each person: exact posterior chances of the hidden classes.

Each observation multiplies the weight of every class by the chance that this class gives it (Bayes). The blocks of
`nba.simulation.equations` stay independent: whether a contact was attended is seen (a click), and given that, its hour
and channel tell of reach alone, the order of buying alone, the products of taste alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nba.simulation.equations import Equations, Floats, Ints, Weights
from nba.simulation.people import People, consent_chances
from nba.values import HOUR_CELLS

Mask = NDArray[np.bool_]


class Beliefs:
    """Log weights of the classes of N people, moved by what is seen of them.

    Attributes:
        reach: float64[N, H, R, P].
        buying: float64[N, B].
        taste: float64[N, T].
    """

    def __init__(self, equations: Equations, people: People, category_chances: Floats) -> None:
        """Before anything happens: attributes, and the channels they consented to.

        Args:
            equations: of the shop.
            people: of whom attributes and consents are read.
            category_chances: float64[T, G], chance that somebody with a taste takes a product of a category.
        """
        self._equations = equations
        prior = {name: np.log(chances) for name, chances in people.prior.items()}
        asked = consent_chances(equations)  # [H, C]
        with np.errstate(divide="ignore"):
            yes, no = np.log(asked), np.log1p(-asked)
        said = np.where(people.consented[:, None, :], yes, no).sum(axis=2)
        self.reach = (
            (prior["habit"] + said)[:, :, None, None]
            + prior["rhythm"][:, None, :, None]
            + prior["patience"][:, None, None, :]
        )
        buying = (
            prior["response"][:, :, None, None] + prior["price"][:, None, :, None] + prior["activity"][:, None, None]
        )
        self.buying = buying.reshape(len(people), -1)
        self.taste = prior["taste"].copy()
        self._log_activity = np.log(equations.activity)  # [R, cells]
        self._log_category = np.log(category_chances)  # [T, G]

    def weights(self) -> Weights:
        """Chances, adding up to 1 in each block."""
        return Weights(_normal(self.reach), _normal(self.buying), _normal(self.taste))

    def saw_hours(self, who: Ints, cells: Ints) -> None:
        """Each of ``who`` shopped of their own accord in an hour cell."""
        n = len(self.taste)
        counts = np.bincount(who * HOUR_CELLS + cells, minlength=n * HOUR_CELLS).reshape(n, HOUR_CELLS)
        self.reach += (counts @ self._log_activity.T)[:, None, :, None]

    def saw_products(self, who: Ints, categories: Ints) -> None:
        """Each of ``who`` took a product of a category."""
        n, size = len(self.taste), self._log_category.shape[1]
        counts = np.bincount(who * size + categories, minlength=n * size).reshape(n, size)
        seen = counts.sum(axis=0) > 0
        self.taste += counts[:, seen] @ self._log_category[:, seen].T

    def saw_visits(self, number: Ints) -> None:
        """int64[N], how often each came of their own accord in a round."""
        mean = self._equations.activities("sessions")
        self.buying += number[:, None] * np.log(mean) - mean

    def saw_trigger(self, chances: Floats, kind: Ints) -> None:
        """What each did just before a decision.

        Args:
            chances: float64[N, B, kinds].
            kind: int64[N].
        """
        self.buying += np.log(np.take_along_axis(chances, kind[:, None, None], axis=2)[:, :, 0])

    def saw_contact(self, who: Ints, action: Ints, channel: Ints, cell: Ints, fatigue: Floats, attended: Mask) -> None:
        """Whether each of ``who`` attended a contact."""
        equations = self._equations
        left = np.exp(-fatigue[:, None] * equations.tires)  # [k, P]
        by_habit = equations.attend[channel] * equations.notice[action][:, None]  # [k, H]
        by_rhythm = equations.lift[channel, :, cell]  # [k, R]
        chance = by_habit[:, :, None, None] * by_rhythm[:, None, :, None] * left[:, None, None, :]
        self.reach[who] += np.log(np.where(attended[:, None, None, None], chance, 1 - chance))

    def saw_outcome(self, who: Ints, chances: Floats, happened: Mask) -> None:
        """Whether each of ``who`` ordered, unsubscribed or complained, float64[k, B] being the chance of it."""
        with np.errstate(divide="ignore"):  # what cannot happen does not
            self.buying[who] += np.log(np.where(happened[:, None], chances, 1 - chances))


def _normal(logs: Floats) -> Floats:
    flat = logs.reshape(len(logs), -1)
    chances = np.exp(flat - flat.max(axis=1, keepdims=True))
    total: Floats = (chances / chances.sum(axis=1, keepdims=True)).reshape(logs.shape)
    return total
