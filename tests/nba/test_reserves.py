from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nba.budgets import Budgets
from nba.reserves import admit

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def reserved(limit: list[float], weight: list[list[float]]) -> Budgets:
    """Budgets all of which are for exploration."""
    return Budgets(tuple(map(str, range(len(limit)))), np.array(limit), np.array(weight), np.ones(len(limit)))


def test_when_the_reserve_is_used_up_only_hold_is_left() -> None:
    given_budgets = reserved([1.0], [[0, 1, 1]])
    eligible = np.ones((4, 3), dtype=np.bool_)
    explores = np.array([False, True, False, True])
    done = admit(eligible, explores, np.array([0.9, 0.9, 0.9, 0.9]), given_budgets, given_budgets.reserve)
    assert done.arm.tolist() == [-1, 2, -1, 0]
    assert done.admitted.tolist() == [[True] * 3, [True] * 3, [True, False, False], [True, False, False]]
    assert done.left.tolist() == [0]


def test_a_cheap_arm_is_admitted_after_a_dear_one_no_longer_is() -> None:
    given_budgets = reserved([3.0], [[0, 2, 1]])
    eligible = np.ones((3, 3), dtype=np.bool_)
    done = admit(eligible, np.ones(3, dtype=np.bool_), np.array([0.5, 0.9, 0.9]), given_budgets, given_budgets.reserve)
    assert done.arm.tolist() == [1, 2, 0]
    assert done.admitted.tolist() == [[True, True, True], [True, False, True], [True, False, False]]


def test_a_reserve_that_was_never_there_admits_what_weighs_nothing() -> None:
    given_budgets = reserved([0.0], [[0, 1, 0]])
    done = admit(
        np.ones((2, 3), dtype=np.bool_),
        np.ones(2, dtype=np.bool_),
        np.array([0.9, 0.1]),
        given_budgets,
        given_budgets.reserve,
    )
    assert done.arm.tolist() == [2, 0]


def test_without_budgets_everything_eligible_is_admitted() -> None:
    none = Budgets((), np.zeros(0), np.zeros((0, 3)), np.zeros(0))
    eligible = np.array([[True, False, True]])
    done = admit(eligible, np.array([True]), np.array([0.7]), none, none.reserve)
    assert done.arm.tolist() == [2]
    assert (done.admitted == eligible).all()


def test_nobody_takes_no_turn() -> None:
    given_budgets = reserved([1.0], [[0, 1]])
    done = admit(
        np.ones((0, 2), dtype=np.bool_), np.zeros(0, dtype=np.bool_), np.zeros(0), given_budgets, given_budgets.reserve
    )
    assert done.admitted.shape == (0, 2)
    assert done.left.tolist() == [1]


@st.composite
def turns(draw: st.DrawFn) -> tuple[Mask, Mask, Floats, Budgets]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, arms, known = draw(st.integers(0, 40)), draw(st.integers(1, 6)), draw(st.integers(0, 3))
    weight = rng.integers(0, 3, (known, arms)).astype(np.float64)
    weight[:, 0] = 0
    limit = rng.integers(0, 12, known).astype(np.float64)
    limit[rng.random(known) < 0.2] = np.inf
    eligible = rng.random((n, arms)) < 0.7
    eligible[:, 0] = True
    names = tuple(map(str, range(known)))
    return eligible, rng.random(n) < 0.5, rng.random(n), Budgets(names, limit, weight, np.ones(known))


def one_by_one(eligible: Mask, explores: Mask, pick: Floats, of: Budgets) -> tuple[list[list[bool]], list[int], Floats]:
    """What the docstring says, customer by customer."""
    left = of.reserve.copy()
    admitted, chosen = [], []
    for row in range(len(eligible)):
        open_to = [bool(eligible[row, arm] and (of.weight[:, arm] <= left).all()) for arm in range(eligible.shape[1])]
        admitted.append(open_to)
        arm = -1
        if explores[row]:
            arms = [place for place, one in enumerate(open_to) if one]
            arm = arms[min(int(pick[row] * len(arms)), len(arms) - 1)]
            left = left - of.weight[:, arm]
        chosen.append(arm)
    return admitted, chosen, left


@settings(max_examples=200, deadline=None)
@given(turns(), st.integers(0, 40))
def test_all_at_once_is_one_after_the_other(made: tuple[Mask, Mask, Floats, Budgets], cut: int) -> None:
    eligible, explores, pick, of = made
    admitted, chosen, left = one_by_one(eligible, explores, pick, of)
    done = admit(eligible, explores, pick, of, of.reserve)
    assert done.admitted.tolist() == admitted
    assert done.arm.tolist() == chosen
    assert done.left.tolist() == left.tolist()
    assert (left >= 0).all()
    first = admit(eligible[:cut], explores[:cut], pick[:cut], of, of.reserve)
    second = admit(eligible[cut:], explores[cut:], pick[cut:], of, first.left)
    assert [*first.admitted.tolist(), *second.admitted.tolist()] == admitted
    assert [*first.arm.tolist(), *second.arm.tolist()] == chosen
    assert second.left.tolist() == left.tolist()


def test_a_customer_s_chances_are_what_is_said_of_them_whatever_others_drew() -> None:
    """Of all draws that leave the third customer the same reserve, shares are uniform over what is admitted."""
    rng = np.random.default_rng(3)
    of = reserved([2.0], [[0, 1, 2, 1]])
    runs, epsilon = 12_000, 0.5
    explores, pick = rng.random((runs, 3)) < epsilon, rng.random((runs, 3))
    counts: dict[tuple[bool, ...], Floats] = {}
    for run in range(runs):
        done = admit(np.ones((3, 4), dtype=np.bool_), explores[run], pick[run], of, of.reserve)
        seen = counts.setdefault(tuple(done.admitted[2].tolist()), np.zeros(5))
        seen[done.arm[2]] += 1  # the last place: not explored
    assert len(counts) == 3, "nothing, one unit or two units were left"
    for open_to, seen in counts.items():
        chance = np.append(epsilon * np.array(open_to) / sum(open_to), 1 - epsilon)
        expected = chance * seen.sum()
        some = expected > 0
        assert (seen[~some] == 0).all()
        # Chi-square with at most 4 degrees of freedom: above 23.5 with a chance of 1e-4 if all is right.
        assert ((seen[some] - expected[some]) ** 2 / expected[some]).sum() < 23.5
