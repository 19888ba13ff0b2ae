"""What the places in budgets are worth when many people are asked about at once: settled before anything is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

from nba.asked import Asked
from nba.budgets import Budgets, Options, plan
from nba.choose import worth
from nba.decide import weighed
from nba.desk import Desk, Pair
from nba.purse import purse_at
from nba.questions import Question
from nba.spending import budgets_of

T = TypeVar("T")


def chunks(many: Iterator[T], size: int) -> Iterator[list[T]]:
    """As they come, so many at a time."""
    while some := list(islice(many, size)):
        yield some


def planned(desk: Desk, questions: Iterator[Question], *, run: str, chunk: int) -> dict[str, Pair]:
    """What is best for each of some people within the budgets, by their names; empty without budgets.

    Args:
        desk: decides.
        questions: which ask the same about different people.
        run: see `nba.purse.purse_at`.
        chunk: so many at a time.
    """
    if not desk.config.budgets:
        return {}
    names: list[str] = []
    parts: list[Options] = []
    budgets: Budgets | None = None
    for some in chunks(questions, chunk):
        budgets = budgets or _budgets(desk, some[0].asked, some[0].at, run)
        looked = [desk.look(question) for question in some]
        crowd = desk.crowd([seen for seen, _ in looked], [desk.contacts(*one) for one in looked])
        found = weighed(some[0].asked, crowd, desk.model, desk.config)
        parts.append(Options.gathered(worth(found), budgets))
        names += [question.who.name for question in some]
    if budgets is None:
        return {}
    arms = plan(Options.joined(parts), budgets).arm.tolist()
    return {name: desk.model.arms.pair(arm) for name, arm in zip(names, arms, strict=True)}


def _budgets(desk: Desk, asked: Asked, at: int, run: str) -> Budgets:
    arms = desk.model.arms
    purse = purse_at(desk.config, arms, desk.stores[1], at, run=run)
    spent = (purse.limit - purse.left).sum(axis=1)
    return budgets_of(desk.config, arms, desk.config.contact_costs(arms), spent=spent, exploring=asked.explore)
