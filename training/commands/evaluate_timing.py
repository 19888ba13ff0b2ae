"""``segue evaluate timing``: how well is it known when somebody opens next?"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import available_timezones

import typer

from training.commands.options import Data, Json, Rejected, Seed
from training.home import segue_home


def known_zone(name: str | None) -> str | None:
    """Wrong usage, told before any work is done, where no time zone is called so."""
    if name is not None and name not in available_timezones():
        raise typer.BadParameter(f"{name} is no IANA time zone; write one such as America/Sao_Paulo")
    return name


def timing(
    data: Data,
    timezone: Annotated[
        str | None,
        typer.Option(
            help="IANA time zone of everybody; by default each customer's own, else UTC.",
            callback=known_zone,
            metavar="ZONE",
        ),
    ] = None,
    holdout: Annotated[
        Literal["random", "last"], typer.Option(help="Which fifth of a person's opens is held out.")
    ] = "random",
    rejected: Rejected = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Evaluate at which hour of their day people open next, beside the global hour and each person's own histogram.

    People with at least five opens; opens of one person within 30 minutes count once. Where a log drew its send hours
    at random, also what it would have brought to send at the hour learned for each person.
    """
    from training.decision_log import decision_log
    from training.evaluate_send_hours import evaluate_send_hours
    from training.evaluate_timing import evaluate_timing
    from training.loading import load_telling
    from training.opens import in_zone, opens_of
    from training.terminal import Terminal
    from training.timing_table import render
    from training.tracking import open_tracking

    terminal = Terminal(json=json)
    home = segue_home(os.environ)
    shop = load_telling(data, home=home, now=datetime.now(UTC), rejected=rejected, note=terminal.note)
    dataset = shop.dataset if timezone is None else in_zone(shop.dataset, timezone)
    result = evaluate_timing(opens_of(dataset), holdout=holdout, seed=seed)
    messages = dataset.messages
    if messages is not None and (messages["send_at_propensity"] < 1).any():
        log = decision_log(dataset, cache_folder=home / "cache" / "compiled")
        result["send_hours"] = evaluate_send_hours(log, seed=seed)
    asked = {
        "evaluation": "timing",
        "holdout": holdout,
        "timezone": timezone,
        "seed": seed,
        "data": shop.dataset.fingerprint,
    }
    run = open_tracking().log_evaluation(result, asked)
    terminal.show(*render(result), f"MLflow run {run}")
    terminal.result(result | {"run": run})


def add_to(group: typer.Typer) -> None:
    """Make it a command of the group."""
    group.command(
        epilog="Examples:\n\n"
        "segue evaluate timing shop/\n\n"
        "segue evaluate timing opens/ --timezone America/Sao_Paulo --json"
    )(timing)
