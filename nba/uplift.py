"""How well scores tell whom an action helps: average effect, cumulative-gain curve, Qini.

All from rows in which the action was chosen ("treated") or hold was, where either could have been; each row counts
v = 1 / propensity, so that both groups stand for the same population (Horvitz & Thompson, JASA 47, 1952) however the
log chose. Rows are put in order of falling score. Among the rows down to score s let N_t, N_h be the sums of v of
treated and held rows, and Y_t, Y_h those of v · reward. Then

    share(s) = (N_t + N_h) / all of it            gain(s) = (Y_t − Y_h · N_t / N_h) / all N_t

gain is what contacting that share has added, per person of the whole population; (0, 0) is the first point, and at the
last it is the average effect. Where no held row is reached yet, Y_h · N_t / N_h is 0. Rows of equal score are one step.
This is Radcliffe's Qini curve (Direct Marketing Analytics Journal, 2007; Radcliffe & Surry, Stochastic Solutions white
paper, 2011), with weights.

    Qini = area between the curve and the straight line from its first to its last point
           ÷ the same area of the curve of all treated responders first

where the latter curve is that of the score reward · treated − reward · held: treated rows by falling reward, then rows
without reward, then held rows by rising reward. 0: no better than chance; below: worse. 1 is out of reach: no score
knows outcomes. With equal propensities this is what scikit-uplift's ``qini_auc_score`` gives with negative effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.bootstrap import resampled
from nba.offpolicy import Estimate, Log, Policy, evaluate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """n rows in which an action or hold was chosen and either could have been.

    Attributes:
        customer: int[n], clusters.
        treated: bool[n], the action was chosen; else hold.
        reward: float64[n].
        propensity: float64[n], above 0, of what was chosen.
    """

    customer: NDArray[np.int32] | NDArray[np.int64]
    treated: NDArray[np.bool_]
    reward: Floats
    propensity: Floats


@dataclass(frozen=True)
class Curve:
    """share: float64[k], of people contacted, from 0 to 1; gain: float64[k], reward a person of the population."""

    share: Floats
    gain: Floats

    def thinned(self, points: int = 200) -> Curve:
        """At most so many points, for plots."""
        if len(self.share) <= points:
            return self
        kept = np.unique(np.linspace(0, len(self.share) - 1, points).round().astype(np.int64))
        return Curve(self.share[kept], self.gain[kept])


@dataclass(frozen=True)
class Qini:
    """Qini of m scores. value: float64[m]; ci: float64[m, 2].

    difference, difference_ci: float64[m], float64[m, 2]: of the first score less each, over the same resamples.
    """

    value: Floats
    ci: Floats
    difference: Floats
    difference_ci: Floats


def qini(
    trial: Trial,
    scores: Floats,
    rng: np.random.Generator,
    *,
    resamples: int = 500,
    confidence: float = 0.95,
) -> Qini:
    """Qini of several scores with percentile intervals of a bootstrap clustered by customer.

    Args:
        trial: n rows.
        scores: float64[n, m], that have not seen these rows' outcomes.
        rng: draws the resamples, which all scores share.
        resamples: how many.
        confidence: of the intervals.

    Scores stay as they are in the resamples: the interval says how well these would do on other people, not what
    fitting them anew would give. Without treated or without held rows all is NaN.
    """
    orders = [_Order.of(trial, score) for score in [_ideal(trial), *scores.T]]
    columns = _columns(trial)
    drawn = [_areas(orders, columns, counts[:, place]) for counts, place in resampled(trial.customer, rng, resamples)]
    value = _ratio(_areas(orders, columns, np.ones((1, len(trial.reward)))))[:, 0]
    many = _ratio(np.concatenate(drawn, axis=1))
    tail = 100 * (1 - confidence) / 2
    sides = [tail, 100 - tail]
    return Qini(
        value,
        np.percentile(many, sides, axis=1).T,
        value[0] - value,
        np.percentile(many[0] - many, sides, axis=1).T,
    )


def curve(trial: Trial, score: Floats) -> Curve:
    """The cumulative-gain curve of one score, all its points.

    >>> trial = Trial(np.arange(4), np.array([True, False, True, False]), np.array([1.0, 0, 0, 1]), np.full(4, 0.5))
    >>> curve(trial, np.array([2.0, 2.0, 1.0, 1.0])).gain.tolist()
    [0.0, 0.5, 0.0]
    """
    share, gain = _Order.of(trial, score).curve(_columns(trial), np.ones((1, len(score))))
    return Curve(share[0], gain[0])


def effect(
    log: Log,
    treated: NDArray[np.bool_],
    held: NDArray[np.bool_],
    with_action: Floats,
    with_hold: Floats,
    rng: np.random.Generator,
    *,
    resamples: int = 1_000,
) -> Estimate:
    """Average effect of an action over hold, doubly robust, over rows in which either could have been chosen.

    Args:
        log: n rows, whatever was chosen in them.
        treated, held: bool[n], the action, or hold, was chosen.
        with_action, with_hold: float64[n], what the outcome model expects of either; zeros: inverse propensities alone.
        rng: draws the resamples.
        resamples: how many.
    """
    nothing = np.zeros(len(log))
    policies = [
        Policy(treated.astype(np.float64), with_action, nothing),
        Policy(held.astype(np.float64), with_hold, nothing),
    ]
    (found,) = evaluate(log, policies, rng, pairs=[(0, 1)], resamples=resamples).differences
    return found


@dataclass(frozen=True)
class _Order:
    """Rows by falling score. row: int64[n]; first: int64[k], where a run of equal scores begins."""

    row: NDArray[np.int64]
    first: NDArray[np.int64]

    @staticmethod
    def of(trial: Trial, score: Floats) -> _Order:
        row = np.argsort(-score, kind="stable")
        return _Order(row, np.flatnonzero(np.diff(score[row], prepend=np.nan) != 0))

    def curve(self, columns: Floats, counts: Floats) -> tuple[Floats, Floats]:
        """Share and gain, float64[r, k + 1], where rows count so often, float64[r, n]."""
        drawn = counts[:, self.row]
        n_t, n_h, y_t, y_h = (
            np.cumsum(np.add.reduceat(drawn * column[self.row], self.first, axis=1), axis=1) for column in columns
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            matched = np.where(n_h > 0, y_h * n_t / n_h, 0)
            gain = (y_t - matched) / np.where(n_h[:, -1:] > 0, n_t[:, -1:], np.nan)
            share = (n_t + n_h) / (n_t + n_h)[:, -1:]
        start = np.zeros((len(counts), 1))
        return np.concatenate([start, share], axis=1), np.concatenate([start, gain], axis=1)


def _columns(trial: Trial) -> Floats:
    """float64[4, n]: what is summed to N_t, N_h, Y_t, Y_h."""
    weight = 1 / trial.propensity
    treated, held = weight * trial.treated, weight * ~trial.treated
    return np.stack([treated, held, treated * trial.reward, held * trial.reward])


def _ideal(trial: Trial) -> Floats:
    """The score of all treated responders first."""
    ideal: Floats = np.where(trial.treated, trial.reward, -trial.reward)
    return ideal


def _areas(orders: list[_Order], columns: Floats, counts: Floats) -> Floats:
    """float64[orders, r], between curve and line."""
    found = np.empty((len(orders), len(counts)))
    for place, order in enumerate(orders):
        share, gain = order.curve(columns, counts)
        found[place] = np.trapezoid(gain, share, axis=1) - gain[:, -1] / 2
    return found


def _ratio(areas: Floats) -> Floats:
    """float64[m, r], areas of the scores over that of the ideal, which comes first; NaN where that is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = areas[1:] / np.where(areas[0] > 0, areas[0], np.nan)
    return found
