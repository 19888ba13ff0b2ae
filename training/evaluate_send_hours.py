"""What it is worth to send at the hour that is learned for a person, where the log drew its send hours at random.

Each contact has a learned hour and a best hour for everybody on its channel, both among the hours at which that channel
was sent, on a workday or a weekend as it was, both from a model fitted on other customers. What would have been
attended at an hour is estimated from the contacts that happened to be sent at it, by self-normalised importance
weighting, Σ w y / Σ w with w = 1 / propensity of the slot (Swaminathan & Joachims, The Self-Normalized Estimator for
Counterfactual Learning, NIPS 2015, equation 9). Self-normalising makes up for an hour that several slots lie in. The
interval of the difference resamples customers; each ratio enters by its linearisation (Owen, Monte Carlo theory,
methods and examples (2013), section 9.2), so that rows of one customer stay together and the difference is paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bootstrap import means
from nba.logged import Logged
from nba.timing import HourModel
from nba.timing_fit import ContactHours, attended, contacts_of, fit_hours
from nba.trees import folds_of
from nba.values import DAY_HOURS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS = 5

#: Hours that fewer of a channel's contacts were sent at are nobody's hour: nothing is known of them.
LEAST_SHARE = 0.005

POLICIES = ("learned", "global_hour")


@dataclass(frozen=True)
class Sent:
    """n contacts whose send hour was drawn at random.

    Attributes:
        channel: int32[n], place in ``channels``; -1: none. customer: int32[n].
        attended: float64[n], 0 or 1. weight: float64[n], 1 / propensity of the slot.
        there: bool[n, policies], whether it was sent at the hour of each of `POLICIES`.
    """

    channels: tuple[str, ...]
    channel: NDArray[np.int32]
    customer: NDArray[np.int32]
    attended: Floats
    weight: Floats
    there: NDArray[np.bool_]

    def of(self, channel: int) -> Sent:
        """Those on one channel."""
        rows = self.channel == channel
        return Sent(
            self.channels,
            self.channel[rows],
            self.customer[rows],
            self.attended[rows],
            self.weight[rows],
            self.there[rows],
        )


def evaluate_send_hours(log: Logged, *, seed: int = 0) -> dict[str, Any] | None:
    """Share of contacts attended at the learned hours, and at the hours best for everybody on the channel.

    Args:
        log: decisions; only contacts whose hour was drawn at random (propensity below 1) are judged.
        seed: for the resamples.

    Returns:
        The section of the evaluation's JSON, None where no hour was drawn at random or next to nothing was attended.
    """
    drawn = (log.arm > 0) & (log.cell >= 0) & (log.hour_propensity < 1.0)
    if not drawn.any():
        return None
    sent = judged_contacts(log, drawn, seed)
    found = _told(sent, seed)
    if found is None:
        return None
    by_channel = {name: _told(sent.of(place), seed) for place, name in enumerate(sent.channels)}
    return {
        "rows": len(sent.attended),
        "customers": len(np.unique(sent.customer)),
        **found,
        "channels": {name: told for name, told in by_channel.items() if told is not None},
    }


def judged_contacts(log: Logged, drawn: NDArray[np.bool_], seed: int) -> Sent:
    """The contacts to judge, each with the hours that a model of other customers gives it."""
    came = attended(log)
    there = np.zeros((len(log), len(POLICIES)), dtype=np.bool_)
    fold = folds_of(log.customer, FOLDS, np.random.default_rng(seed))
    for left_out in range(FOLDS):
        others = np.flatnonzero((log.arm > 0) & (log.cell >= 0) & (fold != left_out))
        here = np.flatnonzero(drawn & (fold == left_out))
        if not len(others) or not len(here):
            continue
        known = log.take(others)
        contacts = contacts_of(known, came[others], usual(known, came[others]))
        model = fit_hours(contacts, log.arms.channels)
        asked = contacts_of(log.take(here), came[here], np.ones(len(here)))
        hour = asked.cell % DAY_HOURS
        there[here] = hours(model, contacts, asked) == hour[:, None]
    rows = np.flatnonzero(drawn)
    return Sent(
        log.arms.channels,
        log.arms.channel[log.arm[rows]],
        log.customer[rows],
        came[rows].astype(np.float64),
        1.0 / log.hour_propensity[rows],
        there[rows],
    )


def usual(log: Logged, came: NDArray[np.bool_]) -> Floats:
    """The chance that a contact is attended, as the share of its arm, drawn to that of all: float64[n]."""
    share = came.mean()
    sent = np.bincount(log.arm, minlength=len(log.arms))
    found = np.bincount(log.arm, came, minlength=len(log.arms))
    chance = (found + 20.0 * share) / (sent + 20.0)
    chances: Floats = np.maximum(chance[log.arm], 1e-9)
    return chances


def hours(model: HourModel, known: ContactHours, asked: ContactHours) -> Ints:
    """The hour of the day that each policy would send a contact at: int64[n, policies]."""
    size = (len(model.channels) + 1) * DAY_HOURS
    place = (known.channel % (len(model.channels) + 1)) * DAY_HOURS + known.cell % DAY_HOURS
    sent = np.bincount(place, minlength=size).reshape(-1, DAY_HOURS)
    open_ = sent >= np.maximum(1, LEAST_SHARE * sent.sum(axis=1, keepdims=True))
    row = np.arange(len(asked))
    weekend = (asked.cell // DAY_HOURS).astype(np.int64)

    def best(lift: Floats | NDArray[np.float32]) -> Ints:
        by_day = lift.reshape(len(lift), 2, DAY_HOURS)[row, weekend]
        hour: Ints = np.where(open_[asked.channel], by_day, -1.0).argmax(axis=1)
        return hour

    own = model.lift_of(asked.active, asked.attended_at)[row, asked.channel]
    return np.column_stack([best(own), best(model.curve[asked.channel])])


def _told(sent: Sent, seed: int) -> dict[str, Any] | None:
    """Shares attended, with intervals and the paired difference; None if nobody was sent at one of the hours."""
    weights = sent.weight[:, None] * sent.there
    if not len(weights) or (weights.sum(axis=0) == 0).any() or len(np.unique(sent.customer)) < 2:
        return None
    value = (weights * sent.attended[:, None]).sum(axis=0) / weights.sum(axis=0)
    # The mean of each column is the ratio itself, and its spread that of the ratio.
    rows = value + weights * (sent.attended[:, None] - value) / weights.mean(axis=0)
    found = means(np.column_stack([rows, rows[:, 0] - rows[:, 1]]), sent.customer, np.random.default_rng(seed))
    effective = weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)
    told: dict[str, Any] = {
        name: {
            "attended": float(found.value[place]),
            "ci": found.interval[place].tolist(),
            "effective_sample_size": float(effective[place]),
        }
        for place, name in enumerate(POLICIES)
    }
    told["logged"] = {"attended": float(sent.attended.mean())}
    told["difference"] = {"value": float(found.value[2]), "ci": found.interval[2].tolist(), "against": POLICIES[1]}
    return told
