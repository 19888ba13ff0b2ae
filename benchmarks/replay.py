"""How fast a log is folded again into training rows, and in how much memory.

Measures `training.replay.run` with the default declaration of customers on a made-up log: events in memory and sorted
by person, one row a person read in the middle of the log and one at its end. What comes before the fold is told apart:
`encode` from a table of the contract to a ledger, `sort` to shards. The peer, in the same run, is the same fold as
plain Python over lists, one event at a time, as the live service does it (on fewer events).

    python -m benchmarks.replay [--events 5000000] [--json]
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import tell
from features.fold import Fold, update
from features.slots import CUSTOMER
from training.ledger import ledger_of
from training.replay import Shard, moments_of, person_shards, run

BUDGET = 2_000_000
EVENTS_A_PERSON = 50
PRODUCTS = 50_000
DAYS = 365
PYTHON_EVENTS = 50_000

#: How often each kind of event comes, and the channels it has.
MIX = {
    "view": (0.50, (None,)),
    "cart": (0.08, (None,)),
    "remove_from_cart": (0.02, (None,)),
    "purchase": (0.05, (None,)),
    "page": (0.10, (None,)),
    "search": (0.05, (None,)),
    "click": (0.05, (None, "email", "web_push")),
    "send": (0.10, ("email", "sms", "web_push", "app_push")),
    "open": (0.05, ("email", "web_push")),
}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    took: dict[str, float] = {}
    fold = Fold(CUSTOMER)
    with timed(took, "generate"):
        events, moments = log(given.events)
    with timed(took, "encode"):
        ledger = ledger_of(events)
    before_fold = peak_mb()
    del events
    gc.collect()
    with timed(took, "sort"):
        [shard] = person_shards(ledger, moments_of(ledger, moments), fold, rows=len(moments))
    out = np.empty((len(moments), len(fold.names)))
    with timed(took, "compile"):
        run(first_people(shard, 1), fold, out[:2])
    with timed(took, "fold"):
        run(shard, fold, out)
    few = first_people(shard, PYTHON_EVENTS // EVENTS_A_PERSON)
    with timed(took, "python"):
        plain(few, fold)
    slow = len(few.time) / took["python"]
    fast = len(shard.time) / took["fold"]
    whole = sum(took[step] for step in ("encode", "sort", "fold"))
    rows = [{"what": step, "seconds": took[step], "of_all": took[step] / whole} for step in ("encode", "sort", "fold")]
    tell(
        rows,
        as_json=given.json,
        events=len(shard.time),
        rows_read=len(moments),
        slots=len(CUSTOMER.slots),
        features=len(fold.names),
        events_a_second=fast,
        budget=f"≥ {BUDGET:,} events a second a core",
        python_events_a_second=slow,
        ratio_to_python=fast / slow,
        compile_seconds=took["compile"],
        peak_mb_of_reading_the_table=before_fold,
        peak_mb=peak_mb(),
    )


def log(events: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Events of a year, sorted by time, one in a hundred known late; and two moments for each person."""
    rng = np.random.default_rng(seed)
    people = max(events // EVENTS_A_PERSON, 1)
    start = np.datetime64("2025-01-01T00:00:00", "us")
    time_of = np.sort(rng.integers(0, DAYS * 86_400_000_000, events))
    late = np.where(rng.random(events) < 0.01, rng.integers(0, 86_400_000_000, events), 0)
    kind = rng.choice(len(MIX), events, p=[share for share, _ in MIX.values()])
    channels = sorted({channel for _, possible in MIX.values() for channel in possible if channel})
    codes = [[channels.index(channel) if channel else -1 for channel in possible] for _, possible in MIX.values()]
    channel = np.array([(row * 12)[:12] for row in codes])[kind, rng.integers(0, 12, events)]
    named = np.array([f"c{number:07}" for number in range(people)])
    products = np.array([f"p{number:06}" for number in range(PRODUCTS)])
    popular = (50 * ((PRODUCTS + 50) / 50) ** rng.random(events) - 50).astype(np.int64)
    frame = pd.DataFrame(
        {
            "event": pd.Categorical.from_codes(kind, pd.Index(list(MIX))),
            "timestamp": pd.Series(start + time_of).dt.tz_localize("UTC"),
            "known_at": pd.Series(start + time_of + late).dt.tz_localize("UTC"),
            "customer_id": pd.Categorical.from_codes(rng.integers(0, people, events), pd.Index(named)),
            "product_id": pd.Categorical.from_codes(popular, pd.Index(products)),
            "channel": pd.Categorical.from_codes(channel, pd.Index(channels)),
            "price": np.round(rng.lognormal(3, 0.6, events), 2),
        }
    )
    end = (start + np.timedelta64(DAYS + 2, "D")).astype(np.int64)
    middle = (start + np.timedelta64(DAYS // 2, "D")).astype(np.int64)
    at = np.concatenate([np.full(people, middle), np.full(people, end)])
    return frame, pd.DataFrame({"at": at, "customer_id": np.concatenate([named, named])})


def first_people(shard: Shard, people: int) -> Shard:
    """The first people of a shard."""
    events, moments = int(shard.events[people]), int(shard.moments[people])
    of_events = {name: getattr(shard, name)[:events] for name in ("entry", "time", "since", "quantity", "price", "key")}
    of_moments = {name: getattr(shard, name)[:moments] for name in ("at", "place", "offset", "row")}
    return Shard(events=shard.events[: people + 1], moments=shard.moments[: people + 1], **of_events, **of_moments)


def plain(shard: Shard, fold: Fold) -> None:
    """The events of a shard, as lists, in plain Python."""
    columns = [column.tolist() for column in (shard.entry, shard.time, shard.quantity, shard.price, shard.key)]
    events = list(zip(*columns, strict=True))
    bounds = shard.events.tolist()
    for first, last in pairwise(bounds):
        state = fold.empty()
        for entry, moment, quantity, price, key in events[first:last]:
            update(state.numbers, state.keys, fold.program, entry, moment, moment, quantity, price, key)


@contextmanager
def timed(took: dict[str, float], step: str) -> Iterator[None]:
    """CPU seconds of a step."""
    started = time.process_time()
    yield
    took[step] = time.process_time() - started


def peak_mb() -> float:
    """The most memory this process has held so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
