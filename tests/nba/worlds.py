"""Logs of decisions with a known right answer, by hand and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Column, Number
from features.events import DAY, HOUR
from nba.arms import Arms
from nba.crowd import Crowd, Floats
from nba.logged import Logged
from tests.nba.simple_models import crowd_of, moment

START = moment("2026-03-02 10:00")  # a Monday

#: Two actions on two channels.
ARMS = Arms.of([("a", "email"), ("a", "sms"), ("b", "email"), ("b", "sms")])


def logged(
    arms: Arms,
    arm: Sequence[int] | NDArray[np.integer],
    *,
    crowd: Crowd | None = None,
    customer: Sequence[int] | NDArray[np.integer] | None = None,
    propensity: Sequence[float] | Floats | None = None,
    eligible: NDArray[np.bool_] | None = None,
    cell: Sequence[int] | NDArray[np.integer] | None = None,
    value: Sequence[float] | Floats | None = None,
    cost: Sequence[float] | Floats | None = None,
    **happened: Sequence[bool] | NDArray[np.bool_],
) -> Logged:
    """A log by hand: an hour between decisions, a customer each, drawn evenly, at ten o'clock, nothing came of them."""
    chosen = np.asarray(arm, dtype=np.int32)
    n = len(chosen)
    crowd = crowd_of((START + HOUR * np.arange(n)).tolist(), channels=arms.channels) if crowd is None else crowd
    nothing = np.zeros(n, dtype=np.bool_)
    flags = {
        name: np.asarray(happened.get(name, nothing), dtype=np.bool_)
        for name in ("opened", "clicked", "visited", "converted", "unsubscribed", "complained")
    }
    cells = np.full(n, 10) if cell is None else np.asarray(cell)
    return Logged(
        arms=arms,
        crowd=crowd,
        customer=np.arange(n, dtype=np.int32) if customer is None else np.asarray(customer, dtype=np.int32),
        arm=chosen,
        cell=np.where(chosen == 0, -1, cells).astype(np.int16),
        propensity=np.full(n, 1 / len(arms)) if propensity is None else np.asarray(propensity, dtype=np.float64),
        hour_propensity=np.ones(n),
        eligible=np.ones((n, len(arms)), dtype=np.bool_) if eligible is None else eligible,
        value=np.zeros(n) if value is None else np.asarray(value, dtype=np.float64),
        cost=np.zeros(n) if cost is None else np.asarray(cost, dtype=np.float64),
        **flags,
    )


def drawn(
    *,
    n: int = 4_000,
    each: int = 2,
    seed: int = 0,
    arms: Arms = ARMS,
    gain: Sequence[Sequence[float]] = ((2.0, 0.0), (0.0, 2.0)),
    attend: Sequence[Sequence[float]] = ((0.5, 0.5), (0.5, 0.5)),
    cost: Sequence[float] = (0.1, 0.1),
    base: float = 1.0,
    anyway: float = 0.0,
    noise: float = 1.0,
    span: float = 60.0,
    more: Mapping[str, Column] | None = None,
) -> Logged:
    """Decisions drawn evenly over all arms.

    Half of the customers have the taste 0, half 1, which the attribute ``taste`` tells.

    Args:
        n: decisions; ``each``: of one customer.
        gain: of an attended contact, by taste and action.
        attend: chance of attending, by taste and channel.
        cost: of a contact, by channel.
        base: earned whatever is done.
        anyway: earned by who attends whatever they attend: they were on the way to an order.
        noise: standard deviation.
        span: days of the log.
        more: attributes beside the taste.
    """
    rng = np.random.default_rng(seed)
    customer = np.arange(n) // each
    taste = customer % 2
    arm = rng.integers(len(arms), size=n)
    sent = arm > 0
    # Whoever is on the way to an order attends twice as readily, and would order without a contact, too.
    ready = rng.random(n) < 0.5 if anyway else np.zeros(n, dtype=bool)
    chance = np.array(attend)[taste, arms.channel[arm]] * np.where(ready, 2.0, 1.0)
    attended = sent & (rng.random(n) < chance)
    value = base + anyway * ready + attended * np.array(gain)[taste, arms.action[arm]] + noise * rng.normal(size=n)
    at = START + (rng.permutation(n) * (span * DAY / n)).astype(np.int64)
    order = np.argsort(at)
    crowd = crowd_of(
        at[order].tolist(),
        channels=arms.channels,
        attributes={"taste": Number(taste[order].astype(np.float64)), **(more or {})},
        ids=[f"c{one}" for one in customer[order]],
    )
    return logged(
        arms,
        arm[order],
        crowd=crowd,
        customer=customer[order],
        cell=rng.integers(8, 20, n),
        value=value[order],
        cost=np.where(sent, np.array([*cost, 0.0])[arms.channel[arm]], 0.0)[order],
        clicked=attended[order],
    )


def renamed(log: Logged, ids: Sequence[str]) -> Logged:
    """The same with other ids."""
    return replace(log, crowd=replace(log.crowd, ids=ids))
