"""``segue demo``: from nothing to answers over HTTP, on public data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.commands.options import Json, Seed
from training.home import rejected_folder, segue_home

if TYPE_CHECKING:
    from recommender.config import RecommenderConfig
    from training.demo import DemoState
    from training.terminal import Terminal
    from training.tracking import Tracking

READY_SECONDS = 60.0

#: How next best actions are learned in the demo: on two halves of the customers, for it to be quick.
LEARNING = {"learning": {"folds": 2}}


def demo(
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="Stop once the model is champion; start no server.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port to serve on.", min=1, max=65535, metavar="P")] = 8000,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Show the whole of it: example data, train both models, evaluate, promote, serve.

    Orders, products and customers are real (a public package, see its notice); one visit is made up, and the messages
    that next best actions are learned from are simulated.

    Needs nothing but this installation. Prints the address when it is ready, with lines to paste, and keeps running
    until Ctrl-C. A second run reuses what is unchanged (data, configuration, code) and is ready in seconds.
    """
    from training.completejourney import NOTICE
    from training.demo import decision_lines, lines_to_paste, write_data
    from training.demo_messages import NOTICE as SIMULATED
    from training.service import check_port, running, stop_on_terminate, wait_until_ready
    from training.terminal import Terminal
    from training.tracking import open_tracking

    terminal = Terminal(json=json)
    if not no_serve:
        check_port(port)
    terminal.note(NOTICE)
    terminal.note("Made up: one visit of six views, by the visitor demo-visitor, since the data knows of no views.")
    terminal.note(SIMULATED)
    tracking = open_tracking()
    state = prepare(terminal, tracking, segue_home(os.environ) / "demo", seed, write_data)
    address = f"http://127.0.0.1:{port}"
    lines = [*lines_to_paste(address, state.samples)]
    if tracking.champion("nba") is not None:
        lines += decision_lines(address, state.samples)
    summary: dict[str, Any] = {
        "version": state.version,
        "nba_version": state.decisions,
        "samples": state.samples.__dict__,
        "address": None if no_serve else address,
        "lines": [{"shows": what, "line": line} for what, line in lines],
        "notice": f"{NOTICE}\n{SIMULATED}",
    }
    if no_serve:
        terminal.show(f"recommender version {state.version} is champion; segue serve answers from it")
        terminal.show(f"nba version {state.decisions} decides what to do next")
        terminal.result(summary)
        return
    try:
        with stop_on_terminate(), running(["-m", "serving", "--port", str(port)], SEGUE_NOW=state.as_of) as child:
            wait_until_ready(address, child, seconds=READY_SECONDS)
            terminal.show(f"ready {address}")
            terminal.show(f"its clock was set to {state.as_of}, where the data ends, when it was first served")
            for what, line in lines:
                terminal.show(f"\n# {what}", line)
            terminal.show(f"\nthe whole interface: {address}/docs    stop with Ctrl-C")
            terminal.result(summary)
            if child.wait() != 0:
                raise typer.Exit(1)
    except KeyboardInterrupt:
        terminal.note("stopped")


def prepare(
    terminal: Terminal, tracking: Tracking, folder: Path, seed: int, write_data: Callable[[Path], None]
) -> DemoState:
    """Data, models and champions: made if need be. Returns what to serve and what to ask it.

    Args:
        terminal: where progress is told.
        tracking: where the models are registered.
        folder: where data and state of the demo lie, in SEGUE_HOME.
        seed: of the training.
        write_data: writes the dataset into a folder.
    """
    from training.configuration import load_config
    from training.demo import made_from, read_state, write_state
    from training.nba_pipeline import MODEL as DECISIONS
    from training.pipeline import MODEL

    data, file, config = folder / "data", folder / "state.json", load_config()
    root = Path(__file__).parents[2]
    asked = f"{config.model_dump_json()} {LEARNING} seed {seed}"
    state = read_state(file)
    if (
        state is not None
        and state.made_from == made_from(root, data, asked, tracking.uri)
        and registered(tracking, MODEL, state.version)
        and registered(tracking, DECISIONS, state.decisions)
    ):
        terminal.note("data, configuration and code are as in the last run: nothing to train")
    else:
        terminal.note(f"writing the example data to {data} …")
        shutil.rmtree(data, ignore_errors=True)
        write_data(data)
        state = trained(terminal, tracking, folder, config, seed)
        state = replace(state, made_from=made_from(root, data, asked, tracking.uri))
    for model, version in ((MODEL, state.version), (DECISIONS, state.decisions)):
        crowned(terminal, tracking, model, version)
    write_state(file, state)
    return state


def trained(terminal: Terminal, tracking: Tracking, folder: Path, config: RecommenderConfig, seed: int) -> DemoState:
    """Train both models, and let the live shop know some of the customers."""
    from features.store.sqlite import SqliteEvents
    from training.demo import DemoState, live_part, samples
    from training.importing import import_dataset
    from training.nba_pipeline import report as report_decisions
    from training.nba_pipeline import train_nba
    from training.pipeline import report, train_recommender

    data, home, now = folder / "data", folder.parent, datetime.now(UTC)
    aside = rejected_folder(folder, data)
    with terminal.progress() as progress:
        lists = train_recommender(
            data,
            config,
            tracking=tracking,
            now=now,
            home=home,
            rejected=aside,
            seed=seed,
            note=terminal.note,
            progress=progress,
        )
    terminal.show(*report(lists))
    terminal.note("next best actions, from the simulated messages …")
    with terminal.progress() as progress:
        decisions = train_nba(
            data,
            "value",
            {},
            sets=LEARNING,
            tracking=tracking,
            home=home,
            now=now,
            rejected=aside,
            seed=seed,
            note=terminal.note,
            progress=progress,
        )
    terminal.show(*report_decisions(decisions))
    shop = lists.shop
    found = samples(shop.log, shop.catalogue, shop.end)
    as_of = datetime.fromtimestamp(shop.end / 1e6, UTC)
    terminal.note("giving the live shop the history of some customers …")
    store = SqliteEvents(home / "events.db")
    try:
        with terminal.progress() as progress:
            import_dataset(live_part(shop.dataset, found.customer), store, at=as_of, report=progress)
    finally:
        store.close()
    return DemoState("", lists.version.version, decisions.version.version, found, as_of.isoformat())


def crowned(terminal: Terminal, tracking: Tracking, model: str, version: int) -> None:
    """Make a version champion if it is not. A refusal of the gate is told; what was champion before stays."""
    from features import gate

    champion = tracking.champion(model)
    if champion is not None and champion.version == version:
        return
    try:
        promotion = gate.promote(tracking, model, version)
    except gate.GateRefused as refused:
        terminal.show(f"the gate refuses {model} version {version}: {refused}")
        return
    if promotion.previous is not None:
        which = f"the demo's version {version} is champion {'again' if promotion.returned else 'now'}"
        terminal.note(f"champion of {model} was version {promotion.previous}; {which}")


def registered(tracking: Tracking, model: str, version: int) -> bool:
    """Whether the version of the last run is still there."""
    from features.gate import UnknownModelError

    try:
        tracking.version(model, version)
    except UnknownModelError:
        return False
    return True


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(epilog="Examples:\n\nsegue demo\n\nsegue demo --no-serve --json")(demo)
