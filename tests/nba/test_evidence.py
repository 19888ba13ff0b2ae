import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import known_policies as worlds
from nba.evidence import Judgement, judge, told
from nba.offpolicy import Log, Policy, as_logged
from nba.support import calibration, overlap


def compared(people: int, ours: NDArray[np.float64], theirs: NDArray[np.float64], seed: int = 0) -> Judgement:
    world = worlds.draw(np.random.default_rng(seed), people)
    return judge(world.log, world.policy(ours), world.policy(theirs), np.random.default_rng(0), resamples=400)


def test_a_better_policy_passes_and_a_worse_one_is_refused() -> None:
    better, worse = worlds.greedy(), worlds.logging(0.05)
    passed = compared(6_000, better, worse)
    assert passed.passed
    assert passed.difference.ci[0] > 0
    assert "passes" in told(passed)
    refused = compared(6_000, worse, better)
    assert refused.refusals == ("not-better",)
    assert "refused: the lower bound" in told(refused)


def test_the_same_policy_passes() -> None:
    found = compared(6_000, worlds.greedy(), worlds.greedy())
    assert found.passed
    assert found.difference.ci == pytest.approx((0, 0), abs=1e-12)


def test_a_short_log_is_no_evidence() -> None:
    found = compared(100, worlds.greedy(), worlds.logging(0.05))
    assert "few-effective-rows" in found.refusals
    assert "effective rows, 1000 needed" in told(found)


def test_choices_beyond_the_log_are_no_evidence() -> None:
    n = 4_000
    log = Log(np.arange(n), np.ones(n), np.full(n, 0.5), np.ones(n))
    for share, refusals in ((0.05, ()), (0.06, ("unsupported-choices",))):
        ours = Policy(np.full(n, (1 - share) / 2), np.full(n, 2.0), np.full(n, share))
        assert judge(log, ours, as_logged(log), np.random.default_rng(0), resamples=50).refusals == refusals


def test_a_challenger_that_never_agrees_with_the_log_is_refused_for_every_reason_there_is() -> None:
    n = 3_000
    log = Log(np.arange(n), np.ones(n), np.full(n, 0.5), np.zeros(n))
    nothing = Policy(np.zeros(n), np.zeros(n), np.ones(n))
    found = judge(log, nothing, as_logged(log), np.random.default_rng(0), resamples=50)
    assert found.refusals == ("few-effective-rows", "unsupported-choices", "not-better")


def test_the_gate_lets_few_bad_ones_in() -> None:
    """Challengers that are worse than the margin, by as little as can be told: they pass one time in forty at most."""
    rng, logs, passed = np.random.default_rng(5), 200, 0
    champion = worlds.greedy()
    challenger = worlds.mixed(champion, worlds.logging(0.05), -0.011)
    for _ in range(logs):
        world = worlds.draw(rng, 300)
        found = judge(world.log, world.policy(challenger), world.policy(champion), rng, resamples=200)
        passed += "not-better" not in found.refusals
    # At 2.5% more than 13 of 200 pass with a probability of 0.1% (binomial).
    assert passed <= 13


def test_wrong_propensities_show_in_the_mean_of_the_weights() -> None:
    world = worlds.draw(np.random.default_rng(1), 3_000)
    policy = world.policy(worlds.greedy())
    sound = overlap(world.log, policy, np.random.default_rng(0))
    assert sound.plausible
    assert sound.mean == pytest.approx(1, abs=0.1)
    log = world.log
    wrong = Log(log.customer, log.reward, np.minimum(1.0, 1.3 * log.propensity), log.predicted)
    assert not overlap(wrong, policy, np.random.default_rng(0)).plausible


def test_overlap_by_hand() -> None:
    log = Log(np.arange(4), np.zeros(4), np.array([0.5, 0.5, 0.25, 0.25]), np.zeros(4))
    found = overlap(log, Policy(np.array([0.0, 0.5, 0.5, 1.0]), np.zeros(4), np.zeros(4)), np.random.default_rng(0))
    assert found.quantiles[0] == 1.5  # of weights 0, 1, 2, 4
    assert found.quantiles[-1] == 4
    assert found.zero == 0.25
    assert found.heaviest == pytest.approx(4 / 7)
    assert found.effective_sample_size == pytest.approx(49 / 21)
    assert found.counts.sum() == 4
    assert found.edges[[0, -1]].tolist() == [0, np.inf]


def test_calibration_tells_a_model_that_spreads_too_far() -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.2, 0.6, 20_000)
    bought = (rng.random(20_000) < truth).astype(np.float64)
    right, wide = calibration(truth, bought), calibration(2 * truth - 0.4, bought)
    assert len(right.rows) == 10
    assert right.rows.sum() == 20_000
    assert right.error < 0.02
    assert right.slope == pytest.approx(1, abs=0.1)
    assert wide.slope == pytest.approx(0.5, abs=0.05)
    assert wide.error > 0.05


def test_calibration_of_a_constant() -> None:
    found = calibration(np.full(10, 0.3), np.arange(10) / 10)
    assert found.rows.tolist() == [10]
    assert found.error == pytest.approx(0.15)
    assert np.isnan(found.slope)
