"""How often intervals of off-policy values hold the truth, and what the gate lets in.

    python -m benchmarks.offpolicy                 # about ten minutes on one core
    python -m benchmarks.offpolicy --logs 200      # less sure, a minute

Logs are drawn from a small world in which the value of any policy is known (`benchmarks.known_policies`): several
decisions a customer, skewed propensities, rewards with a long tail, an outcome model that is wrong on purpose.

First table: the share of logs whose 95% interval holds the true value of a policy that the log seldom follows, and the
true difference to the policy of the log; below and above: the truth lies under or over the interval. `percentiles` is
the peer: plain doubly robust with the percentiles of the same cluster bootstrap (`features.bootstrap.means`).

Second table: how often the gate's rule, that the lower bound of the difference be no less than −1% of the champion's
value, passes challengers of known worth, against a champion that made the log. `near` changes as few decisions as its
worth takes; `partly` does with one kind of people what the log does with another; `far` does the best or the worst
thing, seldom what the log does. Where the truth is below the margin a pass is a false promotion, of which there should
be 2.5% at most. That the gate refuses fewer than 1,000 effective rows comes on top.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import known_policies as world
from benchmarks.report import tell
from features.bootstrap import means
from nba.evidence import judge
from nba.offpolicy import Estimator, Log, Policy, as_logged, evaluations, weights

Floats = NDArray[np.float64]

#: People, and the least propensity of an arm.
SIZES = ((200, 0.05), (400, 0.05), (400, 0.02), (120, 0.02))

#: True worth of challengers less the champion's. The first is just beyond the margin.
GAINS = (-0.0101, 0.0, 0.02, 0.05)
KINDS = ("near", "partly", "far")
GATE_ROWS, SHORT_ROWS = 30_000, 3_500
ROWS_A_PERSON = 3.5
PEER = "dr, percentiles"
FLOOR = 0.05


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.offpolicy", description=__doc__.split("\n")[0])
    parser.add_argument("--logs", type=int, default=2_000, help="small logs a row of the first table")
    parser.add_argument("--gate-logs", type=int, help="long logs a row of the second table; a tenth of --logs")
    parser.add_argument("--table", choices=("coverage", "gate"), help="only one of the tables")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    if given.table != "gate":
        covered = [row for size in SIZES for row in coverage(*size, given.logs, given.seed)]
        tell(covered, as_json=given.json, logs=given.logs, wanted="0.93 to 0.97")
    if given.table == "coverage":
        return
    long = given.gate_logs or max(1, given.logs // 10)
    passed = [gate(kind, gain, GATE_ROWS, long, given.seed) for kind in KINDS for gain in GAINS]
    passed += [gate(kind, GAINS[0], SHORT_ROWS, given.logs, given.seed) for kind in KINDS]
    tell(passed, as_json=given.json, margin="1% of the champion's value", wanted="wrong passes at most 0.025")


def coverage(people: int, floor: float, logs: int, seed: int) -> list[dict[str, Any]]:
    """Rows of the first table: one an estimator."""
    choice = world.greedy()
    truth = world.value(choice)
    gap = truth - world.value(world.logging(floor))
    rng = np.random.default_rng(seed)
    estimators: tuple[Estimator, ...] = ("dr", "snips")
    names = (*estimators, PEER)
    misses: dict[str, list[tuple[bool, bool]]] = {name: [] for name in names}
    gaps: dict[str, list[bool]] = {name: [] for name in estimators}
    widths: dict[str, list[float]] = {name: [] for name in names}
    sizes = []
    for _ in range(logs):
        drawn = world.draw(rng, people, floor=floor)
        policy = drawn.policy(choice)
        policies = [policy, as_logged(drawn.log)]
        both = evaluations(drawn.log, policies, rng, estimators=estimators, pairs=[(0, 1)], resamples=300)
        for name, found in zip(estimators, both, strict=True):
            (value, _), (difference,) = found.values, found.differences
            misses[name].append((truth < value.ci[0], truth > value.ci[1]))
            widths[name].append(value.ci[1] - value.ci[0])
            gaps[name].append(difference.ci[0] <= gap <= difference.ci[1])
        sizes.append(value.effective_sample_size)
        low, high = percentiles(drawn.log, policy, rng)
        misses[PEER].append((truth < low, truth > high))
        widths[PEER].append(high - low)
    rows: list[dict[str, Any]] = []
    for row, missed in misses.items():
        under, over = np.mean(missed, axis=0)
        rows.append(
            {
                "estimator": row,
                "rows": round(people * ROWS_A_PERSON),
                "least propensity": floor,
                "effective rows": round(float(np.median(sizes))),
                "covered": told(1 - under - over),
                "below": told(under),
                "above": told(over),
                "difference covered": told(np.mean(gaps[row])) if row in gaps else None,
                "width ÷ value": float(np.median(widths[row]) / truth),
            }
        )
    return rows


def percentiles(log: Log, policy: Policy, rng: np.random.Generator) -> tuple[float, float]:
    """The interval that plain doubly robust estimates would have from percentiles."""
    plain = policy.expected + weights(log, policy) * (log.reward - log.predicted)
    low, high = means(plain[:, None], log.customer, rng, resamples=300).interval[0].tolist()
    return low, high


def gate(kind: str, gain: float, rows: int, logs: int, seed: int) -> Mapping[str, Any]:
    """A row of the second table."""
    champion = world.logging(FLOOR)
    choice = challenger(kind, gain)
    rng = np.random.default_rng(seed)
    passed, sizes, errors = [], [], []
    for _ in range(logs):
        drawn = world.draw(rng, round(rows / ROWS_A_PERSON), floor=FLOOR)
        found = judge(drawn.log, drawn.policy(choice), drawn.policy(champion), rng, resamples=300)
        passed.append("not-better" not in found.refusals)
        sizes.append(found.challenger.effective_sample_size)
        errors.append(found.difference.error / found.champion.value)
    changed = float(np.abs(choice - champion).sum(axis=2).mean() / 2)
    return {
        "challenger": kind,
        "truly better by": f"{gain:+.2%}",
        "decisions changed": f"{changed:.0%}",
        "rows": rows,
        "logs": logs,
        "effective rows": round(float(np.median(sizes))),
        "error of the difference": f"{np.median(errors):.2%}",
        "passed": told(np.mean(passed)),
        "a pass is": "wrong" if gain < -0.01 else "right",
    }


def challenger(kind: str, gain: float) -> Floats:
    """A policy whose value is that of the log's, times 1 + ``gain``."""
    arms = np.arange(world.ARMS)
    best = world.greedy()
    worst = (world.SALE.argmin(axis=2)[..., None] == arms).astype(np.float64)
    champion = world.logging(FLOOR)
    start = {"near": champion, "partly": np.roll(champion, 1, axis=0), "far": (best + worst) / 2}[kind]
    needed = (1 + gain) * world.value(champion) / world.value(start) - 1
    return world.mixed(start, best if needed >= 0 else worst, needed)


def told(share: float | np.floating[Any]) -> str:
    """Three digits."""
    return f"{share:.3f}"


if __name__ == "__main__":
    main()
