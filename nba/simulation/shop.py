"""The simulated shop: people who visit and buy of their own accord, decisions on them, and what these lead to."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from features.config import ConfigError
from nba.simulation.equations import Equations, Floats, Ints, Weights
from nba.simulation.journal import Happened
from nba.simulation.parameters import ShopParameters
from nba.simulation.people import People, Products
from nba.simulation.world import World

Mask = NDArray[np.bool_]

#: Periods shorter than this would let outcome windows meet.
LEAST_PERIOD = 10


@dataclass(frozen=True)
class Decisions:
    """M decisions, by time, and what came of them. Times in µs UTC, `NEVER` for what did not happen.

    Attributes:
        customer: int64[M].
        decided: int64[M].
        eligible: bool[M, A].
        arm: int64[M].
        sent: int64[M]; for hold when it was decided.
        propensity, slot_propensity: float64[M], of the arm, and of its slot given the arm.
        opened, clicked, visited, converted, unsubscribed, complained: int64[M].
        machine_opened: bool[M].
        value, cost: float64[M], money.
        scale, fatigue: float64[M], see `nba.simulation.equations.Situation`.
        ceiling_arm, ceiling_sent: int64[M], what somebody would do who knows the equations, but not the hidden classes.
        ceiling_value: float64[M], and what they expect of it.
    """

    customer: Ints
    decided: Ints
    eligible: Mask
    arm: Ints
    sent: Ints
    propensity: Floats
    slot_propensity: Floats
    opened: Ints
    clicked: Ints
    visited: Ints
    converted: Ints
    unsubscribed: Ints
    complained: Ints
    machine_opened: Mask
    value: Floats
    cost: Floats
    scale: Floats
    fatigue: Floats
    ceiling_arm: Ints
    ceiling_sent: Ints
    ceiling_value: Floats

    def __len__(self) -> int:
        return len(self.customer)


@dataclass(frozen=True)
class SimulatedShop:
    """All that happened, and the truth.

    Attributes:
        equations: by which it happened.
        people: as they were at the start.
        products: the catalogue.
        events: of visits, orders and deliveries; not of messages.
        decisions: with their outcomes.
        consented, reachable: bool[N, C], at the end.
        beliefs: what could be known of the people at the end.
    """

    equations: Equations
    people: People
    products: Products
    events: Happened
    decisions: Decisions
    consented: Mask
    reachable: Mask
    beliefs: Weights


def simulate(
    parameters: ShopParameters, *, customers: int, decisions: int, exploration: float = 0.3, seed: int = 0
) -> SimulatedShop:
    """Run the shop: in each round everybody lives for some days, then it is decided on everybody.

    Args:
        parameters: of the shop.
        customers: N.
        decisions: M; those that are no multiple of N leave some people out of the last round.
        exploration: share of decisions that are drawn uniformly.
        seed: of everything random.

    Raises:
        ConfigError: the parameters, or these numbers, make no shop.
    """
    _check(parameters, customers, decisions, exploration)
    generator = np.random.default_rng(seed)
    products = Products.draw(parameters, generator)
    equations = Equations.of(parameters, *products.order(parameters))
    world = World(equations, People.draw(equations, customers, generator), products, generator)
    logged = []
    rounds = -(-decisions // customers)
    for number in range(parameters.warm_up_rounds + rounds):
        decided = world.begin(number)
        asked = min(customers, decisions - customers * (number - parameters.warm_up_rounds))
        if number < parameters.warm_up_rounds:
            world.hold(decided)
        else:
            logged.append(world.decide(decided, asked, exploration, number))
    joined = {field.name: np.concatenate([part[field.name] for part in logged]) for field in fields(Decisions)}
    by = np.argsort(joined["decided"], kind="stable")
    return SimulatedShop(
        equations=equations,
        people=world.people,
        products=products,
        events=world.journal.table(),
        decisions=Decisions(**{name: column[by] for name, column in joined.items()}),
        consented=world.standing.consented,
        reachable=world.standing.reachable,
        beliefs=world.beliefs.weights(),
    )


def _check(parameters: ShopParameters, customers: int, decisions: int, exploration: float) -> None:
    if customers < 1 or decisions < 1:
        raise ConfigError("customers and decisions must be 1 or more")
    if not 0 <= exploration <= 1:
        raise ConfigError("exploration must lie between 0 and 1")
    if parameters.period_days < LEAST_PERIOD:
        raise ConfigError(f"period_days must be {LEAST_PERIOD} or more, so that no two outcome windows meet")
