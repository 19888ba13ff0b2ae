"""What a policy would have earned, from a log of decisions that another policy made.

A row of the log is a decision i with reward r_i and the probability p_i with which it was chosen. A policy chooses what
was logged with probability π_i; its weight is w_i = π_i / p_i. An outcome model q, fitted on other customers, says what
the logged choice was expected to earn (q_i) and what the policy's choices are (e_i = Σ_a π(a|x_i) q(x_i, a)).

- direct method ("dm"): mean of e_i. No variance from weights, all the faults of q.
- inverse propensity ("ips"): mean of w_i r_i (Horvitz & Thompson, JASA 47, 1952).
- self-normalised ("snips"): Σ w_i r_i / Σ w_i (Swaminathan & Joachims, NIPS 2015), which moves with all rewards.
- doubly robust ("dr"): mean of e_i + w_i (r_i − q_i) (Dudík, Langford & Li, ICML 2011; Dudík et al., Statistical
  Science 29, 2014): right on average whatever q is, and steadier the better q is. The weights are scaled to their known
  mean of 1 (Robins et al., Statistical Science 22, 2007, section 4), which costs a bias of order 1/n and makes the
  interval honest: without it a log that happens to lack heavy rows gives a low estimate and a short interval.
- doubly robust with shrinkage ("drs"): as "dr" with λ w / (w² + λ) for w and no scaling (Su et al., ICML 2020).

Weights are clipped at √n (Ionides, JCGS 17, 2008): as logs grow this costs less bias than it saves variance, and for
"dr" the bias is only that of q on the clipped part.

Intervals are those of a studentised bootstrap clustered by customer (`features.bootstrap.studentised`), in which the
sums of weights are drawn too. They do not know of faults in the propensities, nor of those of q for "dm", nor that λ
was chosen on the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.bootstrap import Ratios, studentised

Floats = NDArray[np.float64]

Estimator = Literal["dr", "snips", "ips", "dm", "drs"]

#: Where weights are cut: "root" is √n, None nowhere.
Clip = float | Literal["root"] | None


@dataclass(frozen=True)
class Log:
    """n decisions that were logged.

    Attributes:
        customer: int[n], whose decision it was: the clusters of the intervals.
        reward: float64[n].
        propensity: float64[n], above 0: of the logged choice, as declared. Where a policy also chooses the hour, times
            that of the hour.
        predicted: float64[n], what an outcome model that has not seen this customer expected of the logged choice. 0
            makes "dr" a scaled "ips".
    """

    customer: NDArray[np.int32] | NDArray[np.int64]
    reward: Floats
    propensity: Floats
    predicted: Floats

    def __post_init__(self) -> None:
        if not (self.propensity > 0).all():
            raise ValueError("a propensity of the log is not above 0: what was chosen had a chance")

    def __len__(self) -> int:
        return len(self.reward)


@dataclass(frozen=True)
class Policy:
    """What a policy would have done in the n decisions of a log.

    Attributes:
        chosen: float64[n], the probability with which it makes the logged choice.
        expected: float64[n], what the outcome model expects of the policy's own choices.
        unsupported: float64[n], the probability that it chooses what the log could not have chosen. There only the
            outcome model speaks, and "ips" and "snips" know nothing.
    """

    chosen: Floats
    expected: Floats
    unsupported: Floats


@dataclass(frozen=True)
class Estimate:
    """A value per row of the log, or the difference of two.

    Attributes:
        value: reward per row.
        error: standard error, clustered by customer.
        ci: lower and upper bound of the interval.
        effective_sample_size: rows that would tell as much, were all weights equal: (Σ w)² / Σ w² (Kish, Survey
            Sampling, 1965), before clipping. Of a difference: the lower of the two.
        unsupported: mean of `Policy.unsupported`. Of a difference: the higher of the two.
        clipped: share of rows whose weight was cut. Of a difference: the higher of the two.
    """

    value: float
    error: float
    ci: tuple[float, float]
    effective_sample_size: float
    unsupported: float
    clipped: float


@dataclass(frozen=True)
class Evaluation:
    """values: one a policy; differences: one a pair, first less second, over the same resamples."""

    values: tuple[Estimate, ...]
    differences: tuple[Estimate, ...]


def evaluate(
    log: Log,
    policies: Sequence[Policy],
    rng: np.random.Generator,
    *,
    pairs: Sequence[tuple[int, int]] = (),
    estimator: Estimator = "dr",
    clip: Clip = "root",
    resamples: int = 1_000,
    confidence: float = 0.95,
) -> Evaluation:
    """Values of policies from one log, and paired differences.

    Args:
        log: n > 0 decisions.
        policies: in the same n decisions.
        rng: draws the resamples, which all policies and pairs share.
        pairs: places in ``policies`` whose difference is wanted.
        estimator: see the module. ``clip`` is not for "drs", which shrinks instead, and "dm", which has no weights.
        clip: where weights are cut.
        resamples: see `features.bootstrap.studentised`.
        confidence: of the intervals.

    A policy that never agrees with the log has no value by "snips" and no interval: NaN.

    >>> log = Log(np.arange(4), np.array([1.0, 0, 3, 0]), np.full(4, 0.5), np.zeros(4))
    >>> always = Policy(np.array([1.0, 0, 1, 0]), np.zeros(4), np.zeros(4))
    >>> evaluate(log, [always], np.random.default_rng(0), estimator="snips").values[0].value
    2.0
    """
    (found,) = evaluations(
        log,
        policies,
        rng,
        estimators=(estimator,),
        pairs=pairs,
        clip=clip,
        resamples=resamples,
        confidence=confidence,
    )
    return found


def evaluations(
    log: Log,
    policies: Sequence[Policy],
    rng: np.random.Generator,
    *,
    estimators: Sequence[Estimator] = ("dr", "snips"),
    pairs: Sequence[tuple[int, int]] = (),
    clip: Clip = "root",
    resamples: int = 1_000,
    confidence: float = 0.95,
) -> tuple[Evaluation, ...]:
    """As `evaluate`, by several estimators over the same resamples: one evaluation each."""
    parts = [[_ratios(log, policy, name, clip) for policy in policies] for name in estimators]
    numbers = [[*own, *(_less(own[first], own[second]) for first, second in pairs)] for own in parts]
    flat = [number for some in numbers for number in some]
    found = studentised(flat, log.customer, rng, resamples=resamples, confidence=confidence)
    told = [
        (float(value), float(error), (float(low), float(high)))
        for value, error, (low, high) in zip(found.value, found.error, found.interval, strict=True)
    ]
    sizes = [effective_sample_size(weights(log, policy)) for policy in policies]
    outside = [float(policy.unsupported.mean()) for policy in policies]
    cut = [clipped_share(log, policy, clip) for policy in policies]
    width = len(policies) + len(pairs)
    return tuple(
        _evaluation(
            told[place * width : (place + 1) * width],
            sizes,
            outside,
            [0.0] * len(policies) if name in ("dm", "drs") else cut,
            pairs,
        )
        for place, name in enumerate(estimators)
    )


def _evaluation(
    told: Sequence[tuple[float, float, tuple[float, float]]],
    sizes: Sequence[float],
    outside: Sequence[float],
    cut: Sequence[float],
    pairs: Sequence[tuple[int, int]],
) -> Evaluation:
    values = zip(told[: len(sizes)], sizes, outside, cut, strict=True)
    differences = zip(told[len(sizes) :], pairs, strict=True)
    return Evaluation(
        tuple(Estimate(*one, size, beyond, share) for one, size, beyond, share in values),
        tuple(
            Estimate(*one, *(pick(of[first], of[second]) for pick, of in ((min, sizes), (max, outside), (max, cut))))
            for one, (first, second) in differences
        ),
    )


def as_logged(log: Log) -> Policy:
    """The policy that made the log, known by its choices only: all weights are 1 and its value is the mean reward.

    Where its probabilities of all arms are known, give them as a `Policy`: differences are steadier.
    """
    return Policy(log.propensity, log.predicted, np.zeros(len(log)))


def contributions(log: Log, policy: Policy, *, estimator: Estimator = "dr", clip: Clip = "root") -> Floats:
    """float64[n] whose mean is the estimate: for slices and for choosing between policies inside folds.

    >>> log = Log(np.arange(2), np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    >>> contributions(log, Policy(np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.zeros(2))).tolist()
    [1.5, 0.5]
    """
    ratios = _ratios(log, policy, estimator, clip)
    scaled: Floats = (ratios.numerator / ratios.denominator.mean(axis=0)).sum(axis=1)
    return scaled


def weights(log: Log, policy: Policy, clip: Clip = None) -> Floats:
    """float64[n], π / p, cut at ``clip``."""
    raw: Floats = policy.chosen / log.propensity
    bound = _bound(clip, len(raw))
    return raw if bound is None else np.minimum(raw, bound)


def effective_sample_size(weight: Floats) -> float:
    """(Σ w)² / Σ w² (Kish, Survey Sampling, 1965); 0 where all weights are 0.

    >>> effective_sample_size(np.array([2.0, 2.0, 0.0, 0.0]))
    2.0
    """
    square = float(np.square(weight).sum())
    return float(weight.sum() ** 2 / square) if square > 0 else 0.0


def clipped_share(log: Log, policy: Policy, clip: Clip) -> float:
    """Share of rows whose weight is cut."""
    bound = _bound(clip, len(log))
    return 0.0 if bound is None else float((weights(log, policy) > bound).mean())


def shrunk(log: Log, policy: Policy) -> tuple[Floats, float]:
    """Weights shrunk optimistically, λ w / (w² + λ), and λ (Su et al., ICML 2020, sections 3.1 and 4).

    λ is that of a grid, infinity (no shrinkage) included, whose bound on the mean squared error is least: variance of
    the estimate plus the square of a bound on its bias. The bias is the mean of (ŵ − w)(r − q); its bound is what the
    empirical Bernstein inequality (Maurer & Pontil, COLT 2009) adds to that at 95%.
    """
    raw, n = weights(log, policy), len(log)
    residual = log.reward - log.predicted
    positive = raw[raw > 0]
    if not len(positive):
        return raw, np.inf
    grid = [*np.geomspace(max(positive.min(), 1e-3) ** 2 / 10, 10 * positive.max() ** 2, 40), np.inf]
    least, best, best_lambda = np.inf, raw, np.inf
    for strength in grid:
        weight = raw if np.isinf(strength) else strength * raw / (np.square(raw) + strength)
        lost = (weight - raw) * residual
        slack = np.log(2 / 0.05)
        bias = abs(lost.mean()) + np.sqrt(2 * lost.var() * slack / n) + 7 * np.ptp(lost) * slack / (3 * max(n - 1, 1))
        bound = bias**2 + np.var(policy.expected + weight * residual) / n
        if bound < least:
            least, best, best_lambda = bound, weight, float(strength)
    return best, best_lambda


def _ratios(log: Log, policy: Policy, estimator: Estimator, clip: Clip) -> Ratios:
    """The estimate as a sum of ratios of sums over rows."""
    one = np.ones(len(log))
    match estimator:
        case "dm":
            return Ratios(policy.expected[:, None], one[:, None])
        case "ips":
            return Ratios((weights(log, policy, clip) * log.reward)[:, None], one[:, None])
        case "snips":
            weight = weights(log, policy, clip)
            return Ratios((weight * log.reward)[:, None], weight[:, None])
        case "drs":
            corrected = policy.expected + shrunk(log, policy)[0] * (log.reward - log.predicted)
            return Ratios(corrected[:, None], one[:, None])
        case "dr":
            weight = weights(log, policy, clip)
            if not weight.any():  # it never agrees with the log: only the outcome model speaks
                return Ratios(policy.expected[:, None], one[:, None])
            # Weights have a mean of 1 where all the policy's choices have support, else of the share that has.
            supported = 1 - policy.unsupported.mean()
            correction = supported * weight * (log.reward - log.predicted)
            return Ratios(np.column_stack([policy.expected, correction]), np.column_stack([one, weight]))


def _less(first: Ratios, second: Ratios) -> Ratios:
    """The difference of two numbers; of equal ones exactly 0, since each part is taken from its like at once."""
    if first.numerator.shape == second.numerator.shape:
        n = len(first.numerator)
        return Ratios(
            np.stack([first.numerator, -second.numerator], axis=2).reshape(n, -1),
            np.stack([first.denominator, second.denominator], axis=2).reshape(n, -1),
        )
    return Ratios(
        np.concatenate([first.numerator, -second.numerator], axis=1),
        np.concatenate([first.denominator, second.denominator], axis=1),
    )


def _bound(clip: Clip, n: int) -> float | None:
    return float(np.sqrt(n)) if clip == "root" else clip
