"""``segue validate``: does a dataset keep the contract?"""

from __future__ import annotations

import os
from datetime import UTC, datetime

import typer

from training.commands.options import Data, Json, Rejected
from training.home import segue_home


def validate(data: Data, rejected: Rejected = None, json: Json = False) -> None:
    """Check a dataset against the contract and tell what is in it.

    A table at fault (a missing column, an unreadable file) ends with exit status 1. Bad rows are set aside and counted,
    and the status is 0.
    """
    from training.loading import load_telling
    from training.profile import profile, render
    from training.terminal import Terminal

    terminal = Terminal(json=json)
    home = segue_home(os.environ)
    shop = load_telling(data, home=home, now=datetime.now(UTC), rejected=rejected, note=terminal.note)
    found = profile(shop.log, shop.catalogue, shop.dataset)
    terminal.show(render(found))
    terminal.result(found)


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(epilog="Example:  segue validate shop/ --rejected /tmp/bad-rows")(validate)
