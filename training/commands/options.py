"""Arguments and options that several commands share, each defined once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from training.tables import FORMATS


def writable_format(file: Path) -> Path:
    """Wrong usage, told before any work is done, where the suffix names no format."""
    if file.suffix not in FORMATS:
        raise typer.BadParameter(f"the name must end in one of {', '.join(FORMATS)}")
    return file


def moment(text: str) -> int:
    """A date or time (ISO 8601; UTC where it names no zone) as microseconds since 1970 UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text} is no date; write 2026-03-01 or 2026-03-01T12:00:00Z") from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


Data = Annotated[
    Path, typer.Argument(help="Folder with the tables of a shop: events, products, customers …", metavar="DATA")
]
Json = Annotated[
    bool, typer.Option("--json", help="Standard output is one JSON object; progress goes to standard error.")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random: the same seed gives the same result.")]
Config = Annotated[
    Path | None, typer.Option(help="TOML file with settings that differ from the defaults.", metavar="FILE")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, dotted, with a TOML value. May be repeated.", metavar="KEY=VALUE"),
]
Rejected = Annotated[
    Path | None,
    typer.Option(help="Folder for rows that break the contract; by default in SEGUE_HOME.", metavar="DIR"),
]
Out = Annotated[
    Path,
    typer.Option(help="File to write; its suffix says the format: .parquet, .csv or .jsonl.", callback=writable_format),
]
