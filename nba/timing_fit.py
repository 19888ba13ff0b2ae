"""Learning `nba.timing.HourModel` from contacts: everybody's curve, then how much a person's habits tell.

Curves are Gamma-Poisson posterior means, level by level (Gelman et al., Bayesian Data Analysis (2013), section 2.6), of
counts smoothed over neighbouring hours; how much is smoothed and shrunk is chosen by customers left out. A habit's
shrinkage and power are those under which what was attended is most likely, among people that its kinds were not learned
from. Its hours come from a state as of the decision, so they know nothing of what came of it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import product

import numpy as np
from numpy.typing import NDArray

from nba.hours import HourShares, circular, flat, kinds_of
from nba.logged import Logged
from nba.timing import ACTIVE, ATTENDED, OFTEN, Floats, HourModel, by_hour, hours_of, indifferent
from nba.trees import folds_of
from nba.values import DAY_HOURS, HOUR_CELLS

# What fitting chooses from. Everybody's curve: hours of smoothing; attended contacts that the level above weighs.
CURVE_WIDTHS = (0.5, 1.0, 1.5, 2.0, 3.0)
CURVE_SHRINKS = (3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0)
# A person's shares: number of kinds, width, counts that the kinds weigh; and the power that shares are raised to.
KINDS = (1, 5)
WIDTHS = (1.0, 2.5)
CONCENTRATIONS = (3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0)
POWERS = (0.25, 0.5, 1.0, 1.5)

#: No power goes beyond it.
MOST = 3.0

#: Weights of contacts are cut at so many times their median: a few rows must not decide.
LARGEST = 20.0

#: A habit counts only if the log likelihood gains more than this by it: one for each of four numbers chosen (AIC).
LEAST_GAIN = 4.0

_FOLDS = 5  # of customers, to choose the curve's smoothing
_ROWS = 20_000  # contacts by which shares are chosen


@dataclass(frozen=True)
class ContactHours:
    """n contacts that were sent, to learn from.

    Attributes:
        channel: int32[n], place in the names of C channels; -1: none.
        cell: int[n], hour cell of the sending, weekend · 24 + hour of the customer's own day.
        attended: bool[n], what came of it.
        expected: float64[n], above 0: chance that it is attended at an average hour, as far as anything else tells.
        weight: float64[n], 1 / propensity of the hour.
        customer: int[n], whose contact it is.
        active, attended_at: float64[n, 24], the customer's counts of `ACTIVE` and `ATTENDED` when it was decided.
    """

    channel: NDArray[np.int32]
    cell: NDArray[np.int16]
    attended: NDArray[np.bool_]
    expected: Floats
    weight: Floats
    customer: NDArray[np.int32]
    active: Floats
    attended_at: Floats

    def __len__(self) -> int:
        return len(self.cell)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> ContactHours:
        """Some of the rows."""
        return ContactHours(*(getattr(self, field.name)[rows] for field in fields(self)))


def attended(log: Logged) -> NDArray[np.bool_]:
    """Which contacts were attended, bool[n]: channel by channel clicks, where there are any, else visits, else opens.

    Visits count only if contacts bring them: those who are left alone visit less than half as often.
    """
    sent = log.arm > 0
    channel = log.arms.channel[log.arm]
    brought = not sent.all() and sent.any() and log.visited[~sent].mean() < log.visited[sent].mean() / 2
    out = np.zeros(len(log), dtype=np.bool_)
    for number in range(-1, len(log.arms.channels)):
        rows = sent & (channel == number)
        told = (log.clicked, log.visited, log.opened) if brought else (log.clicked, log.opened, log.visited)
        out[rows] = next((said[rows] for said in told if said[rows].any()), False)
    return out


def contacts_of(log: Logged, attended: NDArray[np.bool_], expected: Floats) -> ContactHours:
    """The contacts of a log of decisions.

    Args:
        log: decisions; holding is none.
        attended: bool[n].
        expected: float64[n], above 0: chance that it is attended at an average hour.
    """
    sent = np.flatnonzero((log.arm > 0) & (log.cell >= 0))
    weight = 1.0 / log.hour_propensity[sent]
    return ContactHours(
        channel=log.arms.channel[log.arm[sent]],
        cell=log.cell[sent],
        attended=attended[sent],
        expected=expected[sent],
        weight=np.minimum(weight, LARGEST * np.median(weight)) if len(sent) else weight,
        customer=log.customer[sent],
        active=hours_of(log.crowd, ACTIVE)[sent],
        attended_at=hours_of(log.crowd, ATTENDED)[sent],
    )


def fit_hours(log: ContactHours, channels: tuple[str, ...], *, seed: int = 0) -> HourModel:
    """Learn from contacts.

    Args:
        log: contacts at whatever hours; where these were drawn at random, the better.
        channels: C names.
        seed: of how customers are told apart while fitting.
    """
    if not log.attended.any():
        return indifferent(channels)
    weight = log.weight * log.weight.sum() / (log.weight**2).sum()  # sums to the effective number of rows (Kish)
    curve = _curve(log, weight, len(channels), seed)
    # Kinds of people are learned from one half of them and judged by the other: they hold what their people attended.
    last = np.sort(len(log) - 1 - np.unique(log.customer[::-1], return_index=True)[1])
    side = folds_of(log.customer, 2, np.random.default_rng(seed))
    half = last[side[last] == 0]
    judged = np.flatnonzero(side == 1)
    if not len(judged):
        return HourModel(channels, curve, flat(), flat(), (0.0, 0.0))
    shown = judged[np.linspace(0, len(judged) - 1, min(len(judged), _ROWS)).astype(np.int64)]
    few = log.take(shown)
    fit = _Fit(few, weight[shown] * (weight[judged].sum() / weight[shown].sum()), curve)
    active, a = _chosen(log.active[half], few.active, fit, np.ones((len(few), DAY_HOURS)))
    bent = HourModel(channels, curve, active, flat(), (a, 0.0)).habit(few.active, few.attended_at)
    attended, b = _chosen(log.attended_at[half], few.attended_at, fit, bent)
    powers = _powers(few, fit, active, attended, (a, b))
    return HourModel(
        channels, curve, _learned(active, log.active[last]), _learned(attended, log.attended_at[last]), powers
    )


class _Fit:
    """Log likelihood of contacts under a habit: Poisson, which at small chances is that of yes or no."""

    def __init__(self, log: ContactHours, weight: Floats, curve: Floats) -> None:
        self._attended = weight * log.attended
        self._expected = weight * log.expected
        self._row = np.arange(len(log))
        self._hour = log.cell % DAY_HOURS
        self._channel = log.channel
        self._at_cell = curve[log.channel, log.cell]
        self._often = by_hour(curve)[log.channel]
        # Chances may be off by a factor: what is learned here is only how they differ between hours.
        self._expected *= self._attended.sum() / (self._expected * self._at_cell).sum()

    def __call__(self, habit: Floats) -> float:
        """For habits float64[n, 24]."""
        lift = self._at_cell * habit[self._row, self._hour] / np.einsum("nh,nh->n", habit, self._often)
        return float(self._attended @ np.log(lift) - self._expected @ lift)


def _chosen(people: Floats, counts: Floats, fit: _Fit, bent: Floats) -> tuple[HourShares, float]:
    """The shares, and the power of them, that make what was attended most likely; power 0 where nothing is gained.

    Args:
        people: float64[customers, 24], to learn kinds of people from.
        counts: float64[n, 24], of each contact.
        fit: likelihood.
        bent: float64[n, 24], the habit so far.
    """
    people = people[people.sum(axis=1) > 0]
    best, found, power = fit(bent) + LEAST_GAIN, flat(), 0.0
    if not len(people):
        return found, power
    for number in KINDS:
        kinds, weights = kinds_of(people, number)
        for width, concentration in product(WIDTHS, CONCENTRATIONS):
            shares = HourShares(kinds, weights, width, concentration)
            log_ratio = np.log(shares.ratio(counts))
            for tried in POWERS:
                likelihood = fit(bent * np.exp(tried * log_ratio))
                if likelihood > best:
                    best, found, power = likelihood, shares, tried
    return found, power


def _learned(shares: HourShares, people: Floats) -> HourShares:
    """The same shrinkage, with kinds learned from all people."""
    if np.isinf(shares.concentration):
        return shares
    people = people[people.sum(axis=1) > 0]
    return HourShares(*kinds_of(people, len(shares.weights)), shares.width, shares.concentration)


def _powers(
    log: ContactHours, fit: _Fit, active: HourShares, attended: HourShares, start: tuple[float, float]
) -> tuple[float, float]:
    """Both powers together, once shares are chosen: the likeliest, no less than 0."""
    if start == (0.0, 0.0):
        return start
    from scipy.optimize import minimize

    ratios = [np.log(shares.ratio(counts)) for shares, counts in ((active, log.active), (attended, log.attended_at))]
    bounds = [(0.0, MOST if power else 0.0) for power in start]
    found = minimize(
        lambda powers: -fit(np.exp(powers[0] * ratios[0] + powers[1] * ratios[1])),
        start,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 30},
    )
    a, b = found.x.tolist()
    return a, b


def _curve(log: ContactHours, weight: Floats, channels: int, seed: int) -> Floats:
    """Everybody's lift: float64[C + 1, HOUR_CELLS]."""
    from scipy.special import xlogy

    fold = folds_of(log.customer, _FOLDS, np.random.default_rng(seed))
    shape = (_FOLDS, channels + 1, 2, DAY_HOURS)
    place = np.ravel_multi_index(
        (fold, log.channel % (channels + 1), log.cell // DAY_HOURS, log.cell % DAY_HOURS), shape
    )
    size = int(np.prod(shape))
    attended = np.bincount(place, weight * log.attended, size).reshape(shape)
    expected = np.bincount(place, weight * log.expected, size).reshape(shape)
    choices = list(product(CURVE_WIDTHS, CURVE_SHRINKS))
    scores = np.zeros(len(choices))
    for left_out in range(_FOLDS):
        seen, hidden = attended.sum(axis=0) - attended[left_out], attended[left_out]
        chances, asked = expected.sum(axis=0) - expected[left_out], expected[left_out]
        for choice, (width, shrink) in enumerate(choices):
            shares = asked * _shrunk(seen, chances, width, shrink)
            whole = shares.sum(axis=(1, 2), keepdims=True)
            scores[choice] += xlogy(hidden, shares / np.where(whole > 0, whole, 1.0)).sum()
    # Of equals the last: the smoothest.
    width, shrink = choices[len(choices) - 1 - int(scores[::-1].argmax())]
    return _shrunk(attended.sum(axis=0), expected.sum(axis=0), width, shrink).reshape(channels + 1, HOUR_CELLS)


def _shrunk(attended: Floats, expected: Floats, width: float, shrink: float) -> Floats:
    """Attended over expected, level by level: hours of all channels → workdays and weekends → each channel.

    Each level is a Gamma-Poisson posterior mean around the one above, of counts smoothed over neighbouring hours.

    Args:
        attended, expected: float64[C + 1, 2, 24]; the last channel is none.
        width: hours of smoothing.
        shrink: attended contacts that the level above weighs, an hour.

    Returns:
        float64[C + 1, 2, 24], weighted means 1; contacts without a channel count among all, and get what holds for all.
    """
    smoothing = circular(width)

    def level(attended: Floats, expected: Floats, above: Floats) -> Floats:
        found: Floats = above * (attended @ smoothing + shrink) / ((expected * above) @ smoothing + shrink)
        return found

    chances = expected.sum(axis=(1, 2), keepdims=True)
    seen = attended.sum(axis=(1, 2), keepdims=True)
    expected = expected * np.divide(seen, chances, where=chances > 0, out=np.ones_like(chances))
    hours = level(attended.sum(axis=(0, 1)), expected.sum(axis=(0, 1)), np.ones(DAY_HOURS))
    days = level(attended.sum(axis=0), expected.sum(axis=0), hours)
    each = level(attended, expected, days)
    each[-1] = days
    often = OFTEN.reshape(2, DAY_HOURS)
    normal: Floats = each / (each * often).sum(axis=(1, 2), keepdims=True)
    return normal
