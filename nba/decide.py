"""The next best action: which action, on which channel, at what hour, or none; for one customer or for a million.

One code path for all of them. `decide` is the whole; who has budgets to keep calls its two halves, `weighed` and
`nba.choose.choose`, and settles in between who gets what.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nba.asked import Asked
from nba.choose import Chosen, choose
from nba.codes import Code
from nba.config import NbaConfig
from nba.crowd import Crowd
from nba.draws import draws
from nba.eligibility import eligible
from nba.known import Known
from nba.menu import menu_of
from nba.openings import openings
from nba.slots import grid
from nba.values import ValueModel
from nba.weighing import Weighed, weigh

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Decided:
    """The answer for n customers: ``chosen``, and from what (``weighed``). `nba.telling.told` says it as JSON."""

    weighed: Weighed
    chosen: Chosen

    def __len__(self) -> int:
        return len(self.weighed.crowd)


def decide(
    asked: Asked,
    crowd: Crowd,
    model: ValueModel,
    config: NbaConfig,
    *,
    prices: Floats | None = None,
    explorable: Mask | None = None,
    allowed: Mask | None = None,
    holding: bool = False,
) -> Decided:
    """Decide for n customers, each at their own moment (``crowd.at``). Nothing is drawn but by hash: see `nba.draws`.

    Memory is about n × (C + 1) × S × 5 bytes (C channels, S slots) and n × A × 24; cut large crowds into chunks of some
    10,000.

    Args:
        asked: the question.
        crowd: the customers.
        model: what arms are worth.
        config: what may be done.
        prices: float64[A], what an arm's place in the budgets costs; 0 for hold.
        explorable: bool[A] or bool[n, A], what exploration may draw of what is open; None: all.
        allowed: bool[A] or bool[n, A], what may be chosen beside all that the configuration says; None: everything.
        holding: everybody gets hold.

    Raises:
        nba.asked.AskedWrongly: the question names something there is not.
    """
    found = weighed(asked, crowd, model, config, allowed=allowed)
    drawn = draws(config.policy, crowd.ids, crowd.at)
    chosen = choose(asked, found, config.policy, drawn, prices=prices, explorable=explorable, holding=holding)
    return Decided(found, chosen)


def weighed(
    asked: Asked, crowd: Crowd, model: ValueModel, config: NbaConfig, *, allowed: Mask | None = None
) -> Weighed:
    """What may be done for n customers, when, and what it is worth: `decide` before the choice. Arguments as there."""
    asked.check(config)
    menu = menu_of(config, model.arms)
    known = Known(crowd, config.attributes, config.stages, config.segments, asked.context)
    values = model.values(crowd)
    codes = eligible(asked, crowd, known, menu, config, cost=values.cost, allowed=allowed)
    horizon = config.policy.horizon_hours if asked.horizon_hours is None else asked.horizon_hours
    slots = grid(crowd.at, crowd.zones, horizon)
    opened = openings(asked, crowd, known, menu, config, grid=slots, codes=codes)
    found = weigh(crowd, menu, opened, values, codes)
    least = asked.constraints.min_incremental_value
    if least is not None:
        found.codes[:, 1:][(found.codes[:, 1:] == Code.OPEN) & ~(found.value[:, 1:] >= least)] = Code.TOO_LITTLE_VALUE
    return found
