"""What the learned policy earns on the simulated shop, where what every policy earns is known. SIMULATED, all of it.

    python -m benchmarks.simulated --seeds 11 12 13 14 15

For each seed a shop is simulated: 30,000 customers, ten decisions each. The decisions on 20,000 of them are the log
(200,000 rows, 30% exploration); everything is learned from it alone. Then each policy decides on the other 10,000
customers, whom nothing has seen, and the simulator tells exactly what that is worth: value less cost, one step.

- L, the best rule ladder fitted on the log (`nba.ladder_fitting`: rules of marketing tools, every constant).
- learned: what `segue train nba` would serve, whichever rule decides, arms and hours chosen jointly. With
  ``--rule learned`` nothing else competes for that, which takes a quarter of the time.
- C, the ceiling: a policy that knows the simulator's equations, but of the customers only what can be observed.
- oracle: it knows the hidden traits too.

Further columns: channel then time (the channel by its average chance, then its best hour) beside the joint choice; the
ranking by response beside that by what contact adds. ``--curve`` learns from smaller parts of the log too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from features.dataset import read_dataset
from nba.crowd import Ints
from nba.learning import LearningConfig
from nba.logged import Logged
from nba.model import DecisionModel, Rule, RuleName
from nba.selection import fit, fit_selected
from nba.simulation.files import write
from nba.simulation.parameters import ShopParameters
from nba.simulation.shop import simulate
from nba.simulation.truth import Choices, Truth
from nba.values import HOUR_CELLS, Values
from training.decision_log import decision_log

ROUNDS = 10
FAR_FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
CHUNK = 10_000


class Shop:
    """One simulated shop: its log, and the decisions to be made on people whom the log does not know."""

    def __init__(self, seed: int, learners: int, judged: int, cache: Path) -> None:
        shop = simulate(
            ShopParameters.default(), customers=learners + judged, decisions=(learners + judged) * ROUNDS, seed=seed
        )
        with tempfile.TemporaryDirectory() as folder:
            write(shop, Path(folder))
            self.truth = Truth.read(Path(folder))
            dataset = read_dataset(Path(folder), now=FAR_FUTURE)
            log = decision_log(dataset, cache_folder=cache)
        messages = dataset.messages
        assert messages is not None
        ids = messages.sort_values(["decided_at", "message_id"], kind="stable")["message_id"]
        row = self.truth.rows(ids)
        first = np.random.default_rng(seed).permutation(int(log.customer.max()) + 1)[log.customer] < learners
        self.log = log.take(np.flatnonzero(first))
        self.test = log.take(np.flatnonzero(~first))
        self.row = row[~first]
        self.arm = np.array([self.truth.arms.find(*log.arms.pair(arm)) for arm in range(len(log.arms))])
        self.slots = self.truth.slots(self.row)

    def worth(self, arm: NDArray[Any], send_at: Ints) -> float:
        """Mean exact value of a decision; ``arm`` by the log's numbers."""
        return float(self.truth.expected(self.row, self.arm[arm], send_at).mean())

    def known(self, choices: Choices) -> float:
        """The same of choices by the truth's numbers, for all its rows."""
        return float(self.truth.expected(self.row, choices.arm[self.row], choices.send_at[self.row]).mean())

    def sent_in(self, cell: NDArray[Any]) -> Ints:
        """The first allowed slot in an hour cell; where there is none, the first allowed one."""
        inside = self.slots.allowed & (self.slots.cell == cell[:, None])
        usable = np.where(inside.any(axis=1, keepdims=True), inside, self.slots.allowed)
        return np.asarray(self.slots.time[np.arange(len(cell)), usable.argmax(axis=1)])


def jointly(shop: Shop, values: Values, rows: Ints, *, then_time: bool) -> tuple[NDArray[Any], Ints]:
    """The best arm, and the time of sending, of some of the test rows; the hour after the arm if ``then_time``."""
    arms, channels = shop.test.arms, values.lift.shape[1]
    cells, allowed, times = shop.slots.cell[rows], shop.slots.allowed[rows], shop.slots.time[rows]
    best, where = np.ones((len(rows), channels)), np.zeros((len(rows), channels), dtype=np.int64)
    for channel in range(channels):
        lift = np.where(allowed, np.take_along_axis(values.lift[:, channel], cells, axis=1), -np.inf)
        best[:, channel], where[:, channel] = lift.max(axis=1), lift.argmax(axis=1)
    raised = np.ones_like(best) if then_time else best
    attended = np.minimum(values.attend[:, arms.channel] * raised[:, arms.channel], 1.0)
    worth = values.gain[:, arms.action] * attended - values.cost
    if values.preference is not None:
        worth = values.preference.copy()
    worth[:, 0] = 0.0
    arm = np.where(shop.test.eligible[rows], worth, -np.inf).argmax(axis=1)
    return arm, times[np.arange(len(rows)), where[np.arange(len(rows)), arms.channel[arm]]]


def served(shop: Shop, model: DecisionModel, *, then_time: bool = False) -> float:
    """What a model's decisions are worth."""
    arm, send_at = np.zeros(len(shop.test), dtype=np.int64), np.zeros(len(shop.test), dtype=np.int64)
    for first in range(0, len(shop.test), CHUNK):
        rows = np.arange(first, min(first + CHUNK, len(shop.test)))
        some: Logged = shop.test.take(rows)
        arm[rows], send_at[rows] = jointly(shop, model.values(some.crowd), rows, then_time=then_time)
    return shop.worth(arm, send_at)


def model_of(log: Logged, rule: RuleName | None) -> DecisionModel:
    """What is learned from a log, under the rule that does best on it, or under a given one."""
    config = LearningConfig(attention=False)
    if rule is None:
        return fit_selected(log, "value", config, seed=0)[0]
    fitted = fit(log, "value", config, seed=0)
    nothing = np.zeros(len(log.arms.channels) + 1)
    return DecisionModel(fitted.learned, fitted.response, nothing, Rule(rule), fitted.ladder)


def measured(
    seed: int, learners: int, judged: int, sizes: list[int], rule: RuleName | None, cache: Path
) -> dict[str, Any]:
    """One seed."""
    started = time.process_time()
    shop = Shop(seed, learners, judged, cache)
    log = shop.log
    model = model_of(log, rule)
    assert model.ladder is not None
    cells = np.zeros((len(shop.test), HOUR_CELLS), dtype=np.bool_)
    np.logical_or.at(cells, (np.arange(len(cells))[:, None], shop.slots.cell), shop.slots.allowed)
    ladder = model.ladder
    arm, cell = ladder.choose(log.arms, shop.test.crowd, shop.test.eligible, cells)
    nothing = np.zeros(len(shop.test), dtype=np.int64)
    found = {
        "hold": shop.worth(nothing, shop.truth.decided[shop.row]),
        "L": shop.worth(arm, shop.sent_in(cell)),
        "learned": served(shop, model),
        "C": shop.known(shop.truth.ceiling()),
        "oracle": shop.known(shop.truth.oracle()),
        "channel_then_time": served(shop, model, then_time=True),
        "response": served(shop, replace(model, rule=Rule("response"))),
        "by_gain": served(shop, replace(model, rule=Rule("learned"))),
        "by_assignment": served(shop, replace(model, rule=Rule("assigned"))),
    }
    curve = {}
    for size in sizes:
        curve[str(size)] = share(found, served(shop, model_of(log.take(some_customers(log, size)), rule)))
    return {
        "seed": seed,
        "rows": len(log),
        "values": found,
        "share": share(found, found["learned"]),
        "decides": model.rule.name,
        "trust": model.learned.trust,
        "confirmed": model.learned.confirmed,
        "ladder": f"{ladder.action}, {ladder.channel}, {ladder.hour}",
        "curve": curve,
        "cpu_seconds": time.process_time() - started,
    }


def some_customers(log: Logged, rows: int) -> Ints:
    """About so many rows: all of the first customers."""
    return np.flatnonzero(log.customer <= np.sort(log.customer)[min(rows, len(log)) - 1])


def share(values: dict[str, float], worth: float) -> float:
    """Of the way from L to C."""
    return (worth - values["L"]) / (values["C"] - values["L"])


def main() -> None:
    """Print a table, or with ``--json`` a JSON line a seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    parser.add_argument("--learners", type=int, default=20_000, help="customers of the log, ten decisions each")
    parser.add_argument("--judged", type=int, default=10_000, help="customers who are decided on")
    parser.add_argument("--curve", type=int, nargs="*", default=[], help="rows of smaller logs to learn from")
    parser.add_argument(
        "--rule", choices=get_args(RuleName), help="what decides; without it, what does best on the log"
    )
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    shares = []
    with tempfile.TemporaryDirectory() as cache:
        for seed in asked.seeds:
            found = measured(seed, asked.learners, asked.judged, asked.curve, asked.rule, Path(cache))
            shares.append(found["share"])
            if asked.json:
                print(json.dumps(found), flush=True)
            else:
                told = "  ".join(f"{name} {value:.4f}" for name, value in found["values"].items())
                print(f"seed {seed} ({found['decides']}, {found['cpu_seconds']:.0f} s CPU): {told}", flush=True)
                print(f"    (learned − L) / (C − L) = {found['share']:.3f}   by rows {found['curve']}", flush=True)
    print(f"mean of {len(shares)} seeds: {np.mean(shares):.3f}, standard deviation {np.std(shares):.3f}", flush=True)


if __name__ == "__main__":
    main()
