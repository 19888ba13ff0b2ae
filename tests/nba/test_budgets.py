from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from nba.budgets import ROUNDING, Budgets, Options, Plan, kept_to, plan

Floats = NDArray[np.float64]


def budgets(limit: list[float], weight: list[list[float]], reserved: list[float] | None = None) -> Budgets:
    names = tuple(f"budget_{place}" for place in range(len(limit)))
    shares = np.array(reserved) if reserved else np.zeros(len(limit))
    arms = len(weight[0]) if weight else 3
    return Budgets(names, np.array(limit), np.array(weight, dtype=np.float64).reshape(len(limit), arms), shares)


def planned(value: list[list[float]] | NDArray[np.floating], given_budgets: Budgets) -> Plan:
    return plan(Options.gathered(np.array(value, dtype=np.float64), given_budgets), given_budgets)


def test_the_one_contact_there_is_goes_to_whom_it_adds_most() -> None:
    done = planned([[0, 2], [0, 5], [0, 3]], budgets([1], [[0, 1]]))
    assert done.arm.tolist() == [0, 1, 0]
    assert done.used.tolist() == [1]
    assert done.value == 5
    assert 3 <= done.price[0] <= 5, "the next best contact is worth 3, the last one given 5"


def test_money_goes_where_a_unit_of_it_adds_most() -> None:
    # 10 for one contact of 12, or for two contacts of 5 and 7 that add 6 and 8.
    done = planned([[0, 12, -np.inf], [0, -np.inf, 6], [0, -np.inf, 8]], budgets([10], [[0, 10, 5]]))
    assert done.arm.tolist() == [0, 2, 2]
    assert done.value == 14


def test_what_costs_nothing_is_never_short() -> None:
    done = planned([[0, 2, 1], [0, 5, 1]], budgets([1], [[0, 1, 0]]))
    assert done.arm.tolist() == [2, 1]


def test_a_capacity_moves_people_to_the_next_channel_and_not_to_hold() -> None:
    # E-mail holds two; by SMS the first customer loses least.
    value = [[0, 3.0, 2.9], [0, 3.0, 1.0], [0, 3.0, 0.5]]
    done = planned(value, budgets([2, 3], [[0, 1, 0], [0, 0, 1]]))
    assert done.arm.tolist() == [2, 1, 1]


def test_among_equals_those_who_stand_first_get_what_there_is() -> None:
    done = planned(np.tile([0.0, 1.0], (10, 1)), budgets([4], [[0, 1]]))
    assert done.arm.tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert done.value == done.bound == 4


def test_whoever_loses_least_for_what_they_free_gives_way() -> None:
    value = np.full((3, 4), -np.inf, dtype=np.float64)
    value[:, 0] = 0
    value[[0, 1, 2], [1, 2, 3]] = [3, 2, 2.5]
    choice = np.array([1, 2, 3], dtype=np.int16)
    kept_to(value, choice, np.array([[0.0, 3, 1, 2]]), np.array([3.0]), np.zeros(1))
    assert choice.tolist() == [0, 2, 3], "the first loses 3, but only 1 a unit"


def test_without_budgets_and_without_limits_everyone_gets_their_best() -> None:
    value = np.random.default_rng(0).normal(size=(50, 3))
    value[:, 0] = 0
    best = value.argmax(axis=1)
    assert planned(value, budgets([], [])).arm.tolist() == best.tolist()
    unlimited = planned(value, budgets([np.inf], [[0, 1, 2]]))
    assert unlimited.arm.tolist() == best.tolist()
    assert unlimited.price.tolist() == [0]
    assert unlimited.cuts == 1


def test_nothing_left_holds_everybody() -> None:
    done = planned([[0, 2], [0, 5]], budgets([0], [[0, 1]]))
    assert done.arm.tolist() == [0, 0]
    assert done.value == done.bound == 0
    assert done.gap == 0


def test_nobody_has_no_plan() -> None:
    done = planned(np.zeros((0, 3)), budgets([1], [[0, 1, 1]]))
    assert len(done.arm) == 0
    assert done.value == 0


def test_what_is_reserved_is_not_planned_with() -> None:
    done = planned(np.tile([0.0, 1.0], (20, 1)), budgets([10], [[0, 1]], reserved=[0.2]))
    assert done.used.tolist() == [8]


def test_arms_that_are_not_open_are_never_chosen() -> None:
    done = planned([[0, np.nan, -np.inf], [0, -np.inf, 1]], budgets([5], [[0, 1, 2]]))
    assert done.arm.tolist() == [0, 2]


def test_values_gathered_in_chunks_are_those_of_all() -> None:
    value = np.random.default_rng(1).normal(size=(100, 7))
    limits = budgets([20, 9], [[0, 1, 1, 2, 2, 0, 0], [0, 0, 0, 1, 1, 0, 0]])
    whole = Options.gathered(value, limits)
    parts = Options.joined([Options.gathered(value[:33], limits), Options.gathered(value[33:], limits)])
    assert limits.class_weight.shape == (2, 3), "hold and what is free; the first two; the next two"
    assert (whole.arm == parts.arm).all()
    assert (whole.value == parts.value).all()
    assert (whole.value[:, 1] == value[:, 1:3].max(axis=1)).all()


@pytest.mark.parametrize("seed", range(8))
def test_where_crowds_are_alike_the_plan_is_still_near_the_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = rng.integers(1, 6, (6, 4))
    value = np.concatenate([np.zeros((1000, 1)), kinds[rng.integers(0, 6, 1000)]], axis=1)
    weight: list[list[float]] = [[0, 1, 1, 1, 1], [0, 1, 1, 0, 0], [0, 0, 1, 2, 0], [0, 2, 0, 0, 1]]
    limit = np.floor(np.sum(weight, axis=1) * 1000 * rng.uniform(0.05, 0.2, 4))
    done = planned(value, budgets(limit.tolist(), weight))
    assert done.gap < 0.003
    assert (done.used <= limit).all()


@pytest.mark.parametrize(
    ("limit", "weight", "reserved", "says"),
    [
        ([1.0, 2.0], [[0.0, 1.0]], [0.0], "2 budgets need"),
        ([-1.0], [[0.0, 1.0]], [0.0], "limits must be"),
        ([1.0], [[0.0, 1.0]], [1.5], "reserved shares"),
        ([1.0], [[1.0, 1.0]], [0.0], "hold weighs nothing"),
        ([1.0], [[0.0, -1.0]], [0.0], "weights must be"),
        ([np.nan], [[0.0, 1.0]], [0.0], "limits must be"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    limit: list[float], weight: list[list[float]], reserved: list[float], says: str
) -> None:
    names = tuple(map(str, range(len(limit))))
    with pytest.raises(ValueError, match=says):
        Budgets(names, np.array(limit), np.array(weight), np.array(reserved))


def test_values_of_other_arms_are_refused() -> None:
    with pytest.raises(ValueError, match="values of 4 arms, budgets over 2"):
        Options.gathered(np.zeros((3, 4)), budgets([1], [[0, 1]]))


@st.composite
def problems(draw: st.DrawFn, customers: int = 6) -> tuple[Floats, Budgets]:
    """Up to six customers, four arms and three budgets; numbers that tie often, and some that never do."""
    n, arms, known = draw(st.integers(1, customers)), draw(st.integers(2, 4)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse = draw(st.booleans())
    value = rng.integers(-2, 6, (n, arms)).astype(np.float64) if coarse else np.round(rng.normal(1, 2, (n, arms)), 3)
    value[rng.random(value.shape) < 0.2] = -np.inf
    value[:, 0] = 0
    weight = rng.integers(0, 3, (known, arms)).astype(np.float64) if coarse else rng.gamma(1, 1, (known, arms))
    weight[:, 0] = 0
    limit = np.round(weight.max() * n * rng.random(known), 0 if coarse else 3)
    return value, Budgets(tuple(map(str, range(known))), limit, weight, np.zeros(known))


def optimum(value: Floats, of: Budgets) -> float:
    """By trying every choice."""
    n, arms = value.shape
    best = 0.0
    for choice in product(range(arms), repeat=n):
        worth = sum(float(value[row, arm]) for row, arm in enumerate(choice))
        if worth > best and (of.weight[:, list(choice)].sum(axis=1) <= of.limit * (1 + ROUNDING)).all():
            best = worth
    return best


def relaxed(value: Floats, of: Budgets) -> float:
    """The best if customers could be divided among arms: a linear program."""
    n, arms = value.shape
    known = np.isfinite(value)
    found = linprog(
        -np.where(known, value, 0).ravel(),
        A_ub=np.tile(of.weight, (1, n)),
        b_ub=of.limit,
        A_eq=np.kron(np.eye(n), np.ones(arms)),
        b_eq=np.ones(n),
        bounds=[(0, float(one)) for one in known.ravel()],
    )
    return -float(found.fun)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_a_plan_keeps_to_its_budgets_and_near_the_best(problem: tuple[Floats, Budgets]) -> None:
    value, limits = problem
    done = planned(value, limits)
    rows = np.arange(len(value))
    assert (limits.weight[:, done.arm].sum(axis=1) <= limits.limit * (1 + ROUNDING)).all()
    assert np.isfinite(value[rows, done.arm]).all()
    assert done.value == pytest.approx(float(value[rows, done.arm].sum()), abs=1e-4)
    best = optimum(value, limits)
    assert done.value <= best + 1e-4
    assert best <= done.bound + 1e-4
    # An optimal basis of the linear program divides at most one customer a budget.
    assert done.value >= best - len(limits.names) * max(value[np.isfinite(value)].max(), 0) - 1e-4
    spare = limits.limit * (1 + ROUNDING) - limits.weight[:, done.arm].sum(axis=1)
    for row, arm in product(range(value.shape[0]), range(value.shape[1])):
        more = limits.weight[:, arm] - limits.weight[:, done.arm[row]]
        if value[row, arm] > value[row, done.arm[row]]:
            assert (more > spare + 1e-9).any(), "nobody could do better with what is left over"


@settings(max_examples=60, deadline=None)
@given(problems(customers=30))
def test_the_bound_is_the_optimum_of_the_relaxed_problem(problem: tuple[Floats, Budgets]) -> None:
    value, limits = problem
    assert planned(value, limits).bound == pytest.approx(relaxed(value, limits), rel=1e-4, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(problems(customers=30), st.floats(1, 3))
def test_more_budget_is_never_worth_less(problem: tuple[Floats, Budgets], times: float) -> None:
    value, less = problem
    more = Budgets(less.names, less.limit * times, less.weight, less.reserved)
    poor, rich = planned(value, less), planned(value, more)
    assert rich.bound >= poor.bound * (1 - 1e-5)
    most = len(less.names) * max(value[np.isfinite(value)].max(), 0)
    assert rich.value >= poor.value - most - 1e-4


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 5))
def test_a_number_of_contacts_is_given_to_exactly_the_best(seed: int, limit: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    value = np.concatenate([np.zeros((40, 1)), rng.normal(0.5, 1, (40, 3))], axis=1)
    one, other = (planned(value, budgets([count], [[0, 1, 1, 1]])) for count in (limit, limit + more))
    best = -np.sort(-value.max(axis=1))
    assert one.value == pytest.approx(best[:limit].sum(), abs=1e-4)
    assert other.value >= one.value - 1e-5
