"""``segue evaluate recommender``: how good would the lists have been?"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from training.commands.options import Config, Data, Json, Rejected, Seed, Sets, moment
from training.home import segue_home

SplitName = Literal["leave-one-out", "next-basket", "basket", "session", "temporal"]


def recommender(
    data: Data,
    split: Annotated[SplitName, typer.Option(help="How history and future are told apart.")],
    no_refit: Annotated[
        bool, typer.Option("--no-refit", help="leave-one-out: the final fit does not see the validation events either.")
    ] = False,
    at: Annotated[
        int | None,
        typer.Option(
            help="temporal: cut here instead of where 80% of events have happened.", parser=moment, metavar="DATE"
        ),
    ] = None,
    config: Config = None,
    sets: Sets = None,
    rejected: Rejected = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Evaluate the recommender on a split of a dataset, beside the baselines, with bootstrap intervals.

    Lists are those of segue recommend. The temporal split is the one to trust: it knows nothing that the shop did not
    know at the time. Every evaluation is a run in MLflow, so how often the test part was looked at can be seen.
    """
    from training.configuration import load_config
    from training.evaluate import evaluate_recommender
    from training.evaluate_table import render
    from training.loading import load_telling
    from training.terminal import Terminal
    from training.tracking import flat_parameters, open_tracking

    if at is not None and split != "temporal":
        raise typer.BadParameter("only the temporal split is cut at a date", param_hint="--at")
    if no_refit and split != "leave-one-out":
        raise typer.BadParameter("only leave-one-out can do without its validation events", param_hint="--no-refit")
    terminal = Terminal(json=json)
    settings = load_config(config, sets or [])
    home = segue_home(os.environ)
    shop = load_telling(data, home=home, now=datetime.now(UTC), rejected=rejected, note=terminal.note)
    with terminal.progress() as progress:
        result = evaluate_recommender(
            shop.log, shop.catalogue, settings, split, refit=not no_refit, at=at, seed=seed, progress=progress
        )
    parameters = flat_parameters(settings.model_dump(mode="json"))
    asked = {"split": split, "refit": not no_refit, "at": at, "seed": seed, "data": shop.dataset.fingerprint}
    run = open_tracking().log_evaluation(result, parameters | asked)
    terminal.show(render(result), f"MLflow run {run}")
    terminal.result(result | {"run": run})


def add_to(group: typer.Typer) -> None:
    """Make it a command of the group."""
    group.command(
        epilog="Examples:\n\n"
        "segue evaluate recommender shop/ --split temporal\n\n"
        "segue evaluate recommender shop/ --split leave-one-out --no-refit --json"
    )(recommender)
