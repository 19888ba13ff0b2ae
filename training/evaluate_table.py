"""An evaluation as a table to read: ours beside the baselines, with intervals and the paired difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from training.judgements import JUDGEMENTS


def render(result: Mapping[str, Any]) -> Table:
    """The table of one evaluation, the dictionary of `training.evaluate.evaluate_recommender`.

    One row a metric; the difference is ours less the best baseline of that metric, paired. Slices follow below, with
    the source ``text`` alone beside the baselines where it was asked.
    """
    rivals = list(result["baselines"])
    slices = {name: part for name, part in result.get("slices", {}).items() if part["customers"]}
    with_text = any("text" in part for part in slices.values())
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
    if with_text:
        table.add_column("text alone", justify="right")
    _rows(table, result)
    for name, part in slices.items():
        table.add_section()
        table.add_row(name, f"{part['customers']:,} customers", style="bold")
        _rows(table, part)
    return table


def render_beyond(result: Mapping[str, Any]) -> Table:
    """What the lists of one evaluation are like beside being right: ours, then each baseline's."""
    ours = result["beyond_accuracy"]
    table = Table(
        title=f"beyond accuracy: {result['placement']}",
        caption=f"The first {ours['length']} entries of {ours['lists']:,} lists over {result['items']:,} products. "
        "coverage: share of the catalogue shown; gini: 0 where all are shown alike; novelty: bits; "
        "similarity: of two products of a list, 0 to 1.",
    )
    table.add_column("lists of")
    for name in _BEYOND:
        table.add_column(name, justify="right")
    rivals = {name: rival["beyond_accuracy"] for name, rival in result["baselines"].items()}
    for name, part in {"recommender": ours, **rivals}.items():
        table.add_row(name, *(number(value) for value in flat_beyond(part).values()))
    return table


def render_diversity(result: Mapping[str, Any]) -> Table:
    """What diversity costs in the primary metric and what it buys, one row a value that was asked for."""
    bare, metric = flat_beyond(result["beyond_accuracy"]), JUDGEMENTS[result["split"]].primary
    mixes = bare["similarity by category"] is not None
    table = Table(
        title=f"the price of diversity: {result['placement']}",
        caption="Beside the bare lists of the same model, paired; in brackets: a 95% interval, resampled by customer."
        if mixes
        else "The catalogue names no categories: there is nothing to mix.",
    )
    table.add_column("diversity")
    for name in (metric, "difference", *_BOUGHT):
        table.add_column(name, justify="right")
    table.add_row("bare", f"{result['metrics'][metric]:.4f}", "", *(number(bare[name]) for name in _BOUGHT))
    for part in result["diversity"]:
        difference, found = part["difference"][metric], flat_beyond(part["beyond_accuracy"])
        table.add_row(
            f"{part['diversity']:g}",
            f"{part['metrics'][metric]:.4f}",
            cell(difference["value"], difference["ci"], sign="+"),
            *(changed(found[name], bare[name]) for name in _BOUGHT),
            style=colour(difference["ci"]),
        )
    return table


_BEYOND = ("coverage", "gini", "novelty", "similarity by category", "similarity by brand")
_BOUGHT = ("coverage", "similarity by category", "similarity by brand")


def flat_beyond(part: Mapping[str, Any]) -> dict[str, float | None]:
    """One ``beyond_accuracy`` of an evaluation as flat numbers; None where the catalogue does not say."""
    alike = part["intra_list_similarity"]
    values = (part["coverage"], part["gini"], part["novelty"], alike["category"], alike["brand"])
    return dict(zip(_BEYOND, values, strict=True))


def number(value: float | None) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else f"{value:.4f}"


def changed(value: float | None, before: float | None) -> str:
    """A number and by how much it is another one."""
    return number(value) if value is None or before is None else f"{value:.4f} ({value - before:+.4f})"


def _rows(table: Table, part: Mapping[str, Any]) -> None:
    text = part.get("text")
    for metric, value in part["metrics"].items():
        difference = part["difference"][metric]
        table.add_row(
            metric,
            cell(value, part["ci"][metric]),
            *(cell(rival["metrics"][metric], rival["ci"][metric]) for rival in part["baselines"].values()),
            cell(difference["value"], difference["ci"], sign="+"),
            difference["against"],
            *([] if text is None else [cell(text["metrics"][metric], text["ci"][metric])]),
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
