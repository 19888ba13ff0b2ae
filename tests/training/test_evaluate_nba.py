from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import orjson
import pytest
from rich.console import Console

from nba.arms import Arms
from nba.learning import LearningConfig
from nba.logged import Logged
from tests.nba.worlds import drawn
from training.evaluate_nba import Answered, evaluate_nba, uplifts
from training.nba_table import evaluation_tables
from training.split import EvaluationError

ARMS = Arms.of([("a", "email"), ("b", "email")])
CONFIG = LearningConfig(attention=False)


def planted(n: int = 3_000, seed: int = 0) -> Logged:
    """Half are moved by a, half by b; a contact costs a little."""
    gain = ((3.0, 0.0), (0.0, 3.0))
    return drawn(n=n, arms=ARMS, gain=gain, attend=((0.6,), (0.6,)), cost=(0.1,), each=3, seed=seed)


@cache
def evaluated() -> tuple[dict[str, Any], dict[str, Any]]:
    return evaluate_nba(planted(), "value", CONFIG, folds=3)


class TestPlanted:
    """Worth by hand: 1 on hold, 1 + 0.6 · 3 − 0.1 = 2.7 with the right action for each, 1.8 with one for everybody."""

    def test_values_are_the_true_ones(self) -> None:
        found = evaluated()[0]["policies"]
        right = {"learned": 2.7, "best_constant": 1.8, "hold": 1.0, "random": (1.0 + 2 * 1.8) / 3, "logged": 4.6 / 3}
        for name, value in right.items():
            low, high = found[name]["ci"]
            width = high - low
            assert low - width / 2 < value < high + width / 2, name
            assert found[name]["value"] == pytest.approx(value, abs=0.15), name

    def test_the_learned_policy_is_better_than_all_others(self) -> None:
        difference = evaluated()[0]["difference"]
        assert difference.keys() == {"response", "best_constant", "ladder", "hold", "logged", "random"}
        for name in ("best_constant", "hold", "logged", "random"):
            assert difference[name]["ci"][0] > 0, name

    def test_actions_add_to_those_who_are_moved_by_them(self) -> None:
        found, curves = evaluated()
        assert found["uplift"].keys() == curves.keys() == {"a", "b"}
        for told in found["uplift"].values():
            low, high = told["ate_ci"]
            assert low < 0.8 < high, "half of the customers, 1.8 each, less the cost of 0.1"
            assert told["qini_ci"][0] > 0
            assert set(told) >= {"ate", "ate_ci", "qini", "qini_ci", "response_qini"}

    def test_the_constant_is_named(self) -> None:
        told = evaluated()[0]["policies"]["best_constant"]
        assert told["action"] in ("a", "b")
        assert told["channel"] == "email"

    def test_keys_are_those_that_scripts_rely_on(self) -> None:
        found = evaluated()[0]
        fixed = {"reward", "rows", "estimator", "effective_sample_size", "policies", "difference", "uplift"}
        assert found.keys() >= fixed | {"unsupported", "split", "fit_seconds", "score_seconds", "customers"}
        assert list(found["policies"]) == [
            *("learned", "response", "best_constant", "ladder", "hold", "logged", "random")
        ]
        for told in found["policies"].values():
            assert told.keys() >= {"value", "ci", "snips"}
        assert (found["rows"], found["customers"], found["unsupported"]) == (3_000, 1_000, 0)
        assert found["diagnostics"]["propensities_plausible"]
        json.dumps(found)
        orjson.dumps(found)

    def test_it_can_be_read(self) -> None:
        console = Console(width=200, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        for table in evaluation_tables(evaluated()[0]):
            console.print(table)
        console.file.close()
        text = console.export_text()
        assert "best constant (" in text
        assert "whom actions help" in text


class TestHold:
    def test_null_if_it_was_never_logged(self) -> None:
        log = planted(900)
        sent = log.take(np.flatnonzero(log.arm > 0))
        found, _ = evaluate_nba(replace(sent, propensity=np.full(len(sent), 0.5)), "value", CONFIG, folds=2)
        assert found["policies"]["hold"] is None
        assert "hold" not in found["difference"]
        assert found["uplift"] == {}
        assert evaluation_tables(found)

    def test_where_it_is_best_it_is_the_constant(self) -> None:
        log = drawn(n=900, arms=ARMS, gain=((-3.0, -3.0), (-3.0, -3.0)), attend=((0.6,), (0.6,)), cost=(0.1,))
        found, _ = evaluate_nba(log, "value", CONFIG, folds=2)
        told = found["policies"]["best_constant"]
        assert (told["action"], told["channel"]) == ("hold", None)
        assert found["difference"]["hold"]["value"] == pytest.approx(0, abs=0.02)


class TestOracle:
    def test_of_simulated_data_with_its_truth(self) -> None:
        found, _ = evaluate_nba(planted(600), "value", CONFIG, folds=2, ceiling=lambda: np.array([1.0, 3.0]))
        assert found["policies"]["oracle"] == {"value": 2.0, "ci": [2.0, 2.0], "simulated": True}
        assert evaluation_tables(found)

    def test_else_none(self) -> None:
        assert "oracle" not in evaluated()[0]["policies"]


class TestRefusals:
    def test_a_reward_that_nobody_has(self) -> None:
        with pytest.raises(EvaluationError, match="converted"):
            evaluate_nba(planted(300), "converted")

    def test_too_few_customers(self) -> None:
        log = planted(300)
        with pytest.raises(EvaluationError, match="3 customers"):
            evaluate_nba(replace(log, customer=log.customer % 3), "value")


def test_the_seed_decides_and_names_do_not() -> None:
    log = planted(600)
    other = replace(log, crowd=replace(log.crowd, ids=[f"/{row}" for row in range(600)]))
    one, two, three = (
        evaluate_nba(of, "value", CONFIG, folds=2, seed=seed)[0]["policies"]
        for of, seed in ((log, 3), (other, 3), (log, 4))
    )
    assert one == two
    assert one["learned"] != three["learned"]


def test_other_rewards_count_too() -> None:
    log = replace(planted(600), opened=planted(600).clicked)
    found, _ = evaluate_nba(log, "opened", CONFIG, folds=2)
    assert found["policies"]["hold"]["value"] == pytest.approx(0, abs=0.02)
    assert found["policies"]["learned"]["value"] == pytest.approx(0.6, abs=0.12)


def test_whoever_has_more_channels_does_not_pass_for_an_effect() -> None:
    """Nothing moves anybody, but those who allow two channels earn five times as much as those who allow one."""
    rng, n = np.random.default_rng(0), 6_000
    arms = Arms.of([("a", "email"), ("a", "sms")])
    both = rng.random(n) < 0.5
    eligible = np.column_stack([np.ones(n), np.ones(n), both]).astype(np.bool_)
    arm = (rng.random(n) * eligible.sum(axis=1)).astype(np.int32)
    log = drawn(n=n, arms=arms, gain=((0.0,), (0.0,)), each=1)
    log = replace(
        log,
        arm=arm,
        eligible=eligible,
        propensity=1.0 / eligible.sum(axis=1),
        value=np.where(both, 5.0, 1.0) + rng.normal(size=n),
        cost=np.zeros(n),
    )
    ignorant = np.full((n, 3), 3.0)
    choices = dict.fromkeys(("learned", "response", "best_constant"), arm)
    found = Answered(ignorant, ignorant, choices, (0,), ("learned",), 0.0, 0.0)
    told, curves = uplifts(log, log.value, found, rng)
    low, high = told["a"]["ate_ci"]
    assert low < 0 < high
    share, gain = curves["a"]["gain"]
    assert share[-1] == 1
    assert gain[-1] == pytest.approx(0, abs=0.15)
