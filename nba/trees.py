"""Gradient-boosted trees over encoded crowds, cross-fitted: the nuisance models of decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nba.crowd import Floats

if TYPE_CHECKING:
    from lightgbm import Booster

#: Rows needed to fit trees; below, the model is the mean.
LEAST_ROWS = 500

#: Small trees, strongly held back: outcomes of single decisions are mostly noise.
PARAMETERS: dict[str, Any] = {
    "num_leaves": 15,
    "learning_rate": 0.06,
    "min_data_in_leaf": 100,
    "lambda_l2": 10.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 127,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
TREES = 80


@dataclass(frozen=True)
class Trees:
    """A fitted regression. ``text``: LightGBM's, None where the model is a ``mean``."""

    text: str | None
    mean: float
    _booster: Booster | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.text is not None:
            from lightgbm import Booster

            object.__setattr__(self, "_booster", Booster(model_str=self.text))

    def predict(self, matrix: Floats) -> Floats:
        """float64[n]."""
        if self._booster is None or not len(matrix):
            return np.full(len(matrix), self.mean)
        return np.asarray(self._booster.predict(matrix, num_threads=1), dtype=np.float64)


def fit_trees(
    matrix: Floats,
    target: Floats,
    *,
    seed: int,
    weight: Floats | None = None,
    objective: Literal["regression", "binary"] = "regression",
) -> Trees:
    """Fit on n rows; the mean where they are few or all alike.

    Args:
        matrix: float64[n, F].
        target: float64[n]; 0 and 1 for "binary".
        seed: of drawing rows and columns.
        weight: float64[n], positive.
        objective: squared error, or log loss.
    """
    mean = float(np.average(target, weights=weight)) if len(target) else 0.0
    if len(target) < LEAST_ROWS or np.ptp(target) == 0 or matrix.shape[1] == 0:
        return Trees(None, mean)
    import lightgbm

    data = lightgbm.Dataset(matrix, target, weight=weight, free_raw_data=True)
    booster = lightgbm.train({**PARAMETERS, "objective": objective, "seed": seed}, data, TREES)
    return Trees(booster.model_to_string(), mean)


def cross_fitted(matrix: Floats, target: Floats, customer: NDArray[np.int32], *, folds: int, seed: int) -> Floats:
    """float64[n]: what trees that have not seen a customer say of their rows."""
    fold = folds_of(customer, folds, np.random.default_rng(seed))
    out = np.empty(len(target))
    for number in range(folds):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        out[outside] = fit_trees(matrix[inside], target[inside], seed=seed + number).predict(matrix[outside])
    return out


def folds_of(customer: NDArray[np.int32], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The fold of each row, int64[n]: all rows of a customer are in one."""
    _, place = np.unique(customer, return_inverse=True)
    drawn: NDArray[np.int64] = rng.permutation(int(place.max(initial=0)) + 1) % folds
    return drawn[place]
