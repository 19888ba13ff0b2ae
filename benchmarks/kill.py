"""The service killed with SIGKILL again and again under load, and what is left of what it had acknowledged.

    python -m benchmarks.kill                # 50 times, about five minutes
    python -m benchmarks.kill --times 5 --json

Two worker processes serve a small shop. Clients send events in batches, some of them twice, ask for lists and for
customers, and note what was answered; at a random moment the whole process group gets SIGKILL and is started anew. In
the end:

- every event that was acknowledged is in the log exactly once, and every other one at most once;
- the state of every customer is what folding the log anew gives;
- every decision that was answered can be read, and a sample of them is the same when made again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.decisions import write_bundles
from benchmarks.report import tell
from features.states import States
from features.store.memory import MemoryEvents
from features.store.sqlite import SqliteDecisions, SqliteEvents
from recommender.decisions import Replayer

CUSTOMERS, PRODUCTS, CLIENTS = 200, 50, 6
REPLAYED = 500


@dataclass
class Noted:
    """What the clients were told."""

    acknowledged: set[str] = field(default_factory=set)
    sent: int = 0
    decisions: list[str] = field(default_factory=list)


def main() -> None:
    """Run from a command line."""
    parser = argparse.ArgumentParser(description="Kill the service under load, and look what is left.")
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_bundles(home)
        noted = asyncio.run(killed(home, given.times, random.Random(given.seed)))  # noqa: S311
        row = left(home, noted, random.Random(given.seed))  # noqa: S311
    tell([{"kills": given.times, **row}], as_json=given.json)


async def killed(home: Path, times: int, rng: random.Random) -> Noted:
    """Load on a service that is killed so many times."""
    noted = Noted()
    for number in range(times):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(  # noqa: S603
            [
                sys.executable,
                "-m",
                "serving",
                "--bundle",
                str(home / "bundles" / "a"),
                "--workers",
                "2",
                "--port",
                str(port),
            ],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "SEGUE_HOME": str(home)},
        )
        try:
            await _ready(port)
            load = [asyncio.create_task(_client(port, noted, random.Random(rng.random()))) for _ in range(CLIENTS)]  # noqa: S311
            await asyncio.sleep(rng.uniform(0.2, 2.0))
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        await asyncio.gather(*load)
        if sys.stderr.isatty():
            print(f"\rkilled {number + 1} of {times} times", end="", file=sys.stderr)
    return noted


async def _ready(port: int) -> None:
    deadline = time.monotonic() + 60
    async with httpx.AsyncClient() as client:
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if (await client.get(f"http://127.0.0.1:{port}/health/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
    raise RuntimeError("the service was not ready within a minute")


async def _client(port: int, noted: Noted, rng: random.Random) -> None:
    """Send and ask until the service is gone."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        with suppress(httpx.TransportError):
            while True:
                batch = [_event(rng) for _ in range(rng.randrange(1, 40))]
                noted.sent += len(batch)
                for _ in range(1 + (rng.random() < 0.2)):  # as a client does that did not hear an answer
                    answer = await client.post("/v1/batch", json={"batch": batch})
                    assert answer.status_code == 200, answer.text
                    assert answer.json()["rejected"] == []
                    noted.acknowledged.update(str(one["messageId"]) for one in batch)
                customer = f"c{rng.randrange(CUSTOMERS):03}"
                body = {"customer_id": customer, "blocks": [{"placement": "recommended_for_you", "count": 5}]}
                answer = await client.post("/v1/recommendations", json=body)
                assert answer.status_code == 200, answer.text
                noted.decisions.append(answer.json()["decision_id"])
                answer = await client.get(f"/v1/customers/{customer}")
                assert answer.status_code in (200, 404), answer.text


def _event(rng: random.Random) -> dict[str, object]:
    name = rng.choice(("Product Viewed", "Product Viewed", "Product Added", "Order Completed"))
    return {
        "type": "track",
        "event": name,
        "messageId": f"m{rng.getrandbits(64):016x}",
        "userId": f"c{rng.randrange(CUSTOMERS):03}",
        "properties": {
            "product_id": f"p{rng.randrange(PRODUCTS):03}",
            "price": 9.5,
            "order_id": f"o{rng.getrandbits(32)}",
            "products": [{"product_id": f"p{rng.randrange(PRODUCTS):03}", "price": 5.0, "quantity": 1}],
        },
    }


def left(home: Path, noted: Noted, rng: random.Random) -> dict[str, object]:
    """What is wrong with the stores, counted."""
    store, log = SqliteEvents(home / "events.db"), SqliteDecisions(home / "decisions.db")
    count: Counter[str] = Counter()
    afresh = MemoryEvents()
    after = 0
    while rows := store.rows(after):
        after = rows[-1][0]
        count.update(str(event.event_id).partition("/")[0] for _, event in rows)
        afresh.append([event for _, event in rows])
    now = time.time_ns() // 1000 + 1
    differing = sum(_state(store, number, now) != _state(afresh, number, now) for number in range(CUSTOMERS))
    unreadable = sum(log.read(identifier) in (None, "erased") for identifier in noted.decisions)
    replayer = Replayer(store, log, home / "bundles" / "kept")
    sample = rng.sample(noted.decisions, min(REPLAYED, len(noted.decisions)))
    made = [found for found in (log.read(identifier) for identifier in sample) if found not in (None, "erased")]
    unlike = sum(not replayer.replay(found).match for found in made)  # type: ignore[arg-type]
    store.close()
    log.close()
    return {
        "events acknowledged": len(noted.acknowledged),
        "lost": sum(identifier not in count for identifier in noted.acknowledged),
        "doubled": sum(times > 1 for times in count.values()),
        "customers whose state differs": differing,
        "decisions answered": len(noted.decisions),
        "unreadable": unreadable,
        "replayed": len(made),
        "unlike": unlike,
    }


def _state(store: SqliteEvents | MemoryEvents, number: int, at: int) -> dict[str, str]:
    """Rounded to nine digits, since a fold in another order adds in another order."""
    person = store.person(customer_id=f"c{number:03}")
    return {name: f"{value:.9g}" for name, value in States(store).person(person, at).items()}


if __name__ == "__main__":
    main()
