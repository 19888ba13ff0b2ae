"""Reading a dataset folder: tables cleaned to the contract, bad rows set aside, faults told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from features.columns import Cleaned, clean, infer
from features.contract import EVENTS, PERSON_COLUMNS, TABLES, Column, Form, Table
from features.files import DatasetError, Part, fingerprint, read_part, stacked, table_files, text_of

__all__ = ["Dataset", "DatasetError", "TableReport", "read_dataset"]

REJECTED_COLUMNS = ["file", "row", "column", "reason", "original"]


@dataclass(frozen=True)
class TableReport:
    """What reading one table found.

    Attributes:
        files: the files read, as paths below the dataset folder.
        read: rows and pieces of rows in them.
        rows: rows kept.
        duplicates: rows of products and customers that a later row of the same id replaced.
        rejected: the bad rows: file, row (line number in CSV and JSON lines, row number from 1 in Parquet), column
            (empty where the whole row is at fault), reason, original (JSON of the row, or the line as it stood).
        ignored: columns that were not read: unknown ones of events, messages and opens; attributes of no known type.
    """

    files: tuple[str, ...]
    read: int
    rows: int
    duplicates: int
    rejected: pd.DataFrame
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """The tables of a shop, None where a table is absent.

    Every table has all columns of the contract with the dtypes of `features.contract.Form`, but for optional columns
    of products and customers, which are there only if the files have them (an absent `consents` means something else
    than a null one); after them their attributes. Defaults are filled in: known_at (never before the time itself),
    decided_at, quantity 1 (but null on a refund: all of it), propensity 1.

    ``fingerprint``: SHA-256 of the files read, hexadecimal.
    """

    events: pd.DataFrame | None
    products: pd.DataFrame | None
    customers: pd.DataFrame | None
    messages: pd.DataFrame | None
    opens: pd.DataFrame | None
    report: dict[str, TableReport]
    fingerprint: str


def read_dataset(path: Path, *, now: datetime, rejected: Path | None = None) -> Dataset:
    """Read the tables of the folder ``path``.

    Args:
        path: the dataset folder.
        now: with a time zone; times after it lie in the future and make a row bad.
        rejected: folder that gets a ``TABLE.csv`` for each table with bad rows (`REJECTED_COLUMNS`); None: not written.

    Raises:
        DatasetError: a table is at fault, there is none, or ``rejected`` lies inside ``path``.
        ValueError: ``now`` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now needs a time zone")
    if not path.is_dir():
        raise DatasetError(f"{path} is not a folder; name the folder that holds the tables")
    if rejected is not None and rejected.resolve().is_relative_to(path.resolve()):
        raise DatasetError(f"{rejected} lies inside the dataset {path}; set rejected rows aside elsewhere")
    files = {table.name: table_files(path, table.name) for table in TABLES}
    if not any(files.values()):
        names = ", ".join(files)
        raise DatasetError(
            f"{path} holds no table; put one of {names} there as .parquet, .csv, .jsonl or a folder of Parquet parts"
        )
    tables: dict[str, pd.DataFrame] = {}
    report: dict[str, TableReport] = {}
    for table in TABLES:
        if files[table.name]:
            parts = [read_part(file, path) for file in files[table.name]]
            tables[table.name], report[table.name] = _read_table(table, parts, pd.Timestamp(now))
    if rejected is not None:
        _write_rejected(report, rejected)
    return Dataset(
        **{table.name: tables.get(table.name) for table in TABLES},
        report=report,
        fingerprint=fingerprint([file for found in files.values() for file in found], path),
    )


@dataclass
class _Faults:
    """The first fault of each row."""

    n: int
    column: NDArray[np.object_] = field(init=False)
    reason: NDArray[np.object_] = field(init=False)

    def __post_init__(self) -> None:
        self.column = np.full(self.n, "", dtype=object)
        self.reason = np.full(self.n, None, dtype=object)

    @property
    def rows(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = pd.notna(self.reason)
        return found

    def add(self, bad: NDArray[np.bool_], column: str, reason: str) -> None:
        if bad.any():
            fresh = bad & ~self.rows
            self.column[fresh] = column
            self.reason[fresh] = reason


def _read_table(table: Table, parts: list[Part], now: pd.Timestamp) -> tuple[pd.DataFrame, TableReport]:
    for part in parts:
        _check_columns(table, part)
    raw = stacked(parts)
    faults = _Faults(raw.num_rows)
    columns: dict[str, pd.Series[Any]] = {}
    for column in table.columns:
        if column.name in raw.column_names or not table.attributes:
            columns[column.name] = _known_column(raw, column, now, faults)
    ignored = []
    for name in raw.column_names:
        if name in columns:
            continue
        form = infer(raw.column(name), typed=all(part.typed for part in parts)) if table.attributes else None
        if form is None:
            ignored.append(name)
        else:
            columns[name] = clean(raw.column(name), form).values
    frame = pd.DataFrame(columns, index=pd.RangeIndex(raw.num_rows))
    if table is EVENTS:
        faults.add(
            frame[list(PERSON_COLUMNS)].isna().all(axis=1).to_numpy(),
            "customer_id",
            "names nobody: no customer, visitor, session or order",
        )
    bad = faults.rows
    kept = frame[~bad] if bad.any() else frame
    if table.key is not None:
        kept = kept.drop_duplicates(table.key, keep="last")
    report = TableReport(
        files=tuple(part.name for part in parts),
        read=raw.num_rows + sum(len(part.strays) for part in parts),
        rows=len(kept),
        duplicates=int((~bad).sum()) - len(kept),
        rejected=_rejected_rows(parts, raw, faults),
        ignored=tuple(ignored),
    )
    return _with_defaults(table, kept.reset_index(drop=True)), report


def _check_columns(table: Table, part: Part) -> None:
    if part.table.num_rows == 0 and not part.table.column_names:
        return  # JSON lines without a line: there is nothing to have columns
    missing = [
        column.name for column in table.columns if column.required and column.name not in part.table.column_names
    ]
    if missing:
        names = ", ".join(missing)
        raise DatasetError(f"{part.name} has no column {names}; add it or rename the column that holds it")


def _known_column(raw: pa.Table, column: Column, now: pd.Timestamp, faults: _Faults) -> pd.Series[Any]:
    absent = column.name not in raw.column_names
    cells = pa.chunked_array([pa.nulls(raw.num_rows)]) if absent else raw.column(column.name)
    cleaned = clean(cells, column.form)
    faults.add(cleaned.bad, column.name, cleaned.reason)
    for bad, reason in _checks(column, cleaned, now):
        faults.add(bad, column.name, reason)
    return cleaned.values


def _checks(column: Column, cleaned: Cleaned, now: pd.Timestamp) -> Iterator[tuple[NDArray[np.bool_], str]]:
    values = cleaned.values
    if column.required:
        yield values.isna().to_numpy(), "null id" if column.form is Form.ID else "missing"
    if column.past:
        yield (values > now).to_numpy(), "in the future"
    if column.low is not None:
        low = values <= column.low if column.above_low else values < column.low
        yield low.to_numpy(), f"not above {column.low:g}" if column.above_low else "negative"
    if column.high is not None:
        yield (values > column.high).to_numpy(), f"above {column.high:g}"
    if column.values:
        yield (values.notna() & ~values.isin(column.values)).to_numpy(), f"none of {', '.join(column.values)}"
    if column.name == "timezone":
        yield (values.notna() & ~values.isin(available_timezones())).to_numpy(), "not an IANA time zone"


def _with_defaults(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    match table.name:
        case "events":
            known = frame["known_at"].fillna(frame["timestamp"])
            refund = frame["event"] == "refund"
            return frame.assign(
                known_at=known.where(known >= frame["timestamp"], frame["timestamp"]),
                quantity=frame["quantity"].where(frame["quantity"].notna() | refund, 1.0),
            )
        case "messages":
            sent = frame["sent_at"]
            return frame.assign(
                decided_at=frame["decided_at"].fillna(sent),
                known_at=frame["known_at"].fillna(sent),
                propensity=frame["propensity"].fillna(1.0),
                send_at_propensity=frame["send_at_propensity"].fillna(1.0),
            )
        case _:
            return frame


def _rejected_rows(parts: list[Part], raw: pa.Table, faults: _Faults) -> pd.DataFrame:
    rows = np.flatnonzero(faults.rows)
    starts = np.cumsum([0, *(part.table.num_rows for part in parts)])
    part_of = np.searchsorted(starts, rows, side="right") - 1
    lines = np.concatenate([part.lines for part in parts])
    originals = [
        text_of({name: value for name, value in row.items() if value is not None}) for row in raw.take(rows).to_pylist()
    ]
    found = pd.DataFrame(
        {
            "file": [parts[place].name for place in part_of],
            "row": lines[rows],
            "column": faults.column[rows],
            "reason": faults.reason[rows],
            "original": [text_of(row) for row in originals],
        },
        columns=REJECTED_COLUMNS,
    )
    strays = pd.DataFrame(
        [(part.name, stray.row, "", stray.reason, stray.text) for part in parts for stray in part.strays],
        columns=REJECTED_COLUMNS,
    )
    both = pd.concat([frame for frame in (found, strays) if len(frame)]) if len(found) or len(strays) else found
    return both.sort_values(["file", "row"], kind="stable", ignore_index=True)


def _write_rejected(report: dict[str, TableReport], folder: Path) -> None:
    """One file a table with bad rows; what an earlier run left for the other tables goes."""
    for table in TABLES:
        target = folder / f"{table.name}.csv"
        bad = report[table.name].rejected if table.name in report else None
        if bad is None or bad.empty:
            target.unlink(missing_ok=True)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            bad.to_csv(target, index=False)
