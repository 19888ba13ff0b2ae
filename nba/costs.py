"""What a contact costs: money for itself, and attention: what it takes from later contacts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.events import DAY
from nba.crowd import Floats
from nba.logged import Logged

#: Contacts by which a channel's rate of unsubscribing is shrunk to that of all channels.
SHRINK = 100.0

#: Days in which contacts would go on to earn, had nobody unsubscribed.
HORIZON_DAYS = 180.0

#: Days in which a contact tires people: it counts as recent so long.
RECENT_DAYS = 7.0

#: The least half of what was ever tried: below so few contacts, fatigue is not told from chance.
LEAST_CONTACTS = 2_000


def contact_costs(log: Logged) -> Floats:
    """What contacts cost by themselves, without discounts given: float64[A], 0 for hold.

    The median cost of contacts that brought no order, of the arm, else of its channel, else of its action; 0 where
    nothing is known. What an offer gives away counts in the outcome of those who take it.
    """
    arms = log.arms
    plain = (log.arm > 0) & ~log.converted
    out = np.zeros(len(arms))
    for arm in range(1, len(arms)):
        for rows in (
            plain & (log.arm == arm),
            plain & (arms.channel[log.arm] == arms.channel[arm]),
            plain & (arms.action[log.arm] == arms.action[arm]),
        ):
            if rows.any():
                out[arm] = float(np.median(log.cost[rows]))
                break
    return out


def attention_prices(log: Logged, attend: Floats, worth: Floats) -> Floats:
    """Margin that a contact is expected to take from later ones: float64[C + 1], by channel, none last.

    price(c) = P(unsubscribes or complains | contact on c) · W + fatigue · worth a contact · contacts in a week

    W is what contacts on all channels together would have earned in `HORIZON_DAYS`: the mean worth of a contact, where
    it is above 0, times how many a customer gets in that time. Fatigue is by how much the chance to attend falls with
    each contact of the last week: the slope of log(attended / expected) on their number (Poisson regression), at most
    0. People who are contacted more may be others, so what is expected must know the customer.

    Args:
        log: n decisions.
        attend: float64[n], expected chance to attend the contact that was sent, 0 for hold.
        worth: float64[n], expected net gain of the contact that was sent.
    """
    c = len(log.arms.channels)
    prices = np.zeros(c + 1)
    sent = np.flatnonzero(log.arm > 0)
    if not len(sent):
        return prices
    channel = log.arms.channel[log.arm[sent]]
    left = (log.unsubscribed | log.complained)[sent]
    overall = left.mean()
    counts = np.bincount(np.where(channel < 0, c, channel), minlength=c + 1)
    lost = np.bincount(np.where(channel < 0, c, channel), weights=left, minlength=c + 1)
    rate = (lost + SHRINK * overall) / (counts + SHRINK)
    a_contact = max(float(worth[sent].mean()), 0.0)
    days = max(float(np.ptp(log.crowd.at)) / DAY, RECENT_DAYS)
    a_day = len(sent) / len(np.unique(log.customer)) / days
    prices += rate * a_contact * a_day * HORIZON_DAYS
    prices += -fatigue(log, sent, attend[sent]) * a_contact * a_day * RECENT_DAYS
    return prices


def fatigue(log: Logged, sent: NDArray[np.int64], expected: Floats) -> float:
    """Slope of log(attended / expected) on the contacts of the last week; 0 where it cannot be told, never above."""
    contacts = log.crowd.contacts
    owner = contacts.owner
    lately = log.crowd.at[owner] - contacts.time < RECENT_DAYS * DAY
    recent = np.bincount(owner[lately], minlength=len(log)).astype(np.float64)[sent]
    happened = (log.clicked | log.opened | log.visited)[sent]
    if len(sent) < LEAST_CONTACTS or np.ptp(recent) == 0 or happened.mean() in (0.0, 1.0):
        return 0.0
    slope, level = 0.0, 0.0
    for _ in range(25):  # Newton's steps
        mean = np.clip(expected, 1e-6, None) * np.exp(np.clip(level + slope * recent, -20, 20))
        gradient = np.array([(happened - mean).sum(), (recent * (happened - mean)).sum()])
        hessian = np.array([[mean.sum(), (recent * mean).sum()], [(recent * mean).sum(), (recent**2 * mean).sum()]])
        step = np.linalg.solve(hessian + 1e-9 * np.eye(2), gradient)
        level, slope = level + step[0], slope + step[1]
    return float(np.clip(slope, -1.0, 0.0))
