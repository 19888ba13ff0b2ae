"""What a list costs over HTTP, in a shop of 100,000 products.

Measures CPU time a request of one worker process (`python -m serving`) for one block: best_sellers and
frequently_bought_together, which no ranker orders, and recommended_for_you, which is made for the customer who asks.
Every request names another customer or product. Best sellers are the same for everybody: they are made once and kept.

The peer is a bare ASGI application under the same uvicorn, in the same run, which reads the same requests and returns
as many bytes. Rounds of both alternate and the median ratio is told, so other work on the machine matters little.

Beside it: latency at half of the peak rate (open loop, from when a request was due; the client runs on the same
machine), resident memory, and the time from starting the process to its first answer.

    python -m benchmarks.serving [--json] [--products N] [--bundle DIR] [--decisions DIR]

``--bundle DIR`` measures a bundle of the made-up shop; if the folder is not there, it is written, for next time.
``--decisions DIR`` measures decisions on the next action instead, by a bundle of nba: each about another customer with
fifty events in the log, and each a new one, which is kept and reserved.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson

from benchmarks.big_shop import big_shop
from benchmarks.load import at_rate, post, saturate
from benchmarks.peer import ANSWER
from benchmarks.processes import Server, server
from benchmarks.report import tell
from features.events import DAY, HOUR, NEVER
from features.store.base import Event
from features.store.sqlite import SqliteEvents
from recommender import bundle
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, Shopper, fit
from recommender.sources.cooccurrence import CooccurrenceSource

#: Placement → how many times the CPU of the bare application a request may cost.
BUDGETS = {"best_sellers": 5, "frequently_bought_together": 5, "recommended_for_you": 40}
P99_BUDGET_MS = 20
DECISION_BUDGET = 40
DECISION_P99_BUDGET_MS = 25
ROUNDS = 5
REQUESTS = 1_000
COUNT = 10


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--products", type=int, default=100_000, help="size of the made-up shop")
    parser.add_argument("--bundle", type=Path, help="measure this bundle; written if it is not there")
    parser.add_argument("--decisions", type=Path, help="measure decisions by this bundle of nba instead")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if given.decisions:
            measure_decisions(given.decisions, Path(scratch), as_json=given.json)
            return
        folder = given.bundle or Path(scratch) / "bundle"
        if not folder.exists():
            print(f"fitting a shop of {given.products:,} products …", file=sys.stderr)
            write_big_shop(folder, given.products)
        measure(folder, Path(scratch), as_json=given.json)


def write_big_shop(folder: Path, products: int) -> None:
    """Fit the default configuration on a made-up shop."""
    log, catalogue = big_shop(products=products, customers=products // 4, orders=products)
    at = int(log.time.max()) + 1
    bundle.write(fit(log, catalogue, RecommenderConfig.default(), at=at), folder, {"made_up": True})


def measure(folder: Path, scratch: Path, *, as_json: bool) -> None:
    """Measure a bundle and print what was found."""
    recommender, manifest = bundle.read(folder)
    with server(["-m", "serving", "--bundle", str(folder)], ready="/health/ready") as segue:
        rows = []
        for placement, budget in BUDGETS.items():
            print(f"measuring {placement} …", file=sys.stderr)
            requests = asked(recommender, placement)
            answers = asyncio.run(saturate(segue.port, requests)).bodies  # also warms up
            typical = scratch / "answer.json"
            typical.write_bytes(sorted(answers, key=len)[len(answers) // 2])
            with bare(typical) as peer:
                rows.append({"placement": placement, **compared(segue, peer, requests), "budget": f"≤ {budget}×"})
        tell(
            rows,
            as_json=as_json,
            products=manifest["products"],
            people=manifest["people"],
            ready_seconds=segue.ready_seconds,
            resident_mb=segue.megabytes(),
            of_it_mapped_files_mb=segue.megabytes("RssFile"),
            p99_budget_ms=P99_BUDGET_MS,
        )


def measure_decisions(folder: Path, scratch: Path, *, as_json: bool) -> None:
    """Measure decisions by a bundle of nba, and print what was found."""
    customers = write_history(scratch / "home")
    variables = {"SEGUE_HOME": str(scratch / "home")}
    with server(["-m", "serving", "--bundle", str(folder)], ready="/health/ready", **variables) as segue:

        def asked_in(number: int) -> list[bytes]:
            """The question of one round: another horizon is another question, which nobody asked before."""
            bodies = [{"customer_id": customer, "horizon_hours": 60 + number} for customer in customers]
            return [post("/v1/decisions", orjson.dumps(body)) for body in bodies]

        answers = asyncio.run(saturate(segue.port, asked_in(-1))).bodies  # also warms up
        typical = scratch / "answer.json"
        typical.write_bytes(sorted(answers, key=len)[len(answers) // 2])
        with bare(typical) as peer:
            row = {"call": "/v1/decisions", **compared(segue, peer, asked_in), "budget": f"≤ {DECISION_BUDGET}×"}
        held = sum(b'"action":"hold"' in answer.partition(b'"propensity"')[0] for answer in answers)
        tell(
            [row],
            as_json=as_json,
            customers=len(customers),
            held=held,
            ready_seconds=segue.ready_seconds,
            resident_mb=segue.megabytes(),
            p99_budget_ms=DECISION_P99_BUDGET_MS,
        )


def write_history(home: Path) -> list[str]:
    """Customers of a made-up shop, with fifty events each, in a store; returns their ids."""
    rng = np.random.default_rng(0)
    now = time.time_ns() // 1000
    store = SqliteEvents(home / "events.db")
    names = ["view"] * 6 + ["cart", "purchase", "search", "send", "open", "click"]
    customers = [f"c{number:04}" for number in range(REQUESTS)]
    for customer in customers:
        times = now - np.sort(rng.integers(HOUR, 60 * DAY, 50))[::-1]
        events = [Event(str(rng.choice(names)), time_, time_, customer_id=customer) for time_ in times.tolist()]
        products = [f"p{number}" for number in rng.integers(0, 500, 50)]
        store.append(
            [
                event._replace(channel="email")
                if event.event in ("send", "open", "click")
                else event._replace(product_id=product, price=9.5)
                for event, product in zip(events, products, strict=True)
            ]
        )
    store.close()
    return customers


def compared(segue: Server, peer: Server, requests: list[bytes] | Callable[[int], list[bytes]]) -> dict[str, Any]:
    """CPU of both on the same requests, then the latency of ours at half of its peak.

    Args:
        segue, peer: the servers.
        requests: of every round, or by the number of the round.
    """
    if isinstance(requests, list):
        same = requests
        return compared(segue, peer, lambda number: same)
    of_round = requests
    ours, bares, rates = [], [], []
    for number in range(ROUNDS):
        requests = of_round(number)
        before = segue.cpu_seconds()
        rates.append(asyncio.run(saturate(segue.port, requests)).rate)
        ours.append((segue.cpu_seconds() - before) / len(requests))
        before = peer.cpu_seconds()
        asyncio.run(saturate(peer.port, requests))
        bares.append((peer.cpu_seconds() - before) / len(requests))
    peak = median(rates)
    half = asyncio.run(at_rate(segue.port, of_round(ROUNDS) + of_round(ROUNDS + 1), peak / 2))
    return {
        "cpu_us": median(ours) * 1e6,
        "bare_us": median(bares) * 1e6,
        "ratio": median(our / bare for our, bare in zip(ours, bares, strict=True)),
        "peak_per_s": peak,
        "p50_ms": half.percentile(50) * 1e3,
        "p99_ms": half.percentile(99) * 1e3,
    }


def asked(recommender: Recommender, placement: str) -> list[bytes]:
    """Requests for one block, each of another customer, or beside another product that was bought with something."""
    rng = np.random.default_rng(0)
    # A bundle does not say what its people are called; the made-up shop calls them so.
    names = [f"c{number:07}" for number in range(len(recommender.people))]
    known = [name for name in names if len(recommender.history(recommender.person(Shopper(name)), NEVER).time)]
    customers = rng.permutation(known or names)
    companions = recommender.sources["cooccurrence"]
    assert isinstance(companions, CooccurrenceSource)
    products = rng.permutation(np.flatnonzero(np.diff(companions.table.indptr) > 0))
    requests = []
    for number in range(REQUESTS):
        context = {}
        if placement == "frequently_bought_together":
            context = {"product_ids": [recommender.catalogue.ids[int(products[number % len(products)])]]}
        customer = str(customers[number % len(customers)])
        block = {"placement": placement, "context": context, "count": COUNT}
        requests.append(post("/v1/recommendations", orjson.dumps({"customer_id": customer, "blocks": [block]})))
    return requests


@contextmanager
def bare(answer: Path) -> Iterator[Server]:
    """The peer, answering the bytes of a file, under uvicorn as `serving.__main__` sets it up."""
    arguments = ["-m", "uvicorn", "benchmarks.peer:application", "--factory", "--no-access-log", "--no-server-header"]
    with server(arguments, ready="/", **{ANSWER: str(answer)}) as peer:
        yield peer


if __name__ == "__main__":
    main()
