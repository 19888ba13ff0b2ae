from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nba.trees import LEAST_ROWS, Trees, cross_fitted, fit_trees, folds_of


def test_a_step_is_found() -> None:
    x = np.linspace(-1, 1, 2_000)[:, None]
    fitted = fit_trees(x, np.where(x[:, 0] > 0, 3.0, 1.0), seed=0)
    assert fitted.predict(np.array([[-0.8], [0.8]])) == pytest.approx([1, 3], abs=0.1)
    assert len(fitted.predict(x[:0])) == 0
    back = Trees(fitted.text, fitted.mean)
    assert (back.predict(x) == fitted.predict(x)).all()


@pytest.mark.parametrize(("rows", "columns"), [(LEAST_ROWS - 1, 2), (1_000, 0), (1, 1)])
def test_of_little_it_is_the_mean(rows: int, columns: int) -> None:
    target = np.arange(rows, dtype=np.float64)
    fitted = fit_trees(np.ones((rows, columns)), target, seed=0)
    assert (fitted.text, fitted.mean) == (None, target.mean())


def test_nothing_at_all() -> None:
    fitted = fit_trees(np.zeros((0, 3)), np.zeros(0), seed=0)
    assert fitted.predict(np.zeros((2, 3))).tolist() == [0, 0]
    assert len(cross_fitted(np.zeros((0, 3)), np.zeros(0), np.zeros(0, dtype=np.int32), folds=3, seed=0)) == 0


def test_weights_count() -> None:
    assert fit_trees(np.zeros((2, 1)), np.array([0.0, 1.0]), seed=0, weight=np.array([1.0, 3.0])).mean == 0.75


def test_cross_fitted_values_do_not_know_the_customer() -> None:
    """Every customer has an outcome of their own, which only their own rows tell."""
    rng = np.random.default_rng(0)
    customer = np.repeat(np.arange(40), 50).astype(np.int32)
    own = rng.normal(size=40)[customer]
    matrix = np.column_stack([customer, rng.normal(size=2_000)]).astype(np.float64)
    seen = fit_trees(matrix, own, seed=0).predict(matrix)
    unseen = cross_fitted(matrix, own, customer, folds=4, seed=0)
    assert np.corrcoef(seen, own)[0, 1] > 0.8
    assert np.corrcoef(unseen, own)[0, 1] < 0.4


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(2, 5))
def test_a_customer_is_in_one_fold_and_folds_are_even(customers: list[int], folds: int) -> None:
    customer = np.array(customers, dtype=np.int32)
    fold = folds_of(customer, folds, np.random.default_rng(0))
    assert len(fold) == len(customer)
    parts = [set(customer[fold == one].tolist()) for one in range(folds)]
    assert sum(map(len, parts)) == len(set(customers))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
