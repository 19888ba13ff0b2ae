"""What would policies have earned? Off-policy, cross-fitted by customer, beside every policy a shop might have instead.

Customers are parted into folds. For each fold everything is fitted on the others, the choice of what decides included,
and asked about it. So no customer's outcome has a say in what is chosen for them. Values are doubly robust
(`nba.offpolicy`), a reward per row of the log, with intervals clustered by customer; what is sent is sent at the hours
at which the log sent, which `segue evaluate timing` judges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nba.crowd import Floats
from nba.learning import LearningConfig
from nba.logged import Logged, RewardName
from nba.model import look
from nba.offpolicy import Estimate, Log, Policy, as_logged, evaluate
from nba.selection import best, best_constant, constants, expected, fit_selected, highest
from nba.support import calibration, overlap
from nba.trees import folds_of
from nba.uplift import Trial, curve, effect, qini
from training.judging import policy_of
from training.split import EvaluationError
from training.threads import single_threaded

FOLDS = 5

#: What is told of every evaluation, where the log allows.
POLICIES = ("learned", "response", "best_constant", "ladder", "hold", "logged", "random")

#: Rows of an action needed to tell its uplift.
LEAST_ROWS = 100


@dataclass(frozen=True)
class Answered:
    """What every fold's models, which have not seen its customers, say of n decisions.

    Attributes:
        predicted: float64[n, A], expected reward of each arm.
        response: float64[n, A], what the response model expects to follow each contact.
        arm: policy → int32[n].
        constants: of each fold, the best arm of the others.
        deciders: of each fold, what decides: its rule's name.
        fit_seconds, score_seconds: of all folds.
    """

    predicted: Floats
    response: Floats
    arm: Mapping[str, NDArray[np.int32]]
    constants: tuple[int, ...]
    deciders: tuple[str, ...]
    fit_seconds: float
    score_seconds: float


def evaluate_nba(
    log: Logged,
    reward: RewardName,
    config: LearningConfig | None = None,
    *,
    seed: int = 0,
    folds: int = FOLDS,
    ceiling: Callable[[], Floats | None] = lambda: None,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate all policies on a log.

    Args:
        log: n decisions.
        reward: what counts.
        config: how to learn.
        seed: of folds, fits and resamples.
        folds: how many.
        ceiling: gives float64, by row, the exact value of the best choice that can be observed, for a simulated log.
        progress: told the step, how many folds are done, and how many there are.

    Returns:
        The JSON of docs/evaluation.md, and curves for plots: name → (share, gain).

    Raises:
        EvaluationError: the log says nothing of the reward, or has too few customers.
    """
    outcome = log.reward(reward)
    if not outcome.any():
        raise EvaluationError(f"no decision of this log has a {reward}: choose another --reward")
    if len(np.unique(log.customer)) < 2 * folds:
        raise EvaluationError(f"{len(np.unique(log.customer))} customers are too few to evaluate on {folds} folds")
    with single_threaded():
        found = answered(log, reward, config or LearningConfig(), seed=seed, folds=folds, progress=progress)
    rows = np.arange(len(log))
    judged = Log(log.customer, outcome, log.propensity, found.predicted[rows, log.arm])
    eligible = log.eligible.astype(np.float64)
    even = eligible / eligible.sum(axis=1, keepdims=True)
    policies = {name: policy_of(log, found.predicted, arm) for name, arm in found.arm.items()}
    policies["logged"] = as_logged(judged)
    policies["random"] = Policy(even[rows, log.arm], (even * found.predicted).sum(axis=1), np.zeros(len(log)))
    if not (log.arm == 0).any():
        del policies["hold"]
    names = [name for name in POLICIES if name in policies]
    pairs = [(names.index("learned"), names.index(name)) for name in names if name != "learned"]
    draw = np.random.default_rng(seed)
    by_dr = evaluate(judged, [policies[name] for name in names], draw, pairs=pairs)
    by_snips = evaluate(
        judged, [policies[name] for name in names], np.random.default_rng(seed), pairs=pairs, estimator="snips"
    )
    told: dict[str, Any] = {"hold": None} | {
        name: _told(dr) | {"snips": {"value": snips.value, "ci": list(snips.ci)}}
        for name, dr, snips in zip(names, by_dr.values, by_snips.values, strict=True)
    }
    told["best_constant"] |= _named(log, found.constants)
    exact = ceiling()
    if exact is not None:
        told["oracle"] = {"value": float(exact.mean()), "ci": [float(exact.mean())] * 2, "simulated": True}
    uplift, curves = uplifts(log, outcome, found, np.random.default_rng(seed))
    ours = by_dr.values[names.index("learned")]
    weights = overlap(judged, policies["learned"], np.random.default_rng(seed))
    fitted = calibration(found.predicted[rows, log.arm], outcome)
    return (
        {
            "split": "cross-fitted by customer",
            "reward": reward,
            "rows": len(log),
            "customers": len(np.unique(log.customer)),
            "folds": folds,
            "estimator": "doubly robust, self-normalised, weights cut at the root of the rows; snips beside it",
            "effective_sample_size": ours.effective_sample_size,
            "unsupported": ours.unsupported,
            "deciders": list(found.deciders),
            "policies": {name: told[name] for name in (*POLICIES, "oracle") if name in told},
            "difference": {
                names[second]: _told(one) | {"snips": {"value": snips.value, "ci": list(snips.ci)}}
                for (_, second), one, snips in zip(pairs, by_dr.differences, by_snips.differences, strict=True)
            },
            "metrics": {name: one.value for name, one in zip(names, by_dr.values, strict=True)},
            "ci": {name: list(one.ci) for name, one in zip(names, by_dr.values, strict=True)},
            "uplift": uplift,
            "diagnostics": {
                "mean_weight": weights.mean,
                "mean_weight_ci": list(weights.mean_ci),
                "propensities_plausible": weights.plausible,
                "heaviest_hundredth_of_weights": weights.heaviest,
                "outcome_calibration_error": fitted.error,
                "outcome_calibration_slope": fitted.slope,
            },
            "fit_seconds": found.fit_seconds,
            "score_seconds": found.score_seconds,
        },
        curves,
    )


def answered(
    log: Logged,
    reward: RewardName,
    config: LearningConfig,
    *,
    seed: int,
    folds: int,
    progress: Callable[[str, int, int], None],
) -> Answered:
    """Fit on all folds but one, and ask about it; for each fold."""
    outcome = log.reward(reward)
    n, arms = len(log), len(log.arms)
    fold = folds_of(log.customer, folds, np.random.default_rng(seed))
    fixed = constants(log)
    predicted, response = np.empty((n, arms)), np.empty((n, arms))
    names = ("learned", "response", "best_constant", "ladder", "hold")
    arm = {name: np.zeros(n, dtype=np.int32) for name in names}
    best_arms: list[int] = []
    deciders: list[str] = []
    fit_seconds = score_seconds = 0.0
    for number in range(folds):
        progress("evaluate", number, folds)
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        train, test = log.take(inside), log.take(outside)
        started = time.perf_counter()
        model, _ = fit_selected(train, reward, config, seed=seed)
        learned = model.learned
        constant = best_constant(train, outcome[inside], expected(learned, look(learned, train.crowd)))
        fit_seconds += time.perf_counter() - started
        started = time.perf_counter()
        looked = look(learned, test.crowd)
        predicted[outside] = expected(learned, looked)
        follows = model.response.of_arms(looked.matrix, test.eligible)
        response[outside] = follows
        arm["learned"][outside] = best(model.values_of(looked), log.arms, test.eligible)
        arm["response"][outside] = highest(follows - learned.cost, test.eligible)
        arm["best_constant"][outside] = fixed[outside, constant]
        if model.ladder is not None:  # it is told of any log that has decisions
            arm["ladder"][outside] = model.ladder.choose(log.arms, test.crowd, test.eligible)[0]
        score_seconds += time.perf_counter() - started
        best_arms.append(constant)
        deciders.append(model.rule.name)
    progress("evaluate", folds, folds)
    return Answered(predicted, response, arm, tuple(best_arms), tuple(deciders), fit_seconds, score_seconds)


def uplifts(
    log: Logged, outcome: Floats, found: Answered, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of each action beside hold, over the rows in which either could have been chosen: average effect and Qini."""
    told: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    if not (log.arm == 0).any():
        return told, curves
    for place, action in enumerate(log.arms.actions):
        of = np.flatnonzero(log.arms.action == place)
        possible = log.eligible[:, of]
        rows = np.flatnonzero(possible.any(axis=1) & ((log.arm == 0) | np.isin(log.arm, of)))
        treated = log.arm[rows] != 0
        if treated.sum() < LEAST_ROWS or (~treated).sum() < LEAST_ROWS:
            continue
        masked = np.where(possible[rows], 0.0, -np.inf)
        gain = (found.predicted[rows][:, of] + masked).max(axis=1) - found.predicted[rows, 0]
        response = (found.response[rows][:, of] + masked).max(axis=1)
        # The action is judged as if each of its possible arms had the same chance: else whoever has more of them weighs
        # more among those who got it than among those who were left alone.
        propensity = np.where(log.arm == 0, log.propensity, log.propensity * possible.sum(axis=1))
        trial = Trial(log.customer[rows], treated, outcome[rows], propensity[rows])
        scores = np.column_stack([gain, response])
        ranked = qini(trial, scores, rng)
        everywhere = np.flatnonzero(possible.any(axis=1))
        average = effect(
            Log(
                log.customer[everywhere],
                outcome[everywhere],
                propensity[everywhere],
                found.predicted[everywhere, log.arm[everywhere]],
            ),
            np.isin(log.arm[everywhere], of),
            log.arm[everywhere] == 0,
            np.where(possible[everywhere], found.predicted[everywhere][:, of], 0).sum(axis=1)
            / possible[everywhere].sum(axis=1),
            found.predicted[everywhere, 0],
            rng,
        )
        told[action] = {
            "rows": len(rows),
            "ate": average.value,
            "ate_ci": list(average.ci),
            "qini": float(ranked.value[0]),
            "qini_ci": ranked.ci[0].tolist(),
            "response_qini": float(ranked.value[1]),
            "response_qini_ci": ranked.ci[1].tolist(),
            "qini_over_response": float(ranked.difference[1]),
            "qini_over_response_ci": ranked.difference_ci[1].tolist(),
        }
        curves[action] = {
            name: (line.share, line.gain)
            for name, line in (
                ("gain", curve(trial, gain).thinned()),
                ("response", curve(trial, response).thinned()),
            )
        }
    return told, curves


def _told(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": estimate.value,
        "ci": list(estimate.ci),
        "error": estimate.error,
        "effective_sample_size": estimate.effective_sample_size,
        "unsupported": estimate.unsupported,
    }


def _named(log: Logged, constants: tuple[int, ...]) -> dict[str, Any]:
    """The arm that was best in most folds."""
    action, channel = log.arms.pair(int(np.bincount(constants).argmax()))
    return {"action": action, "channel": channel}
