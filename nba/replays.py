"""Decisions on the next action made again, from what they were made from."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

import orjson

from features.store.base import Contact, Decision, Json
from nba.desk import Desk, labelled
from nba.drafting import digest_of
from nba.one_customer import Sent, reserved
from nba.purse import Purse
from nba.questions import Question, eligible_labels, told_of
from nba.telling import told

#: Desks held for replays.
_DESKS = 2

#: Differences told of one decision.
_MOST_DIFFERENCES = 50

#: Decisions of a batch are made again one by one: sums over a matrix may then be rounded otherwise in the last places.
_SAME = 1e-9


class NotMadeAgain(Exception):
    """A decision that cannot be made again; the message says what is missing."""


class ActionReplayer:
    """Makes decisions on the next action again. Calls may be made from any thread; one at a time is worked on.

    Args:
        opened: the desk of a bundle (by the folder name that decisions keep) under rules (by their digest).
    """

    def __init__(self, opened: Callable[[str, str | None], Desk]) -> None:
        self._opened = opened
        self._desks: OrderedDict[tuple[str, str | None], Desk] = OrderedDict()
        self._lock = Lock()

    def differences(self, decision: Decision) -> list[Json]:
        """Where a decision made again differs from what it was: place, then, now. Empty: nowhere.

        Products are those of the list that filled it, which is a decision of its own and is made again as such.

        Raises:
            NotMadeAgain: the model failed when it was made, or its bundle or rules are gone.
        """
        if decision.answer["degraded"]:
            raise NotMadeAgain("the model failed when this decision was made: it holds without having been weighed")
        with self._lock:
            again = remade(self._desk(decision), decision)
        then = told_of(decision) | {"eligible": decision.answer["eligible"]}
        if digest_of({name: again[name] for name in again if name != "eligible"}) == decision.digest:
            return []
        return list(_differences(then, orjson.loads(orjson.dumps(again)), ""))[:_MOST_DIFFERENCES]

    def _desk(self, decision: Decision) -> Desk:
        key = (decision.model["bundle"], decision.rules)
        if key not in self._desks:
            self._desks[key] = self._opened(*key)
            if len(self._desks) > _DESKS:
                self._desks.popitem(last=False)
        self._desks.move_to_end(key)
        return self._desks[key]


def remade(desk: Desk, decision: Decision) -> Json:
    """The answer of a decision, made again; and what was ``eligible``."""
    request = decision.request
    question = Question.of_json(request)
    seen = desk.seen(question, upto=decision.watermark.seq)
    known = labelled(seen, request["labels"])  # the decisions that asked for it may be older than what is kept
    waiting: list[Sent] = [
        reserved(Contact(action, channel, time, time)) for action, channel, time in request["waiting"]
    ]
    purse = Purse.of_json(request["budgets"], desk.config, desk.model.arms)
    planned = None if request["planned"] is None else (request["planned"][0], request["planned"][1])
    decided = desk.decided(question, [seen], [[*known, *waiting]], purse, [planned])
    answer = told(decided, 0)
    answer["choice"]["product_ids"] = decision.answer["choice"]["product_ids"]
    answer["policy"] = decision.answer["policy"]
    ordered = {name: answer[name] for name in told_of(decision) if name in answer}
    return {**ordered, **answer, "eligible": eligible_labels(decided, 0)}


def _differences(then: Any, now: Any, place: str) -> Iterator[Json]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted({*then, *now}):
            yield from _differences(then.get(key), now.get(key), f"{place}/{key}")
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (left, right) in enumerate(zip(then, now, strict=True)):
            yield from _differences(left, right, f"{place}/{number}")
    elif isinstance(then, float) and isinstance(now, float):
        if not math.isclose(then, now, rel_tol=_SAME, abs_tol=_SAME):
            yield {"place": place, "then": then, "now": now}
    elif then != now:
        yield {"place": place, "then": then, "now": now}
