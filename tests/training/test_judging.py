"""The evidence for the gate: worse policies are refused, better ones pass, equal ones are equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from features.events import DAY
from features.gate import Difference, GateRefused, ModelVersion, Verdict, check
from nba.arms import Arms
from nba.config import NbaConfig
from nba.logged import Logged, RewardName
from tests.nba.worlds import START, drawn
from training.judging import BEFORE, LEAST_ROWS, Challenger, judged, parted, policy_of
from training.nba_pipeline import before, champion_of

#: A shop of many decisions, few days: contacts move people, each kind by its own action.
HALF = ((1.0, 0.0), (0.0, 1.0))


@cache
def log_of(n: int = 11_000) -> Logged:
    arms = Arms.of([("a", "email"), ("b", "email")])
    return drawn(n=n, arms=arms, gain=HALF, attend=((0.6,), (0.6,)), noise=0.7, cost=(0.02,))


def challenger(
    log: Logged, reward: RewardName = "value", changes: Mapping[str, Any] = MappingProxyType({})
) -> Challenger:
    config = NbaConfig.of_log(log.arms, changes)
    return Challenger(config, reward, before(config, log))


#: A configuration under which everybody gets ``a``, liked or not: nothing else is eligible.
ONLY_A = {"actions": {"b": {"eligible": "views_1d < -1"}}}

CHAMPION = ModelVersion("nba", 3, ("champion",), True, None, None, None, None, 0)


class TestVerdicts:
    def test_what_is_learned_is_better_than_what_was_drawn(self) -> None:
        log = log_of()
        judgement, verdict, why_not = judged(log, challenger(log), None, None, seed=0)
        assert judgement is not None
        assert verdict is not None
        assert why_not is None
        assert verdict.passed
        assert verdict.against == "logged"
        assert verdict.champion_version is None
        assert verdict.split == "after the training data"
        assert verdict.difference.ci[0] > 0
        assert verdict.champion == pytest.approx(log.reward("value").mean(), abs=0.1)
        assert verdict.rows < len(log) * (1 - BEFORE) * 1.1
        assert verdict.unsupported == 0

    def test_a_better_configuration_passes_and_a_worse_one_is_refused(self) -> None:
        log = log_of()
        good, bad = challenger(log), challenger(log, changes=ONLY_A)
        _, passes, _ = judged(log, good, CHAMPION, bad, seed=0)
        _, fails, _ = judged(log, bad, CHAMPION, good, seed=0)
        assert passes is not None
        assert fails is not None
        assert passes.passed
        assert passes.champion_version == 3
        assert passes.against == "champion"
        assert not fails.passed
        assert fails.refusals == ("not-better",)
        assert fails.difference.value == pytest.approx(-passes.difference.value)

    def test_an_equal_configuration_is_exactly_equal(self) -> None:
        """The usual case: trained again on newer data, with the configuration of the champion."""
        log = log_of()
        _, verdict, _ = judged(log, challenger(log), CHAMPION, challenger(log), seed=0)
        assert verdict is not None
        assert verdict.difference == Difference(value=0, ci=(0, 0))
        assert verdict.passed

    def test_a_price_of_attention_does_not_change_what_was_earned(self) -> None:
        """It changes choices; where these are the same, so are the values."""
        log = replace(log_of(), unsubscribed=np.zeros(len(log_of()), dtype=np.bool_))
        paying = challenger(log, changes={"learning": {"attention": True}})
        _, verdict, _ = judged(log, paying, CHAMPION, challenger(log), seed=0)
        assert verdict is not None
        assert verdict.difference.value == pytest.approx(0, abs=1e-9)

    def test_few_rows_are_no_evidence(self) -> None:
        log = log_of(2 * LEAST_ROWS - 2)
        judgement, verdict, why_not = judged(log, challenger(log), None, None, seed=0)
        assert (judgement, verdict) == (None, None)
        assert why_not is not None
        assert "too few" in why_not

    def test_little_behind_it_is_refused(self) -> None:
        log = log_of(1_200)
        _, verdict, _ = judged(log, challenger(log), None, None, seed=0)
        assert verdict is not None
        assert "few-effective-rows" in verdict.refusals
        assert not verdict.passed

    def test_a_champion_that_cannot_be_told_is_why_there_is_none(self) -> None:
        log = log_of(1_200)
        assert judged(log, challenger(log), CHAMPION, "nobody knows how", seed=0) == (None, None, "nobody knows how")

    def test_evidence_against_a_former_champion_is_stale(self) -> None:
        log = log_of()
        _, verdict, _ = judged(log, challenger(log), None, None, seed=0)
        assert isinstance(verdict, Verdict)
        candidate = replace(CHAMPION, version=4, aliases=(), was_champion=False)
        check(candidate, verdict, None)
        with pytest.raises(GateRefused) as refused:
            check(candidate, verdict, 3)
        assert refused.value.reason == "stale-evidence"


class TestChampions:
    def version(self, config: str | None) -> ModelVersion:
        return replace(CHAMPION, config=config)

    def test_nobody(self) -> None:
        assert champion_of(None, log_of(1_200)) is None

    @pytest.mark.parametrize("config", [None, "{", "[]", "{}", '{"config": {"actoins": {}}, "reward": "value"}'])
    def test_how_it_was_trained_must_be_told(self, config: str | None) -> None:
        found = champion_of(self.version(config), log_of(1_200))
        assert isinstance(found, str)
        assert "version 3" in found
        assert "champion" in found

    def test_there_and_back(self) -> None:
        import json

        log = log_of(1_200)
        ours = challenger(log, "visited")
        text = json.dumps({"reward": "visited", "config": ours.config.model_dump(mode="json")})
        found = champion_of(self.version(text), log)
        assert isinstance(found, Challenger)
        assert (found.config, found.reward) == (ours.config, ours.reward)


class TestParts:
    def test_outcomes_of_what_is_fitted_on_were_over_by_the_cut(self) -> None:
        log = log_of()
        parts = parted(log, 0)
        assert parts is not None
        ((early, late),) = parts.fits
        at = log.crowd.at
        assert at[early].max() + 7 * DAY < at[late].min()
        assert not set(early) & set(late)

    def test_a_log_of_few_days_is_parted_by_customer(self) -> None:
        log = drawn(n=1_000, span=3)
        parts = parted(log, 0)
        assert parts is not None
        assert "customer" in parts.name
        asked = np.concatenate([after for _, after in parts.fits])
        assert sorted(asked.tolist()) == list(range(1_000))
        for inside, outside in parts.fits:
            assert not set(log.customer[inside].tolist()) & set(log.customer[outside].tolist())

    def test_too_few(self) -> None:
        assert parted(drawn(n=300), 0) is None
        assert parted(drawn(n=10).take(np.zeros(0, dtype=np.int64)), 0) is None


def test_what_nobody_was_given_or_could_be_given_has_no_support() -> None:
    log = drawn(n=3)
    arms = np.array([0, 1, 1], dtype=np.int32)
    eligible = np.ones((3, 5), dtype=np.bool_)
    eligible[1, 2] = False
    log = replace(log, arm=arms, eligible=eligible, crowd=replace(log.crowd, at=np.full(3, START)))
    predicted = np.arange(15.0).reshape(3, 5)
    told = policy_of(log, predicted, np.array([0, 2, 1], dtype=np.int32))
    assert told.unsupported.tolist() == [0, 1, 0]
    assert told.chosen.tolist() == [1, 0, 1]
    assert told.expected.tolist() == [0, 7, 11]
