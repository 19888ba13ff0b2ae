"""What it costs to put events into the store, on disk before they are acknowledged.

Measures `features.store.sqlite.SqliteEvents.append` in batches of several sizes: events given, and from the bytes of
Segment bodies (parsed, mapped, appended). The peer, in the same run and in turns, is SQLite's bare ``executemany`` of
the same rows into a table of the same columns and indexes, committed (fsync) as often: no duplicates looked for, nobody
numbered or linked. CPU time is that of the process, all threads.

Then single calls that a request makes, beside the least that SQLite can do.

    python -m benchmarks.ingest [--events 20000] [--folder DIR] [--json]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
import timeit
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from benchmarks.report import tell
from features.events import DAY
from features.store.base import Decision, Event, Watermark
from features.store.database import Database
from features.store.event_tables import INSERT_EVENT, SCHEMA, VERSION
from features.store.sqlite import SqliteDecisions, SqliteEvents
from serving.fields import Rejected
from serving.messages import read_messages

BUDGET = 5
BATCHES = (1, 10, 100, 500)
ROUNDS = 3
PRODUCTS = 50_000
EVENTS_A_VISITOR = 20
START = 20_000 * DAY
"""When the made-up events begin, microseconds since 1970 UTC."""

#: Names by Segment and how often they come.
MIX = {"Product Viewed": 60, "Product Clicked": 15, "Product Added": 8, "Order Completed": 2, "Page": 15}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--events", type=int, default=20_000, help="messages of the largest batches; fewer of small ones"
    )
    parser.add_argument("--folder", type=Path, help="where the databases are made, on the disk to be measured")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    rows = []
    for batch in BATCHES:
        messages = bodies(max(500, min(given.events, batch * 2_000)))
        found = [_round(messages, batch, given.folder) for _ in range(ROUNDS)]
        for place, what in enumerate(WORK):
            mine = [one[place] for one in found]
            rows.append(
                {
                    "what": what,
                    "batch": batch,
                    "cpu_us": min(cpu for cpu, _ in mine),
                    "ratio": statistics.median(one[place][0] / one[-1][0] for one in found),
                    "events_a_second": max(speed for _, speed in mine),
                }
            )
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        calls = _calls(Path(folder))
    tell(rows, as_json=given.json, budget=f"≤ {BUDGET}× bare inserts", **calls)


def bodies(n: int, seed: int = 0) -> list[bytes]:
    """Segment messages as an SDK sends them: visitors of about twenty events, one in three of them identified."""
    rng = random.Random(seed)  # noqa: S311
    made = []
    for number in range(n):
        visitor = rng.randrange(n // EVENTS_A_VISITOR + 1)
        name = rng.choices(list(MIX), list(MIX.values()))[0]
        product = {"product_id": f"product-{_popular(rng)}", "price": 19.99, "quantity": 1, "currency": "EUR"}
        said: dict[str, Any] = {"url": "https://shop.example/p/1"} if name == "Page" else product
        if name == "Order Completed":
            said = {"order_id": f"order-{number}", "products": [product], "currency": "EUR"}
        message = {
            "type": "page" if name == "Page" else "track",
            "event": name,
            "messageId": f"ajs-{rng.getrandbits(128):032x}",
            "anonymousId": f"{visitor:032x}",
            "userId": f"customer-{visitor}" if visitor % 3 == 0 else None,
            "properties": said,
            "context": {"userAgent": "Mozilla/5.0", "page": {"path": "/p/1", "referrer": "https://search.example/"}},
        }
        made.append(orjson.dumps(message))
    return made


def _popular(rng: random.Random) -> int:
    """Product n about as often as 1 / (n + 50)."""
    return int(50 * ((PRODUCTS + 50) / 50) ** rng.random() - 50)


def events_of(messages: Sequence[bytes]) -> list[Event]:
    """The events of messages, each parsed by itself."""
    found: list[Event] = []
    for number, body in enumerate(messages):
        for one in read_messages(orjson.loads(body), START + number).messages:
            assert not isinstance(one, Rejected), one
            found += one
    return found


def _round(messages: Sequence[bytes], batch: int, folder: Path | None) -> list[tuple[float, float]]:
    """(CPU µs an event, events a second) of each of `WORK`."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        store = SqliteEvents(Path(made) / "rows.db")
        store.append(events_of(messages))
        store.close()
        database = Database(Path(made) / "rows.db", SCHEMA, VERSION, synchronous="FULL")
        rows = database.read("SELECT * FROM events ORDER BY seq")
        database.close()
        return [work(messages, rows, batch, Path(made) / what.replace(" ", "-")) for what, work in WORK.items()]


def _from_bytes(messages: Sequence[bytes], rows: Sequence[Any], batch: int, file: Path) -> tuple[float, float]:
    parts = [messages[start : start + batch] for start in range(0, len(messages), batch)]
    store = SqliteEvents(file)
    measured = _measured(lambda: [store.append(events_of(part)) for part in parts], len(rows))
    assert store.watermark().seq == len(rows)
    store.close()
    return measured


def _given(messages: Sequence[bytes], rows: Sequence[Any], batch: int, file: Path) -> tuple[float, float]:
    parts = [events_of(messages[start : start + batch]) for start in range(0, len(messages), batch)]
    store = SqliteEvents(file)
    measured = _measured(lambda: [store.append(part) for part in parts], len(rows))
    assert store.watermark().seq == len(rows)
    store.close()
    return measured


def _bare(messages: Sequence[bytes], rows: Sequence[Any], batch: int, file: Path) -> tuple[float, float]:
    parts = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    database = Database(file, SCHEMA, VERSION, synchronous="FULL")
    connection = database.connection()

    def insert() -> None:
        for part in parts:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT_EVENT, part)
            connection.execute("COMMIT")

    measured = _measured(insert, len(rows))
    database.close()
    return measured


#: The bare inserts come last: the others are told as a multiple of them.
WORK: dict[str, Callable[[Sequence[bytes], Sequence[Any], int, Path], tuple[float, float]]] = {
    "from Segment bytes": _from_bytes,
    "events given": _given,
    "bare inserts": _bare,
}


def _measured(work: Callable[[], object], events: int) -> tuple[float, float]:
    began, wall = time.process_time(), time.perf_counter()
    work()
    return (time.process_time() - began) / events * 1e6, events / (time.perf_counter() - wall)


def _calls(folder: Path) -> dict[str, float]:
    """CPU µs of calls that a request makes: for a visitor of about twenty events, and one decision of 2 KB."""
    store, decisions = SqliteEvents(folder / "events.db"), SqliteDecisions(folder / "decisions.db")
    store.append(events_of(bodies(20_000)))
    visitor = f"{1:032x}"
    person = store.person(anonymous_id=visitor)
    connection = Database(folder / "bare.db", ["CREATE TABLE one(body)"], 1, synchronous="NORMAL", checkpoints=False)
    numbers = count()
    answer = {"blocks": [{"items": [{"id": f"p{n}", "score": n / 7} for n in range(40)]}]}

    def decide() -> None:
        identifier = f"{next(numbers):032x}"
        model = {"name": "recommender", "version": "1", "bundle": "b" * 32}
        mark = Watermark(1, 2, 3)
        decisions.write(
            Decision(
                identifier, 1, "recommendations", None, visitor, model, None, mark, {"q": "x" * 300}, answer, "d" * 64
            )
        )

    calls: dict[str, Callable[[], object]] = {
        "bare select of one": lambda: connection.read("SELECT 1 FROM one"),
        "watermark": store.watermark,
        "person": lambda: store.person(anonymous_id=visitor),
        "tail": lambda: store.tail(person),
        "bare insert of 2 KB": lambda: connection.write("INSERT INTO one VALUES (?)", (b"x" * 2000,)),
        "decision written": decide,
    }
    try:
        return {
            f"{name} us": min(timeit.repeat(call, number=500, repeat=7, timer=time.process_time)) * 1e6 / 500
            for name, call in calls.items()
        }
    finally:
        for one in (store, decisions, connection):
            one.close()


if __name__ == "__main__":
    main()
