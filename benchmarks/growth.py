"""How fitting grows with the log: seconds and memory from one to ten million events of a made-up shop, SIMULATED.

For each size a shop is made that has grown as its log has: one product to 50 events, one customer to 20, the same 500
categories (`benchmarks.big_shop`). The default recommender is fitted on it for all placements, rankers included, as
``segue train recommender`` does before it registers. Each fit runs in a process of its own, so that its peak memory is
its own; making the shop and loading the log are not counted as time.

The power law seconds ~ events^k is fitted to all sizes. Growth counts as near linear where k is at most `NEAR_LINEAR`
(ten times the events take at most fourteen times as long), over all sizes and over the last step up alone: what rankers
learn from is bounded, so it costs much in a small shop and hides how the rest grows; k without it is told, too.

    python -m benchmarks.growth [--events 1000000 2000000 5000000 10000000] [--out FILE.png] [--json]

Numbers and figure are a run in MLflow, too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.big_shop import big_shop
from benchmarks.processes import megabytes
from benchmarks.report import table, tell
from recommender.config import RecommenderConfig
from recommender.engine import fit
from training.plots import figure_of
from training.tracking import open_tracking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (1_000_000, 2_000_000, 5_000_000, 10_000_000)
EVENTS_A_PRODUCT = 50
EVENTS_A_CUSTOMER = 20
EVENTS_AN_ORDER = 6  # three products on average, each viewed and bought
NEAR_LINEAR = 1.15
#: Steps of less than this share of the time at the largest size do not matter, however they grow.
MATTERS = 0.01
#: Steps that have a line of their own in the figure.
LINES = 6
AGAIN = "all sources again, for rankers"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", type=Path, help="also write the figure to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for events in sorted(given.events):
            note(f"{events:,} events …")
            file = Path(scratch) / "shop.pickle"
            alone(partial(make, events, file))
            one = alone(partial(measured, file))
            note(f"{events:,} events: {one['cpu_seconds']:,.0f} s of CPU, {one['peak_mb']:,.0f} MB")
            found.append(one)
    steps = steps_of(found)
    rows = [{name: value for name, value in one.items() if name != "steps"} for one in found]
    worse = [step["step"] for step in steps if step["share"] >= MATTERS and (step["exponent"] or 0) > NEAR_LINEAR]
    up = [exponent(rows, "cpu_seconds"), exponent(rows[-2:], "cpu_seconds")]
    facts = {
        "aim": f"seconds ~ events^k with k ≤ {NEAR_LINEAR}",
        "near_linear": all(k is not None and k <= NEAR_LINEAR for k in up),
        "exponent": up[0],
        "exponent_of_the_last_step_up": up[1],
        "exponent_without_learning": exponent([without_learning(one) for one in found], "seconds"),
        "exponent_of_memory": exponent(rows, "peak_mb"),
        "grow_worse": worse,
    }
    figure = drawn(found, [step["step"] for step in steps[:LINES]])
    if given.out is not None:
        figure.savefig(given.out, dpi=150)
    if given.json:
        tell(rows, as_json=True, **facts, steps=steps)
    else:
        tell(rows, as_json=False, **facts | {"grow_worse": ", ".join(worse) or "nothing"})
        print(f"\nCPU seconds of each step\n{table(steps)}")
    keep(rows, steps, facts, figure)


def make(events: int, file: Path) -> None:
    """A shop of about so many events, as a file."""
    shop = big_shop(
        products=max(events // EVENTS_A_PRODUCT, 1_000),
        customers=max(events // EVENTS_A_CUSTOMER, 1),
        orders=max(events // EVENTS_AN_ORDER, 1),
    )
    with file.open("wb") as out:
        pickle.dump(shop, out, protocol=5)


def measured(file: Path) -> dict[str, Any]:
    """Fit on the shop of a file: time, memory, and CPU seconds of each step as the engine names it."""
    with file.open("rb") as shop:
        log, catalogue = pickle.load(shop)  # noqa: S301  # `make` wrote it
    held, started = megabytes("VmRSS"), time.perf_counter()
    begun: list[tuple[str, float]] = []
    fitted = fit(
        log,
        catalogue,
        RecommenderConfig.default(),
        at=int(log.time.max()) + 1,
        progress=lambda name: begun.append((name, time.process_time())),
    )
    ended = time.process_time()
    took = {
        name: after - before
        for (name, before), after in zip(begun, [*(before for _, before in begun[1:]), ended], strict=True)
    }
    return {
        "events": len(log),
        "products": len(catalogue),
        "customers": len(log.people),
        "cpu_seconds": ended - begun[0][1],
        "wall_seconds": time.perf_counter() - started,
        "log_mb": held,
        "peak_mb": megabytes("VmHWM"),
        "rankers": sum(bool(ranker.text) for ranker in fitted.rankers.values()),
        "steps": named(took),
    }


def named(took: dict[str, float]) -> dict[str, float]:
    """Seconds by step. The engine names what begins, so the last step before rankers holds the fit of their sources.

    >>> named({"als": 1.0, "best_sellers of groups": 2.0, "next_step: learn": 3.0})
    {'als': 1.0, 'all sources again, for rankers': 2.0, 'next_step: learn': 3.0}
    """
    learn = [name for name in took if name.endswith(": learn")]
    if not learn:
        return took
    names = list(took)
    before = names[names.index(learn[0]) - 1]
    return {AGAIN if name == before else name: seconds for name, seconds in took.items()}


def without_learning(one: dict[str, Any]) -> dict[str, Any]:
    """Seconds of all steps but what rankers learn."""
    seconds = sum(took for name, took in one["steps"].items() if not name.endswith(": learn"))
    return {"events": one["events"], "seconds": seconds}


def steps_of(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a step, the dearest at the largest size first: seconds at each size, exponents, share of the time there."""
    rows = []
    for name in found[-1]["steps"]:
        points = [{"events": one["events"], "seconds": one["steps"][name]} for one in found]
        sizes = {f"{point['events'] / 1e6:.3g} M": point["seconds"] for point in points}
        share = points[-1]["seconds"] / found[-1]["cpu_seconds"]
        up = {"exponent": exponent(points, "seconds"), "last_step_up": exponent(points[-2:], "seconds")}
        rows.append({"step": name, **sizes, **up, "share": share})
    return sorted(rows, key=lambda row: -float(row["share"]))


def exponent(rows: Sequence[dict[str, Any]], of: str) -> float | None:
    """k of the power law value ~ events^k, by least squares of the logarithms; None where there is no line.

    >>> exponent([{"events": 10, "seconds": 3.0}, {"events": 1000, "seconds": 3000.0}], "seconds")
    1.5
    """
    points = np.array([[row["events"], row[of]] for row in rows], dtype=np.float64)
    if len(points) < 2 or not (points > 0).all():
        return None
    size, value = np.log(points).T
    return round(float(np.polyfit(size, value, 1)[0]), 3)


def drawn(found: Sequence[dict[str, Any]], steps: Sequence[str]) -> Figure:
    """Seconds, with some steps of them, and memory by events, beside the lines of k = 1."""
    figure, (left, right) = figure_of(2)
    events = [one["events"] for one in found]
    for axes, of, label in ((left, "cpu_seconds", "CPU seconds"), (right, "peak_mb", "peak memory, MB")):
        values = [one[of] for one in found]
        k, up = exponent(found, of), exponent(found[-2:], of)
        label_of_all = "all" if k is None or up is None else f"all: k = {k:.2f}, last step up {up:.2f}"
        axes.plot(events, values, color="black", marker="o", label=label_of_all)
        linear = [values[0] * size / events[0] for size in events]
        axes.plot(events, linear, color="grey", linestyle=":", label="k = 1")
        axes.set(xscale="log", yscale="log", xlabel="events", ylabel=label)
    for name in steps:
        left.plot(events, [one["steps"][name] for one in found], linewidth=1, marker=".", label=name)
    left.legend(fontsize="x-small")
    right.legend(fontsize="x-small")
    figure.suptitle("Fitting the default recommender, all placements (simulated shop)")
    return figure


def keep(rows: Sequence[dict[str, Any]], steps: list[dict[str, Any]], facts: dict[str, Any], figure: Figure) -> None:
    """A run in MLflow."""
    metrics = {name: value for name, value in facts.items() if name.startswith("exponent")}
    for row in rows:
        metrics |= {f"{name}@{row['events']}": row[name] for name in ("cpu_seconds", "wall_seconds", "peak_mb")}
    result = {"split": "growth", **facts, "rows": rows, "steps": steps, "metrics": metrics}
    open_tracking().log_evaluation(result, {"benchmark": "growth"}, {"growth.png": figure})


def alone(work: Callable[[], Any]) -> Any:
    """What some work returns, done in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(work).result()


def note(text: str) -> None:
    """A line of progress, where somebody reads it."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
