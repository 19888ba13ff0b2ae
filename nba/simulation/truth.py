"""The truth of a simulated shop: what any decision on a logged moment was worth, exactly.

It lies in ``DATA/truth`` and is for judging only: nothing that learns may read it. Values are one-step values, the
expectation of value − cost in the outcome window, given the hidden classes, the moment and the contact; what contacts
do to later rounds (fatigue, consent that is lost) shows in the later rows of the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.events import HOUR
from nba.arms import Arms
from nba.simulation.clock import Clock
from nba.simulation.equations import Equations, Floats, Ints, Situation, Terms, Weights
from nba.simulation.logging_policy import Slots
from nba.simulation.people import TRAITS, appeals, known
from nba.simulation.shop import Decisions, SimulatedShop
from nba.values import DAY_HOURS

Mask = NDArray[np.bool_]

#: Rows valued at once.
PART = 20_000

#: Name of the folder in a dataset.
FOLDER = "truth"


@dataclass(frozen=True)
class Choices:
    """What to do in n decisions.

    Attributes:
        arm: int64[n], place in the arms of the truth.
        send_at: int64[n], µs UTC; for hold anything.
    """

    arm: Ints
    send_at: Ints


@dataclass(frozen=True)
class Truth:
    """Of M decisions, in the order of the messages table.

    Attributes:
        equations: of the shop.
        message_ids: M ids.
        hidden: trait → int64[M], class of the customer.
        attributes: name → int64[M], of the customer.
        zone: int64[M], of the customer.
        decided: int64[M], µs UTC.
        scale, fatigue: float64[M], see `nba.simulation.equations.Situation`.
        eligible: bool[M, A].
        ceiling_arm, ceiling_sent: int64[M].
    """

    equations: Equations
    message_ids: tuple[str, ...]
    hidden: dict[str, Ints]
    attributes: dict[str, Ints]
    zone: Ints
    decided: Ints
    scale: Floats
    fatigue: Floats
    eligible: Mask
    ceiling_arm: Ints
    ceiling_sent: Ints

    def __len__(self) -> int:
        return len(self.decided)

    @staticmethod
    def of(shop: SimulatedShop) -> Truth:
        """Of a shop in memory; the order is that of its decisions."""
        decisions, people = shop.decisions, shop.people
        who = decisions.customer
        return Truth(
            equations=shop.equations,
            message_ids=message_ids(len(decisions)),
            hidden={name: classes[who] for name, classes in people.hidden.items()},
            attributes={name: values[who] for name, values in people.attributes.items()},
            zone=people.zone[who],
            decided=decisions.decided,
            scale=decisions.scale,
            fatigue=decisions.fatigue,
            eligible=decisions.eligible,
            ceiling_arm=decisions.ceiling_arm,
            ceiling_sent=decisions.ceiling_sent,
        )

    @staticmethod
    def read(data: Path) -> Truth:
        """Of the dataset in a folder.

        Raises:
            OSError: there is no truth beside it.
        """
        from nba.simulation.files import read_truth

        return read_truth(data / FOLDER)

    @property
    def arms(self) -> Arms:
        """What could be done; places of arms are those of `Choices`."""
        return self.equations.arms

    def rows(self, message_ids: Iterable[str]) -> Ints:
        """int64[n], where these messages stand.

        Raises:
            KeyError: one is none of the shop's.
        """
        return np.array([self._places[one] for one in message_ids], dtype=np.int64)

    def expected(self, rows: Ints, arm: Ints, send_at: Ints) -> Floats:
        """float64[n], expectation of value − cost if it is done.

        Args:
            rows: int64[n], of the decisions.
            arm: int64[n], place in ``arms``; it need not have been eligible.
            send_at: int64[n], µs UTC, within two weeks of the decision; for hold anything.
        """
        found = np.empty(len(rows))
        for part in _parts(len(rows)):
            some, chosen = rows[part], arm[part]
            contact = chosen > 0
            at = np.where(contact, send_at[part], self.decided[some])
            cells = self._clock.cells(self.zone[some], at)
            hidden = {name: classes[some] for name, classes in self.hidden.items()}
            attended = self.equations.attends(hidden, self.fatigue[some], chosen, cells)
            _, _, terms = self._terms(some)
            found[part] = self.equations.expected(terms, chosen, attended)
        return found

    def ceiling(self) -> Choices:
        """What somebody would do who knows the equations, but of the customers only what can be observed.

        It is the best expectation under the exact posterior of the hidden classes, given attributes, consents and all
        that was seen of the customer until the decision, over eligible arms and the allowed ones of the next 24 hours.
        """
        return Choices(self.ceiling_arm, self.ceiling_sent)

    def oracle(self) -> Choices:
        """What somebody would do who knows the hidden classes too; same arms, same hours."""
        arm, sent = np.zeros(len(self), dtype=np.int64), self.decided.copy()
        for part in _parts(len(self)):
            rows = np.arange(part.start, part.stop)
            slots = self.slots(rows)
            weights, situation, _ = self._terms(rows)
            best, slot, _ = self.equations.best(weights, situation, self.eligible[rows], slots.cell, slots.allowed)
            arm[rows] = best
            sent[rows] = np.where(slot < 0, self.decided[rows], slots.time[np.arange(len(rows)), slot])
        return Choices(arm, sent)

    def constant(self, rows: Ints, arm: int, hour: int) -> Choices:
        """One arm where it is eligible, at the allowed hour nearest to ``hour`` of the customer's day; else hold."""
        slots = self.slots(rows)
        away = np.where(slots.allowed, np.abs(slots.cell % DAY_HOURS - hour), DAY_HOURS)
        sent = slots.time[np.arange(len(rows)), away.argmin(axis=1)]
        return Choices(np.where(self.eligible[rows, arm], arm, 0), sent)

    def slots(self, rows: Ints) -> Slots:
        """The hours in which a contact of these decisions could be sent."""
        return Slots.after(self.decided[rows], self.zone[rows], self._clock, self.equations.parameters)

    def _terms(self, rows: Ints) -> tuple[Weights, Situation, Terms]:
        attributes = {name: values[rows] for name, values in self.attributes.items()}
        situation = Situation(self.scale[rows], self.fatigue[rows], appeals(self.equations, attributes))
        weights = known(self.equations, {name: self.hidden[name][rows] for name in TRAITS})
        return weights, situation, self.equations.terms(weights, situation)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {one: place for place, one in enumerate(self.message_ids)}

    @cached_property
    def _clock(self) -> Clock:
        zones = tuple(self.equations.parameters.zones)
        return Clock.of(zones, int(self.decided.min()), int(self.decided.max()) + 14 * 24 * HOUR)


def true_values(truth: Truth, decisions: Decisions) -> dict[str, float]:
    """Mean one-step value of a decision under hold, the policy of the log, the ceiling and the oracle."""
    rows, nothing = np.arange(len(truth)), np.zeros(len(truth), dtype=np.int64)
    policies = {
        "hold": Choices(nothing, truth.decided),
        "logged": Choices(decisions.arm, decisions.sent),
        "ceiling": truth.ceiling(),
        "oracle": truth.oracle(),
    }
    return {name: float(truth.expected(rows, one.arm, one.send_at).mean()) for name, one in policies.items()}


def message_ids(number: int) -> tuple[str, ...]:
    """Ids of decisions in the order in which they were made."""
    return tuple(f"m-{place:07d}" for place in range(1, number + 1))


def _parts(n: int) -> list[slice]:
    return [slice(first, min(first + PART, n)) for first in range(0, n, PART)]
