"""Off-policy values on the Open Bandit data: what one policy earned, estimated from the log of another.

    python -m benchmarks.open_bandit RANDOM BTS [--json]

RANDOM and BTS are folders with a ``bandit.parquet`` (timestamp, item_id, position, click, propensity_score,
user_feature_0 …), logged on the same days by a uniform and by a Thompson-sampling policy (Saito et al., NeurIPS 2021
Datasets and Benchmarks). The truth an estimate is held against is the mean click of the policy's own log, itself known
only to within its error: 42 and 38 clicks in the small files.

How often Thompson sampling chooses an item at a position is not in the files, only the propensity of what it did
choose. It is taken as the item's share among the rows of its log at that position, smoothed by one row an item, spread
like the shares over all positions. Both policies do without features, so nothing else decides; that propensities moved
during the week is averaged over. In the other direction everything is known: the uniform policy, and the propensities.

The outcome model for "dr", "drs" and "dm" is the item's click rate in the log that is learned from, drawn to the rate
of all items by 200 rows, cross-fitted over five parts. Clusters are rows: the data name no people. "dm" has no interval
here, for its own would not hold what the model gets wrong. Published relative errors of the value of Thompson sampling
from the random log, on these small files: dm .16, dr with shrinkage .16, dr .29, ips .31.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.report import tell
from nba.offpolicy import Estimator, Log, Policy, evaluate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PUBLISHED: dict[Estimator, float] = {"dm": 0.16, "drs": 0.16, "dr": 0.29, "ips": 0.31}
ESTIMATORS: tuple[Estimator, ...] = ("dr", "snips", "ips", "drs", "dm")
_PRIOR_ROWS = 200
_FOLDS = 5


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.open_bandit", description=__doc__.split("\n")[0])
    parser.add_argument("random", type=Path, help="folder of the uniform policy's log")
    parser.add_argument("bts", type=Path, help="folder of the Thompson-sampling policy's log")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    uniform, bts = read(given.random), read(given.bts)
    items = sorted(set(uniform["item_id"]) | set(bts["item_id"]))
    shares = choice_shares(bts, items)
    even = np.full(shares.shape, 1 / len(items))
    rows = compared("bts from the random log", uniform, shares, bts, items, given.seed, PUBLISHED)
    rows += compared("random from the bts log", bts, even, uniform, items, given.seed, {})
    tell(rows, as_json=given.json, rows_random=len(uniform), rows_bts=len(bts), items=len(items))


def read(folder: Path) -> pd.DataFrame:
    """A log. Positions are counted from 0."""
    found = pd.read_parquet(folder / "bandit.parquet", columns=["item_id", "position", "click", "propensity_score"])
    found["position"] = pd.factorize(found["position"], sort=True)[0]
    return found


def choice_shares(log: pd.DataFrame, items: list[str]) -> Floats:
    """How often the policy of a log chooses an item at a position, float64[positions, items]."""
    item = pd.Index(items).get_indexer(pd.Index(log["item_id"]))
    count = np.zeros((int(log["position"].max()) + 1, len(items)))
    np.add.at(count, (log["position"].to_numpy(), item), 1)
    everywhere = (count.sum(axis=0) + 1) / (count.sum() + len(items))
    shares: Floats = (count + len(items) * everywhere) / (count.sum(axis=1, keepdims=True) + len(items))
    return shares


def compared(
    what: str,
    source: pd.DataFrame,
    choice: Floats,
    own: pd.DataFrame,
    items: list[str],
    seed: int,
    published: dict[Estimator, float],
) -> list[dict[str, Any]]:
    """Rows: the value of a policy from another's log, beside the mean of its own."""
    position = source["position"].to_numpy()
    item = pd.Index(items).get_indexer(pd.Index(source["item_id"])).astype(np.int64)
    reward = source["click"].to_numpy(dtype=np.float64)
    rng = np.random.default_rng(seed)
    model = rates(item, reward, len(items), rng)
    place = np.arange(len(source))
    log = Log(place, reward, source["propensity_score"].to_numpy(), model[place, item])
    policy = Policy(choice[position, item], (choice[position] * model).sum(axis=1), np.zeros(len(source)))
    truth = float(own["click"].mean())
    doubt = float(own["click"].std() / np.sqrt(len(own)))
    rows = []
    for estimator in ESTIMATORS:
        found = evaluate(log, [policy], rng, estimator=estimator, resamples=2_000).values[0]
        low, high = found.ci
        rows.append(
            {
                "what": what,
                "estimator": estimator,
                "value": f"{found.value:.5f}",
                "95% interval": None if estimator == "dm" else f"{low:.5f} to {high:.5f}",
                "own log": f"{truth:.5f} ± {doubt:.5f}",
                "inside": None if estimator == "dm" else "yes" if low <= truth <= high else "no",
                "relative error": abs(found.value - truth) / truth,
                "published": published.get(estimator),
                "effective rows": round(found.effective_sample_size),
                "clipped": f"{found.clipped:.1%}",
            }
        )
    return rows


def rates(item: Ints, reward: Floats, items: int, rng: np.random.Generator) -> Floats:
    """Click rates of items that have not seen the row, float64[n, items]."""
    fold = rng.integers(_FOLDS, size=len(item))
    found = np.empty((len(item), items))
    for one in range(_FOLDS):
        rest = fold != one
        shown, clicked = (np.bincount(item[rest], weight, items) for weight in (np.ones(rest.sum()), reward[rest]))
        found[~rest] = (clicked + _PRIOR_ROWS * reward[rest].mean()) / (shown + _PRIOR_ROWS)
    return found


if __name__ == "__main__":
    main()
