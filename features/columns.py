"""Cells of any type to a column of the contract, and which of them cannot be taken so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.contract import Form
from features.files import as_text, text_of

EXACT = 2**53  # beyond it a float does not hold every integer

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cleaned:
    """A column with its canonical dtype (see `Form`), null where the cell could not be taken.

    ``bad``: bool[n], those cells; ``reason`` says what is wrong with them.
    """

    values: pd.Series[Any]
    bad: Mask
    reason: str


def clean(cells: pa.ChunkedArray, form: Form) -> Cleaned:
    """Take the cells of one column as ``form``."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if isinstance(cells.type, pa.BaseExtensionType):  # such as UUID
        cells = as_text(cells)
    match form:
        case Form.ID:
            return _ids(cells)
        case Form.TEXT:
            return _text(cells)
        case Form.NUMBER:
            return _numbers(cells)
        case Form.TIME:
            return _times(cells)
        case Form.FLAG:
            return _flags(cells)
        case Form.TAGS:
            return _tags(cells)


def infer(cells: pa.ChunkedArray, *, typed: bool) -> Form | None:
    """What an attribute holds: by its type, or for CSV by all of its cells; None for what no attribute can hold.

    In CSV a column is boolean if every cell is true or false, a number if every cell is one (numerals with a leading
    zero or more than fifteen digits are codes, not numbers), a list if every cell is a JSON array, else text.
    """
    kind = cells.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if typed or not _is_text(kind):
        return _form_of(kind)
    known = cells.drop_null()
    if len(known) == 0:
        return Form.TEXT
    if pc.all(pc.match_substring_regex(known, r"^(?i:true|false)$")).as_py():
        return Form.FLAG
    if pc.all(pc.match_substring_regex(known, r"^-?(0|[1-9]\d{0,14})?(\.\d+)?([eE][-+]?\d{1,3})?$")).as_py():
        return Form.TEXT if _numbers(known).bad.any() else Form.NUMBER
    if pc.all(pc.starts_with(known, "[")).as_py() and not _tags(known).bad.any():
        return Form.TAGS
    return Form.TEXT


def _form_of(kind: pa.DataType) -> Form | None:
    if _is_text(kind) or pa.types.is_null(kind):
        return Form.TEXT
    if pa.types.is_boolean(kind):
        return Form.FLAG
    if _is_number(kind):
        return Form.NUMBER
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Form.TIME
    if _is_list(kind) and not pa.types.is_nested(kind.value_type):
        return Form.TAGS
    return None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _mask(cells: pa.ChunkedArray) -> Mask:
    return np.asarray(cells.fill_null(False).to_numpy(), dtype=bool)


def _present(cells: pa.ChunkedArray) -> Mask:
    return np.asarray(cells.is_valid().to_numpy(), dtype=bool)


def _none(cells: pa.ChunkedArray) -> Mask:
    return np.zeros(len(cells), dtype=bool)


def _strings(cells: pa.ChunkedArray) -> pd.Series[Any]:
    """Text cells as a str column; an empty text is null."""
    text = cells.cast(pa.large_string())
    return pd.Series(pc.if_else(pc.equal(text, ""), None, text).to_pandas(), dtype="str")


def _text(cells: pa.ChunkedArray) -> Cleaned:
    if pa.types.is_nested(cells.type):
        return Cleaned(_strings(_nulls(cells)), _present(cells), "not a text")
    try:
        return Cleaned(_strings(cells), _none(cells), "")
    except pa.ArrowInvalid:  # bytes that are not UTF-8
        return Cleaned(_strings(_nulls(cells)), _present(cells), "not a text")


def _nulls(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(len(cells), pa.large_string())])


def _ids(cells: pa.ChunkedArray) -> Cleaned:
    if not pa.types.is_floating(cells.type):
        cleaned = _text(cells)
        return Cleaned(cleaned.values, cleaned.bad, "not an id")
    numbers = np.asarray(cells.cast(pa.float64()).to_numpy(), dtype=np.float64)
    whole = np.isfinite(numbers) & (np.abs(numbers) < EXACT) & (numbers == np.floor(numbers))
    integers = pa.array(np.where(whole, numbers, 0).astype(np.int64), mask=~whole)
    reason = "a number with decimals or more than fifteen digits is no id; write it as text"
    return Cleaned(_strings(pa.chunked_array([integers.cast(pa.large_string())])), ~whole & ~np.isnan(numbers), reason)


def _numbers(cells: pa.ChunkedArray) -> Cleaned:
    reason = "not a number"
    if _is_number(cells.type) or pa.types.is_null(cells.type):
        numbers = np.array(cells.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
        bad = np.isinf(numbers)
    elif _is_text(cells.type):
        text = _strings(cells)
        try:
            numbers = np.array(cells.cast(pa.float64()).to_numpy(), dtype=np.float64)
        except pa.ArrowInvalid:  # says that a cell is no number, not which one
            numbers = np.array(pd.to_numeric(text, errors="coerce"), dtype=np.float64)
        bad = ~np.isfinite(numbers) & text.notna().to_numpy()
    else:
        numbers, bad = np.full(len(cells), np.nan), _present(cells)
    numbers[bad] = np.nan
    return Cleaned(pd.Series(numbers), bad, reason)


def _times(cells: pa.ChunkedArray) -> Cleaned:
    kind = cells.type
    if _is_text(kind):
        # A bare numeral is an epoch or a mistake, and words such as "now" would be read as the time of reading.
        shaped = _mask(pc.match_substring_regex(cells, r"^\d{4}-\d|^\d{8}T"))
        text = _strings(pc.replace_substring_regex(cells, r" ?UTC$", "Z"))  # as BigQuery writes it
        times = pd.DatetimeIndex(pd.to_datetime(text.where(shaped), format="ISO8601", utc=True, errors="coerce"))
        return Cleaned(
            times.as_unit("us").to_series(index=text.index),
            times.isna() & text.notna().to_numpy(),
            "not an ISO 8601 time",
        )
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_null(kind):
        moments = cells.cast(pa.timestamp("us", kind.tz if pa.types.is_timestamp(kind) else None), safe=False)
        micros = np.asarray(moments.cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy())
        return Cleaned(pd.Series(micros.view("datetime64[us]")).dt.tz_localize("UTC"), _none(cells), "")
    nothing = pd.Series(np.full(len(cells), "NaT", dtype="datetime64[us]")).dt.tz_localize("UTC")
    reason = "a number is no time; write it as ISO 8601" if _is_number(kind) else "not an ISO 8601 time"
    return Cleaned(nothing, _given(cells), reason)


def _given(cells: pa.ChunkedArray) -> Mask:
    """Cells that hold something; a float that is not a number is how many writers say null."""
    given = _present(cells)
    return given & ~_mask(pc.is_nan(cells.cast(pa.float64()))) if pa.types.is_floating(cells.type) else given


def _flags(cells: pa.ChunkedArray) -> Cleaned:
    if pa.types.is_boolean(cells.type):
        return Cleaned(cells.to_pandas().astype("boolean"), _none(cells), "")
    words = as_text(cells).to_pandas().astype("str").str.lower()
    flags = words.map({"true": True, "false": False, "1": True, "0": False}).astype("boolean")
    return Cleaned(flags, _given(cells) & flags.isna().to_numpy(), "neither true nor false")


def _tags(cells: pa.ChunkedArray) -> Cleaned:
    reason = "not a list of texts"
    if _is_list(cells.type):
        return Cleaned(_objects(_list_of_texts(row) for row in cells.to_pylist()), _none(cells), reason)
    if not _is_text(cells.type):
        return Cleaned(_objects(None for _ in range(len(cells))), _present(cells), reason)
    places, distinct = pd.factorize(_strings(cells))
    parsed = [*map(_parsed_list, distinct), None]  # the last one is for nulls, whose place is -1
    bad = np.array([row is None for row in parsed[:-1]] + [False])[places]
    return Cleaned(_objects(parsed[place] for place in places), bad, "not a JSON array of texts")


def _parsed_list(text: str) -> list[str] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, list) or any(isinstance(entry, list | dict) for entry in value):
        return None
    return _list_of_texts(value)


def _list_of_texts(row: list[Any] | None) -> list[str] | None:
    if row is None:
        return None
    return [text for entry in row if (text := text_of(entry)) is not None]


def _objects(rows: Iterable[list[str] | None]) -> pd.Series[Any]:
    held = list(rows)
    column = np.empty(len(held), dtype=object)
    column[:] = held
    return pd.Series(column)
