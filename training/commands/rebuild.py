"""``segue rebuild``: the states of customers and products anew from the log of the live shop."""

from __future__ import annotations

import os

import typer

from training.commands.options import Json
from training.home import segue_home


def rebuild(json: Json = False) -> None:
    """Fold the whole log of the store in SEGUE_HOME anew, after what a state holds was changed.

    Not needed for right answers: a state that is missing is folded when it is asked for, which takes long for those
    with a long history. Takes 1 to 2 minutes of CPU a million events. A service that runs meanwhile goes on with the
    states of its own version; states of other versions are removed when it is done.
    """
    from features.states import States
    from features.store.base import StoreError
    from features.store.sqlite import SqliteEvents
    from training.terminal import Terminal

    terminal = Terminal(json=json)
    file = segue_home(os.environ) / "events.db"
    if not file.exists():
        raise StoreError(f"there is no store at {file}; segue serve or segue import makes one")
    store = SqliteEvents(file)
    try:
        states = States(store)
        with terminal.progress() as progress:
            customers, products = states.rebuild(progress)
    finally:
        store.close()
    terminal.show(f"states of {customers:,} customers and {products:,} products folded from the log")
    terminal.result({"customers": customers, "products": products, "fingerprint": states.fingerprint})


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(epilog="Example:  segue rebuild")(rebuild)
