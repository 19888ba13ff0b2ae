"""One small LightGBM model with its calibration: a chance, a count, an amount, or a median."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lightgbm import Booster

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: What is predicted. The model adds up trees on the scale of: log-odds, logarithm, logarithm, the number itself.
Kind = Literal["chance", "count", "amount", "median"]

_OBJECTIVES: dict[Kind, dict[str, Any]] = {
    "chance": {"objective": "binary"},
    "count": {"objective": "poisson"},
    "amount": {"objective": "tweedie", "tweedie_variance_power": 1.5},
    "median": {"objective": "quantile", "alpha": 0.5},
}

#: Small trees, each seeing half of the features: rows of one customer at several moments are much alike.
_PARAMETERS = {
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.5,
    "lambda_l2": 5.0,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}

#: Below this many rows, or with fewer rows than this of either kind, nothing is fitted.
LEAST_ROWS, LEAST_OF_A_KIND = 200, 20

#: A sum of trees is held within these bounds before it is exponentiated.
BOUND = 30.0


@dataclass(frozen=True)
class Boosted:
    """A fitted model.

    Attributes:
        kind: what it predicts.
        shift: added to the offset, so that trees start right on average.
        intercept, slope: calibration of the sum f of offset, shift and trees: f becomes intercept + slope · f.
        calibrated: there were later rows to calibrate on.
        booster: the trees.
    """

    kind: Kind
    shift: float
    intercept: float
    slope: float
    calibrated: bool
    booster: Booster

    def predict(self, features: Floats, offset: Floats) -> Floats:
        """What is expected, float64[n].

        Args:
            features: float64[n, F], NaN where nothing is known.
            offset: float64[n], what the trees start from, on their scale.
        """
        total = offset + self.shift + _trees(self.booster, features)
        return level(self.kind, self.intercept + self.slope * total)


def fit(
    kind: Kind,
    features: Floats,
    offset: Floats,
    label: Floats,
    *,
    early: Mask,
    late: Mask,
    trees: int = 100,
    seed: int = 0,
) -> Boosted | None:
    """Fit on the earlier rows, calibrate on the later ones, then fit on all, keeping the calibration.

    Calibration is Platt's (1999) for chances, logistic regression on the sum of trees; for counts and amounts the same
    with a logarithmic link; medians have none.

    Args:
        kind: what is predicted.
        features: float64[n, F].
        offset: float64[n], what the trees start from.
        label: float64[n], no NaN.
        early, late: bool[n], rows to fit on first and rows to calibrate on, whose labels come from a later time. Rows
            that are neither are only in the last fit.
        trees: how many.
        seed: for the features each tree sees.

    Returns:
        None if there is too little to fit on.
    """
    if not _enough(kind, label):
        return None
    intercept, slope, calibrated = 0.0, 1.0, False
    if kind != "median" and _enough(kind, label[late]) and _enough(kind, label[early]):
        moved, trial = _train(kind, features[early], offset[early], label[early], trees, seed)
        found = _line(kind, offset[late] + moved + _trees(trial, features[late]), label[late])
        if found is not None:
            (intercept, slope), calibrated = found, True
    shift, booster = _train(kind, features, offset, label, trees, seed)
    return Boosted(kind, shift, intercept, slope, calibrated, booster)


def level(kind: Kind, total: Floats) -> Floats:
    """From the scale of the trees to that of the label, float64[n]."""
    if kind == "median":
        return total
    bounded = np.clip(total, -BOUND, BOUND)
    return 1 / (1 + np.exp(-bounded)) if kind == "chance" else np.exp(bounded)


def _enough(kind: Kind, label: Floats) -> bool:
    if len(label) < LEAST_ROWS:
        return False
    if kind == "median":
        return True
    some = int(np.count_nonzero(label))
    return some >= LEAST_OF_A_KIND and (kind != "chance" or len(label) - some >= LEAST_OF_A_KIND)


def _train(kind: Kind, features: Floats, offset: Floats, label: Floats, trees: int, seed: int) -> tuple[float, Booster]:
    """A shift of the offset and the trees on top."""
    import lightgbm

    if kind == "median":
        shift = float(np.median(label - offset))
    else:
        wanted, there = (_link(kind, float(numbers.mean())) for numbers in (label, level(kind, offset)))
        shift = wanted - there
    data = lightgbm.Dataset(features, label, init_score=offset + shift)
    return shift, lightgbm.train({**_PARAMETERS, **_OBJECTIVES[kind], "seed": seed}, data, trees)


def _link(kind: Kind, mean: float) -> float:
    return float(np.log(mean / (1 - mean)) if kind == "chance" else np.log(mean))


def _trees(booster: Booster, features: Floats) -> Floats:
    return np.asarray(booster.predict(features, raw_score=True, num_threads=1), dtype=np.float64)


def _line(kind: Kind, total: Floats, label: Floats) -> tuple[float, float] | None:
    """Intercept and slope of greatest likelihood, by Newton's method; None if it finds none that rises.

    A little is pulled towards (0, 1), as if ten rows had said so.
    """
    x = np.column_stack([np.ones(len(total)), np.clip(total, -BOUND, BOUND)])
    found = start = np.array([0.0, 1.0])
    pull = 10.0 / len(total) * np.diag(x.T @ x)
    for _ in range(50):
        mean = level(kind, x @ found)
        # counts and amounts: quasi-Poisson, whose variance grows as the mean
        weight = mean * (1 - mean) if kind == "chance" else mean
        slope = x.T @ (label - mean) - pull * (found - start)
        step = np.linalg.solve((x * weight[:, None]).T @ x + np.diag(pull), slope)
        found = found + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            return (float(found[0]), float(found[1])) if found[1] > 0 else None
    return None
