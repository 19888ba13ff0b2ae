import doctest

import numpy as np
import pytest

import features.bootstrap
from features.bootstrap import Ratios, means, studentised


def test_docstring_examples_are_true() -> None:
    assert doctest.testmod(features.bootstrap).failed == 0


def test_interval_of_independent_rows_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(3, 2, size=(2_000, 1))
    found = means(values, np.arange(2_000), np.random.default_rng(2), resamples=4_000)
    half = 1.96 * values.std() / np.sqrt(2_000)
    assert found.value[0] == pytest.approx(values.mean())
    assert found.interval[0] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.1 * half)


def test_copies_of_a_persons_row_add_no_certainty() -> None:
    values = np.random.default_rng(1).normal(size=(200, 1))
    alone = means(values, np.arange(200), np.random.default_rng(0))
    copied = means(np.repeat(values, 10, axis=0), np.repeat(np.arange(200), 10), np.random.default_rng(0))
    assert copied.interval == pytest.approx(alone.interval)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(300):
        person = rng.normal(size=80).repeat(3)
        found = means((person + rng.normal(size=240))[:, None], np.arange(80).repeat(3), rng, resamples=300)
        covered += int(found.interval[0, 0] <= 0 <= found.interval[0, 1])
    # 95% nominal; fewer than 265 of 300 has a probability below 1e-5 even at 93% (binomial).
    assert covered >= 265


def test_weights_are_those_of_the_mean() -> None:
    values, weight = np.array([[1.0], [0.0], [0.0]]), np.array([1.0, 0.5, 0.5])
    found = means(values, np.array([0, 1, 1]), np.random.default_rng(0), weight=weight)
    assert found.value[0] == pytest.approx(0.5)


def test_a_paired_difference_is_tighter_than_its_parts() -> None:
    rng = np.random.default_rng(4)
    ours = rng.normal(size=500)
    theirs = ours - 0.1
    found = means(np.column_stack([ours, theirs, ours - theirs]), np.arange(500), rng)
    assert found.interval[2] == pytest.approx([0.1, 0.1])
    assert np.ptp(found.interval[0]) > 0.1


def test_same_seed_same_interval() -> None:
    values, cluster = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) // 2
    one, two, three = (means(values, cluster, np.random.default_rng(seed)).interval for seed in (5, 5, 6))
    assert (one == two).all()
    assert (one != three).any()


def test_one_person() -> None:
    found = means(np.array([[0.25], [0.75]]), np.array([7, 7]), np.random.default_rng(0))
    assert found.interval.tolist() == [[0.5, 0.5]]


def ratio(numerator: object, denominator: object) -> Ratios:
    columns = (np.array(one, dtype=np.float64) for one in (numerator, denominator))
    return Ratios(*(column.reshape(len(column), -1) for column in columns))


def test_error_of_a_mean_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(1).normal(size=400)
    found = studentised([ratio(values, np.ones(400))], np.arange(400), np.random.default_rng(0))
    assert found.value[0] == pytest.approx(values.mean())
    assert found.error[0] == pytest.approx(values.std() / 20 * 400 / 399)
    # Of a normal sample the studentised interval is that of Student: ±1.966 standard errors.
    assert found.interval[0] == pytest.approx(values.mean() + np.array([-1, 1]) * 1.966 * values.std() / 20, abs=0.015)


def test_error_of_a_sum_of_ratios_is_that_of_the_jackknife() -> None:
    above, below = np.array([[1.0, 2], [4, 1], [2, 2], [1, 0]]), np.array([[1.0, 1], [1, 2], [2, 1], [1, 1]])
    cluster = np.array([0, 0, 1, 2])
    found = studentised([Ratios(above, below)], cluster, np.random.default_rng(0), resamples=10)
    # By hand: 8/5 + 5/5, and without one cluster each.
    without = [3 / 3 + 2 / 2, 6 / 3 + 3 / 4, 7 / 4 + 5 / 4]
    assert found.value[0] == pytest.approx(2.6)
    assert found.error[0] == pytest.approx(np.sqrt(sum((2.6 - other) ** 2 for other in without)))


def test_numbers_share_the_resamples() -> None:
    rng = np.random.default_rng(4)
    ours, one = rng.lognormal(size=300), np.ones(300)
    both = [ratio(ours, one), ratio(ours + 1, one), ratio(np.column_stack([ours, -ours - 1]), np.ones((300, 2)))]
    found = studentised(both, np.arange(300) // 3, rng)
    assert found.interval[1] == pytest.approx(found.interval[0] + 1)
    assert found.interval[2] == pytest.approx([-1, -1])


@pytest.mark.parametrize(
    ("above", "below", "cluster", "low", "high"),
    [
        ([0.25, 0.75], [1, 1], [7, 7], 0.5, 0.5),  # one cluster
        ([0.1] * 9, [1] * 9, list(range(9)), 0.1, 0.1),  # nothing varies
        ([0, 0, 0], [0, 0, 0], [0, 1, 2], np.nan, np.nan),  # 0 / 0
    ],
)
def test_nothing_to_resample(
    above: list[float], below: list[float], cluster: list[int], low: float, high: float
) -> None:
    found = studentised([ratio(above, below)], np.array(cluster), np.random.default_rng(0))
    assert found.interval[0] == pytest.approx([low, high], nan_ok=True)


def test_studentised_covers_where_percentiles_cover_too_little() -> None:
    rng = np.random.default_rng(5)
    truth = np.exp(0.5)
    hits = np.zeros(2)
    for _ in range(500):
        values, people = rng.lognormal(size=60), np.arange(60)
        ours = studentised([ratio(values, np.ones(60))], people, rng, resamples=400).interval[0]
        theirs = means(values[:, None], people, rng, resamples=400).interval[0]
        hits += [low <= truth <= high for low, high in (ours, theirs)]
    # Of 2,000 samples 92.4% and 89.0% are covered. Fewer than 445 of 500 has a probability of 0.3% then (binomial).
    assert hits[0] >= 445
    assert hits[1] < hits[0] - 5
