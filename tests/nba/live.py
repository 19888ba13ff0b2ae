"""A live shop with a desk, small enough to know by heart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from features.events import DAY, HOUR
from features.store.base import DecisionStore, Event, EventStore
from features.store.memory import MemoryDecisions, MemoryEvents
from nba.asked import Asked
from nba.config import NbaConfig
from nba.desk import Desk
from nba.drafting import Circumstances, Made, Signed, answers
from nba.one_customer import Who
from nba.questions import Filled, Question, Wanted
from nba.release import Released, release
from tests.nba.simple_models import PriorModel, moment

#: A Monday.
NOON = moment("2026-03-02 12:00")
SIGNED = Signed({"name": "nba", "version": "1", "bundle": "b"}, "r")


def tables(**changes: Any) -> dict[str, Any]:
    """Two channels, three actions, no chance: who left a cart is reminded, who looked around is asked."""
    return {
        "policy": {"exploration": 0.0, "holdout": 0.0, "coupons": 1},
        "channels": {"email": {"cost": 0.1, "per_day": 1}, "web_push": {"cost": 0.0}},
        "actions": {
            "cart_reminder": {
                "eligible": "since_cart <= 4 and (since_purchase is null or since_purchase > since_cart)",
                "channels": ["email", "web_push"],
                "value": 10.0,
                "cooldown_hours": 24,
                "placement": "complete_the_cart",
                "anchors": "cart",
                "count": 2,
            },
            "survey": {"eligible": "views_ever >= 1", "channels": ["email"], "value": 5.0},
            "offer": {
                "eligible": "views_ever >= 1 and context_page is not null",
                "channels": ["email"],
                "on_page": True,
                "value": 1.0,
                "offers": [{"name": "ten", "discount": 0.1}],
            },
        },
        "attributes": {"context_page": "text"},
        **changes,
    }


class Rack:
    """The products of messages: a few that go with everything, and whichever are sold out."""

    def __init__(self, *products: str) -> None:
        self.products = products
        self.out: set[str] = set()
        self.wanted: list[Wanted] = []

    def fill(self, wanted: Wanted, *, keep: bool) -> Filled:
        self.wanted.append(wanted)
        taken = {*wanted.anchors, *wanted.exclude, *self.out}
        found = [one for one in self.products if one not in taken]
        return Filled(tuple(found[: wanted.count]), "list" if keep else None)

    def gone(self, product_ids: Sequence[str]) -> set[str]:
        return self.out & set(product_ids)


class Town:
    """A shop and its desk; what is asked of it and told to it."""

    def __init__(
        self,
        *,
        config: NbaConfig | None = None,
        model: PriorModel | None = None,
        events: EventStore | None = None,
        decisions: DecisionStore | None = None,
        holding: bool = False,
    ) -> None:
        self.events = events or MemoryEvents()
        self.decisions = decisions or MemoryDecisions()
        self.rack = Rack("comb", "brush", "mirror", "soap")
        self.config = config or NbaConfig.of(tables())
        self.model = model or PriorModel(self.config)
        self.numbers = count(1)
        self.desk = Desk(self.model, self.config, None, self.events, self.decisions, self.rack, holding=holding)

    def happened(self, name: str, at: int, **columns: Any) -> None:
        columns.setdefault("customer_id", "anna")
        self.events.append([Event(name, at, columns.pop("known", at), **columns)])

    def ask(
        self, at: int = NOON, *, who: Who | None = None, keep: bool = True, past: bool = False, key: int | None = None,
        signed: Signed = SIGNED, run: str | None = None, **asked: Any,
    ) -> Made:  # fmt: skip
        question = Question(who or Who("anna"), Asked(**asked), at, past)
        under = Circumstances(signed, at, self.new_id, keep=keep, key=key, run=run)
        return answers(self.desk, [question], under)[0]

    def new_id(self) -> str:
        return f"d{next(self.numbers)}"

    def release(self, made: Made, now: int) -> Released:
        return release(self.desk, made.decision, now=now, made_at=now)


def choice(made: Made) -> tuple[str, str | None, str | None]:
    """Action, channel and time of an answer."""
    said = made.answer["choice"]
    return said["action"], said["channel"], said["send_at"]


__all__ = ["DAY", "HOUR", "NOON", "SIGNED", "Rack", "Town", "choice", "tables"]
