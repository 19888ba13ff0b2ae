from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from features.catalogue import Flag, Number, Tags, Text, Time
from features.vocabulary import Vocabulary
from nba.arms import Arms
from nba.learning import Before, Learned, LearningConfig, learn
from nba.logged import Logged, RewardName
from nba.timing_fit import attended
from tests.nba.worlds import ARMS, START, drawn, logged

CONFIG = LearningConfig()


def learned(log: Logged, reward: RewardName = "value") -> Learned:
    return learn(log, reward, CONFIG, seed=0)


class TestWhatContactsAdd:
    def test_planted_gains_are_found(self) -> None:
        found = learned(drawn(gain=((1.0, -1.0), (1.0, -1.0)), noise=2.0))
        assert found.gains.mean == pytest.approx([1.0, -1.0], abs=0.35)
        assert found.confirmed > 5
        assert found.cost.tolist() == pytest.approx([0, 0.1, 0.1, 0.1, 0.1])

    def test_nothing_is_found_where_there_is_nothing(self) -> None:
        found = learned(drawn(gain=((0.0, 0.0), (0.0, 0.0))))
        assert np.abs(found.gains.mean).max() < 0.1
        assert abs(found.confirmed) < 2.5

    @pytest.mark.parametrize("seed", range(4))
    def test_whoever_attends_buys_anyway_and_the_drawing_does_not_confirm_it(self, seed: int) -> None:
        """With many columns that mean nothing, by which trees could remember who attended."""
        rng, n = np.random.default_rng(seed), 3_000
        noise = {f"x{number}": Number(rng.normal(size=n)) for number in range(20)}
        still, attends = ((0.0, 0.0), (0.0, 0.0)), ((0.2, 0.2), (0.2, 0.2))
        log = drawn(n=n, gain=still, attend=attends, anyway=4.0, seed=seed, more=noise)
        came = log.value[log.clicked].mean() - log.value[(log.arm > 0) & ~log.clicked].mean()
        assert came > 0.5, "who attended earned more, and not by the contact"
        assert learned(log).confirmed < 2.5

    def test_who_attends_on_which_channel_is_found(self) -> None:
        log = drawn(attend=((0.6, 0.1), (0.1, 0.6)))
        found = learned(log)
        chance = found.attendance.chance(found.encoder.matrix(log.crowd), log.crowd)
        taste = log.crowd.attributes["taste"]
        assert isinstance(taste, Number)
        for kind, right in ((0, (0.6, 0.1)), (1, (0.1, 0.6))):
            assert chance[taste.values == kind, :2].mean(axis=0) == pytest.approx(right, abs=0.05)
        assert (chance[:, 2] == 1).all(), "where there is no channel"

    def test_rare_outcomes_are_not_cut_away(self) -> None:
        """Fewer orders than the share of outcomes that are cut off as too large."""
        log = drawn(base=0.0, noise=0.0, gain=((0.0, 0.0), (0.0, 0.0)), cost=(0.0, 0.0))
        converted = np.zeros(len(log), dtype=np.bool_)
        converted[[5, 77]] = True
        for reward in ("converted", "value"):
            found = learned(replace(log, converted=converted, value=converted * 30.0), reward)  # type: ignore[arg-type]
            assert found.outcome.mean > 0 or found.outcome.text is not None
            assert found.level[0] > 0

    def test_one_huge_order_is_no_effect(self) -> None:
        log = drawn(noise=0.5)
        value = log.value.copy()
        value[np.flatnonzero(log.arm == 1)[0]] = 1e6
        assert learned(replace(log, value=value)).gains.mean == pytest.approx(learned(log).gains.mean, abs=0.1)

    def test_other_rewards_have_no_cost(self) -> None:
        found = learned(drawn(), "opened")
        assert (found.cost == 0).all()


class TestSameAnswers:
    def test_a_seed_gives_the_same_model(self) -> None:
        log = drawn(n=1_500)
        one, two = learned(log), learned(log)
        assert (one.gains.covariance == two.gains.covariance).all()
        assert one.attendance.trees == two.attendance.trees

    def test_names_of_customers_mean_nothing(self) -> None:
        log = drawn(n=1_500)
        other = replace(log, crowd=replace(log.crowd, ids=[f"/ü😀{number}" for number in range(len(log))]))
        assert (learned(log).gains.mean == learned(other).gains.mean).all()


# Logs in which something is missing: each must be learned from, without a warning, and must answer.


def one_action() -> Logged:
    return drawn(n=600, arms=Arms.of([("a", "email")]), gain=((1.0,), (1.0,)), attend=((0.5,), (0.5,)))


def no_holds() -> Logged:
    log = drawn(n=900)
    return log.take(np.flatnonzero(log.arm > 0))


def only_holds() -> Logged:
    return logged(ARMS, np.zeros(50, dtype=int), value=np.arange(50.0))


def only_holds_and_nothing_else_known() -> Logged:
    return logged(Arms.of([]), np.zeros(50, dtype=int), value=np.arange(50.0))


def one_customer() -> Logged:
    log = drawn(n=300)
    return replace(log, customer=np.zeros(300, dtype=np.int32))


def one_moment() -> Logged:
    log = drawn(n=300)
    return replace(log, crowd=replace(log.crowd, at=np.full(300, START)))


def one_row() -> Logged:
    return drawn(n=1)


def no_row() -> Logged:
    return drawn(n=10).take(np.zeros(0, dtype=np.int64))


def nothing_attended() -> Logged:
    log = drawn(n=300)
    return replace(log, clicked=np.zeros(300, dtype=np.bool_))


def everything_attended() -> Logged:
    log = drawn(n=1_500)
    return replace(log, clicked=log.arm > 0)


def no_channels() -> Logged:
    return drawn(n=300, arms=Arms.of([("a", None), ("b", None)]), attend=((0.5,), (0.5,)), cost=(0.1,))


def arms_never_tried() -> Logged:
    log = drawn(n=600)
    arms = Arms.of([*(ARMS.pair(arm) for arm in range(1, 5)), ("never", "ads"), ("never", None)])
    return replace(log, arms=arms, eligible=np.ones((600, len(arms)), dtype=np.bool_))


def no_attributes() -> Logged:
    log = drawn(n=600)
    return replace(log, crowd=replace(log.crowd, attributes={}))


def strange_attributes() -> Logged:
    n = 600
    numbers = np.arange(n, dtype=np.float64)
    numbers[:40], numbers[40], numbers[41] = np.nan, np.inf, -np.inf
    return drawn(
        n=n,
        more={
            "number": Number(numbers),
            "unknown": Number(np.full(n, np.nan)),
            "same": Number(np.full(n, 3.0)),
            "flag": Flag(np.resize([1, 0, -1], n).astype(np.int8)),
            "text": Text(np.resize([0, 1, -1], n).astype(np.int32), Vocabulary(["/a", "😀"])),
            "tags": Tags(np.arange(n + 1), np.resize([0, 1], n).astype(np.int32), Vocabulary(["x", "y"])),
            "time": Time(np.where(numbers > 100, START, np.iinfo(np.int64).min)),
        },
    )


def nothing_earned() -> Logged:
    return replace(drawn(n=600), value=np.zeros(600), cost=np.zeros(600))


SCARCE = (
    one_action,
    no_holds,
    only_holds,
    one_customer,
    one_moment,
    one_row,
    no_row,
    nothing_attended,
    everything_attended,
    no_channels,
    arms_never_tried,
    no_attributes,
    strange_attributes,
    nothing_earned,
)


@pytest.mark.parametrize("made", [*SCARCE, only_holds_and_nothing_else_known])
@pytest.mark.parametrize("reward", ["value", "visited"])
def test_whatever_is_missing_there_is_a_model_of_finite_numbers(made: Callable[[], Logged], reward: RewardName) -> None:
    log = made()
    found = learned(log, reward)
    asked = drawn(n=4).crowd
    matrix = found.encoder.matrix(asked)
    own = np.zeros((4, len(log.arms.actions), 2))
    columns = found.levelled(matrix, found.outcome.predict(matrix))
    gain = found.gains.predict(columns, own)
    chance = found.attendance.chance(matrix, asked)
    assert np.isfinite(gain).all()
    assert np.isfinite(found.gains.covariance).all()
    assert (chance >= 0).all()
    assert (chance <= 1).all()
    assert np.isfinite(found.hours.lift(asked)).all()
    assert np.isfinite(found.cost).all()


class TestBeforeThereIsALog:
    def test_what_was_thought_is_what_is_told(self) -> None:
        before = Before(np.array([2.0, 0.5]), np.array([0, 0.3, 0.3, 0.3, 0.3]))
        found = learn(no_row(), "value", CONFIG, seed=0, before=before)
        assert (found.prior == before.gain).all()
        assert (found.cost == before.cost).all()
        assert (found.gains.mean == 0).all()

    def test_the_log_tells_the_cost_of_what_it_knows(self) -> None:
        log = arms_never_tried()
        before = Before(np.zeros(3), np.full(len(log.arms), 0.7))
        cost = learn(log, "value", CONFIG, seed=0, before=before).cost
        assert cost.tolist() == pytest.approx([0, 0.1, 0.1, 0.1, 0.1, 0.7, 0.7])


def test_clicks_are_what_attending_is_judged_by_channel_by_channel() -> None:
    log = logged(
        ARMS,
        [1, 2, 1, 0],
        clicked=[True, False, False, False],
        opened=[False, True, True, True],
    )
    assert attended(log).tolist() == [True, True, False, False], "email has clicks, sms only opens, hold nothing"
