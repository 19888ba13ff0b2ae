"""``segue demo``: from nothing to answers over HTTP, on public data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.commands.options import Json, Seed
from training.home import rejected_folder, segue_home

if TYPE_CHECKING:
    from training.demo import DemoState
    from training.terminal import Terminal
    from training.tracking import Tracking

READY_SECONDS = 60.0


def demo(
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="Stop once the model is champion; start no server.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port to serve on.", min=1, max=65535, metavar="P")] = 8000,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Show the whole of it on real data: example data, train, evaluate, promote, serve.

    Needs nothing but this installation. Prints the address when it is ready, with lines to paste, and keeps running
    until Ctrl-C. A second run reuses what is unchanged (data, configuration, code) and is ready in seconds.
    """
    from training.completejourney import NOTICE
    from training.demo import lines_to_paste, write_data
    from training.service import check_port, running, stop_on_terminate, wait_until_ready
    from training.terminal import Terminal
    from training.tracking import open_tracking

    terminal = Terminal(json=json)
    if not no_serve:
        check_port(port)
    terminal.note(NOTICE)
    terminal.note("Made up: one visit of six views, by the visitor demo-visitor, since the data knows of no views.")
    state = prepare(terminal, open_tracking(), segue_home(os.environ) / "demo", seed, write_data)
    address = f"http://127.0.0.1:{port}"
    lines = lines_to_paste(address, state.samples)
    summary: dict[str, Any] = {
        "version": state.version,
        "samples": state.samples.__dict__,
        "address": None if no_serve else address,
        "lines": [{"shows": what, "line": line} for what, line in lines],
        "notice": NOTICE,
    }
    if no_serve:
        terminal.show(f"recommender version {state.version} is champion; segue serve answers from it")
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
    """Data, model and champion: made if need be. Returns what to serve and what to ask it.

    Args:
        terminal: where progress is told.
        tracking: where the model is registered.
        folder: where data and state of the demo lie.
        seed: of the training.
        write_data: writes the dataset into a folder.
    """
    from features import gate
    from training.configuration import load_config
    from training.demo import DemoState, made_from, read_state, samples, write_state
    from training.pipeline import MODEL, report, train_recommender

    data, file, config = folder / "data", folder / "state.json", load_config()
    root = Path(__file__).parents[2]
    asked = f"{config.model_dump_json()} seed {seed}"
    state = read_state(file)
    if (
        state is not None
        and state.made_from == made_from(root, data, asked, tracking.uri)
        and registered(tracking, state.version)
    ):
        terminal.note("data, configuration and code are as in the last run: nothing to train")
    else:
        terminal.note(f"writing the example data to {data} …")
        shutil.rmtree(data, ignore_errors=True)
        write_data(data)
        now = datetime.now(UTC)
        with terminal.progress() as progress:
            trained = train_recommender(
                data,
                config,
                tracking=tracking,
                now=now,
                home=folder.parent,
                rejected=rejected_folder(folder, data),
                seed=seed,
                note=terminal.note,
                progress=progress,
            )
        terminal.show(*report(trained))
        shop = trained.shop
        state = DemoState(
            made_from(root, data, asked, tracking.uri),
            trained.version.version,
            samples(shop.log, shop.catalogue, shop.end),
            datetime.fromtimestamp(shop.end / 1e6, UTC).isoformat(),
        )
    champion = tracking.champion(MODEL)
    if champion is None or champion.version != state.version:
        promotion = gate.promote(tracking, MODEL, state.version)
        if promotion.previous is not None:
            which = f"the demo's version {state.version} is champion {'again' if promotion.returned else 'now'}"
            terminal.note(f"champion was version {promotion.previous}; {which}")
    write_state(file, state)
    return state


def registered(tracking: Tracking, version: int) -> bool:
    """Whether the version of the last run is still there."""
    from features.gate import UnknownModelError
    from training.pipeline import MODEL

    try:
        tracking.version(MODEL, version)
    except UnknownModelError:
        return False
    return True


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(epilog="Examples:\n\nsegue demo\n\nsegue demo --no-serve --json")(demo)
