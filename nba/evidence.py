"""Whether a log shows that a challenger's decisions are no worse than the champion's: what the gate asks.

Only arrays and the rule; what is stored with a version of a model, and the gate itself, are elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nba.offpolicy import Clip, Estimate, Estimator, Log, Policy, evaluate

#: How much worse than the champion a challenger may be, as a share of the champion's value.
MARGIN = 0.01

#: Below this the log says too little of the challenger.
LEAST_EFFECTIVE_ROWS = 1_000

#: Above this share of choices that the log could never have made, the outcome model speaks for the challenger alone.
MOST_UNSUPPORTED = 0.05

#: Why a challenger is refused.
Refusal = Literal["few-effective-rows", "unsupported-choices", "not-better"]


@dataclass(frozen=True)
class Judgement:
    """A challenger beside the champion on one log.

    Attributes:
        refusals: all that apply; none: it passes.
        challenger, champion: their values.
        difference: challenger less champion, paired.
        margin: by how much the lower bound of the difference may lie below 0, in units of the reward.
        rows: of the log.
    """

    refusals: tuple[Refusal, ...]
    challenger: Estimate
    champion: Estimate
    difference: Estimate
    margin: float
    rows: int

    @property
    def passed(self) -> bool:
        """No reason to refuse."""
        return not self.refusals


def judge(
    log: Log,
    challenger: Policy,
    champion: Policy,
    rng: np.random.Generator,
    *,
    share: float = MARGIN,
    estimator: Estimator = "dr",
    clip: Clip = "root",
    resamples: int = 1_000,
) -> Judgement:
    """Compare on a log of after the challenger's training data.

    It passes if the lower bound of the 95% interval of the paired difference is at least -``share`` of the champion's
    value, at least `LEAST_EFFECTIVE_ROWS` stand behind the challenger's value, and at most `MOST_UNSUPPORTED` of its
    choices are beyond the log. A challenger that is worse than the margin passes one time in forty at most, as often
    as a lower bound lies above the truth; benchmarks/offpolicy.py counts it.

    The champion's value sets the margin; where that is not above 0 the margin is a share of its size. A champion that
    is the policy of the log itself is `nba.offpolicy.as_logged`.
    """
    found = evaluate(
        log, [challenger, champion], rng, pairs=[(0, 1)], estimator=estimator, clip=clip, resamples=resamples
    )
    (ours, theirs), (difference,) = found.values, found.differences
    margin = share * abs(theirs.value)
    refusals: list[Refusal] = []
    if ours.effective_sample_size < LEAST_EFFECTIVE_ROWS:
        refusals.append("few-effective-rows")
    if ours.unsupported > MOST_UNSUPPORTED + 1e-9:  # a mean of equal shares is not exact
        refusals.append("unsupported-choices")
    low = difference.ci[0]
    if not (math.isfinite(low) and low >= -margin):
        refusals.append("not-better")
    return Judgement(tuple(refusals), ours, theirs, difference, margin, len(log))


def told(judgement: Judgement) -> str:
    """The judgement in one line.

    >>> from nba.offpolicy import Estimate
    >>> one, less = Estimate(1.2, 0.1, (1.0, 1.4), 90.0, 0.0, 0.0), Estimate(0.2, 0.1, (0.0, 0.4), 90.0, 0.0, 0.0)
    >>> told(Judgement(("few-effective-rows",), one, one, less, 0.012, 300))
    '1.2 against 1.2 on 300 rows, difference +0.2 [+0, +0.4], allowed -0.012; refused: 90 effective rows, 1000 needed'
    """
    difference = judgement.difference
    reasons = {
        "few-effective-rows": f"{judgement.challenger.effective_sample_size:.0f} effective rows, "
        f"{LEAST_EFFECTIVE_ROWS} needed",
        "unsupported-choices": f"{judgement.challenger.unsupported:.1%} of its choices are beyond the log, "
        f"{MOST_UNSUPPORTED:.0%} allowed",
        "not-better": "the lower bound of the difference is below the margin",
    }
    verdict = "refused: " + "; ".join(reasons[one] for one in judgement.refusals) if judgement.refusals else "passes"
    low, high = difference.ci
    return (
        f"{judgement.challenger.value:.4g} against {judgement.champion.value:.4g} on {judgement.rows} rows, "
        f"difference {difference.value:+.4g} [{low:+.4g}, {high:+.4g}], allowed {-judgement.margin:.4g}; {verdict}"
    )
