"""``segue train``: fit a model, evaluate it, register it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Config, Data, Json, Rejected, Seed, Sets
from training.home import segue_home


def recommender(
    data: Data,
    config: Config = None,
    sets: Sets = None,
    promote: Annotated[bool, typer.Option("--promote", help="Make it champion, if the gate lets it pass.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Also write the bundle into this folder, to serve it without MLflow.", metavar="DIR"),
    ] = None,
    rejected: Rejected = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train the recommender on a shop's dataset and register it as challenger.

    The configuration is first evaluated on the temporal split, beside the baselines and the champion's configuration on
    the same data; then everything is fitted on all of the data, logged to MLflow and registered. Prints the run, the
    version and the metrics. With --promote it becomes champion if the gate lets it pass; if not, the exit status is 1
    and the version stays a challenger.
    """
    from features.gate import promote as through_the_gate
    from training.configuration import load_config
    from training.pipeline import report, train_recommender
    from training.terminal import Terminal
    from training.tracking import open_tracking

    terminal = Terminal(json=json)
    settings = load_config(config, sets or [])
    tracking = open_tracking()
    with terminal.progress() as progress:
        trained = train_recommender(
            data,
            settings,
            tracking=tracking,
            now=datetime.now(UTC),
            home=segue_home(os.environ),
            rejected=rejected,
            bundle=bundle,
            seed=seed,
            note=terminal.note,
            progress=progress,
        )
    terminal.show(*report(trained))
    promotion = None
    try:
        if promote:
            promotion = through_the_gate(tracking, trained.version.name, trained.version.version)
            terminal.show(f"{promotion.name} version {promotion.version} is champion now")
    finally:
        terminal.result(trained.summary(promoted=promotion is not None))


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    train = typer.Typer(help="Train a model, evaluate it, and register it in MLflow.", no_args_is_help=True)
    train.command(
        epilog="Examples:\n\n"
        "segue train recommender shop/ --promote\n\n"
        "segue train recommender shop/ --config mine.toml --set sources.als.factors=64 --json"
    )(recommender)
    train.callback()(lambda: None)  # keeps the name of a single command in the call
    app.add_typer(train, name="train")
