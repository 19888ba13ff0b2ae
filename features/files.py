"""The files of a dataset folder, read as they are: Arrow tables, and where in which file each row stands."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

BLOCK = 1 << 24  # bytes parsed at a time: a row of a CSV file must fit in
BOM = b"\xef\xbb\xbf"


class DatasetError(Exception):
    """A table that cannot be used. The message is one line and names the file and the cure."""


@dataclass(frozen=True)
class Stray:
    """A piece of a file that is no row: a line that is not JSON, a CSV row with too few or too many fields."""

    row: int
    reason: str
    text: str


@dataclass(frozen=True)
class Part:
    """One file of a table.

    Attributes:
        name: path below the dataset folder.
        table: its rows; CSV cells are strings, empty ones null.
        lines: int64[rows], the number of the line each row starts at, from 1; for Parquet the number of the row.
        strays: what is no row.
        typed: whether the types of the columns mean something (not in CSV).
    """

    name: str
    table: pa.Table
    lines: NDArray[np.int64]
    strays: tuple[Stray, ...] = ()
    typed: bool = True


def table_files(folder: Path, name: str) -> list[Path]:
    """The files that hold one table, in the order of their names; none if the table is absent.

    A folder of parts may have the suffix too, as Spark writes it. Hidden parts (``.`` or ``_`` first) are passed over.

    Raises:
        DatasetError: two forms of one name, or a folder without a Parquet part.
    """
    forms = [folder / f"{name}{suffix}" for suffix in (".parquet", ".csv", ".jsonl")] + [folder / name]
    found = [form for form in forms if form.exists()]
    if len(found) > 1:
        names = " and ".join(form.name + ("/" if form.is_dir() else "") for form in found)
        raise DatasetError(f"{names} are two forms of one table; keep one")
    if not found or not found[0].is_dir():
        return found
    parts = sorted(
        path for path in found[0].rglob("*.parquet") if path.is_file() and not path.name.startswith((".", "_"))
    )
    if not parts:
        raise DatasetError(f"{found[0].name}/ holds no Parquet part; put *.parquet files in it or remove it")
    return parts


def read_part(path: Path, folder: Path) -> Part:
    """Read one file.

    Raises:
        DatasetError: it cannot be read.
    """
    name = path.relative_to(folder).as_posix()
    try:
        match path.suffix:
            case ".csv":
                return _read_csv(path, name)
            case ".jsonl":
                return _read_jsonl(path, name)
            case _:
                # The file alone: pyarrow would otherwise read a path such as a=1/part.parquet as a partition.
                table = pa.parquet.ParquetFile(path).read()
                return Part(name, table, np.arange(1, table.num_rows + 1))
    except pa.ArrowException as error:
        raise DatasetError(f"{name} cannot be read ({_one_line(error)}); write it anew") from error
    except OSError as error:
        raise DatasetError(f"{name} cannot be read ({error.strerror or _one_line(error)}); check the file") from error


def fingerprint(paths: list[Path], folder: Path) -> str:
    """SHA-256 of the names and contents of files, as hexadecimal digits."""
    total = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            total.update(
                f"{path.relative_to(folder).as_posix()}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode()
            )
    return total.hexdigest()


def stacked(parts: list[Part]) -> pa.Table:
    """The rows of all parts under each other; a column whose types do not fit together becomes text."""
    tables = [part.table for part in parts]
    if len(tables) == 1:
        return tables[0]
    names = list(dict.fromkeys(name for table in tables for name in table.column_names))
    return pa.table({name: _stacked_column([_cells(table, name) for table in tables]) for name in names})


def _cells(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows)])
    cells = table.column(name)
    return cells.cast(cells.type.value_type) if pa.types.is_dictionary(cells.type) else cells


def _stacked_column(cells: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    tables = [pa.table({"cells": part}) for part in cells]
    try:
        return pa.concat_tables(tables, promote_options="permissive").column("cells")
    except pa.ArrowException:
        return pa.chunked_array([chunk for part in cells for chunk in as_text(part).chunks], type=pa.large_string())


def as_text(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Any cells as large_string: numbers and UUIDs as they are written, lists and objects as JSON."""
    if not isinstance(cells.type, pa.BaseExtensionType):  # their cast would take the bytes for text
        try:
            return cells.cast(pa.large_string())
        except pa.ArrowException:  # no cast, or bytes that are no text
            pass
    return pa.chunked_array([pa.array([text_of(value) for value in cells.to_pylist()], pa.large_string())])


def text_of(value: Any) -> str | None:
    """One value as text."""
    if value is None or isinstance(value, str):
        return value
    written = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return str(orjson.loads(written)) if written.startswith('"') else written


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _read_csv(path: Path, name: str) -> Part:
    csv.field_size_limit(BLOCK)  # the reader's own limit is 128 KiB
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header, first = next(reader, None), next(reader, None)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{name} is not UTF-8; save it as UTF-8") from error
    except csv.Error as error:
        raise DatasetError(f"{name} is no CSV file ({error}); write it anew") from error
    if not header:
        raise DatasetError(f"{name} has no header; write the names of the columns in its first line")
    if len(set(header)) < len(header):
        twice = next(column for column in header if header.count(column) > 1)
        raise DatasetError(f"{name} has two columns {twice!r}; rename one")
    if first is None:  # pyarrow wants at least a line break
        empty = {column: pa.array([], pa.large_string()) for column in header}
        return Part(name, pa.table(empty), np.array([], dtype=np.int64), typed=False)
    ragged: list[str] = []

    def skip(row: Any) -> str:
        ragged.append(row.text)
        return "skip"

    table = pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(block_size=BLOCK),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.large_string()), strings_can_be_null=True, null_values=[""]
        ),
    )
    lines, strays = _csv_lines(path, name, len(header), table.num_rows, bool(ragged))
    return Part(name, table, lines, tuple(strays), typed=False)


def _csv_lines(path: Path, name: str, width: int, rows: int, ragged: bool) -> tuple[NDArray[np.int64], list[Stray]]:
    """Where each row starts. Only a file with blank lines, line breaks in cells or ragged rows is read again for it."""
    if not ragged and _line_count(path) == rows + 1:
        return np.arange(2, rows + 2), []
    _check_quotes(path, name)
    lines, strays, start = [], [], 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        for number, record in enumerate(reader):
            if number and len(record) == width:
                lines.append(start)
            elif number and record:
                strays.append(Stray(start, f"{len(record)} fields, not {width}", ",".join(record)))
            start = reader.line_num + 1
    return np.array(lines, dtype=np.int64), strays


def _check_quotes(path: Path, name: str) -> None:
    """A quote that is never closed would make the rest of the file one cell."""
    start = 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            for _ in reader:
                start = reader.line_num + 1
        except csv.Error as error:
            # Quotes inside a cell are no fault; only the end of the file tells of one left open.
            if "unexpected end of data" in str(error):
                raise DatasetError(f"{name} opens a quote in line {start} and never closes it; close it") from error


def _line_count(path: Path) -> int:
    count, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def _read_jsonl(path: Path, name: str) -> Part:
    records: list[dict[str, Any]] = []
    lines: list[int] = []
    strays: list[Stray] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = (line.removeprefix(BOM) if number == 1 else line).strip()
            if not text:
                continue
            try:
                record = orjson.loads(text)
            except orjson.JSONDecodeError:
                strays.append(Stray(number, "not JSON", text.decode(errors="replace")))
                continue
            if isinstance(record, dict):
                records.append(record)
                lines.append(number)
            else:
                strays.append(Stray(number, "not a JSON object", text.decode(errors="replace")))
    names = dict.fromkeys(key for record in records for key in record)
    columns = {key: _json_column([record.get(key) for record in records]) for key in names}
    table = pa.table(columns) if columns else pa.table({"": pa.nulls(len(records))}).select([])
    return Part(name, table, np.array(lines, dtype=np.int64), tuple(strays))


def _json_column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):  # cells of different types: each cell is judged by what it says
        return pa.array([text_of(value) for value in values], pa.large_string())
