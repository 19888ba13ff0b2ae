"""``segue promote``: make a version champion, through the gate."""

from __future__ import annotations

from typing import Annotated

import typer

from training.commands.options import Json


def promote(
    name: Annotated[str, typer.Argument(help="The registered model: recommender.", metavar="NAME")],
    version: Annotated[int, typer.Argument(help="Its version, as segue models lists it.", metavar="VERSION", min=1)],
    json: Json = False,
) -> None:
    """Make a version champion, if the evidence stored when it was trained allows it.

    The gate refuses a version without evidence, one that is not as good as the champion, and one that was compared with
    what is no longer champion. A version that was champion before returns without evidence: that is how to roll back.
    Running servers follow within seconds.
    """
    from features import gate
    from training.terminal import Terminal
    from training.tracking import open_tracking

    terminal = Terminal(json=json)
    done = gate.promote(open_tracking(), name, version)
    if done.previous == version:
        terminal.show(f"{name} version {version} is champion already")
    else:
        before = "there was none" if done.previous is None else f"it was version {done.previous}"
        terminal.show(f"{name} version {version} is champion now; {before}")
    if done.verdict is not None and not done.returned:
        terminal.show(gate.describe(done.verdict))
    terminal.result(
        {
            "name": name,
            "version": version,
            "previous": done.previous,
            "returned": done.returned,
            "verdict": done.verdict.model_dump(mode="json") if done.verdict else None,
        }
    )


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(epilog="Example:  segue promote recommender 3")(promote)
