"""``segue models``: what is registered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from training.commands.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from features.gate import ModelVersion


def models(json: Json = False) -> None:
    """List the registered model versions: aliases, the metric they were judged by and the verdict."""
    from training.terminal import Terminal
    from training.tracking import open_tracking

    terminal = Terminal(json=json)
    rows = [row(version) for version in open_tracking().versions()]
    terminal.show(table(rows) if rows else "no model is registered yet; train one: segue train recommender DATA")
    terminal.result({"models": rows})


def row(version: ModelVersion) -> dict[str, Any]:
    """One version as JSON."""
    from features.gate import evidence

    verdict = evidence(version)
    return {
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "was_champion": version.was_champion,
        "created": datetime.fromtimestamp(version.created / 1000, UTC).isoformat(timespec="seconds"),
        "run": version.run_id,
        "data": version.data,
        "verdict": verdict.model_dump(mode="json") if verdict else None,
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """The same for people."""
    from rich.table import Table

    shown = Table("model", "version", "aliases", "created", "metric", "value", "against", "difference [95%]", "verdict")
    for row in rows:
        judged = ["", "", "", "", "no evidence"]
        if (verdict := row["verdict"]) is not None:
            low, high = verdict["difference"]["ci"]
            judged = [
                f"{verdict['metric']} ({verdict['split']})",
                f"{verdict['challenger']:.4f}",
                verdict["against"] if verdict["champion_version"] is None else f"version {verdict['champion_version']}",
                f"{verdict['difference']['value']:+.4f} [{low:+.4f}, {high:+.4f}]",
                "passed" if verdict["passed"] else "failed",
            ]
        shown.add_row(row["name"], str(row["version"]), ", ".join(row["aliases"]), row["created"], *judged)
    return shown


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(epilog="Example:  segue models --json")(models)
