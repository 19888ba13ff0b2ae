"""``segue import``: a dataset into the store of the live shop."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime

import typer

from training.commands.options import Data, Json, Rejected
from training.home import rejected_folder, segue_home


def import_(data: Data, rejected: Rejected = None, json: Json = False) -> None:
    """Put the history of a shop into the store in SEGUE_HOME, which is made if it is not there.

    Events, products and customers, and what messages and opens tell, as events; what is there already changes nothing,
    so an import that was cut short is run again.
    The tables of products and customers speak as of the newest event of DATA: what the live shop said later stays.
    A service that runs meanwhile goes on, and sees what was imported at its next request. Rows of people who were
    erased are left out.
    """
    from features.dataset import read_dataset
    from features.store.sqlite import SqliteEvents
    from training.forgetting import without_erased
    from training.importing import import_dataset, moment_of
    from training.terminal import Terminal

    terminal = Terminal(json=json)
    home, now = segue_home(os.environ), datetime.now(UTC)
    folder = rejected or rejected_folder(home, data)
    dataset = read_dataset(data, now=now, rejected=folder)
    bad = sum(len(report.rejected) for report in dataset.report.values())
    at = moment_of(dataset, data, now=now)
    store = SqliteEvents(home / "events.db")
    try:
        dataset, left_out = without_erased(dataset, store.erased())
        with terminal.progress() as report:
            done = import_dataset(dataset, store, at=at, report=report)
    finally:
        store.close()
    terminal.show(
        f"{done.events:,} events, {done.customers:,} customers and {done.products:,} products imported into {home}"
    )
    if done.told:
        terminal.note(f"{done.told:,} of the events are what messages and opens tell")
    if done.duplicates:
        terminal.note(f"{done.duplicates:,} events were there already")
    if left_out:
        terminal.note(f"{left_out:,} rows of erased people were left out")
    if bad:
        terminal.note(f"{bad:,} bad rows were set aside in {folder}")
    terminal.result({**asdict(done), "erased": left_out, "rejected": bad})


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command("import", epilog="Example:  segue import shop/")(import_)
