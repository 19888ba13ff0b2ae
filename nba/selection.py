"""Which rule decides: chosen by what each would have earned on people it has not seen.

Candidates are fitted on all folds of customers but one and choose for that one; the log says, doubly robust
(`nba.offpolicy`), what their choices would have earned. One stands until another's lead over it is larger than its
standard error. First the best fixed arm stands, so where the data cannot tell, everybody gets the arm that did best.

Such values are noisy where single outcomes are, and few rows of the log did what a candidate would do. What the gains
say can be confirmed with far less noise, by all rows at once (`nba.gains.confirmed`). Where it is, beyond doubt, what
was learned stands first, and another has to lead by more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nba.arms import Arms
from nba.costs import attention_prices
from nba.crowd import Floats
from nba.gains import own_numbers
from nba.ladder_fitting import fit_ladder
from nba.ladders import Ladder
from nba.learning import Before, Learned, LearningConfig, learn
from nba.logged import Logged, RewardName
from nba.model import DecisionModel, Looked, Rule, RuleName, look
from nba.response import Response, fit_response
from nba.trees import Trees, folds_of
from nba.values import Values

#: Candidates, in the order in which they are asked whether they lead.
CANDIDATES: tuple[RuleName, ...] = ("ladder", "response", "means", "assigned", "learned")

#: A lead of so many of its standard errors counts.
LEAST_LEAD = 1.0

#: Gains are confirmed beyond doubt if the factor is so many of its standard errors above 0; a lead over what was
#: learned then needs as many.
BEYOND_DOUBT = 2.0


@dataclass(frozen=True)
class Fitted:
    """Everything learned from one log but the rule."""

    learned: Learned
    response: Response
    ladder: Ladder | None = None


@dataclass(frozen=True)
class OutOfFold:
    """What candidates that have not seen a customer say of their n decisions.

    Attributes:
        predicted: float64[n, A], expected reward of each arm.
        chosen: candidate → int32[n], the arm it chooses; of "constant" the one that did best on the other folds.
        confirmed: by how many of its standard errors the assignment confirms the gains, mean of the folds; NaN
            where there is nothing to confirm.
    """

    predicted: Floats
    chosen: Mapping[RuleName, NDArray[np.int32]]
    confirmed: float


def fit(log: Logged, reward: RewardName, config: LearningConfig, *, seed: int, before: Before | None = None) -> Fitted:
    """Learn from a log; arguments as of `nba.learning.learn`."""
    learned = learn(log, reward, config, seed=seed, before=before)
    matrix = learned.encoder.matrix(log.crowd)
    target = log.reward(reward) + learned.cost[log.arm]
    response = fit_response(log.arms, matrix, log.arm, target, seed=seed)
    return Fitted(learned, response, fit_ladder(log, log.reward(reward)).ladder if len(log) else None)


def fit_selected(
    log: Logged,
    reward: RewardName,
    config: LearningConfig,
    *,
    seed: int,
    before: Before | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[DecisionModel, Mapping[RuleName, tuple[float, float]]]:
    """The model of a log under the rule that did best.

    Args:
        log, reward, config, seed, before: as of `nba.learning.learn`.
        progress: told how many of how many fits are done.

    Returns:
        The model, and of each candidate its lead over what stood before it, with the standard error.
    """
    folds = config.folds
    progress(0, folds + 1)
    if not len(log):
        fitted = fit(log, reward, config, seed=seed, before=before)
        nothing = np.zeros(len(log.arms.channels) + 1)
        return DecisionModel(fitted.learned, fitted.response, nothing, Rule("learned")), {}
    seen = out_of_fold(log, reward, config, seed=seed, before=before, progress=lambda done: progress(done, folds + 1))
    rule, leads = chosen_rule(log, log.reward(reward), seen)
    fitted = fit(log, reward, config, seed=seed, before=before)
    nothing = np.zeros(len(log.arms.channels) + 1)
    model = DecisionModel(fitted.learned, fitted.response, nothing, rule, fitted.ladder)
    if config.attention and len(log):
        model = replace(model, attention=_attention(log, model))
    progress(folds + 1, folds + 1)
    return model, leads


def out_of_fold(
    log: Logged,
    reward: RewardName,
    config: LearningConfig,
    *,
    seed: int,
    before: Before | None,
    progress: Callable[[int], None] = lambda done: None,
) -> OutOfFold:
    """Fit candidates on all folds of customers but one, and let them choose for it."""
    fold = folds_of(log.customer, config.folds, np.random.default_rng(seed + 1))
    predicted = np.empty((len(log), len(log.arms)))
    chosen: dict[RuleName, NDArray[np.int32]] = {}
    sure: list[float] = []
    asked: list[set[RuleName]] = []
    for number in range(config.folds):
        rows = np.flatnonzero(fold == number)
        train, test = log.take(np.flatnonzero(fold != number)), log.take(rows)
        fitted = fit(train, reward, config, seed=seed, before=before)
        predicted[rows], choices = answers(fitted, test)
        fixed = best_constant(train, train.reward(reward), expected(fitted.learned, look(fitted.learned, train.crowd)))
        for name, arm in ("constant", np.where(test.eligible[:, fixed], fixed, 0)), *choices.items():
            chosen.setdefault(name, np.zeros(len(log), dtype=np.int32))[rows] = arm
        sure.append(fitted.learned.confirmed)
        asked.append(set(choices))
        progress(number + 1)
    everywhere = {name: arm for name, arm in chosen.items() if all(name in names | {"constant"} for names in asked)}
    return OutOfFold(predicted, everywhere, float(np.mean(sure)))


def answers(fitted: Fitted, log: Logged) -> tuple[Floats, Mapping[RuleName, NDArray[np.int32]]]:
    """What the candidates say of decisions: expected reward of each arm (float64[n, A]), and what each chooses."""
    nothing = np.zeros(len(log.arms.channels) + 1)
    choices: dict[RuleName, NDArray[np.int32]] = {}
    looked = look(fitted.learned, log.crowd)
    for name in CANDIDATES:
        if name == "assigned" and np.isnan(fitted.learned.trust):
            continue  # the same as learned
        if name == "ladder" and fitted.ladder is None:
            continue
        if name == "response":  # of what is eligible only: the rest takes time
            follows = fitted.response.of_arms(looked.matrix, log.eligible) - fitted.learned.cost
            choices[name] = highest(follows, log.eligible)
            continue
        values = DecisionModel(fitted.learned, fitted.response, nothing, Rule(name), fitted.ladder).values_of(looked)
        choices[name] = best(values, log.arms, log.eligible)
    return expected(fitted.learned, looked), choices


def expected(learned: Learned, looked: Looked) -> Floats:
    """float64[n, A], expected reward of each arm at an average hour, for people who were looked at."""
    nothing = np.zeros(len(learned.arms.channels) + 1)
    unasked = Response(learned.arms, Trees(None, 0.0))
    values = DecisionModel(learned, unasked, nothing, Rule("learned")).values_of(looked)
    found: Floats = values.base[:, None] + incremental(values, learned.arms)
    return found


def incremental(values: Values, arms: Arms) -> Floats:
    """float64[n, A], of each arm at an average hour; 0 for hold."""
    out: Floats = values.gain[:, arms.action] * values.attend[:, arms.channel]
    out = out - values.cost - values.attention[:, arms.channel]
    out[:, 0] = 0.0
    return out


def best(values: Values, arms: Arms, eligible: NDArray[np.bool_]) -> NDArray[np.int32]:
    """int32[n], the eligible arm of the highest value, or what a rule prefers; hold where none is above 0."""
    return highest(incremental(values, arms) if values.preference is None else values.preference, eligible)


def highest(worth: Floats, eligible: NDArray[np.bool_]) -> NDArray[np.int32]:
    """int32[n], the eligible arm of the highest worth, float64[n, A]; hold where none is above 0."""
    possible = np.where(eligible, worth, -np.inf)
    possible[:, 0] = 0.0
    found: NDArray[np.int32] = possible.argmax(axis=1).astype(np.int32)
    return found


def constants(log: Logged) -> NDArray[np.int32]:
    """int32[n, A]: each arm where it is eligible, else hold."""
    arms = np.arange(len(log.arms), dtype=np.int32)
    fixed: NDArray[np.int32] = np.where(log.eligible, arms, np.int32(0))
    return fixed


def earned(log: Logged, reward: Floats, predicted: Floats, arm: NDArray[np.int32]) -> Floats:
    """float64[n], doubly robust, whose mean is what choosing ``arm`` would have earned; weights cut at √n."""
    rows = np.arange(len(log))
    weight = np.minimum((arm == log.arm) / log.propensity, np.sqrt(len(log)))
    scale = weight.mean() or 1.0
    found: Floats = predicted[rows, arm] + weight / scale * (reward - predicted[rows, log.arm])
    return found


def chosen_rule(log: Logged, reward: Floats, seen: OutOfFold) -> tuple[Rule, Mapping[RuleName, tuple[float, float]]]:
    """The rule that did best, and the lead of each candidate over what stood when it was asked, with its error."""
    arm = best_constant(log, reward, seen.predicted)
    values = {name: earned(log, reward, seen.predicted, chosen) for name, chosen in seen.chosen.items()}
    sure = seen.confirmed > BEYOND_DOUBT
    stands: RuleName = "learned" if sure else "constant"
    leads: dict[RuleName, tuple[float, float]] = {}
    for name in values:
        if name != stands:
            lead, error = leads[name] = _clustered(values[name] - values[stands], log.customer)
            if lead > (BEYOND_DOUBT if stands == "learned" and sure else LEAST_LEAD) * error:
                stands = name
    return Rule(stands, arm if stands == "constant" else 0), leads


def best_constant(log: Logged, reward: Floats, predicted: Floats) -> int:
    """The arm that would have earned most, where it is eligible, and hold elsewhere; doubly robust.

    Only of those that were tried: of others nothing but the model would speak.
    """
    fixed, tried = constants(log), np.unique(log.arm)
    if not len(tried):
        return 0
    return int(tried[np.argmax([earned(log, reward, predicted, fixed[:, arm]).mean() for arm in tried])])


def _clustered(values: Floats, customer: NDArray[np.int32]) -> tuple[float, float]:
    """The mean, and its standard error where rows of a customer are not independent."""
    mean = float(values.mean())
    sums = np.bincount(customer, weights=values - mean)
    return mean, float(np.sqrt(np.square(sums).sum()) / len(values))


def _attention(log: Logged, model: DecisionModel) -> Floats:
    learned = model.learned
    matrix = learned.encoder.matrix(log.crowd)
    rows, channel, action = np.arange(len(log)), log.arms.channel[log.arm], log.arms.action[log.arm]
    attend = learned.attendance.chance(matrix, log.crowd)[rows, channel]
    attend = attend * learned.hours.lift(log.crowd)[rows, channel, np.maximum(log.cell, 0)]
    columns = learned.levelled(matrix, learned.outcome.predict(matrix))
    gain = learned.gains.predict(columns, own_numbers(log.crowd, log.arms.actions))
    worth = attend * (gain + learned.prior)[rows, action] - learned.cost[log.arm]
    return attention_prices(log, attend, worth)
