"""An evaluation as a table to read: ours beside the baselines, with intervals and the paired difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def render(result: Mapping[str, Any]) -> Table:
    """The table of one evaluation, the dictionary of `training.evaluate.evaluate_recommender`.

    One row a metric; the difference is ours less the best baseline of that metric, paired. Slices follow below.
    """
    rivals = list(result["baselines"])
    table = Table(
        title=f"{result['split']} ({result['part']}): {result['placement']}",
        caption=f"{result['customers']:,} customers, {result['rows']:,} lists judged, {result['items']:,} products, "
        f"{result['skipped']:,} skipped. In brackets: 95% intervals, resampled by customer.",
    )
    table.add_column("metric")
    for name in ("recommender", *rivals):
        table.add_column(name, justify="right")
    table.add_column("difference to the best", justify="right")
    table.add_column("against")
    _rows(table, result)
    for name, part in result.get("slices", {}).items():
        if part["customers"] == 0:
            continue
        table.add_section()
        table.add_row(name, f"{part['customers']:,} customers", style="bold")
        _rows(table, part)
    return table


def _rows(table: Table, part: Mapping[str, Any]) -> None:
    for metric, value in part["metrics"].items():
        difference = part["difference"][metric]
        table.add_row(
            metric,
            cell(value, part["ci"][metric]),
            *(cell(rival["metrics"][metric], rival["ci"][metric]) for rival in part["baselines"].values()),
            cell(difference["value"], difference["ci"], sign="+"),
            difference["against"],
            style=colour(difference["ci"]),
        )


def cell(value: float, interval: tuple[float, float], sign: str = "") -> str:
    """A number with its interval."""
    low, high = interval
    return f"{value:{sign}.4f} [{low:{sign}.3f} {high:{sign}.3f}]"


def colour(interval: tuple[float, float]) -> str:
    """Green where the whole interval of the difference lies above zero, red where it lies below."""
    low, high = interval
    return "green" if low > 0 else "red" if high < 0 else ""
