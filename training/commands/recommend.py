"""``segue recommend``: lists into a file."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from training.commands.options import Config, Data, Json, Out, Rejected, Seed, Sets
from training.home import segue_home

if TYPE_CHECKING:
    from recommender.engine import Recommender
    from training.loading import Shop

#: `training.listing.AsOf`, which this module must not import before the command runs.
AsOf = Literal["last", "customer"]


def recommend(
    data: Data,
    placement: Annotated[str, typer.Option(help="Which list, for example recommended_for_you.", metavar="P")],
    count: Annotated[int, typer.Option(help="Entries a list.", min=1, metavar="N")],
    out: Out,
    repeats: Annotated[bool, typer.Option("--repeats", help="Keep products that the person bought before.")] = False,
    as_of: Annotated[
        AsOf, typer.Option(help="The moment of the lists: the last event of DATA, or each person's own last event.")
    ] = "last",
    model: Annotated[
        str | None,
        typer.Option(
            help="A registered model, as recommender@champion, instead of one fitted on DATA.", metavar="NAME@ALIAS"
        ),
    ] = None,
    config: Config = None,
    sets: Sets = None,
    rejected: Rejected = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Write the lists of one placement, for everyone in events or customers or for every product.

    Lists are those that are served, with diversity, rules and the substitute filter off. Placements that stand beside a
    product give one list for every product of the catalogue. Columns: customer_id or anchor_id, rank from 1,
    product_id, score.
    """
    from training.listing import make_lists
    from training.loading import load_telling
    from training.tables import write_table
    from training.terminal import Terminal

    if model is not None and (config is not None or sets):
        raise typer.BadParameter("a registered model brings its own configuration: leave out --config and --set")
    terminal = Terminal(json=json)
    home = segue_home(os.environ)
    shop = load_telling(data, home=home, now=datetime.now(UTC), rejected=rejected, note=terminal.note)
    with tempfile.TemporaryDirectory() as scratch:
        if model is not None:
            recommender = registered(model, Path(scratch))
        else:
            terminal.note(f"fitting {placement} on {len(shop.log):,} events …")
            recommender = fitted(shop, placement, config, sets or [], as_of, seed, repeats=repeats)
        lists = make_lists(
            recommender,
            shop.log.known_before(shop.end),
            placement=placement,
            count=count,
            end=shop.end,
            repeats=repeats,
            as_of=as_of,
        )
    write_table(lists, out)
    owners = int(lists.iloc[:, 0].nunique())
    terminal.show(f"{len(lists):,} rows, {owners:,} lists of {placement}, written to {out}")
    terminal.result({"placement": placement, "lists": owners, "rows": len(lists), "out": str(out), "model": model})


def registered(reference: str, scratch: Path) -> Recommender:
    """The recommender of a registered model. Its arrays are mapped from ``scratch``: use it before that is removed."""
    from recommender import bundle
    from training.tracking import open_tracking

    recommender, _ = bundle.read(open_tracking().download_bundle(reference, scratch))
    return recommender


def fitted(
    shop: Shop, placement: str, config: Path | None, sets: list[str], as_of: AsOf, seed: int, *, repeats: bool
) -> Recommender:
    """A recommender fitted on all of the shop, with what this placement needs."""
    from recommender.engine import fit
    from training.configuration import load_config
    from training.listing import check_listable

    settings = load_config(config, sets)
    check_listable(settings, placement)
    known = shop.log.known_before(shop.end)
    placements = {placement}
    return fit(
        known, shop.catalogue, settings, at=shop.end, placements=placements, as_of=as_of, repeats=repeats, seed=seed
    )


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(
        epilog="Examples:\n\n"
        "segue recommend shop/ --placement recommended_for_you --count 10 --out lists.parquet\n\n"
        "segue recommend shop/ --placement similar_products --count 6 --out similar.csv --model recommender@champion"
    )(recommend)
