"""An evaluation of hours as tables to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from training.evaluate_table import cell, colour


def render(result: Mapping[str, Any]) -> list[Table]:
    """The tables of one evaluation of `training.evaluate_timing`, that of send hours last."""
    tables = [_opens(result)]
    if result.get("send_hours"):
        tables.append(_send_hours(result["send_hours"]))
    return tables


def _opens(result: Mapping[str, Any]) -> Table:
    rivals = result["baselines"]
    table = Table(
        title=f"the hour of the next open ({result['split']} opens held out)",
        caption=f"{result['customers']:,} customers, {result['items']:,} opens held out, {result['skipped']:,} skipped "
        "customers. In brackets: 95% intervals, resampled by customer. A lower log_loss is better.",
    )
    table.add_column("metric")
    for name in ("learned", *rivals):
        table.add_column(name, justify="right")
    table.add_column("difference to the best", justify="right")
    table.add_column("against")
    for metric, value in result["metrics"].items():
        difference = result["difference"][metric]
        sign = -1.0 if metric == "log_loss" else 1.0
        low, high = sorted(sign * bound for bound in difference["ci"])
        table.add_row(
            metric,
            cell(value, result["ci"][metric]),
            *(cell(rival["metrics"][metric], rival["ci"][metric]) for rival in rivals.values()),
            cell(difference["value"], difference["ci"], sign="+"),
            difference["against"],
            style=colour((low, high)),
        )
    return table


def _send_hours(found: Mapping[str, Any]) -> Table:
    table = Table(
        title="share attended, by the hour of sending",
        caption=f"{found['rows']:,} contacts sent at an hour drawn at random, {found['customers']:,} customers, each "
        "judged by a model of the others. In brackets: 95% intervals, resampled by customer.",
    )
    table.add_column("channel")
    for name in ("as logged", "learned hour", "best global hour", "difference"):
        table.add_column(name, justify="right")
    for name, part in (("all", found), *found["channels"].items()):
        table.add_row(
            name,
            f"{part['logged']['attended']:.4f}",
            *(cell(part[policy]["attended"], part[policy]["ci"]) for policy in ("learned", "global_hour")),
            cell(part["difference"]["value"], part["difference"]["ci"], sign="+"),
            style=colour(part["difference"]["ci"]),
        )
    return table
