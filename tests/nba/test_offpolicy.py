import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import known_policies as worlds
from nba import offpolicy
from nba.offpolicy import Estimate, Estimator, Log, Policy, as_logged, contributions, evaluate, shrunk, weights

Floats = NDArray[np.float64]


def numbers(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


# Four decisions between two arms, chosen with 1/4 and 3/4; the policy always takes the first.
LOG = Log(np.arange(4), numbers(2, 0, 1, 4), numbers(0.25, 0.75, 0.75, 0.25), numbers(1, 0.5, 0.5, 1))
FIRST = Policy(numbers(1, 0, 0, 1), numbers(1, 1, 1, 1), np.zeros(4))


def value(log: Log, policy: Policy, estimator: Estimator, clip: offpolicy.Clip = None) -> float:
    return one(log, policy, estimator, clip).value


def one(log: Log, policy: Policy, estimator: Estimator, clip: offpolicy.Clip = None) -> Estimate:
    rng = np.random.default_rng(0)
    return evaluate(log, [policy], rng, estimator=estimator, clip=clip, resamples=20).values[0]


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        ("dm", 1.0),
        ("ips", (4 * 2 + 4 * 4) / 4),
        ("snips", (2 + 4) / 2),
        ("dr", 1 + (4 * (2 - 1) + 4 * (4 - 1)) / 8),  # weights scaled from a mean of 2 to 1
    ],
)
def test_by_hand(estimator: Estimator, expected: float) -> None:
    assert value(LOG, FIRST, estimator) == pytest.approx(expected)


def test_weights_are_cut() -> None:
    assert weights(LOG, FIRST, 3.0).tolist() == [3, 0, 0, 3]
    assert weights(LOG, FIRST, "root").tolist() == [2, 0, 0, 2]
    assert value(LOG, FIRST, "ips", 3.0) == pytest.approx((3 * 2 + 3 * 4) / 4)
    assert one(LOG, FIRST, "ips", 3.0).clipped == 0.5
    assert one(LOG, FIRST, "ips").clipped == 0


def test_effective_rows_are_those_before_the_cut() -> None:
    log = Log(np.arange(3), numbers(0, 0, 1), numbers(0.5, 0.5, 0.1), np.zeros(3))
    found = one(log, Policy(numbers(1, 1, 1), np.zeros(3), np.zeros(3)), "snips", 2.0)
    assert found.effective_sample_size == pytest.approx(14**2 / (4 + 4 + 100))


@pytest.mark.parametrize("estimator", ["dr", "snips", "ips", "drs"])
def test_the_policy_of_the_log_is_worth_the_mean_reward(estimator: Estimator) -> None:
    log = worlds.draw(np.random.default_rng(0), 50).log
    found = one(log, as_logged(log), estimator)
    assert found.value == pytest.approx(log.reward.mean())
    assert found.effective_sample_size == pytest.approx(len(log))


@pytest.mark.parametrize("estimator", ["dr", "snips", "ips", "drs"])
def test_a_policy_that_never_agrees_with_the_log(estimator: Estimator) -> None:
    never = Policy(np.zeros(4), numbers(1, 2, 3, 4), np.zeros(4))
    found = one(LOG, never, estimator)
    assert found.effective_sample_size == 0
    assert found.value == pytest.approx({"dr": 2.5, "drs": 2.5, "ips": 0, "snips": np.nan}[estimator], nan_ok=True)


def test_what_the_log_could_not_do_is_left_to_the_outcome_model() -> None:
    # Half of the policy's choices have no support: weights have a mean of 1/2, not 1.
    log = Log(np.arange(4), numbers(3, 3, 3, 3), np.full(4, 0.5), np.full(4, 1.0))
    half = Policy(numbers(0.5, 0, 0.5, 0), np.full(4, 0.5 * 1 + 0.5 * 10), np.full(4, 0.5))
    found = one(log, half, "dr")
    assert found.value == pytest.approx(0.5 * 10 + 0.5 * 3)
    assert found.unsupported == 0.5


def test_a_chance_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="propensity"):
        Log(np.arange(1), np.ones(1), np.zeros(1), np.zeros(1))


def test_paired_difference_is_that_of_the_values_and_tighter_than_they_are() -> None:
    world = worlds.draw(np.random.default_rng(3), 2_000)
    near = worlds.mixed(worlds.greedy(), worlds.logging(0.05), -0.02)
    policies = [world.policy(worlds.greedy()), world.policy(near)]
    for estimator in ("dr", "snips"):
        found = evaluate(world.log, policies, np.random.default_rng(0), pairs=[(0, 1)], estimator=estimator)
        ours, theirs = found.values
        (difference,) = found.differences
        assert difference.value == pytest.approx(ours.value - theirs.value)
        assert difference.error < 0.2 * ours.error
        assert difference.effective_sample_size == min(ours.effective_sample_size, theirs.effective_sample_size)


@pytest.mark.parametrize("estimator", ["dr", "snips", "ips", "dm", "drs"])
def test_contributions_average_to_the_value(estimator: Estimator) -> None:
    world = worlds.draw(np.random.default_rng(1), 60)
    policy = world.policy(worlds.greedy())
    rows = contributions(world.log, policy, estimator=estimator)
    assert rows.mean() == pytest.approx(value(world.log, policy, estimator, "root"))


def test_doubly_robust_is_right_with_a_wrong_model_and_the_direct_method_is_not() -> None:
    world = worlds.draw(np.random.default_rng(2), 20_000)
    policy, truth = world.policy(worlds.greedy()), worlds.value(worlds.greedy())
    found = evaluate(world.log, [policy], np.random.default_rng(0), resamples=200).values[0]
    # Within four standard errors of the truth (a chance of 1 in 16,000 to fail); the model alone is off by far more.
    assert abs(found.value - truth) < 4 * found.error
    assert abs(value(world.log, policy, "dm") - truth) > 4 * found.error


def test_a_good_model_shortens_the_interval() -> None:
    world = worlds.draw(np.random.default_rng(2), 2_000, spread=0.1)
    blind = Log(world.log.customer, world.log.reward + 5, world.log.propensity, np.zeros(len(world.log)))
    seeing = Log(blind.customer, blind.reward, blind.propensity, world.log.predicted + 5)
    policy = world.policy(worlds.greedy())
    lifted = Policy(policy.chosen, policy.expected + 5, policy.unsupported)
    plain = Policy(policy.chosen, np.zeros(len(blind)), policy.unsupported)
    assert one(seeing, lifted, "drs").error < 0.5 * one(blind, plain, "ips").error


def test_shrinkage_takes_back_the_heavy_rows_of_a_short_log_and_leaves_a_long_one_alone() -> None:
    short = worlds.draw(np.random.default_rng(4), 40, floor=0.005)
    policy = short.policy(worlds.greedy())
    weight, strength = shrunk(short.log, policy)
    assert weight.max() <= weights(short.log, policy).max()
    # Equal weights need no shrinkage.
    assert shrunk(short.log, as_logged(short.log))[0] == pytest.approx(np.ones(len(short.log)), rel=0.2)
    assert strength > 0


@given(
    rewards=st.lists(st.floats(-10, 10), min_size=3, max_size=12),
    shift=st.floats(-5, 5),
    seed=st.integers(0, 10),
)
def test_properties(rewards: list[float], shift: float, seed: int) -> None:
    """Shifts, swaps of rows and equal policies do what they must."""
    rng = np.random.default_rng(seed)
    n = len(rewards)
    log = Log(rng.integers(3, size=n), np.array(rewards), rng.uniform(0.1, 1, n), rng.normal(size=n))
    policy = Policy(rng.uniform(0.05, 1, n), rng.normal(size=n), np.zeros(n))
    moved = Log(log.customer, log.reward + shift, log.propensity, log.predicted)
    assert value(moved, policy, "snips") == pytest.approx(value(log, policy, "snips") + shift, abs=1e-6)
    assert value(moved, policy, "dr") == pytest.approx(value(log, policy, "dr") + shift, abs=1e-6)
    order = rng.permutation(n)
    turned = Log(log.customer[order], log.reward[order], log.propensity[order], log.predicted[order])
    same = Policy(policy.chosen[order], policy.expected[order], policy.unsupported)
    assert value(turned, same, "dr") == pytest.approx(value(log, policy, "dr"))
    (difference,) = evaluate(log, [policy, policy], rng, pairs=[(0, 1)], resamples=20).differences
    assert difference.ci == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize("estimator", ["dr", "snips"])
def test_intervals_cover_the_truth_as_often_as_they_say(estimator: Estimator) -> None:
    rng = np.random.default_rng(11)
    choice = worlds.greedy()
    truth, floor = worlds.value(choice), 0.05
    covered, paired, logs = 0, 0, 400
    gap = truth - worlds.value(worlds.logging(floor))
    for _ in range(logs):
        world = worlds.draw(rng, 200, floor=floor)
        policies = [world.policy(choice), world.policy(worlds.logging(floor))]
        found = evaluate(world.log, policies, rng, pairs=[(0, 1)], estimator=estimator, resamples=300)
        covered += found.values[0].ci[0] <= truth <= found.values[0].ci[1]
        paired += found.differences[0].ci[0] <= gap <= found.differences[0].ci[1]
    # Of 95%: below 362 or above 396 of 400 has a probability of 0.1% each (binomial).
    assert 362 <= covered <= 396
    assert 362 <= paired <= 396
