from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from features.catalogue import Number
from nba.arms import Arms
from nba.learning import LearningConfig
from nba.logged import Logged
from nba.model import DecisionModel, RuleName
from nba.selection import OutOfFold, best, best_constant, chosen_rule, constants, earned, fit_selected, incremental
from nba.values import HOUR_CELLS, Values
from tests.nba.test_learning import SCARCE
from tests.nba.worlds import ARMS, drawn, logged

CONFIG = LearningConfig(attention=False)


def tastes(log: Logged) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    taste = log.crowd.attributes["taste"]
    assert isinstance(taste, Number)
    return taste.values


def choices(model: DecisionModel, log: Logged) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return best(model.values(log.crowd), log.arms, log.eligible)


class TestFittingAndChoosing:
    def test_each_taste_gets_its_action_on_its_channel(self) -> None:
        log = drawn(attend=((0.6, 0.1), (0.1, 0.6)), cost=(0.05, 0.05))
        model, leads = fit_selected(log, "value", CONFIG, seed=0)
        assert model.rule.name == "learned"
        assert set(leads) >= {"constant", "response", "means"}
        other = drawn(attend=((0.6, 0.1), (0.1, 0.6)), seed=1)
        arm, taste = choices(model, other), tastes(other)
        for kind, right in ((0, ("a", "email")), (1, ("b", "sms"))):
            assert (arm[taste == kind] == ARMS.find(*right)).mean() > 0.95

    def test_contacts_that_cost_more_than_they_add_are_not_made(self) -> None:
        log = drawn(gain=((1.0, 1.0), (1.0, 1.0)), cost=(0.9, 0.9))
        model, _ = fit_selected(log, "value", CONFIG, seed=0)
        assert (choices(model, log) == 0).mean() > 0.95

    def test_whom_contact_drives_away_is_left_alone(self) -> None:
        log = drawn(gain=((1.5, 1.5), (-1.5, -1.5)), cost=(0.01, 0.01))
        model, _ = fit_selected(log, "value", CONFIG, seed=0)
        arm, taste = choices(model, log), tastes(log)
        assert (arm[taste == 0] > 0).mean() > 0.95
        assert (arm[taste == 1] == 0).mean() > 0.95

    def test_where_nothing_can_be_told_one_arm_is_for_everybody(self) -> None:
        log = drawn(n=600, gain=((0.0, 0.0), (0.0, 0.0)), cost=(0.0, 0.0))
        model, _ = fit_selected(log, "value", CONFIG, seed=0)
        assert len(np.unique(choices(model, log))) == 1

    def test_who_unsubscribes_costs_what_later_contacts_would_have_earned(self) -> None:
        log = drawn(n=3_000, gain=((1.0, 1.0), (1.0, 1.0)), cost=(0.0, 0.0))
        sms = np.isin(log.arm, [2, 4])
        leaving = replace(log, unsubscribed=sms & (np.arange(len(log)) % 5 == 0))
        model, _ = fit_selected(leaving, "value", LearningConfig(), seed=0)
        email, text, none = model.attention.tolist()
        assert text > 5 * email > 0
        assert email <= none <= text
        free, _ = fit_selected(leaving, "value", CONFIG, seed=0)
        assert (free.attention == 0).all()

    def test_progress_is_told(self) -> None:
        steps: list[tuple[int, int]] = []
        fit_selected(drawn(n=300), "value", CONFIG, seed=0, progress=lambda done, of: steps.append((done, of)))
        assert steps == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]

    @pytest.mark.parametrize("made", SCARCE)
    def test_whatever_is_missing_something_eligible_is_chosen(self, made: Callable[[], Logged]) -> None:
        log = made()
        model, leads = fit_selected(log, "value", LearningConfig(), seed=0)
        arm = choices(model, log)
        assert log.eligible[np.arange(len(log)), arm].all()
        assert np.isfinite(model.attention).all()
        assert all(np.isfinite(lead).all() for lead in leads.values())


class TestConstants:
    def test_an_arm_where_it_is_eligible_and_hold_elsewhere(self) -> None:
        eligible = np.array([[True, True, False, False, False], [True, False, True, False, False]])
        log = logged(ARMS, [0, 0], eligible=eligible)
        assert constants(log).tolist() == [[0, 1, 0, 0, 0], [0, 0, 2, 0, 0]]

    def test_what_was_never_tried_is_never_best(self) -> None:
        """However much a model thinks of it."""
        log = drawn(n=300)
        arms = Arms.of([*(ARMS.pair(arm) for arm in range(1, 5)), ("new", "email")])
        log = replace(log, arms=arms, eligible=np.ones((300, 6), dtype=np.bool_))
        predicted = np.zeros((300, 6))
        predicted[:, 5] = 1_000.0
        assert best_constant(log, log.reward("value"), predicted) != 5

    def test_the_best_is_best_by_what_it_earned_not_by_what_was_predicted(self) -> None:
        log = logged(ARMS, np.resize(np.arange(5), 500), value=np.resize([1.0, 0, 0, 5, 0], 500))
        wrong = np.zeros((500, 5))
        wrong[:, 2] = 3.0
        assert best_constant(log, log.value, wrong) == 3

    def test_what_was_chosen_seldom_counts_as_if_it_had_been_chosen_as_often(self) -> None:
        log = logged(ARMS, [0, 0, 0, 1], propensity=[0.75, 0.75, 0.75, 0.25], value=[1.0, 1.0, 1.0, 2.0])
        assert earned(log, log.value, np.zeros((4, 5)), np.ones(4, dtype=np.int32)).mean() == pytest.approx(2.0)
        assert earned(log, log.value, np.zeros((4, 5)), np.zeros(4, dtype=np.int32)).mean() == pytest.approx(1.0)


class TestRules:
    def seen(self, log: Logged, confirmed: float, **chosen: int) -> OutOfFold:
        arms: dict[RuleName, np.ndarray[tuple[int], np.dtype[np.int32]]] = {
            name: np.full(len(log), arm, dtype=np.int32)  # type: ignore[misc]
            for name, arm in chosen.items()
        }
        return OutOfFold(np.zeros((len(log), len(log.arms))), arms, confirmed)

    def log(self) -> Logged:
        rng = np.random.default_rng(0)
        arm = np.resize(np.arange(5), 1_000)
        return logged(ARMS, arm, value=np.array([0.0, 0.0, 1.0, 0.0, 3.0])[arm] + rng.normal(size=1_000))

    def test_the_constant_stands_until_another_leads(self) -> None:
        log = self.log()
        rule, leads = chosen_rule(log, log.value, self.seen(log, 0.0, constant=2, response=1, learned=4))
        assert rule.name == "learned"
        assert leads["response"][0] < 0 < leads["learned"][0]

    def test_equal_choices_do_not_lead(self) -> None:
        log = self.log()
        rule, leads = chosen_rule(log, log.value, self.seen(log, np.nan, constant=4, response=4, learned=4))
        assert (rule.name, rule.arm) == ("constant", 4)
        assert leads == {"response": (0.0, 0.0), "learned": (0.0, 0.0)}

    def test_confirmed_gains_stand_first(self) -> None:
        log = self.log()
        rule, _ = chosen_rule(log, log.value, self.seen(log, 3.0, constant=2, learned=2))
        assert rule.name == "learned"
        rule, _ = chosen_rule(log, log.value, self.seen(log, 3.0, constant=4, learned=1))
        assert rule.name == "constant", "not where another leads beyond doubt"

    def test_rows_of_one_customer_are_not_independent(self) -> None:
        log = self.log()
        alone = chosen_rule(log, log.value, self.seen(log, 0.0, constant=2, learned=4))[1]["learned"]
        few = replace(log, customer=(np.arange(1_000) // 500).astype(np.int32))
        together = chosen_rule(few, log.value, self.seen(log, 0.0, constant=2, learned=4))[1]["learned"]
        assert together[0] == alone[0]
        assert together[1] != alone[1]


def values(**changes: object) -> Values:
    """Of one customer, two actions, two channels."""
    usual = Values(
        base=np.array([1.0]),
        gain=np.array([[2.0, 4.0]]),
        gain_error=lambda rows, action: np.zeros(len(rows)),
        attend=np.array([[0.5, 0.25, 1.0]]),
        lift=np.ones((1, 3, HOUR_CELLS), dtype=np.float32),
        cost=np.array([0.0, 0.1, 0.2, 0.3, 0.4]),
        attention=np.array([[0.05, 0.0, 0.0]]),
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


class TestBest:
    everything = np.ones((1, 5), dtype=np.bool_)

    def test_by_hand(self) -> None:
        worth = incremental(values(), ARMS)
        assert worth[0].tolist() == pytest.approx([0, 2 * 0.5 - 0.15, 2 * 0.25 - 0.2, 4 * 0.5 - 0.35, 4 * 0.25 - 0.4])
        assert best(values(), ARMS, self.everything).tolist() == [3]

    def test_only_what_is_eligible(self) -> None:
        assert best(values(), ARMS, np.array([[True, True, True, False, False]])).tolist() == [1]

    def test_hold_where_nothing_pays(self) -> None:
        assert best(values(gain=np.array([[-1.0, 0.1]])), ARMS, self.everything).tolist() == [0]

    def test_a_rule_goes_before_the_values(self) -> None:
        rule = values(preference=np.array([[9.0, -1.0, 0.5, -1.0, -1.0]]))
        assert best(rule, ARMS, self.everything).tolist() == [2]
