"""``segue evaluate recommender``: how good would the lists have been?"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from training.commands.options import Config, Data, Json, Rejected, Seed, Sets, moment
from training.home import segue_home

if TYPE_CHECKING:
    from rich.console import RenderableType


def shares(text: str | None, option: str) -> tuple[float, ...]:
    """Numbers from 0 to 1, such as 0.1,0.3; none if the option was not given."""
    if text is None:
        return ()
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text} is no list of numbers; write 0.1 or 0.1,0.3", param_hint=option) from error
    if not all(0 <= value <= 1 for value in found):
        raise typer.BadParameter(f"{text}: from 0 to 1", param_hint=option)
    return found


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
    diversity: Annotated[
        str | None,
        typer.Option(
            help="Also ask for lists with categories mixed by so much, and tell what it costs: 0.1 or 0.1,0.3.",
            metavar="X[,Y…]",
        ),
    ] = None,
    margin: Annotated[
        str | None,
        typer.Option(
            help="Also ask for lists by probability times margin to this power, and tell what that costs and earns.",
            metavar="W[,W…]",
        ),
    ] = None,
    sources: Annotated[
        bool,
        typer.Option("--sources", help="Also ask each source of the placement alone, and tell what the blend adds."),
    ] = False,
    without: Annotated[
        str | None,
        typer.Option(
            help="Also fit and ask without these columns of the products, and tell what they bring: category,brand.",
            metavar="COLUMN[,COLUMN…]",
        ),
    ] = None,
    config: Config = None,
    sets: Sets = None,
    rejected: Rejected = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Evaluate the recommender on a split of a dataset, beside the baselines, with bootstrap intervals.

    Lists are those of segue recommend: bare, without the diversity of the placement and without its filter of
    substitutes. What the filter costs is told where there is one; --diversity tells what diversity does, --margin what
    weighing margins does, --sources what each source reaches alone, and --without what columns of the products bring.
    The temporal split is the one to trust: it knows nothing that the shop did not know at the time. Every evaluation
    is a run in MLflow, so how often the test part was looked at can be seen.
    """
    from training.configuration import load_config
    from training.evaluate import evaluate_recommender
    from training.evaluate_flat import flat_more
    from training.evaluate_table import render, render_beyond, render_diversity
    from training.evaluate_table_parts import (
        render_candidates,
        render_margin,
        render_sources,
        render_substitutes,
        render_without,
    )
    from training.loading import load_telling
    from training.terminal import Terminal
    from training.tracking import flat_parameters, open_tracking
    from training.tune_runs import Runs

    if at is not None and split != "temporal":
        raise typer.BadParameter("only the temporal split is cut at a date", param_hint="--at")
    if no_refit and split != "leave-one-out":
        raise typer.BadParameter("only leave-one-out can do without its validation events", param_hint="--no-refit")
    mixes, weights = shares(diversity, "--diversity"), shares(margin, "--margin")
    if 1 in mixes:
        raise typer.BadParameter("diversity is below 1", param_hint="--diversity")
    leave_out = [] if without is None else [name.strip() for name in without.split(",")]
    terminal = Terminal(json=json)
    settings = load_config(config, sets or [])
    home = segue_home(os.environ)
    shop = load_telling(data, home=home, now=datetime.now(UTC), rejected=rejected, note=terminal.note)
    with terminal.progress() as progress:
        result = evaluate_recommender(
            shop.log,
            shop.catalogue,
            settings,
            split,
            refit=not no_refit,
            at=at,
            diversity=mixes,
            margin=weights,
            sources=sources,
            leave_out=leave_out,
            seed=seed,
            progress=progress,
        )
    parameters = flat_parameters(settings.model_dump(mode="json"))
    asked = {"split": split, "refit": not no_refit, "at": at, "seed": seed, "data": shop.dataset.fingerprint}
    tracking = open_tracking()
    run = tracking.log_evaluation(result, parameters | asked)
    Runs.of(tracking).add_metrics(run, flat_more(result))
    parts: list[RenderableType] = [render_substitutes(result)] if "substitutes" in result else []
    parts += [render_sources(result)] if sources else []
    parts += [render_diversity(result)] if mixes else []
    parts += [render_margin(result)] if weights else []
    parts += [render_without(result)] if leave_out else []
    terminal.show(render(result), render_beyond(result), *parts, render_candidates(result), f"MLflow run {run}")
    terminal.result(result | {"run": run})


def add_to(group: typer.Typer) -> None:
    """Make it a command of the group."""
    group.command(
        epilog="Examples:\n\n"
        "segue evaluate recommender shop/ --split temporal\n\n"
        "segue evaluate recommender shop/ --split leave-one-out --no-refit --json\n\n"
        "segue evaluate recommender shop/ --split temporal --diversity 0.1,0.3\n\n"
        "segue evaluate recommender shop/ --split leave-one-out --margin 0.5,1\n\n"
        "segue evaluate recommender shop/ --split temporal --sources --without category,brand"
    )(recommender)
