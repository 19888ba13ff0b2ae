"""Decisions on many customers who share budgets: first who gets what, for all of them, then the decisions.

`settle` looks at every customer and draws nothing; `decide_settled` looks at them again, draws, and keeps to what was
settled. Both take the customers in chunks, so that what one customer needs (kilobytes) is never needed for all at once;
between the two only some bytes a customer are kept. The order of customers is the order in which they may be explored
with (`nba.reserves`): take `turns`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from nba.asked import Asked
from nba.budgets import Budgets, Options, Plan, plan
from nba.choose import choose, worth
from nba.config import NbaConfig, PolicyConfig
from nba.crowd import Crowd
from nba.decide import Decided, weighed
from nba.draws import Draws, draws, windows
from nba.reserves import admit
from nba.spending import budgets_of, spent
from nba.values import ValueModel

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Settlement:
    """What is settled before anything is drawn.

    Attributes:
        budgets: what there is.
        plan: the best arm of each customer within it, in the order in which they were settled.
    """

    budgets: Budgets
    plan: Plan


def settle(
    asked: Asked,
    crowds: Iterable[Crowd],
    model: ValueModel,
    config: NbaConfig,
    *,
    used: Floats | None = None,
) -> Settlement:
    """Share the budgets of a configuration out among customers.

    Those who are in the holdout, or will explore, are counted as if they were not: whether they are is chance, and
    nothing that is settled may depend on chance.

    Args:
        asked: the question.
        crowds: the customers, in chunks.
        model: what arms are worth.
        config: what may be done, and budgets.
        used: float64[B], what was taken of each budget in its period; None: what the contacts of the customers say.

    Raises:
        nba.asked.AskedWrongly: the question names something there is not.
    """
    # Of this only classes and weights are used; limits follow when all contacts were seen.
    cost = np.zeros(len(model.arms))
    parts: list[Options] = []
    before = np.zeros(len(config.budgets))
    budgets = budgets_of(config, model.arms, cost, exploring=asked.explore)
    for crowd in crowds:
        found = weighed(asked, crowd, model, config)
        if not parts:
            cost = found.values.cost
            budgets = budgets_of(config, model.arms, cost, exploring=asked.explore)
        parts.append(Options.gathered(worth(found), budgets))
        if used is None and len(crowd):
            before += spent(config, model.arms, cost, crowd.contacts, int(crowd.at.max()))
    if not parts:
        parts.append(Options.gathered(np.zeros((0, len(model.arms))), budgets))
    left = budgets_of(config, model.arms, cost, spent=before if used is None else used, exploring=asked.explore)
    return Settlement(left, plan(Options.joined(parts), left))


def decide_settled(
    asked: Asked, crowds: Iterable[Crowd], model: ValueModel, config: NbaConfig, settlement: Settlement
) -> Iterator[Decided]:
    """Decide for customers whose budgets are shared out, chunk by chunk.

    Args:
        asked, model, config: as they were when it was settled.
        crowds: the same customers in the same order; chunks may differ.
        settlement: what is theirs.
    """
    left, first = settlement.budgets.reserve, 0
    for crowd in crowds:
        found = weighed(asked, crowd, model, config)
        drawn = draws(config.policy, crowd.ids, crowd.at)
        greedy = settlement.plan.arm[first : first + len(crowd)].astype(np.int32)
        explorable = None
        if asked.explore:
            admission = admit(found.open, _explores(config.policy, drawn), drawn.pick, settlement.budgets, left)
            explorable, left = admission.admitted, admission.left
        chosen = choose(asked, found, config.policy, drawn, greedy=greedy, explorable=explorable)
        yield Decided(found, chosen)
        first += len(crowd)


def turns(policy: PolicyConfig, ids: Sequence[str], at: int) -> NDArray[np.int64]:
    """int64[n], places of customers in an order that tells nothing of them, and is another one in each window.

    Args:
        policy: salt and window.
        ids: of n customers.
        at: microseconds since 1970 UTC.
    """
    [window] = windows(policy, np.array([at], dtype=np.int64)).tolist()
    start = f"{policy.salt}\0turn\0{window}\0".encode()
    hashed = b"".join(blake2b(start + identifier.encode(), digest_size=8).digest() for identifier in ids)
    return np.argsort(np.frombuffer(hashed, dtype="<u8"), kind="stable")


def _explores(policy: PolicyConfig, drawn: Draws) -> NDArray[np.bool_]:
    """Whom `nba.choose.choose` lets explore."""
    explores: NDArray[np.bool_] = (drawn.explore < policy.exploration) & (drawn.holdout >= policy.holdout)
    return explores
