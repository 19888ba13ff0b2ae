"""A catalogue with what the shop said of its products since: rows changed, rows behind, columns that are new."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue, Column, Flag, Number, Tags, Text, Time
from features.contract import OUT_OF_STOCK, PRODUCTS, Form
from features.store.base import Json
from features.vocabulary import Vocabulary

Codes = NDArray[np.int32]

#: Columns that live products may add to those of the bundle; what further ones say waits for training.
NEW_COLUMNS = 200

_NULL_TIME = np.iinfo(np.int64).min
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMS = {column.name: column.form for column in PRODUCTS.columns}


def laid_over(
    base: Catalogue, ids: Vocabulary, changes: Mapping[str, Json | None]
) -> tuple[Catalogue, dict[str, Codes]]:
    """The catalogue of ``ids``, which begin with those of ``base``, after the changes, and what they rewrote.

    A change holds the whole of what is known of a product: columns that it does not name become null. Without
    attributes the product has left the shop: it keeps its description, for those who know it, and is out of stock. So
    is a product that nobody put, unless the base has no columns: then products are whatever events name. A column of
    the base keeps its type, a new one has that of the contract or of its first value; a value that does not fit is
    null, but for integers in a text column, which are ids.

    Args:
        base: the catalogue of a bundle.
        ids: the products now.
        changes: product id -> JSON-ready attributes as in the dataset contract; None: it left.

    Returns:
        The catalogue; and column -> codes of the products for which a text or list is another than in ``base``.
    """
    put = {identifier: attributes for identifier, attributes in changes.items() if attributes is not None}
    rows, n = ids.codes(put), len(ids)
    columns: dict[str, Column] = {}
    rewritten: dict[str, Codes] = {}
    for name, before in _columns_of(base, put).items():
        told = [attributes.get(name) for attributes in put.values()]
        columns[name] = after = _changed(before, n, rows, told)
        if isinstance(after, Text | Tags):
            rewritten[name] = rows[_differs(before, after, rows)]
    left = [identifier for identifier, attributes in changes.items() if attributes is None]
    # Where the shop keeps a catalogue, what only some event names is not for sale: anybody can name anything.
    unheard = [one for one in ids[len(base) :] if one not in changes] if base.columns else []
    gone = ids.codes([*left, *unheard])
    if len(gone):
        stock = columns.get("availability", _empty(Form.TEXT))
        columns["availability"] = _changed(stock, n, gone, [OUT_OF_STOCK] * len(gone))
    return Catalogue(ids, columns), rewritten


def _differs(before: Column, after: Text | Tags, rows: Codes) -> NDArray[np.bool_]:
    """In which rows a column says something else, bool[rows]."""
    return np.array([_values(before, row) != _values(after, row) for row in rows.tolist()], dtype=np.bool_)


def _values(column: Column, row: int) -> list[str]:
    match column:
        case Text(codes, values) if row < len(codes) and (code := int(codes[row])) >= 0:
            return [values[code]]
        case Tags(indptr, codes, values) if row < len(indptr) - 1:
            return [values[tag] for tag in codes[indptr[row] : indptr[row + 1]].tolist()]
        case _:
            return []


def _columns_of(base: Catalogue, put: Mapping[str, Json]) -> dict[str, Column]:
    """Every column there is or will be, in the order of their first mention, with an empty one of its type."""
    columns = dict(base.columns)
    most = len(columns) + NEW_COLUMNS
    for attributes in put.values():
        for name, value in attributes.items():
            if name not in columns and name != "product_id" and value is not None and len(columns) < most:
                columns[name] = _empty(_FORMS.get(name) or _form_of(value))
    return columns


def _form_of(value: Any) -> Form:
    match value:
        case bool():
            return Form.FLAG
        case int() | float():
            return Form.NUMBER
        case list() | tuple():
            return Form.TAGS
        case _:
            return Form.TEXT


def _empty(form: Form) -> Column:
    match form:
        case Form.ID | Form.TEXT:
            return Text(np.zeros(0, dtype=np.int32), Vocabulary())
        case Form.NUMBER:
            return Number(np.zeros(0))
        case Form.TIME:
            return Time(np.zeros(0, dtype=np.int64))
        case Form.FLAG:
            return Flag(np.zeros(0, dtype=np.int8))
        case Form.TAGS:
            return Tags(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32), Vocabulary())


def _changed(column: Column, n: int, rows: Codes, told: Sequence[Any]) -> Column:
    """A column of n rows, null behind its own, with other values in some rows."""
    match column:
        case Text(codes, values):
            texts = [_text(value) for value in told]
            merged, own = values.merged(text for text in texts if text is not None)
            kept = np.append(own, np.int32(-1))[codes]
            return Text(_put(kept, n, rows, _codes(merged, texts), np.int32(-1)), merged)
        case Number(numbers):
            return Number(_put(numbers, n, rows, [_number(value) for value in told], np.nan))
        case Flag(flags):
            chosen = [int(value) if isinstance(value, bool) else -1 for value in told]
            return Flag(_put(flags, n, rows, chosen, np.int8(-1)))
        case Time(times):
            return Time(_put(times, n, rows, [_moment(value) for value in told], np.int64(_NULL_TIME)))
        case Tags():
            return _retagged(column, n, rows, [_tags(value) for value in told])


def _put(values: NDArray[Any], n: int, rows: Codes, told: Sequence[Any] | NDArray[Any], null: Any) -> NDArray[Any]:
    longer = np.full(n, null, dtype=values.dtype)
    longer[: len(values)] = values
    if len(rows):
        longer[rows] = told
    return longer


def _retagged(column: Tags, n: int, rows: Codes, told: Sequence[list[str]]) -> Tags:
    values, own = column.values.merged(tag for tags in told for tag in tags)
    more = values.found(tag for tags in told for tag in tags)
    lengths, starts = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    before = len(column.indptr) - 1
    lengths[:before], starts[:before] = np.diff(column.indptr), column.indptr[:-1]
    sizes = np.array([len(tags) for tags in told], dtype=np.int64)
    lengths[rows] = sizes
    starts[rows] = len(column.codes) + np.cumsum(sizes) - sizes
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    entries = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths)
    return Tags(indptr, np.concatenate([own[column.codes], more])[entries], values)


def _codes(values: Vocabulary, texts: Sequence[str | None]) -> Codes:
    codes = np.full(len(texts), -1, dtype=np.int32)
    known = np.array([text is not None for text in texts], dtype=np.bool_)
    codes[known] = values.found(text for text in texts if text is not None)
    return codes


def _text(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    number = float(value)
    return number if math.isfinite(number) else math.nan


def _tags(value: Any) -> list[str]:
    return [tag for tag in value if isinstance(tag, str)] if isinstance(value, list | tuple) else []


def _moment(value: Any) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return _NULL_TIME
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
