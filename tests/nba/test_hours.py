from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nba.hours import HourShares, circular, fit_shares, flat, kinds_of, thinned

RNG = np.random.default_rng


def at_hours(*hours: int, times: int = 1) -> NDArray[np.float64]:
    """Counts of one person, float64[1, 24]."""
    return np.bincount(hours, minlength=24)[None].astype(np.float64) * times


def two_kinds(people: int, opens: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Counts of early people (7, 8 or 9 o'clock) and of late ones (20 to 22), and who is late."""
    rng = RNG(seed)
    late = np.arange(people) % 2 == 1
    hour = np.where(late[:, None], 20, 7) + rng.integers(3, size=(people, opens))
    return np.stack([np.bincount(row, minlength=24) for row in hour]), late


def test_the_formula_by_hand() -> None:
    kinds = np.array([[0.5, 0.5] + [0.0] * 22]) + 1e-12
    shares = HourShares(kinds / kinds.sum(), np.ones(1), 0.0, 10.0)
    # Without smoothing and with one kind it is the Dirichlet posterior mean: (c + κ m) / (n + κ).
    found = shares.of(at_hours(0, times=5))[0]
    assert found[:2] == pytest.approx([(5 + 5) / 15, 5 / 15])
    assert shares.ratio(at_hours(0, times=5))[0, :2] == pytest.approx([4 / 3, 2 / 3])


def test_own_hours_bend_the_day_and_their_neighbours_with_them() -> None:
    shares = HourShares(np.full((1, 24), 1 / 24), np.ones(1), 1.0, 5.0)
    [found] = shares.of(at_hours(23, times=10))
    assert found.argmax() == 23
    assert found[0] == pytest.approx(found[22])
    assert found[0] > 3 * found[12]
    [more] = shares.of(at_hours(23, times=100))
    assert more[23] > found[23]


def test_who_has_done_nothing_has_the_hours_of_everybody() -> None:
    counts, _ = two_kinds(200, 8, seed=0)
    for shares in (fit_shares(counts, RNG(0)), HourShares(*kinds_of(counts.astype(float), 2), 1.0, 20.0)):
        nobody = np.zeros((1, 24))
        assert shares.of(nobody)[0] == pytest.approx(shares.everybody)
        assert shares.ratio(nobody)[0] == pytest.approx(1.0)


def test_few_counts_say_which_kind_somebody_is() -> None:
    counts, late = two_kinds(400, 8, seed=1)
    kinds, weights = kinds_of(counts.astype(float), 2)
    assert weights == pytest.approx([0.5, 0.5], abs=0.02)
    shares = HourShares(kinds, weights, 0.0, np.inf)
    [found] = shares.of(at_hours(20, 22))
    assert found[20:23].sum() > 0.9
    assert found[21] == pytest.approx(found[20], rel=0.2), "an hour they never did anything in, but people alike do"
    of_late, of_early = shares.of(counts[late].astype(float)), shares.of(counts[~late].astype(float))
    assert of_late[:, 20:23].sum(axis=1).min() > 0.9
    assert of_early[:, 7:10].sum(axis=1).min() > 0.9


def test_learned_shares_beat_everybodys_and_each_ones_own() -> None:
    counts, _ = two_kinds(400, 10, seed=2)
    held = thinned(counts, RNG(5))
    kept = (counts - held).astype(float)
    shares = fit_shares(counts - held, RNG(0))
    assert len(shares.weights) > 1

    def loss(found: NDArray[np.float64]) -> float:
        return float(-(held * np.log(found)).sum() / held.sum())

    own = (kept + 1 / 24) / (kept.sum(axis=1, keepdims=True) + 1)
    everybody = np.repeat((kept.sum(axis=0) + 1)[None] / (kept.sum() + 24), len(kept), axis=0)
    assert loss(shares.of(kept)) == pytest.approx(np.log(3), abs=0.02), "three hours, each as likely"
    assert loss(own) > np.log(3) + 0.2
    assert loss(everybody) > np.log(3) + 0.5


def test_where_people_do_not_differ_nobody_is_told_apart() -> None:
    day = np.exp(np.cos(2 * np.pi * (np.arange(24) - 19) / 24))
    counts = RNG(3).multinomial(9, day / day.sum(), size=600)
    shares = fit_shares(counts, RNG(0))
    spread = np.abs(np.log(shares.ratio(counts.astype(float)))).max()
    assert spread < 0.35, "nine counts move nobody far"


def test_nothing_to_learn_from() -> None:
    for counts in (np.zeros((0, 24), dtype=np.int64), np.zeros((3, 24), dtype=np.int64)):
        shares = fit_shares(counts, RNG(0))
        assert shares.of(at_hours(3, times=50))[0] == pytest.approx(1 / 24)
    one = fit_shares(at_hours(3, 4).astype(np.int64), RNG(0))
    assert np.isfinite(one.of(at_hours(5))).all()
    assert (one.of(at_hours(5)) > 0).all()


def test_the_same_seed_gives_the_same() -> None:
    counts, _ = two_kinds(100, 6, seed=4)
    one, other = (fit_shares(counts, RNG(9)).to_arrays() for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_smoothing_goes_round_the_clock() -> None:
    assert np.array_equal(circular(0.0), np.eye(24))
    smoothing = circular(1.5)
    assert smoothing.sum(axis=1) == pytest.approx(1.0)
    assert smoothing[0, 23] == smoothing[0, 1] > smoothing[0, 2] > smoothing[0, 12]


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.lists(st.floats(0, 1e4), min_size=24, max_size=24), min_size=1, max_size=4),
    kinds=st.integers(1, 3),
    width=st.sampled_from([0.0, 0.5, 3.0]),
    concentration=st.sampled_from([1.0, 50.0, float("inf")]),
)
def test_shares_are_shares(counts: list[list[float]], kinds: int, width: float, concentration: float) -> None:
    day, _ = two_kinds(30, 5, seed=0)
    shares = HourShares(*kinds_of(day.astype(float), kinds), width, concentration)
    people = np.array(counts)
    found = shares.of(people)
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert (found > 0).all()
    loaded = HourShares.from_arrays(shares.to_arrays())
    assert np.array_equal(loaded.of(people), found)
    for row in range(len(people)):  # one at a time or together
        assert shares.of(people[row : row + 1])[0] == pytest.approx(found[row], rel=1e-9)
    assert flat().of(people) == pytest.approx(1 / 24)
