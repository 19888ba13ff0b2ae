"""What an evaluation tells beside its main table: what is proposed, single sources, substitutes, margins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from training.evaluate_table import cell, colour
from training.judgements import JUDGEMENTS


def render_candidates(result: Mapping[str, Any]) -> str:
    """One line: how much of what is right stands among the candidates, the ceiling of any order of them."""
    whole = result["candidates"]
    by_recall = sorted(whole["sources"].items(), key=lambda item: -item[1]["recall_first"])
    alone = ", ".join(f"{name} {part['recall_first']:.3f}" for name, part in by_recall)
    return (
        f"candidates: {whole['recall_first']:.3f} of what is right among the first {whole['first']}, "
        f"{whole['recall']:.3f} among all {whole['candidates']:,.0f} a list ({whole['questions']:,} lists looked at); "
        f"among the first {whole['first']} of one source: {alone}"
    )


def render_substitutes(result: Mapping[str, Any]) -> Table:
    """What the filter of substitutes costs, one row a metric."""
    part = result["substitutes"]
    told = f"It changes {part['changed']:.1%} of the lists. Beside the bare lists of the same model, paired"
    title = f"the price of the substitute filter: {result['placement']}"
    return _beside(result, part, title, told, ("bare", "without substitutes"))


def render_without(result: Mapping[str, Any]) -> Table:
    """What lists lose without some columns of the catalogue, one row a metric."""
    part = result["without"]
    title = f"without {', '.join(part['columns'])}: {result['placement']}"
    return _beside(result, part, title, "Fitted and asked again without them, paired", ("with", "without"))


def _beside(result: Mapping[str, Any], part: Mapping[str, Any], title: str, told: str, names: tuple[str, str]) -> Table:
    """Ours, other lists for the same questions, and the difference."""
    table = Table(title=title, caption=f"{told}; in brackets: 95% intervals, resampled by customer.")
    table.add_column("metric")
    for name in (*names, "difference"):
        table.add_column(name, justify="right")
    for metric, value in part["metrics"].items():
        difference = part["difference"][metric]
        table.add_row(
            metric,
            f"{result['metrics'][metric]:.4f}",
            cell(value, part["ci"][metric]),
            cell(difference["value"], difference["ci"], sign="+"),
            style=colour(difference["ci"]),
        )
    return table


def render_sources(result: Mapping[str, Any]) -> Table:
    """What each source reaches alone in the primary metric, the best first."""
    metric = JUDGEMENTS[result["split"]].primary
    table = Table(
        title=f"each source alone: {result['placement']}",
        caption="The same fit, the same questions, the same fallback. The difference is ours less the source, paired; "
        "in brackets: 95% intervals, resampled by customer.",
    )
    table.add_column("source")
    for name in (metric, "difference"):
        table.add_column(name, justify="right")
    table.add_row("recommender", cell(result["metrics"][metric], result["ci"][metric]), "")
    for name, part in sorted(result["sources"].items(), key=lambda item: -item[1]["metrics"][metric]):
        difference = part["difference"][metric]
        table.add_row(
            name,
            cell(part["metrics"][metric], part["ci"][metric]),
            cell(difference["value"], difference["ci"], sign="+"),
            style=colour(difference["ci"]),
        )
    return table


def render_margin(result: Mapping[str, Any]) -> Table:
    """What lists by expected margin cost in the primary metric and what they earn, one row a weight."""
    primary = JUDGEMENTS[result["split"]].primary
    earned = list(result["margin"][0]["metrics"])[-1]
    table = Table(
        title=f"the price of margins: {result['placement']}",
        caption=f"{earned}: money that the first entries of a list earn if what is right among them is bought. Beside "
        "the bare lists of the same model, paired; in brackets: 95% intervals, resampled by customer.",
    )
    table.add_column("margin")
    for name in (primary, "difference", earned, "difference"):
        table.add_column(name, justify="right")
    for part in result["margin"]:
        row = [f"{part['weight']:g}"]
        for name in (primary, earned):
            difference = part["difference"][name]
            row += [f"{part['metrics'][name]:.4f}", cell(difference["value"], difference["ci"], sign="+")]
        table.add_row(*row, style=colour(part["difference"][earned]["ci"]))
    return table
