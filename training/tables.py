"""A table into a file whose suffix says its format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".parquet", ".csv", ".jsonl")


def write_table(table: pd.DataFrame, file: Path) -> None:
    """Write beside the place and then move there, so that a reader never sees half a table.

    Raises:
        ValueError: the suffix is none of `FORMATS`.
        OSError: the place cannot be written to.
    """
    if file.suffix not in FORMATS:
        raise ValueError(f"{file}: the name must end in one of {', '.join(FORMATS)}")
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.unfinished")
    match file.suffix:
        case ".parquet":
            table.to_parquet(unfinished, index=False)
        case ".csv":
            table.to_csv(unfinished, index=False)
        case _:
            table.to_json(unfinished, orient="records", lines=True, force_ascii=False, double_precision=15)
    unfinished.replace(file)
