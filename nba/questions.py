"""What was asked about whom, as it is kept; and what is kept of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np
import orjson

from features.people import digest
from features.store.base import Decision, Json
from nba.arms import HOLD
from nba.asked import Asked, Constraints
from nba.decide import Decided
from nba.one_customer import Who

#: ``Decision.kind`` of these.
ACTION: Final = "action"

#: ``Decision.kind`` of what became of one just before it was sent.
RELEASE: Final = "release"

#: What of a kept answer is told; the rest is for replays and for the log that models learn from.
TOLD = (
    "choice", "propensity", "send_at_propensity", "expected_value", "incremental_value", "interval", "alternatives",
    "excluded", "policy", "ask_again_at",
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    """One question about one person. ``past``: ``at`` lies behind, and only what was known then counts."""

    who: Who
    asked: Asked
    at: int
    past: bool = False

    @property
    def number(self) -> int:
        """The same for whoever asks the same, whenever and about whomever."""
        return digest(orjson.dumps(asked_json(self.asked), option=orjson.OPT_SORT_KEYS).decode())

    def to_json(self) -> Json:
        """As `features.store.base.Decision.request` keeps it."""
        return {"who": asdict(self.who), "asked": asked_json(self.asked), "at": self.at, "past": self.past}

    @staticmethod
    def of_json(request: Mapping[str, Any]) -> Question:
        """The inverse of `to_json`, also after a way through JSON."""
        said = request["asked"]
        asked = Asked(
            horizon_hours=said["horizon_hours"],
            actions=None if said["actions"] is None else tuple(said["actions"]),
            channels=None if said["channels"] is None else tuple(said["channels"]),
            journey=said["journey"],
            constraints=Constraints(**said["constraints"]),
            context={name: tuple(one) if isinstance(one, list) else one for name, one in said["context"].items()},
            explore=said["explore"],
        )
        return Question(Who(**request["who"]), asked, request["at"], request["past"])


def asked_json(asked: Asked) -> Json:
    """A question without whom and when."""
    return {
        "horizon_hours": asked.horizon_hours,
        "actions": asked.actions,
        "channels": asked.channels,
        "journey": asked.journey,
        "constraints": vars(asked.constraints),
        "context": dict(asked.context),
        "explore": asked.explore,
    }


@dataclass(frozen=True)
class Wanted:
    """Products that a message needs. ``anchors``: what they should go with."""

    who: Who
    placement: str
    count: int
    anchors: tuple[str, ...]
    at: int
    past: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filled:
    """Products for a message, best first, and the decision that lists them, if it was kept."""

    product_ids: tuple[str, ...] = ()
    decision_id: str | None = None


class Shelf(Protocol):
    """Where the products of messages come from: all that decisions know of lists."""

    def fill(self, wanted: Wanted, *, keep: bool) -> Filled:
        """Products for a message; none where there is no list. ``keep``: the list is shown to somebody."""
        ...

    def gone(self, product_ids: Sequence[str]) -> set[str]:
        """Which of some products cannot be bought now."""
        ...


class EmptyShelf:
    """No products: there is no recommender."""

    def fill(self, wanted: Wanted, *, keep: bool) -> Filled:
        """None."""
        return Filled()

    def gone(self, product_ids: Sequence[str]) -> set[str]:
        """None: nobody knows."""
        return set()


def eligible_labels(decided: Decided, row: int) -> list[str]:
    """What could have been chosen beside hold, as the dataset contract has it: ``label@channel``."""
    labels = decided.weighed.menu.labels
    return [labels[arm] for arm in np.flatnonzero(decided.weighed.open[row]).tolist() if arm > 0]


def hold_answer(ask_again_at: str) -> Json:
    """What is answered when the model fails: nothing is sent."""
    return {
        "choice": {"action": HOLD, "channel": None, "send_at": None, "product_ids": []},
        "propensity": 1.0,
        "send_at_propensity": 1.0,
        "expected_value": 0.0,
        "incremental_value": 0.0,
        "interval": [0.0, 0.0],
        "alternatives": [],
        "excluded": [],
        "ask_again_at": ask_again_at,
    }


def told_of(decision: Decision) -> Json:
    """The answer of a kept decision, without its id."""
    return {name: decision.answer[name] for name in TOLD if name in decision.answer}
