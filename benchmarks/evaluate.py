"""How good the lists are on datasets at hand, as a Markdown table for docs/benchmarks.md.

Runs ``segue evaluate recommender FOLDER --split SPLIT --json`` for every folder and split, beside the baselines that
the command always measures in the same run. The last columns are the paired difference to the best baseline with its
95% interval (above 0: better than every baseline), and how long fitting and asking took.

    python -m benchmarks.evaluate shop/ other/ --splits temporal leave-one-out [--json]

Each evaluation is a run in MLflow, as always. A split that a dataset has no use for (next-basket without orders) is a
row with the reason.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import tell

#: ``leave-one-out-strict`` is leave-one-out with --no-refit: nothing fitted has seen the validation events.
SPLITS = ("temporal", "leave-one-out", "leave-one-out-strict", "next-basket", "basket", "session")
#: The metric shown of each split.
PRIMARY = {
    "temporal": "ndcg@10",
    "leave-one-out": "ndcg@10",
    "leave-one-out-strict": "ndcg@10",
    "next-basket": "ndcg@10",
    "basket": "ndcg@6",
    "session": "mrr@20",
}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="dataset folders")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    rows = []
    for folder in given.folders:
        for split in given.splits:
            print(f"{folder.name}: {split} …", file=sys.stderr)
            rows.append(row(folder, split))
    tell(rows, as_json=given.json)


def row(folder: Path, split: str) -> dict[str, Any]:
    """One evaluation as a row of the table."""
    segue = Path(sys.executable).with_name("segue")
    protocol = split.removesuffix("-strict")
    command = [str(segue), "evaluate", "recommender", str(folder), "--split", protocol, "--json"]
    if protocol != split:
        command.append("--no-refit")
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    metric = PRIMARY[split]
    empty = {"ours": None, "baselines": None, "difference": None, "fit_s": None, "score_s": None}
    name = {"dataset": folder.resolve().name, "split": split, "metric": metric}
    if done.returncode:
        return name | empty | {"baselines": done.stderr.strip().splitlines()[-1]}
    found = json.loads(done.stdout)
    difference = found["difference"][metric]
    low, high = difference["ci"]
    return name | {
        "ours": f"{found['metrics'][metric]:.4f}",
        "baselines": ", ".join(f"{rival} {one['metrics'][metric]:.4f}" for rival, one in found["baselines"].items()),
        "difference": f"{difference['value']:+.4f} [{low:+.4f}, {high:+.4f}]",
        "fit_s": found["fit_seconds"],
        "score_s": found["score_seconds"],
    }


if __name__ == "__main__":
    main()
