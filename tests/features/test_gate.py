from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.gate import Difference, GateRefused, ModelVersion, UnknownModelError, Verdict, evidence, promote
from tests.training.registries import MemoryRegistry

FIGURES = st.floats(-1, 1, allow_nan=False)


def verdict(
    *,
    champion_version: int | None = None,
    challenger: float = 0.12,
    champion: float = 0.10,
    low: float = 0.01,
    high: float = 0.03,
) -> Verdict:
    return Verdict.of(
        champion_version=champion_version,
        metric="ndcg@10",
        split="temporal",
        challenger=challenger,
        champion=champion,
        difference=Difference(value=challenger - champion, ci=(low, high)),
        rows=500,
    )


def registry_of(*verdicts: Verdict | None) -> MemoryRegistry:
    registry = MemoryRegistry()
    for found in verdicts:
        registry.add("recommender", None if found is None else found.model_dump_json())
    return registry


def reason_of(registry: MemoryRegistry, version: int) -> str:
    with pytest.raises(GateRefused) as refused:
        promote(registry, "recommender", version)
    return refused.value.reason


def test_the_first_champion_needs_to_be_no_worse_than_popularity() -> None:
    registry = registry_of(verdict())
    assert promote(registry, "recommender", 1).previous is None
    assert registry.champion("recommender") == registry.version("recommender", 1)


def test_without_evidence_it_is_refused() -> None:
    assert reason_of(registry_of(None), 1) == "no-evidence"


def test_evidence_that_cannot_be_read_is_no_evidence() -> None:
    registry = MemoryRegistry()
    registry.add("recommender", '{"passed": true}')
    assert reason_of(registry, 1) == "no-evidence"


def test_a_worse_one_is_refused_with_the_evidence() -> None:
    registry = registry_of(verdict(challenger=0.08, low=-0.03, high=-0.01))
    with pytest.raises(GateRefused, match=r"not-better: .*ndcg@10 0\.0800 against 0\.1000 of popularity") as refused:
        promote(registry, "recommender", 1)
    assert refused.value.verdict == verdict(challenger=0.08, low=-0.03, high=-0.01)
    assert registry.champion("recommender") is None


def test_evidence_against_a_former_champion_is_stale() -> None:
    registry = registry_of(verdict(), verdict(champion_version=1), verdict(champion_version=1))
    promote(registry, "recommender", 1)
    promote(registry, "recommender", 2)
    assert reason_of(registry, 3) == "stale-evidence"


def test_evidence_against_popularity_is_stale_once_there_is_a_champion() -> None:
    registry = registry_of(verdict(), verdict())
    promote(registry, "recommender", 1)
    assert reason_of(registry, 2) == "stale-evidence"


def test_a_former_champion_returns_without_evidence() -> None:
    registry = registry_of(verdict(), verdict(champion_version=1))
    promote(registry, "recommender", 1)
    promote(registry, "recommender", 2)
    back = promote(registry, "recommender", 1)
    assert (back.previous, back.returned) == (2, True)
    forth = promote(registry, "recommender", 2)
    assert (forth.previous, forth.returned) == (1, True)


def test_whoever_is_champion_may_be_promoted_again() -> None:
    registry = registry_of(verdict())
    promote(registry, "recommender", 1)
    again = promote(registry, "recommender", 1)
    assert (again.previous, again.version) == (1, 1)


def test_a_champion_crowned_by_hand_may_return_too() -> None:
    registry = registry_of(None, verdict(champion_version=1))
    registry.crown("recommender", 1)
    promote(registry, "recommender", 2)
    assert promote(registry, "recommender", 1).returned


def test_an_unknown_version_is_said_to_be_unknown() -> None:
    with pytest.raises(UnknownModelError, match="version 7"):
        promote(registry_of(verdict()), "recommender", 7)


def test_a_verdict_that_says_passed_but_whose_numbers_do_not_is_refused() -> None:
    forged = verdict(low=-0.5).model_copy(update={"passed": True})
    assert reason_of(registry_of(forged), 1) == "not-better"


def test_a_difference_without_interval_never_passes() -> None:
    assert not verdict(low=float("nan"), high=float("nan")).passed


def test_equal_configurations_pass() -> None:
    assert verdict(champion_version=1, challenger=0.1, champion=0.1, low=0.0, high=0.0).passed


def test_fields_of_a_later_segue_are_no_hindrance() -> None:
    version = ModelVersion("recommender", 1, (), False, None, None, None, None, 0)
    stored = json.loads(verdict().model_dump_json()) | {"novelty": 1}
    assert evidence(replace(version, verdict=json.dumps(stored))) == verdict()


@given(champion=st.floats(0, 1), low=FIGURES, share=st.floats(0, 0.2))
def test_it_passes_exactly_when_the_lower_bound_is_within_the_margin(champion: float, low: float, share: float) -> None:
    judged = Verdict.of(
        champion_version=1,
        metric="ndcg@10",
        split="temporal",
        challenger=champion,
        champion=champion,
        difference=Difference(value=low, ci=(low, 1)),
        rows=1,
        share=share,
    )
    assert judged.passed == (low + share * champion >= 0) or low == pytest.approx(-share * champion)


@given(low=FIGURES, raised=st.floats(0, 1), champion=st.floats(0, 1))
def test_a_better_bound_never_turns_a_pass_into_a_failure(low: float, raised: float, champion: float) -> None:
    assert verdict(champion=champion, low=low + raised).passed >= verdict(champion=champion, low=low).passed


@given(champion=st.floats(0, 1), low=FIGURES, high=FIGURES)
def test_a_stored_verdict_reads_as_it_was_written(champion: float, low: float, high: float) -> None:
    judged = verdict(champion=champion, low=low, high=high)
    assert Verdict.model_validate_json(judged.model_dump_json()) == judged
