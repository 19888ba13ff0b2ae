"""The evidence for the gate of decisions: what the challenger's choices would have earned, beside the champion's.

Both configurations are fitted on the decisions whose outcomes were known before a moment, and choose for those after
it, as they would have live: under eligibility, consent, caps and all else that is configured. Without a champion the
policy of the log takes its place. A log of few days has no after; there customers are parted instead, and fitted on the
others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.events import DAY
from features.gate import Difference, ModelVersion, Verdict
from nba.asked import Asked
from nba.config import NbaConfig
from nba.crowd import Floats, Ints
from nba.decide import decide
from nba.evidence import Judgement, judge
from nba.learning import Before
from nba.logged import Logged, RewardName
from nba.offpolicy import Log, Policy, as_logged
from nba.selection import fit_selected, incremental
from nba.trees import folds_of

#: Share of the decisions that lie before the cut.
BEFORE = 0.7

#: Days in which outcomes count, and those that a contact may be planned ahead: what is fitted on was over by the cut.
WINDOW_DAYS = 7 + 3

#: Decisions needed on either side.
LEAST_ROWS = 200

#: Parts of the customers where there is no after.
FOLDS = 3

CHUNK = 10_000


@dataclass(frozen=True)
class Challenger:
    """A way to train. ``before``: what its configuration thinks of the log's arms."""

    config: NbaConfig
    reward: RewardName
    before: Before


@dataclass(frozen=True)
class Parts:
    """name: of the split; fits: (rows to fit on, rows to choose for), int64 each."""

    name: str
    fits: tuple[tuple[Ints, Ints], ...]


def judged(
    log: Logged,
    challenger: Challenger,
    champion: ModelVersion | None,
    theirs: Challenger | str | None,
    *,
    seed: int,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> tuple[Judgement | None, Verdict | None, str | None]:
    """Compare, on the challenger's reward.

    Args:
        log: all decisions.
        challenger: how it is trained.
        champion: who is to be beaten, or None.
        theirs: how that was trained, or why it cannot be told; None without a champion.
        seed: of fits and resamples.
        progress: told how far it is.

    Returns:
        The judgement and the verdict to store, or why there is none.
    """
    if isinstance(theirs, str):
        return None, None, theirs
    parts = parted(log, seed)
    if parts is None:
        return None, None, f"{len(log):,} decisions are too few to be judged on"
    rows = np.concatenate([after for _, after in parts.fits])
    predicted, ours = chosen(log, challenger, parts, seed=seed, progress=progress)
    judged_log = log.take(rows)
    outcome = judged_log.reward(challenger.reward)
    evidence = Log(judged_log.customer, outcome, judged_log.propensity, predicted[np.arange(len(rows)), judged_log.arm])
    if theirs is None:
        reference = as_logged(evidence)
    elif (theirs.config, theirs.reward) == (challenger.config, challenger.reward):
        reference = policy_of(judged_log, predicted, ours)
    else:
        _, others = chosen(log, theirs, parts, seed=seed, progress=progress)
        reference = policy_of(judged_log, predicted, others)
    found = judge(evidence, policy_of(judged_log, predicted, ours), reference, np.random.default_rng(seed))
    verdict = Verdict(
        champion_version=None if champion is None else champion.version,
        against="logged" if champion is None else "champion",
        metric=challenger.reward,
        split=parts.name,
        challenger=found.challenger.value,
        champion=found.champion.value,
        difference=Difference(value=found.difference.value, ci=found.difference.ci),
        margin=found.margin,
        passed=found.passed,
        rows=found.rows,
        effective_sample_size=found.challenger.effective_sample_size,
        unsupported=found.challenger.unsupported,
        refusals=found.refusals,
    )
    return found, verdict, None


def parted(log: Logged, seed: int) -> Parts | None:
    """Before and after a cut in time, or the customers parted; None where either is too little."""
    if len(log) < 2 * LEAST_ROWS:
        return None
    at = log.crowd.at
    cut = int(np.quantile(at, BEFORE))
    early, late = np.flatnonzero(at + WINDOW_DAYS * DAY < cut), np.flatnonzero(at >= cut)
    if min(len(early), len(late)) >= LEAST_ROWS:
        return Parts("after the training data", ((early, late),))
    fold = folds_of(log.customer, FOLDS, np.random.default_rng(seed))
    folds = [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(FOLDS)]
    return Parts("cross-fitted by customer, for there is too little before or after a cut", tuple(folds))


def chosen(
    log: Logged,
    challenger: Challenger,
    parts: Parts,
    *,
    seed: int,
    progress: Callable[[str, int, int], None],
) -> tuple[Floats, NDArray[np.int32]]:
    """Of the rows to choose for, in order: expected reward of each arm, float64[n, A], and the arm chosen, int32[n]."""
    predicted: list[Floats] = []
    arms: list[NDArray[np.int32]] = []
    for number, (inside, outside) in enumerate(parts.fits):
        progress("judge", number, len(parts.fits))
        model, _ = fit_selected(
            log.take(inside), challenger.reward, challenger.config.learning, seed=seed, before=challenger.before
        )
        for first in range(0, len(outside), CHUNK):
            some = log.take(outside[first : first + CHUNK])
            values = model.values(some.crowd)
            values = replace(values, attention=np.zeros_like(values.attention))  # what is earned in the window
            predicted.append(values.base[:, None] + incremental(values, log.arms))
            made = decide(Asked(explore=False), some.crowd, model, challenger.config, allowed=some.eligible)
            arms.append(made.chosen.arm)
    progress("judge", len(parts.fits), len(parts.fits))
    return np.concatenate(predicted), np.concatenate(arms)


def policy_of(log: Logged, predicted: Floats, arm: NDArray[np.int32]) -> Policy:
    """Choosing ``arm``, int32[n], for certain; what nobody was ever given the log cannot support."""
    rows = np.arange(len(log))
    given = np.zeros(len(log.arms), dtype=np.bool_)
    given[np.unique(log.arm)] = True
    unsupported = ~given[arm] | ~log.eligible[rows, arm]
    return Policy((arm == log.arm).astype(np.float64), predicted[rows, arm], unsupported.astype(np.float64))
