"""The evaluation of scores as a table to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from training.score_metrics import RISING


def render_scores(result: Mapping[str, Any]) -> Table:
    """The table of `training.evaluate_scores.evaluate_scores`: one row a measure."""
    rivals = result["baselines"]
    table = Table(
        title=f"scores ({result['part']}): the {result['window_days']:g} days from {result['at'][:10]}",
        caption=f"{result['customers']:,} customers, {result['skipped']:,} skipped. AUC: more is better; all others: "
        "less. In brackets: 95% intervals, resampled by customer.",
    )
    table.add_column("measure")
    for name in ("scores", *rivals):
        table.add_column(name, justify="right")
    table.add_column("difference to the best", justify="right")
    table.add_column("against")
    for metric, value in result["metrics"].items():
        difference = result["difference"][metric]
        low, high = difference["ci"] if metric not in RISING else [-end for end in reversed(difference["ci"])]
        table.add_row(
            metric,
            _cell(value, result["ci"][metric]),
            *(_cell(rival["metrics"][metric], rival["ci"][metric]) for rival in rivals.values()),
            _cell(difference["value"], difference["ci"], sign="+"),
            difference["against"],
            style="green" if high < 0 else "red" if low > 0 else "",
        )
    return table


def _cell(value: float, interval: Sequence[float], sign: str = "") -> str:
    low, high = interval
    return f"{value:{sign}.4f} [{low:{sign}.3f} {high:{sign}.3f}]"
