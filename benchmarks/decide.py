"""How long the next best action of a million customers takes, and how much memory: set-based, budgets kept over all.

Every one of the thirteen actions of the default catalogue may go over each of the seven channels, within 72 hours.
States are folded from made-up events of some thousand people and each stands for many customers, who differ in
consents, time zones and contacts of the last month. The model is fitted on made-up decisions: it is as large as a real
one, and knows nothing. Nothing is left out of the decision: scores, expressions, windows, quiet hours, caps, cooldowns,
values, hours, shared budgets, exploration, exact chances. Reading states is not in it: `benchmarks.replay` measures
that.

    python -m benchmarks.decide [--customers 1000000] [--chunk 10000] [--json]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.replay import log, peak_mb
from benchmarks.report import tell
from features.catalogue import Flag, Number
from features.events import DAY
from features.fold import Fold
from features.slots import CHANNELS, CUSTOMER
from nba.arms import Arms
from nba.asked import Asked
from nba.config import NbaConfig
from nba.crowd import Contacts, Crowd, rows_of
from nba.known import SCORES
from nba.learning import Before, LearningConfig
from nba.logged import Logged
from nba.model import DecisionModel, Rule
from nba.scores import ScoreModels, ScoreRows, fit_scores
from nba.selection import fit
from nba.settling import decide_settled, settle
from nba.values import HOUR_CELLS
from training.ledger import ledger_of
from training.replay import moments_of, person_shards, run

BUDGET = "≤ 15 minutes and 24 GiB for a million, on two cores"
EVENTS_A_PERSON = 50
#: How often each channel may be used, and contacts a customer had in the last month, at most.
ALLOWED = (0.75, 0.3, 0.25, 0.45, 0.35, 1.0, 0.8)
MOST_CONTACTS = 6
ZONES = ("Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Tokyo", "UTC")


@dataclass
class Shop:
    """Made-up customers, the same each time they are asked for.

    Attributes:
        states: float64[people, F].
        at: the moment, microseconds since 1970 UTC.
        arms: what contacts were about.
        customers: how many.
        chunk: so many at once.
        seconds: spent on making them up, so far.
        scores: models of them, which are computed for each chunk; None: they are left out.
        wanted: names of those that the configuration names.
    """

    states: NDArray[np.float64]
    at: int
    arms: Arms
    customers: int
    chunk: int
    seconds: float = field(default=0.0)
    scores: ScoreModels | None = None
    wanted: frozenset[str] = frozenset()

    def chunks(self) -> Iterator[Crowd]:
        """All of them."""
        for first in range(0, self.customers, self.chunk):
            started = time.process_time()
            crowd = self.some(first, min(first + self.chunk, self.customers))
            self.seconds += time.process_time() - started
            if self.scores is not None:
                scores = self.scores.score(crowd, only=self.wanted)
                crowd = replace(crowd, attributes={**crowd.attributes, **scores})
            yield crowd

    def some(self, first: int, last: int) -> Crowd:
        """Customers number ``first`` to before ``last``."""
        rng = np.random.default_rng([17, first])
        n = last - first
        allowed = rng.random((n, len(CHANNELS))) < np.array(ALLOWED)
        return Crowd(
            ids=[f"c{number:08}" for number in range(first, last)],
            at=np.full(n, self.at, dtype=np.int64),
            names=CUSTOMER.features,
            state=self.states[np.arange(first, last) % len(self.states)],
            attributes={
                "event_in_days": Number(np.where(rng.random(n) < 0.2, rng.integers(0, 30, n), np.nan)),
                "loyalty_member": Flag((rng.random(n) < 0.3).astype(np.int8)),
                "guest": Flag((rng.random(n) < 0.3).astype(np.int8)),
            },
            zones=[ZONES[place] for place in rng.integers(0, len(ZONES), n)],
            channels=CHANNELS,
            consented=allowed,
            reachable=np.ones_like(allowed),
            contacts=self._contacts(rng, n),
        )

    def _contacts(self, rng: np.random.Generator, n: int) -> Contacts:
        count = rng.integers(0, MOST_CONTACTS + 1, n)
        total = int(count.sum())
        owner = np.repeat(np.arange(n), count)
        moment = self.at - rng.integers(1, 30 * DAY, total)
        order = np.lexsort((moment, owner))
        return Contacts(
            start=np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
            time=moment[order],
            action=rng.integers(0, len(self.arms.actions), total).astype(np.int32),
            channel=rng.integers(0, len(self.arms.channels), total).astype(np.int32),
            answered=rng.random(total) < 0.2,
            actions=self.arms.actions,
            channels=self.arms.channels,
        )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decide", description=__doc__.split("\n")[0])
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=20_000, help="whose events states are folded from")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    config = catalogue(given.customers)
    states, at = folded(given.people)
    shop = Shop(states, at, config.arms, given.customers, given.chunk)
    model = fitted(shop, config.arms)
    text = config.model_dump_json()
    shop.scores, shop.wanted = scored(shop), frozenset(name for name in SCORES if name in text)
    before = peak_mb()
    asked, steps = Asked(), []

    started, made = time.process_time(), shop.seconds
    clock = time.perf_counter()
    settlement = settle(asked, shop.chunks(), model, config)
    steps.append(("settle", time.process_time() - started - (shop.seconds - made)))
    started, made = time.process_time(), shop.seconds
    use, open_arms, by_action, slots = np.zeros(len(config.budgets)), 0, np.zeros(len(config.arms.actions) + 1, int), 0
    for decided in decide_settled(asked, shop.chunks(), model, config, settlement):
        arm = decided.chosen.arm
        use += settlement.budgets.weight[:, arm].sum(axis=1)
        open_arms += int(decided.weighed.open.sum())
        by_action += np.bincount(config.arms.action[arm] + 1, minlength=len(by_action))
        slots = decided.weighed.openings.grid.time.shape[1]
    steps.append(("decide", time.process_time() - started - (shop.seconds - made)))
    elapsed = time.perf_counter() - clock
    assert (use <= settlement.budgets.limit * (1 + 1e-9)).all(), "a budget was exceeded"

    budgets, plan = settlement.budgets, settlement.plan
    rows = [
        {
            "budget": name,
            "limit": budgets.limit[place],
            "used": use[place],
            "price of one more": plan.price[place],
        }
        for place, name in enumerate(budgets.names)
    ]
    total = sum(seconds for _, seconds in steps)
    tell(
        rows,
        as_json=given.json,
        customers=given.customers,
        actions=len(config.actions),
        arms=len(config.arms),
        scores=", ".join(sorted(shop.wanted)),
        slots=slots,
        open_arms_a_customer=open_arms / given.customers,
        contacts=int(by_action[1:].sum()),
        actions_and_offers_that_somebody_gets=int((by_action[1:] > 0).sum()),
        budget=BUDGET,
        cpu_seconds=total,
        cpu_us_a_customer=total / given.customers * 1e6,
        **{f"{step}_cpu_seconds": seconds for step, seconds in steps},
        seconds_by_the_clock_with_making_them_up=elapsed,
        peak_mb_before=before,
        peak_mb=peak_mb(),
        looks_at_all_customers_for_the_prices=plan.cuts,
        duality_gap=plan.gap,
    )


def catalogue(customers: int) -> NbaConfig:
    """The default catalogue with every action on every channel, and budgets that are short."""
    changes = {
        "actions": {name: {"channels": CHANNELS, "escalate": []} for name in NbaConfig.default().actions},
        "budgets": {
            "money": {"amount": 0.01 * customers, "over": "cost"},
            "texts": {"amount": 0.01 * customers, "over": "contacts", "channels": ["sms", "whatsapp"]},
            "ads": {"amount": 0.01 * customers, "over": "contacts", "channels": ["ads"]},
            "letters": {"amount": 0.2 * customers, "over": "contacts", "channels": ["email"]},
            "coupons": {"amount": 0.02 * customers, "over": "contacts", "actions": ["first_order_offer"]},
        },
    }
    return NbaConfig.default(changes)


def folded(people: int) -> tuple[NDArray[np.float64], int]:
    """States of people at the end of a year of made-up events, and that moment."""
    events, moments = log(people * EVENTS_A_PERSON)
    last = moments.iloc[people:].reset_index(drop=True)
    ledger, fold = ledger_of(events), Fold(CUSTOMER)
    states = np.empty((people, len(fold.names)))
    for shard in person_shards(ledger, moments_of(ledger, last), fold, rows=people):
        run(shard, fold, states, by_row=True)
    # What the made-up events do not tell of, so that all actions have somebody.
    rng = np.random.default_rng(1)
    for name, share in (("since_delivery", 0.2), ("since_signup_started", 0.1), ("since_app_install", 0.3)):
        states[:, fold.names.index(name)] = np.where(rng.random(people) < share, rng.exponential(15, people), np.nan)
    return states, int(last["at"].iloc[0])


def fitted(shop: Shop, arms: Arms, decisions: int = 20_000) -> DecisionModel:
    """A model of made-up decisions, of which a fifth hold."""
    rng = np.random.default_rng(2)
    crowd = shop.some(0, decisions)
    arm = np.where(rng.random(decisions) < 0.2, 0, rng.integers(1, len(arms), decisions)).astype(np.int32)
    sent = arm > 0
    views = crowd.state[:, crowd.names.index("views_30d")]
    attended = sent & (rng.random(decisions) < 0.1 + 0.3 * (arms.channel[arm] % 3 == 0))
    value = rng.gamma(0.1, 20, decisions) * (1 + np.log1p(views)) + attended * rng.gamma(1, 3, decisions)
    no = np.zeros(decisions, dtype=np.bool_)
    made = Logged(
        arms=arms,
        crowd=rows_of(crowd, np.arange(decisions)),
        customer=np.arange(decisions, dtype=np.int32),
        arm=arm,
        cell=np.where(sent, rng.integers(0, HOUR_CELLS, decisions), -1).astype(np.int16),
        propensity=np.where(sent, 0.8 / (len(arms) - 1), 0.2),
        hour_propensity=np.where(sent, 1 / HOUR_CELLS, 1.0),
        eligible=np.ones((decisions, len(arms)), dtype=np.bool_),
        value=value,
        cost=np.where(sent, 0.02, 0.0),
        opened=attended,
        clicked=attended,
        visited=attended,
        converted=value > 1,
        unsubscribed=no,
        complained=no,
    )
    thought = Before(np.full(len(arms.actions), 1.0), np.zeros(len(arms)))
    found = fit(made, "value", LearningConfig(), seed=0, before=thought)
    attention = np.zeros(len(arms.channels) + 1)
    return DecisionModel(found.learned, found.response, attention, Rule("learned"))


def scored(shop: Shop, rows: int = 20_000) -> ScoreModels:
    """Models of scores, fitted on made-up labels at eight moments, four weeks apart."""
    rng = np.random.default_rng(3)
    crowd = shop.some(0, rows)
    crowd = replace(crowd, at=crowd.at - rng.integers(0, 8, rows) * 28 * DAY)
    rate = np.log1p(crowd.state[:, crowd.names.index("purchases_90d")])
    orders = rng.poisson(rate).astype(np.float64)
    value = orders * rng.gamma(2, 10, rows)
    wait = rng.exponential(30 / (0.1 + rate))
    return fit_scores(ScoreRows(crowd, orders, value, orders, value * 4, wait, 112.0), seed=0)


if __name__ == "__main__":
    main()
