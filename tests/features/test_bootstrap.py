import doctest

import numpy as np
import pytest

import features.bootstrap
from features.bootstrap import means


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
