"""How fast pairs of products in orders are counted, and in how much memory.

Measures `recommender.sources.cooccurrence.fit` (weights, damping, the strongest companions, support and lift) on
made-up orders of one to five products over 50,000 products, from the log to the table. The peer, in the same run, is
SciPy's bare sparse product X'X of the orders × products matrix, which counts pairs and nothing else, the matrix being
given. Each runs in a process of its own, so that its peak memory is its own; `input_mb` of it was held before.

    python -m benchmarks.cooccurrence [--lines 10000000] [--json]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable

import numpy as np

from benchmarks.report import tell
from features.events import DAY, NEVER, EventLog, Kind
from features.vocabulary import Vocabulary
from recommender.sources.cooccurrence import CooccurrenceConfig, fit, order_matrix

BUDGET = 2
PRODUCTS = 50_000
LONGEST_ORDER = 5


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cooccurrence", description=__doc__.split("\n")[0])
    parser.add_argument("--lines", type=int, default=1_000_000, help="order lines")
    parser.add_argument("--products", type=int, default=PRODUCTS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    found = {}
    for name in WORK:
        with processes.Pool(1) as alone:
            found[name] = alone.apply(measured, (name, given.lines, given.products))
    peer = found["scipy X'X"]
    rows = [{"what": name, **row, "ratio": row["seconds"] / peer["seconds"]} for name, row in found.items()]
    tell(rows, as_json=given.json, lines=given.lines, products=given.products, budget=f"≤ {BUDGET}× scipy X'X")


def measured(name: str, lines: int, products: int) -> dict[str, float]:
    """One of `WORK` in this process: CPU time and peak memory. The input is made first and not counted as time."""
    work = WORK[name](orders(lines, products))
    held = peak_mb()
    started = time.process_time()
    work()
    return {"seconds": time.process_time() - started, "peak_mb": peak_mb(), "input_mb": held}


def ours(log: EventLog) -> Callable[[], object]:
    """Fit the source, from the log to the table."""
    return lambda: fit(log, int(log.time[-1]) + 1, CooccurrenceConfig())


def bare(log: EventLog) -> Callable[[], object]:
    """Count all pairs, given the matrix."""
    matrix, _ = order_matrix(log, LONGEST_ORDER)
    return lambda: matrix.T.tocsr() @ matrix


WORK = {"scipy X'X": bare, "cooccurrence.fit": ours}


def orders(lines: int, products: int, seed: int = 0) -> EventLog:
    """A log of purchases: orders of one to five lines, product n wanted about as often as 1 / (n + 50)."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, LONGEST_ORDER + 1, lines // 2)
    order = np.repeat(np.arange(len(size)), size)[:lines].astype(np.int32)
    n = len(order)
    product = (50 * ((products + 50) / 50) ** rng.random(n) - 50).astype(np.int32)
    time_of = order.astype(np.int64) * (365 * DAY // (int(order[-1]) + 1))
    people = 1_000
    return EventLog(
        people=Vocabulary(str(one) for one in range(people)),
        anonymous=np.zeros(people, dtype=np.bool_),
        products=Vocabulary(f"p{one:06}" for one in range(products)),
        time=time_of,
        known=time_of,
        kind=np.full(n, Kind.PURCHASE, dtype=np.int8),
        person=(order % people).astype(np.int32),
        product=product,
        order=order,
        session=order,
        quantity=np.ones(n, dtype=np.float32),
        price=np.ones(n),
        reversed_at=np.full(n, NEVER, dtype=np.int64),
    )


def peak_mb() -> float:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
