"""The products of a shop as columns, ready for filters, features and answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.vocabulary import Vocabulary

#: Columns every catalogue has a meaning for; all others are attributes.
CATEGORY_SEPARATOR = " > "


@dataclass(frozen=True)
class Text:
    """One string a product. codes: int32[n], place in ``values``, -1 for null."""

    codes: NDArray[np.int32]
    values: Vocabulary


@dataclass(frozen=True)
class Number:
    """One number a product. values: float64[n], NaN for null."""

    values: NDArray[np.float64]


@dataclass(frozen=True)
class Flag:
    """One boolean a product. values: int8[n], 1 true, 0 false, -1 null."""

    values: NDArray[np.int8]


@dataclass(frozen=True)
class Time:
    """One moment a product. values: int64[n], microseconds since 1970 UTC, `numpy.iinfo(int64).min` for null."""

    values: NDArray[np.int64]


@dataclass(frozen=True)
class Tags:
    """A list of strings a product: those of product p are codes[indptr[p]:indptr[p + 1]] in ``values``.

    indptr: int64[n + 1]; codes: int32; a null list is an empty one.
    """

    indptr: NDArray[np.int64]
    codes: NDArray[np.int32]
    values: Vocabulary


Column = Text | Number | Flag | Time | Tags


@dataclass(frozen=True)
class Catalogue:
    """Products and what is known of them. Row p of every column is product ``ids[p]``.

    A product seen only in events is a row of nulls; a column the shop never gave is absent.
    """

    ids: Vocabulary
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.ids)

    def text(self, name: str) -> Text:
        """The text column ``name``; all null if absent or of another type."""
        column = self.columns.get(name)
        if isinstance(column, Text):
            return column
        return Text(np.full(len(self), -1, dtype=np.int32), Vocabulary())

    def number(self, name: str) -> NDArray[np.float64]:
        """The number column ``name``, float64[n]; all NaN if absent or of another type."""
        column = self.columns.get(name)
        return column.values if isinstance(column, Number) else np.full(len(self), np.nan)

    @cached_property
    def filterable(self) -> dict[str, Column]:
        """What a filter may name: every column, and product_id."""
        ids, places = self.ids.in_order()
        return {**self.columns, "product_id": Text(places, ids)}

    @cached_property
    def _in_stock(self) -> NDArray[np.bool_]:
        stock = self.text("availability")
        out = stock.values.code("out_of_stock")
        return stock.codes != out if out >= 0 else np.ones(len(self), dtype=np.bool_)

    def available(self, at: int) -> NDArray[np.bool_]:
        """bool[n]: what may be shown at a moment (µs UTC): not out of stock, and not waiting for its first day."""
        start = self.columns.get("available_from")
        return self._in_stock & (start.values <= at) if isinstance(start, Time) else self._in_stock

    def in_category(self, category: str) -> NDArray[np.bool_]:
        """bool[n]: products of a category or of one below it."""
        column = self.text("category")
        below = category + CATEGORY_SEPARATOR
        inside = np.array([name == category or name.startswith(below) for name in column.values] + [False])
        return inside[column.codes]

    @cached_property
    def asked_price(self) -> NDArray[np.float64]:
        """float64[n]: what a shopper pays now: the sale price where there is one, else the price; NaN if unknown."""
        sale, price = self.number("sale_price"), self.number("price")
        return np.where(np.isnan(sale), price, sale)

    def product(self, code: int, names: Iterable[str] | None = None) -> dict[str, Any]:
        """What is known of one product, nulls left out, as JSON-ready values (times in RFC 3339).

        ``names``: the columns wanted, those there are of them; all by default.
        """
        found: dict[str, Any] = {"product_id": self.ids[code]}
        for name in self.columns if names is None else names:
            match self.columns.get(name):
                case Text(codes, values) if codes[code] >= 0:
                    found[name] = values[int(codes[code])]
                case Number(numbers) if not np.isnan(numbers[code]):
                    found[name] = float(numbers[code])
                case Flag(flags) if flags[code] >= 0:
                    found[name] = bool(flags[code])
                case Time(times) if times[code] != np.iinfo(np.int64).min:
                    found[name] = datetime.fromtimestamp(int(times[code]) / 1e6, UTC).isoformat().replace("+00:00", "Z")
                case Tags(indptr, tags, values) if indptr[code] < indptr[code + 1]:
                    found[name] = [values[int(tag)] for tag in tags[indptr[code] : indptr[code + 1]]]
                case _:
                    pass
        return found
