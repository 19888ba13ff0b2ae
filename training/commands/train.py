"""``segue train``: fit a model, evaluate it, register it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from training.commands.options import Config, Data, Json, Rejected, Seed, Sets
from training.home import segue_home

if TYPE_CHECKING:
    from features.gate import ModelVersion
    from training.terminal import Terminal
    from training.tracking import Tracking


Promote = Annotated[bool, typer.Option("--promote", help="Make it champion, if the gate lets it pass.")]
Bundle = Annotated[
    Path | None,
    typer.Option(help="Also write the bundle into this folder, to serve it without MLflow.", metavar="DIR"),
]


class Registered(Protocol):
    """What a training has made."""

    @property
    def version(self) -> ModelVersion:
        """As registered."""
        ...

    def summary(self, *, promoted: bool) -> dict[str, Any]:
        """As JSON."""
        ...


def recommender(
    data: Data,
    config: Config = None,
    sets: Sets = None,
    promote: Promote = False,
    bundle: Bundle = None,
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
    finish(terminal, tracking, trained, promote=promote)


RewardName = Literal["value", "converted", "visited", "opened"]
Reward = Annotated[RewardName, typer.Option(help="What decisions are judged by; value means value less cost.")]


def nba(
    data: Data,
    reward: Reward = "value",
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file laid over the default catalogue of actions; without it, actions and channels of the log.",
            metavar="FILE",
        ),
    ] = None,
    sets: Sets = None,
    promote: Promote = False,
    bundle: Bundle = None,
    rejected: Rejected = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train the model of next best actions on the log of decisions, and register it as challenger.

    Learns who attends contacts on which channel at which hour, and what an attended contact adds, from the table of
    messages; one action for everybody, the plain response and what was learned compete for what decides. Then it is
    judged off-policy beside the champion, or the policy of the log, on decisions after those it was fitted on. Prints
    the run, the version and what was learned. With --promote it becomes champion if the gate lets it pass; if not, the
    exit status is 1 and the version stays a challenger.
    """
    from training.configuration import parse_assignments, read_toml
    from training.nba_pipeline import report, train_nba
    from training.terminal import Terminal
    from training.tracking import open_tracking

    terminal = Terminal(json=json)
    tracking = open_tracking()
    with terminal.progress() as progress:
        trained = train_nba(
            data,
            reward,
            None if config is None else read_toml(config),
            sets=parse_assignments(sets or []),
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
    finish(terminal, tracking, trained, promote=promote)


def finish(terminal: Terminal, tracking: Tracking, trained: Registered, *, promote: bool) -> None:
    """Promote if asked to, and print the result."""
    from features.gate import promote as through_the_gate

    promotion = None
    try:
        if promote:
            promotion = through_the_gate(tracking, trained.version.name, trained.version.version)
            terminal.show(f"{promotion.name} version {promotion.version} is champion now")
    finally:
        terminal.result(trained.summary(promoted=promotion is not None))


def add_to(app: typer.Typer) -> None:
    """Make it a group of commands."""
    train = typer.Typer(help="Train a model, evaluate it, and register it in MLflow.", no_args_is_help=True)
    train.command(
        epilog="Examples:\n\n"
        "segue train recommender shop/ --promote\n\n"
        "segue train recommender shop/ --config mine.toml --set sources.als.factors=64 --json"
    )(recommender)
    train.command(
        epilog="Examples:\n\n"
        "segue train nba shop/ --reward value --promote\n\n"
        "segue train nba shop/ --config mine.toml --set policy.exploration=0.05 --json"
    )(nba)
    app.add_typer(train, name="train")
