"""``segue evaluate scores``: would what is told of customers have come true?"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated

import typer

from training.commands.options import Data, Json, Rejected, Seed, moment
from training.home import segue_home

WINDOW = 28.0


def scores(
    data: Data,
    at: Annotated[
        int | None,
        typer.Option(help="Cut here instead of a window before the end.", parser=moment, metavar="DATE"),
    ] = None,
    window: Annotated[
        float, typer.Option(help="Days that are looked ahead, and back for the newest labels.", min=1, metavar="DAYS")
    ] = WINDOW,
    rejected: Rejected = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Evaluate the scores of customers on the last window of a dataset, beside recency alone and BG/NBD.

    Fitted on what was known before the cut. Likelihood to purchase: log loss, AUC, calibration error (ten groups of
    equal size); expected orders and value: absolute error. Every evaluation is a run in MLflow.
    """
    from nba.scores import ScoresConfig
    from training.evaluate_scores import evaluate_scores
    from training.loading import load_telling
    from training.plots_scores import reliability_figure
    from training.scores_table import render_scores
    from training.terminal import Terminal
    from training.tracking import flat_parameters, open_tracking

    terminal = Terminal(json=json)
    config = ScoresConfig(window_days=window)
    home = segue_home(os.environ)
    shop = load_telling(data, home=home, now=datetime.now(UTC), rejected=rejected, note=terminal.note)
    with terminal.progress() as progress:
        result = evaluate_scores(
            shop, config, at=at, seed=seed, cache_folder=home / "cache" / "compiled", progress=progress
        )
    asked = {"split": "scores", "at": result["at"], "seed": seed, "data": shop.dataset.fingerprint}
    figure = reliability_figure(result["calibration"], f"A purchase within {window:g} days of {result['at'][:10]}")
    run = open_tracking().log_evaluation(
        result,
        flat_parameters(config.model_dump(mode="json")) | asked,
        plots={"likelihood_to_purchase.png": figure},
    )
    terminal.show(render_scores(result), f"MLflow run {run}")
    terminal.result(result | {"run": run})


def add_to(group: typer.Typer) -> None:
    """Make it a command of the group."""
    group.command(
        epilog="Examples:\n\n"
        "segue evaluate scores shop/\n\n"
        "segue evaluate scores shop/ --at 2026-03-01 --window 14 --json"
    )(scores)
