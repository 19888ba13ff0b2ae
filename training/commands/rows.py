"""``segue rows``: training rows from the past of a dataset."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.commands.options import Data, Json, Rejected
from training.home import rejected_folder, segue_home

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_EVENT = "purchase"


def rows(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the Parquet parts; not there yet, or empty.", metavar="FOLDER")],
    moments: Annotated[
        Path | None,
        typer.Option(
            help="Table of moments (.parquet, .csv, .jsonl): at, and any of customer_id, anonymous_id, session_id, "
            "product_id.",
            metavar="FILE",
        ),
    ] = None,
    at_events: Annotated[
        str | None,
        typer.Option(help="A row just before each event of this name; purchase unless told.", metavar="NAME"),
    ] = None,
    products: Annotated[bool, typer.Option("--products", help="Add the state of the product of each moment.")] = False,
    processes: Annotated[int, typer.Option(help="Processes that fold and write parts.", min=1, metavar="N")] = 1,
    rejected: Rejected = None,
    json: Json = False,
) -> None:
    """Write training rows: what was known of a customer, and of a product, at given moments: purchases unless told.

    The log is folded again, by the code that answers live, and read at each moment: a row holds what the shop knew
    then, whatever came late. Columns: moment (its number), at, the ids, and one a feature. Rows stand by person, so
    parts are not in the order of time: split by the column at.
    """
    from features.dataset import read_dataset
    from training.forgetting import erased_people, without_erased
    from training.ledger import ledger_of
    from training.rows import at_events as moments_at
    from training.rows import write_rows
    from training.terminal import Terminal

    if moments is not None and at_events is not None:
        raise typer.BadParameter("name moments or events, not both", param_hint="--at-events")
    terminal = Terminal(json=json)
    home = segue_home(os.environ)
    read = read_dataset(data, now=datetime.now(UTC), rejected=rejected or rejected_folder(home, data))
    dataset, forgotten = without_erased(read, erased_people(home))
    if forgotten:
        terminal.note(f"{forgotten:,} rows of erased people were left out")
    events = dataset.events if dataset.events is not None else no_events()
    frame = read_moments(moments) if moments is not None else moments_at(events, at_events or DEFAULT_EVENT)
    terminal.note(f"{len(frame):,} rows from {len(events):,} events …")
    with terminal.progress() as progress:
        parts = write_rows(
            ledger_of(events),
            frame,
            out,
            zones=time_zones(dataset.customers),
            with_products=products,
            processes=processes,
            cache_folder=home / "cache" / "compiled",
            progress=progress,
        )
    terminal.show(f"{len(frame):,} rows in {parts:,} parts, written to {out}")
    terminal.result({"rows": len(frame), "parts": parts, "events": len(events), "out": str(out)})


def no_events() -> pd.DataFrame:
    """The events of a dataset that has no such table."""
    import pandas as pd

    return pd.DataFrame({"event": pd.Series(dtype="str"), "timestamp": pd.Series(dtype="datetime64[us, UTC]")})


def time_zones(customers: pd.DataFrame | None) -> dict[str, str]:
    """Time zones by customer id, of those who have one."""
    if customers is None or "timezone" not in customers:
        return {}
    known = customers[customers["timezone"].notna()]
    return dict(zip(known["customer_id"], known["timezone"], strict=True))


def read_moments(file: Path) -> pd.DataFrame:
    """A table of moments, cleaned as the tables of a dataset are.

    Raises:
        features.dataset.DatasetError: it cannot be read, or says no moment or nobody.
    """
    import pandas as pd

    from features.columns import clean
    from features.contract import Form
    from features.dataset import DatasetError
    from features.files import read_part
    from training.rows import ID_COLUMNS

    if file.suffix not in (".parquet", ".csv", ".jsonl"):
        raise DatasetError(f"{file}: the name must end in .parquet, .csv or .jsonl")
    part = read_part(file, file.parent)
    found = [name for name in ID_COLUMNS if name in part.table.column_names]
    if part.strays:
        raise DatasetError(f"{file}: row {part.strays[0].row}: {part.strays[0].reason}")
    if "at" not in part.table.column_names or not found:
        raise DatasetError(f"{file} needs a column at, and one of {', '.join(ID_COLUMNS)}")
    columns = {"at": clean(part.table.column("at"), Form.TIME)}
    columns |= {name: clean(part.table.column(name), Form.ID) for name in found}
    for name, cells in columns.items():
        bad = cells.values.isna().to_numpy() if name == "at" else cells.bad
        if bad.any():
            raise DatasetError(
                f"{file}: row {part.lines[bad.argmax()]} has no {'moment' if name == 'at' else 'id'} in {name}"
            )
    return pd.DataFrame({name: cells.values for name, cells in columns.items()})


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(
        epilog="Examples:\n\n"
        "segue rows shop/ --out var/rows\n\n"
        "segue rows shop/ --out var/rows --moments var/moments.parquet --products --processes 2"
    )(rows)
