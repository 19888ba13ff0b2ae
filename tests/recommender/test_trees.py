"""Trees say what LightGBM says, to the last bit."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from recommender.trees import parse


def rows_of(count: int, seed: int) -> np.ndarray:
    """Eight columns, float32: numbers, half of them whole; some unknown in training, one unknown only here."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 8)).astype(np.float32)
    rows[:, ::2] = np.round(rows[:, ::2] * 2)
    rows[:, :5][rng.random((count, 5)) < 0.3] = np.nan
    rows[:, 5] = np.where(rng.random(count) < 0.5, np.nan, 1)  # nothing to learn but whether it is known
    return rows


def trained(
    leaves: int, *, categories: list[int] | None = None, rows: int = 4_000, zero: bool = False
) -> lightgbm.Booster:
    known = rows_of(rows, seed=0)
    target = np.nan_to_num(known).sum(axis=1) + 2 * np.isnan(known[:, 5]) + np.nan_to_num(known[:, 0]) ** 2
    data = lightgbm.Dataset(known, target, categorical_feature=categories or [])
    setting = {"num_leaves": leaves, "zero_as_missing": zero, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1}
    return lightgbm.train({"objective": "regression", **setting}, data, 30)


@pytest.mark.parametrize("leaves", [2, 7, 8, 9, 15, 33, 64])
@pytest.mark.parametrize("count", [1, 100, 257])
def test_they_say_what_lightgbm_says(leaves: int, count: int) -> None:
    booster = trained(leaves)
    rows = rows_of(count, seed=1)
    rows[::7, 6] = np.nan  # never unknown in training
    trees = parse(booster.model_to_string())
    assert trees is not None
    np.testing.assert_array_equal(trees.sums(rows), booster.predict(rows))
    np.testing.assert_array_equal(trees.sums(np.asfortranarray(rows)), booster.predict(rows))


def test_thresholds_themselves_go_left() -> None:
    booster = trained(15)
    tree = booster.trees_to_dataframe()
    rows = rows_of(200, seed=2)
    for column in range(8):
        at = tree.loc[tree["split_feature"] == f"Column_{column}", "threshold"].to_numpy(dtype=np.float32)
        at = at[np.isfinite(at) & (np.abs(at) > 1e-30)]
        rows[: len(at), column] = at[: len(rows)]
    trees = parse(booster.model_to_string())
    assert trees is not None
    np.testing.assert_array_equal(trees.sums(rows), booster.predict(rows))


def test_no_rows_have_no_sums() -> None:
    trees = parse(trained(4).model_to_string())
    assert trees is not None
    assert trees.sums(rows_of(0, seed=0)).shape == (0,)


def test_trees_without_a_comparison_are_left_to_lightgbm() -> None:
    assert parse(trained(4, rows=4).model_to_string()) is None


def test_what_is_not_handled_is_left_to_lightgbm() -> None:
    assert parse(trained(65).model_to_string()) is None
    assert parse(trained(4, categories=[2]).model_to_string()) is None
    assert parse(trained(4, zero=True).model_to_string()) is None
    assert parse("") is None
