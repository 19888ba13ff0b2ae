"""``segue export``: the log of the live shop as a dataset."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Json
from training.home import segue_home


def export(
    out: Annotated[
        Path, typer.Option(help="Folder to write the tables into: not there yet, or empty.", metavar="DATA")
    ],
    json: Json = False,
) -> None:
    """Write the log of the live shop by the dataset contract, so that what was served becomes training data.

    Events with the moment each became known, and for impressions and clicks that name their decision the rank and
    propensity of the product; customers with what was said of them; products as they were put; decisions on the next
    action with what came of them, as messages. Nothing of erased people. An export holds only what was imported or came
    live: training on it without having imported the history forgets what the champion was trained on.
    """
    from features.store.base import StoreError
    from features.store.sqlite import SqliteDecisions, SqliteEvents
    from training.exporting import export_dataset
    from training.terminal import Terminal

    terminal = Terminal(json=json)
    home = segue_home(os.environ)
    file = home / "events.db"
    if not file.exists():
        raise StoreError(f"there is no store at {file}; segue serve or segue import makes one")
    store, decisions = SqliteEvents(file), SqliteDecisions(home / "decisions.db")
    try:
        with terminal.progress() as report:
            done = export_dataset(store, decisions, out, report, now=datetime.now(UTC))
    finally:
        store.close()
        decisions.close()
    terminal.show(
        f"{done.events:,} events, {done.customers:,} customers, {done.products:,} products and "
        f"{done.messages:,} decisions in {out}"
    )
    terminal.result({"folder": str(out), **asdict(done)})


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(epilog="Example:  segue export --out var/live")(export)
