"""Decisions made over a live shop and two models, and all of them made again.

    python -m benchmarks.decisions                    # 10,000 decisions
    python -m benchmarks.decisions --decisions 1000 --json

A small shop is trained twice, with different settings. Then its customers and visitors click, buy, return, log in and
see lists, products come, change and go, some people are erased, and every so often the other model takes over; each
list is a decision, written to the stores in SQLite. Afterwards every decision is made again from its record and
compared with what was answered, byte for byte. What is timed: making one, and making it again.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import tell
from features.encode import encode_catalogue, encode_events
from features.events import DAY, HOUR, MINUTE
from features.store.base import ERASED, DecisionStore, Event, EventStore
from features.store.sqlite import SqliteDecisions, SqliteEvents
from recommender import bundle
from recommender.answers import Asked, BlockRequest, Shopper
from recommender.config import RecommenderConfig
from recommender.decisions import Replayer, decision_of, written
from recommender.engine import fit
from recommender.live_shop import LiveShop

PRODUCTS, CUSTOMERS, VISITORS = 60, 40, 40
RULES = """
[[rule]]
action = "pin"
product_ids = ["p003"]
position = 2
placements = ["best_sellers"]

[[rule]]
action = "boost"
filter = "brand = 'Brand 1'"
factor = 1.4
"""
#: The second model explores, diversifies and discounts otherwise.
OTHER = {
    "placements": {
        "recommended_for_you": {"diversity": 0.3, "exploration": {"share": 0.5, "swap": "shuffle", "reach": 3}},
        "best_sellers": {"exploration": {"share": 0.5, "swap": "pair"}},
    }
}
PLACEMENTS = (
    "recommended_for_you",
    "you_may_also_like",
    "recently_viewed",
    "best_sellers",
    "trending",
    "new_arrivals",
    "complete_the_cart",
    "buy_it_again",
    "similar_products",
    "similar_categories",
    "frequently_bought_together",
)


@dataclass(frozen=True)
class Found:
    """How many decisions were made, are left after some people were erased, and were the same again; mean seconds."""

    decisions: int
    left: int
    same: int
    explored: int
    answer_seconds: float
    replay_seconds: float
    differences: list[object]


def main() -> None:
    """Run from a command line."""
    parser = argparse.ArgumentParser(description="Make decisions, and make them again.")
    parser.add_argument("--decisions", type=int, default=10_000)
    parser.add_argument("--erasing", type=float, default=0.0002, help="how often somebody is erased, a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), given.decisions, given.seed, erasing=given.erasing)
    row = {
        "decisions": found.decisions,
        "not erased": found.left,
        "same again": found.same,
        "with a permuted list": found.explored,
        "ms a decision": 1000 * found.answer_seconds,
        "ms a replay": 1000 * found.replay_seconds,
    }
    tell([row], as_json=given.json, first_differences=str(found.differences[:3]))


def run(home: Path, decisions: int, seed: int = 0, *, erasing: float = 0.0002) -> Found:
    """Make decisions in a folder, and make them all again. ``erasing``: how often somebody is erased, a step."""
    rng = random.Random(seed)  # noqa: S311  # a made-up shop
    now = write_bundles(home)
    store, log = SqliteEvents(home / "events.db"), SqliteDecisions(home / "decisions.db")
    rules = log.keep_text(RULES)
    made, answering, explored = 0, 0.0, 0
    shop = LiveShop(bundle.read(home / "bundles" / "a")[0], RULES, store)
    name = "a"
    while made < decisions:
        now += rng.randrange(1, 4) * MINUTE
        chance = rng.random()
        if chance < 0.35:
            store.append(_happened(rng, now))
        elif chance < 0.38:
            _catalogue_changes(rng, store, now)
        elif chance < 0.45:
            shop.keep_up()
        elif chance < 0.45 + erasing:
            _erase(rng, store, log, now)
        elif chance < 0.455 + erasing:
            name = "b" if name == "a" else "a"
            shop = LiveShop(bundle.read(home / "bundles" / name)[0], RULES, store)
            shop.keep_up()
        else:
            begun = time.perf_counter()
            seen = _decide(rng, shop, log, name, rules, f"d{made:06}", now, store)
            answering += time.perf_counter() - begun
            explored += seen
            made += 1
    again = _made_again(store, log, home / "bundles")
    store.close()
    log.close()
    same = sum(found is None for found, _ in again)
    return Found(
        decisions=made,
        left=len(again),
        same=same,
        explored=explored,
        answer_seconds=answering / made,
        replay_seconds=sum(seconds for _, seconds in again) / len(again),
        differences=[found for found, _ in again if found is not None],
    )


def write_bundles(home: Path) -> int:
    """Train the shop twice, into ``bundles/a`` and ``bundles/b``. Returns the moment up to which, microseconds UTC."""
    rng = np.random.default_rng(0)
    n = 3000
    start = pd.Timestamp("2026-01-01", tz="UTC")
    product = rng.integers(PRODUCTS - 10, size=n)
    events = pd.DataFrame(
        {
            "event": np.where(rng.random(n) < 0.3, "purchase", "view"),
            "timestamp": start + pd.to_timedelta(np.sort(rng.integers(60 * 24 * 60, size=n)), unit="min"),
            "customer_id": [f"c{number:03}" for number in rng.integers(CUSTOMERS, size=n)],
            "product_id": [f"p{number:03}" for number in product],
            "price": 5.0 + product,
        }
    )
    numbers = np.arange(PRODUCTS - 10)
    products = pd.DataFrame(
        {
            "product_id": [f"p{number:03}" for number in numbers],
            "title": [f"Thing {number} of kind {number % 5}" for number in numbers],
            "category": [f"All > Kind {number % 5}" for number in numbers],
            "brand": [f"Brand {number % 7}" for number in numbers],
            "price": 5.0 + numbers,
            "availability": "in_stock",
        }
    )
    log = encode_events(events, products)
    catalogue = encode_catalogue(products, log)
    at = int(log.known.max()) + 1
    for name, changes in (("a", {}), ("b", OTHER)):
        made = fit(log, catalogue, RecommenderConfig.default(changes), at=at)
        bundle.write(made, home / "bundles" / name, {})
    return at


def _erase(rng: random.Random, store: EventStore, log: DecisionStore, now: int) -> None:
    customer, visitor = _who(rng)
    gone = store.erase(customer_id=customer, anonymous_id=visitor, at=now)
    customers = {customer, gone.customer_id if gone else None} - {None}
    visitors = {visitor, *(gone.anonymous_ids if gone else ())} - {None}
    log.erase(customer_ids=[*filter(None, customers)], anonymous_ids=[*filter(None, visitors)])


def _who(rng: random.Random) -> tuple[str | None, str | None]:
    if rng.random() < 0.5:
        return f"c{rng.randrange(CUSTOMERS + 5):03}", None  # some are new
    return None, f"v{rng.randrange(VISITORS):03}"


def _happened(rng: random.Random, now: int) -> list[Event]:
    customer, visitor = _who(rng)
    late = rng.choice((0, 0, 0, HOUR, 3 * DAY))
    identifier = f"e{rng.randrange(10**6)}"
    product = f"p{rng.randrange(PRODUCTS + 3):03}"
    names = ("view", "view", "view", "cart", "remove_from_cart", "purchase", "wishlist", "impression", "search")
    name = rng.choice((*names, "refund", "identify"))
    if name == "identify":
        customer, visitor = f"c{rng.randrange(CUSTOMERS):03}", f"v{rng.randrange(VISITORS):03}"
        return [Event("identify", now, now, customer_id=customer, anonymous_id=visitor, event_id=identifier)]
    if name == "impression":
        shown = [f"p{rng.randrange(PRODUCTS):03}" for _ in range(6)]
        return [Event(name, now, now, customer, visitor, product_id=one) for one in shown]
    return [
        Event(
            name,
            now - late,
            now,
            customer_id=customer,
            anonymous_id=visitor,
            session_id=None,
            product_id=None if name == "search" else product,
            order_id=f"o{rng.randrange(200)}" if name in ("purchase", "refund") and rng.random() < 0.5 else None,
            quantity=None if name == "refund" else 1.0,
            price=9.5,
            event_id=identifier,
        )
    ]


def _catalogue_changes(rng: random.Random, store: EventStore, now: int) -> None:
    number = rng.randrange(PRODUCTS)
    attributes = {
        "title": f"Thing {number} of kind {number % 5}",
        "category": f"All > Kind {number % 5}",
        "brand": f"Brand {rng.randrange(9)}",
        "price": round(5.0 + number * rng.random(), 2),
        "availability": rng.choice(("in_stock", "in_stock", "out_of_stock")),
    }
    store.put_products([(f"p{number:03}", attributes if rng.random() < 0.9 else None)], now)


def _decide(
    rng: random.Random,
    shop: LiveShop,
    log: DecisionStore,
    name: str,
    rules: str,
    decision_id: str,
    now: int,
    store: EventStore,
) -> bool:
    """One decision; returns whether a list was permuted."""
    customer, visitor = _who(rng)
    blocks = [
        BlockRequest(
            placement,
            count=rng.randrange(1, 9),
            product_ids=(f"p{rng.randrange(PRODUCTS):03}",) if rng.random() < 0.5 else (),
            filter=rng.choice((None, None, None, "price < 40", "brand in ('Brand 1', 'Brand 2')")),
        )
        for placement in rng.sample(PLACEMENTS, rng.randrange(1, 4))
    ]
    asked = Asked(Shopper(customer, visitor), blocks, now - rng.choice((0, 0, 0, DAY)), explain=rng.random() < 0.2)
    answered = shop.answer(asked, draw=decision_id, past=asked.at < now)
    answer = written(answered.blocks, name="recommender", version=name)
    model = {"name": "recommender", "version": name, "bundle": name}
    log.write(
        decision_of(
            decision_id, asked, answered.blocks, answer, made_at=now, basis=answered.basis, model=model, rules=rules
        )
    )
    scores = [[item.score for item in block.items if item.fallback_level == 0] for block in answered.blocks]
    return any(one != sorted(one, reverse=True) for one in scores)


def _made_again(store: EventStore, log: DecisionStore, bundles: Path) -> list[tuple[object, float]]:
    """What differed (None: nothing) and the seconds it took, a decision."""
    replayer = Replayer(store, log, bundles)
    again: list[tuple[object, float]] = []
    after = 0
    while ids := log.ids(after=after):
        after = ids[-1][0]
        for _, identifier in ids:
            decision = log.read(identifier)
            assert decision is not None
            if decision == ERASED:
                continue
            begun = time.perf_counter()
            found = replayer.replay(decision)
            again.append((None if found.match else found.differences, time.perf_counter() - begun))
    return again


if __name__ == "__main__":
    main()
