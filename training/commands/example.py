"""``segue example``: the public data set of the demo as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Json


def example(
    out: Annotated[
        Path, typer.Option(help="Folder to write the tables into; made if it is not there.", metavar="DATA")
    ],
    json: Json = False,
) -> None:
    """Write the demo's public data set, Complete Journey, laid out by the dataset contract.

    It shows what the tables look like, and every other command takes it.
    """
    from training.completejourney import NOTICE, write_example
    from training.terminal import Terminal

    terminal = Terminal(json=json)
    write_example(out)
    tables = sorted(file.name for file in out.iterdir())
    terminal.show(NOTICE, f"written to {out}: {', '.join(tables)}")
    terminal.result({"folder": str(out), "tables": tables, "notice": NOTICE})


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(epilog="Example:  segue example --out shop/")(example)
