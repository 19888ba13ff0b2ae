"""``segue replay``: make one decision again."""

from __future__ import annotations

from typing import Annotated

import typer

from training.commands.options import Json


def replay(
    decision: Annotated[str, typer.Argument(help="The decision_id of an answer.", metavar="ID")],
    json: Json = False,
) -> None:
    """Make one decision of the live shop again, and compare it with what was answered.

    ID is the decision_id of an answer: a list, compared byte for byte, or the next action for somebody. The request,
    the model and rules of then, and the log as far as it was known then: all of it lies in SEGUE_HOME.
    Exit status 1 if the answer differs, or if it cannot be made again.
    """
    import os

    from features.store.sqlite import SqliteDecisions, SqliteEvents
    from nba.desks import read_parts, reopened
    from nba.questions import ACTION
    from nba.replays import ActionReplayer, NotMadeAgain
    from recommender.decisions import NotReplayableError, Replayed, Replayer
    from training.home import segue_home
    from training.terminal import Terminal

    terminal = Terminal(json=json)
    home = segue_home(os.environ)
    if not (home / "decisions.db").is_file():
        raise NotReplayableError(f"{home} holds no log of decisions; set SEGUE_HOME to that of the running service")
    events, decisions = SqliteEvents(home / "events.db"), SqliteDecisions(home / "decisions.db")
    try:
        found = decisions.read(decision)
        if found is None:
            raise NotReplayableError(f"no decision {decision} is kept in {home}: it never was, or it is too old")
        if found == "erased":
            raise NotReplayableError(f"whom decision {decision} was for was erased")
        bundles = home / "bundles" / "kept"
        if found.kind == ACTION:
            differences = ActionReplayer(reopened(events, decisions, bundles, read_parts)).differences(found)
            replayed = Replayed(not differences, differences)
        else:
            replayed = Replayer(events, decisions, bundles).replay(found)
    except NotMadeAgain as error:
        raise NotReplayableError(str(error)) from None
    finally:
        events.close()
        decisions.close()
    model = f"{found.model['name']} version {found.model['version']}"
    if replayed.match:
        terminal.show(f"{decision} by {model}: the same")
    else:
        terminal.show(f"{decision} by {model}: differs")
        for one in replayed.differences:
            terminal.show(f"  {one['place']}: {one.get('then')} then, {one.get('now')} now")
    terminal.result(
        {"decision_id": decision, "model": found.model, "match": replayed.match, "diff": replayed.differences}
    )
    if not replayed.match:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(epilog="Example:  segue replay 0f5c2a…")(replay)
