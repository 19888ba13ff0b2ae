"""Which rows of a table a filter keeps: SQL boolean expressions, honoured or refused, never dropped.

The language is described, with examples, in docs/filters.md. There are two truth values: a term about a null is false,
whatever the term says, and ``not`` before it turns that into true. The one exception is ``is null``. A null list cannot
be told from an empty one, so ``'x' not in tags`` holds for both.
"""

from __future__ import annotations

import operator
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import catalogue, filter_syntax
from features.catalogue import CATEGORY_SEPARATOR, Flag, Number, Tags, Text, Time
from features.filter_syntax import (
    Absence,
    And,
    Between,
    Column,
    Comparison,
    Constant,
    Containment,
    Expression,
    FilterError,
    Likeness,
    Membership,
    Not,
    Operator,
    Or,
    Truth,
    Value,
    abridged,
)

__all__ = ["FilterError", "evaluate"]

Mask = NDArray[np.bool_]


def evaluate(
    text: str,
    columns: Mapping[str, catalogue.Column],
    n: int,
    *,
    category_column: str | None = "category",
    checked: bool = False,
) -> Mask:
    """The rows a filter keeps, bool[n], a new array.

    Parsing is cached by text. What is left costs tens of microseconds a term for 100,000 rows, except ``like``, which
    looks at every distinct value of its column: who asks often, over columns that stay the same, should keep the mask.

    Args:
        text: the filter.
        columns: what it may name, each of n rows. Names are exact.
        n: number of rows.
        category_column: the text column that holds paths ("A > B > C"): equality with a path takes in all below it.
        checked: the filter was evaluated before over columns of the same names and types, so that no error can hide in
            a term that decides nothing any more: such terms are not looked at.

    Raises:
        FilterError: the filter cannot be honoured: not in the language, too long or complex, an unknown column, or a
            column compared with something of another type.
    """
    return _Table(text, columns, n, category_column, checked).keep(filter_syntax.parse(text))


@dataclass(frozen=True)
class _Table:
    text: str
    columns: Mapping[str, catalogue.Column]
    n: int
    category_column: str | None
    checked: bool

    def keep(self, expression: Expression) -> Mask:
        """bool[n], a new array. Every part is looked at, so an error never hides behind a term that decides alone.

        Unless the filter was checked before.
        """
        match expression:
            case And(parts) if self.checked:
                mask = self.keep(parts[0])
                for part in parts[1:]:
                    if not mask.any():
                        break
                    mask &= self.keep(part)
                return mask
            case Or(parts) if self.checked:
                mask = self.keep(parts[0])
                for part in parts[1:]:
                    if mask.all():
                        break
                    mask |= self.keep(part)
                return mask
            case And(parts):
                return reduce(operator.iand, map(self.keep, parts))
            case Or(parts):
                return reduce(operator.ior, map(self.keep, parts))
            case Not(part):
                return ~self.keep(part)
            case Constant(value):
                return np.full(self.n, value)
            case Truth(column):
                return self._truth(column)
            case Comparison(column, symbol, operand):
                return self._comparison(column, symbol, operand)
            case Between(column, low, high, negated=False):
                return self._comparison(column, ">=", low) & self._comparison(column, "<=", high)
            case Between(column, low, high):
                return self._comparison(column, "<", low) | self._comparison(column, ">", high)
            case Membership():
                return self._membership(expression)
            case Containment():
                return self._containment(expression)
            case Likeness():
                return self._likeness(expression)
            case Absence(column, negated):
                known = _known(self._find(column))
                return known if negated else ~known

    def _find(self, column: Column, hint: str = "") -> catalogue.Column:
        found = self.columns.get(column.name)
        if found is not None:
            return found
        by_folded = {name.casefold(): name for name in self.columns}
        near = [by_folded[name] for name in get_close_matches(column.name.casefold(), by_folded)]
        message = f"there is no column {abridged(column.name)}"
        message += f", did you mean {' or '.join(near)}?" if near else hint
        message += f" (columns: {', '.join(sorted(self.columns)) or 'none'})"
        raise FilterError(message, self.text, column.position)

    def _truth(self, column: Column) -> Mask:
        found = self._find(column)
        if not isinstance(found, Flag):
            message = f"{column.name} is {_KINDS[type(found)]}: compare it with something"
            raise FilterError(message, self.text, column.position)
        return _compared("=", found, True)

    def _comparison(self, column: Column, symbol: Operator, operand: Column | Value) -> Mask:
        if isinstance(operand, Column):
            return self._columns_compared(column, symbol, operand)
        match self._find(column), operand.value:
            case Number() as numbers, float(number):
                return _compared(symbol, numbers, number)
            case Time() as times, str():
                return _compared(symbol, times, self._moment(operand))
            case Text() as texts, str(string) if symbol in ("=", "!="):
                return self._equal_to_any(column, texts, [string], negated=symbol == "!=")
            case Text(codes, values), str(string):
                # Values are in order, so a comparison of strings is one of codes with the place the string would have.
                place = (bisect_left if symbol in ("<", ">=") else bisect_right)(values, string)
                return (codes < place) & (codes >= 0) if symbol in ("<", "<=") else codes >= place
            case Flag() as flags, bool(truth) if symbol in ("=", "!="):
                return _compared(symbol, flags, truth)
            case found, _:
                raise self._mismatch(column, found, operand, symbol)

    def _columns_compared(self, left: Column, symbol: Operator, right: Column) -> Mask:
        match self._find(left), self._find(right, _QUOTES):
            case (Number() as one, Number() as other) | (Time() as one, Time() as other):
                return _compared(symbol, one, other.values) & _known(other)
            case one, other:
                message = (
                    f"{left.name} is {_KINDS[type(one)]} and {right.name} is {_KINDS[type(other)]}: "
                    "two columns can be compared if both are numbers or both are times"
                )
                raise FilterError(message, self.text, right.position)

    def _membership(self, term: Membership) -> Mask:
        found = self._find(term.column)
        strings = [literal.value for literal in term.values if isinstance(literal.value, str)]
        if isinstance(found, Text) and len(strings) == len(term.values):
            return self._equal_to_any(term.column, found, strings, negated=term.negated)
        equal = reduce(operator.ior, (self._comparison(term.column, "=", literal) for literal in term.values))
        return ~equal & _known(found) if term.negated else equal

    def _equal_to_any(self, column: Column, texts: Text, strings: Iterable[str], *, negated: bool) -> Mask:
        values = texts.values
        spans = [(code, code + 1) for code in map(values.code, strings) if code >= 0]
        if column.name == self.category_column:
            # Whatever starts with "A > " lies between "A > " and "A >!", as "!" is the next character after a space.
            after = CATEGORY_SEPARATOR[:-1] + chr(ord(CATEGORY_SEPARATOR[-1]) + 1)
            spans += [(bisect_left(values, s + CATEGORY_SEPARATOR), bisect_left(values, s + after)) for s in strings]
        return _within(texts, spans, negated=negated)

    def _containment(self, term: Containment) -> Mask:
        found = self._find(term.column)
        if not isinstance(found, Tags):
            message = (
                f'{term.column.name} is {_KINDS[type(found)]}, not a list: write "{abridged(term.column.name)} = …"'
            )
            raise FilterError(message, self.text, term.column.position)
        if isinstance(term.value, Column):
            raise FilterError(f"{abridged(term.value.name)} is not text{_QUOTES}", self.text, term.value.position)
        if not isinstance(term.value.value, str):
            message = f"{term.column.name} is a list of texts and {abridged(term.value.source)} is not text"
            raise FilterError(message, self.text, term.value.position)
        seen = np.zeros(len(found.codes) + 1, dtype=np.int32)  # how often the value stands before each entry
        np.cumsum(found.codes == found.values.code(term.value.value), out=seen[1:])
        contained = seen[found.indptr[1:]] > seen[found.indptr[:-1]]
        return ~contained if term.negated else contained

    def _likeness(self, term: Likeness) -> Mask:
        found, like = self._find(term.column), term.pattern.value
        if not isinstance(found, Text) or not isinstance(like, str):
            message = f"{term.column.name} is {_KINDS[type(found)]}: like is for text"
            raise FilterError(message, self.text, term.column.position)
        matches = pattern_of(like, ignore_case=term.ignore_case).match
        # One place more than there are values, for the code -1 of null.
        chosen = np.zeros(len(found.values) + 1, dtype=np.bool_)
        chosen[:-1] = [(matches(value) is not None) != term.negated for value in found.values[:]]
        return chosen[found.codes]

    def _moment(self, literal: Value) -> int:
        moment = moment_of(str(literal.value))
        if moment is None:
            message = f"{abridged(literal.source)} is not a time: write '2026-01-31' or '2026-01-31T09:00:00Z'"
            raise FilterError(message, self.text, literal.position)
        return moment

    def _mismatch(self, column: Column, found: catalogue.Column, literal: Value, symbol: Operator) -> FilterError:
        source, kind = abridged(literal.source), _LITERAL_KINDS[type(literal.value)]
        message = f"{column.name} is {_KINDS[type(found)]} and {source} is {kind}"
        match found, literal.value:
            case Tags(), str():
                message = f"{column.name} is a list: write {source} in {column.name}"
            case Flag(), bool():
                message = f"{column.name} is a boolean: compare it by = or !=, not by {symbol}"
            case Time(), _:
                message += ": write it like '2026-01-31'"
            case _:
                pass
        return FilterError(message, self.text, literal.position)


_KINDS: dict[type[catalogue.Column], str] = {
    Text: "text",
    Number: "a number",
    Flag: "a boolean",
    Time: "a time",
    Tags: "a list",
}
_LITERAL_KINDS: dict[type, str] = {str: "text", float: "a number", bool: "a boolean"}

_QUOTES = "; text goes in single quotes"

_OPERATORS: dict[Operator, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _known(column: catalogue.Column) -> Mask:
    match column:
        case Text(codes):
            return codes >= 0
        case Number(values):
            return ~np.isnan(values)
        case Flag(values):
            return values >= 0
        case Time(values):
            return values > np.iinfo(np.int64).min
        case Tags(indptr):
            return np.diff(indptr).astype(np.bool_)


def _compared(symbol: Operator, column: Number | Time | Flag, other: float | NDArray[Any]) -> Mask:
    mask: Mask = _OPERATORS[symbol](column.values, other)
    if isinstance(column, Number) and symbol != "!=":
        return mask  # nothing is equal to NaN, less or more
    return mask & _known(column)


def _within(texts: Text, spans: list[tuple[int, int]], *, negated: bool) -> Mask:
    """Rows whose code lies in one of some half-open spans; ``negated``: rows with a value whose code lies in none."""
    codes = texts.codes
    if len(spans) <= 4:  # beyond that, one look into a table is cheaper than comparisons
        mask = np.zeros(len(codes), dtype=np.bool_)
        for first, end in spans:
            mask |= codes == first if end == first + 1 else (codes >= first) & (codes < end)
        return ~mask & (codes >= 0) if negated else mask
    chosen = np.full(len(texts.values) + 1, negated)
    for first, end in spans:
        chosen[first:end] = not negated
    chosen[-1] = False  # the code of null
    return chosen[codes]


def pattern_of(like: str, *, ignore_case: bool) -> re.Pattern[str]:
    """The regular expression of a pattern of ``like``: % is any text, _ any one character.

    Each piece between two % is taken where it first fits and never tried again (an atomic group). That finds a match
    wherever there is one, in time len(pattern) · len(value) at most.
    """
    first, *rest = ("".join("." if c == "_" else re.escape(c) for c in piece) for piece in like.split("%"))
    if rest:
        *middle, last = rest
        first += "".join(f"(?>.*?{piece})" for piece in middle if piece) + ".*" + last
    return re.compile(first + r"\Z", re.DOTALL | (re.IGNORECASE if ignore_case else re.NOFLAG))


_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)


def moment_of(text: str) -> int | None:
    """A date or an RFC 3339 time as microseconds since 1970 UTC, None if it is neither; UTC where it names no zone."""
    text = text.upper()  # RFC 3339 allows "t" and "z"
    if _TIME.fullmatch(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # the 31st of February
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
