"""``segue decide``: the next best action of everybody, into a file."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.commands.options import Data, Json, Out, Rejected, Seed, moment
from training.home import segue_home

if TYPE_CHECKING:
    from nba.settling import Settlement
    from training.tracking import Tracking

#: The name that models of decisions are registered under.
NBA = "nba"


def decide(
    data: Data,
    out: Out,
    at: Annotated[
        str | None,
        typer.Option(help="The moment to decide at, ISO 8601; the last event of DATA unless told.", metavar="TIME"),
    ] = None,
    explore: Annotated[
        bool,
        typer.Option(
            "--explore", help="Draw now and then and leave out the holdout, as live decisions do, with exact chances."
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="A registered model; nba@champion unless told, else the newest version.", metavar="NAME@ALIAS"
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file laid over the configuration of the model: budgets, caps …", metavar="FILE"),
    ] = None,
    rejected: Rejected = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Write the next best action of every customer in customers, events or messages: what, where and when, or hold.

    Columns: customer_id, action, channel, send_at, propensity, send_at_propensity, expected_value, incremental_value,
    offer. Budgets of the configuration are kept over all of them. With --explore, --seed gives other draws.
    """
    from nba import bundle
    from nba.asked import Asked
    from training.deciding import configured, decide_everyone, everyone, write
    from training.loading import load_telling
    from training.terminal import Terminal
    from training.tracking import open_tracking

    moment_of = None if at is None else moment(at)
    terminal = Terminal(json=json)
    home = segue_home(os.environ)
    tracking = open_tracking()
    reference = model or usual(tracking)
    now = datetime.now(UTC)
    shop = load_telling(data, home=home, now=now, rejected=rejected, note=terminal.note)
    with tempfile.TemporaryDirectory() as scratch, terminal.progress() as progress:
        read = bundle.read(tracking.download_bundle(reference, Path(scratch)))
        settings = configured(read.config, config, seed)
        asked_of = everyone(
            shop,
            read.model,
            settings,
            at=moment_of,
            now=int(now.timestamp() * 1e6),
            scores=read.scores,
            cache_folder=home / "cache" / "compiled",
        )
        table, settlement = decide_everyone(Asked(explore=explore), asked_of, read.model, settings, progress=progress)
    write(table, out)
    held = int((table["action"] == "hold").sum())
    terminal.show(f"{len(table):,} customers, {len(table) - held:,} contacts, written to {out}")
    budgets = budgets_told(settlement)
    for budget in budgets:
        terminal.show(
            f"budget {budget['name']}: {budget['planned']:,g} of {budget['limit']:,g}, "
            f"the next unit is worth {budget['price']:.4g}"
        )
    terminal.result(
        {
            "model": reference,
            "customers": len(table),
            "hold": held,
            "budgets": budgets,
            "gap": None if settlement is None else settlement.plan.gap,
            "out": str(out),
        }
    )


def usual(tracking: Tracking) -> str:
    """The champion, else the newest version.

    Raises:
        UnknownModelError: no model of decisions is registered.
    """
    from features.gate import UnknownModelError

    champion = tracking.champion(NBA)
    if champion is not None:
        return f"{NBA}/{champion.version}"
    versions = tracking.versions(NBA)
    if not versions:
        raise UnknownModelError("no model of decisions is registered: train one with segue train nba DATA")
    return f"{NBA}/{versions[0].version}"


def budgets_told(settlement: Settlement | None) -> list[dict[str, Any]]:
    """What was shared out, and what the next unit of each budget would be worth."""
    if settlement is None:
        return []
    budgets, plan = settlement.budgets, settlement.plan
    return [
        {
            "name": name,
            "limit": float(budgets.limit[place]),
            "planned": float(plan.used[place]),
            "reserved": float(budgets.reserve[place]),
            "price": float(plan.price[place]),
        }
        for place, name in enumerate(budgets.names)
    ]


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(
        epilog="Examples:\n\n"
        "segue decide shop/ --out actions.parquet\n\n"
        "segue decide shop/ --out actions.csv --at 2026-03-01T08:00:00Z --explore --config budgets.toml"
    )(decide)
