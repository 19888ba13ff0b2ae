"""``segue simulate``: a simulated shop with known truth as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Json, Seed


def simulate(
    out: Annotated[
        Path, typer.Option(help="Folder to write the tables into; made if it is not there.", metavar="DATA")
    ],
    customers: Annotated[int, typer.Option(min=1, help="People of the shop.", metavar="N")] = 20_000,
    decisions: Annotated[int, typer.Option(min=1, help="Decisions in its log.", metavar="M")] = 200_000,
    exploration: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of decisions that are drawn at random, not by rules.")
    ] = 0.3,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Write a simulated shop: events, products, customers and messages, laid out by the dataset contract.

    What every decision was truly worth lies in DATA/truth, which only evaluation reads.
    """
    from nba.simulation.files import write
    from nba.simulation.parameters import ShopParameters
    from nba.simulation.shop import simulate as run
    from nba.simulation.truth import Truth, true_values
    from training.terminal import Terminal

    terminal = Terminal(json=json)
    terminal.note(f"simulating {decisions:,} decisions on {customers:,} people")
    shop = run(ShopParameters.default(), customers=customers, decisions=decisions, exploration=exploration, seed=seed)
    write(shop, out)
    values = true_values(Truth.of(shop), shop.decisions)
    told = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
    tables = sorted(file.name for file in out.glob("*.parquet"))
    terminal.show(f"SIMULATED: written to {out}: {', '.join(tables)}", f"true mean value of a decision: {told}")
    terminal.result(
        {
            "folder": str(out),
            "tables": tables,
            "simulated": True,
            "customers": customers,
            "decisions": decisions,
            "exploration": exploration,
            "seed": seed,
            "true_values": values,
            "standard_deviation": float((shop.decisions.value - shop.decisions.cost).std()),
        }
    )


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(epilog="Example:  segue simulate --out simulated/")(simulate)
