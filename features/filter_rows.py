"""Whether a filter keeps one row: `features.filters` for a single value a column.

Over one row, operations on arrays cost many times what they compute. Here a filter becomes nested functions over plain
values, once; what holds is by the same definition, and tests hold the two against each other. Only filters that
`features.filters.evaluate` takes over columns of the same names and kinds are asked.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from features import filter_syntax
from features.catalogue import Column, Flag, Number, Tags, Text, Time
from features.filter_syntax import (
    Absence,
    And,
    Between,
    Comparison,
    Constant,
    Containment,
    Expression,
    Likeness,
    Membership,
    Not,
    Operand,
    Operator,
    Or,
    Truth,
    Value,
)
from features.filters import moment_of, pattern_of

#: What a column holds in one row. A time is microseconds since 1970 UTC, as an integer; None is null.
Single = float | int | str | bool | tuple[str, ...] | None

#: One row: what it holds by the name of a column.
Row = Callable[[str], Single]

Keeps = Callable[[Row], bool]

_OPERATORS: dict[Operator, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def single(column: Column, row: int = 0) -> Single:
    """What a column holds in one row."""
    match column:
        case Number(values):
            number = float(values[row])
            return None if math.isnan(number) else number
        case Text(codes, texts):
            return texts[int(codes[row])] if codes[row] >= 0 else None
        case Flag(values):
            return bool(values[row]) if values[row] >= 0 else None
        case Time(values):
            return int(values[row]) if values[row] > np.iinfo(np.int64).min else None
        case Tags(indptr, codes, texts):
            return tuple(texts[int(code)] for code in codes[indptr[row] : indptr[row + 1]]) or None


@lru_cache(maxsize=1024)
def keeps(text: str) -> Keeps:
    """The filter as a function of one row. No column holds paths."""
    return _keeps(filter_syntax.parse(text))


def _keeps(expression: Expression) -> Keeps:
    match expression:
        case And(parts):
            all_of = tuple(map(_keeps, parts))
            return lambda row: all(part(row) for part in all_of)
        case Or(parts):
            any_of = tuple(map(_keeps, parts))
            return lambda row: any(part(row) for part in any_of)
        case Not(part):
            inner = _keeps(part)
            return lambda row: not inner(row)
        case Constant(truth):
            return lambda row: truth
        case Truth(column):
            return lambda row: row(column.name) is True
        case Comparison(column, symbol, operand):
            return _comparison(column.name, symbol, operand)
        case Between(column, low, high, negated):
            first = _comparison(column.name, "<" if negated else ">=", low)
            last = _comparison(column.name, ">" if negated else "<=", high)
            return (lambda row: first(row) or last(row)) if negated else (lambda row: first(row) and last(row))
        case Membership(column, values, negated):
            equal = tuple(_comparison(column.name, "=", value) for value in values)
            if negated:
                return lambda row: row(column.name) is not None and not any(one(row) for one in equal)
            return lambda row: any(one(row) for one in equal)
        case Containment(column, text, negated):
            wanted = text.value if isinstance(text, Value) else text.name
            return lambda row: (wanted in (row(column.name) or ())) is not negated  # type: ignore[operator]
        case Likeness(column, like, ignore_case, negated):
            matches = pattern_of(str(like.value), ignore_case=ignore_case).match
            return lambda row: _likely(row(column.name), matches, negated=negated)
        case Absence(column, negated):
            return lambda row: (row(column.name) is None) is not negated


def _comparison(name: str, symbol: Operator, operand: Operand) -> Keeps:
    """A term about a null is false, on either side."""
    compare = _OPERATORS[symbol]
    if not isinstance(operand, Value):
        other = operand.name

        def both(row: Row) -> bool:
            one, two = row(name), row(other)
            return one is not None and two is not None and compare(one, two)

        return both
    literal = operand.value
    if not isinstance(literal, str):

        def number(row: Row) -> bool:
            value = row(name)
            return value is not None and compare(value, literal)

        return number
    moment = moment_of(literal)

    def text(row: Row) -> bool:
        value = row(name)
        return value is not None and compare(value, literal if isinstance(value, str) else moment)

    return text


def _likely(value: Single, matches: Callable[[str], object], *, negated: bool) -> bool:
    return isinstance(value, str) and (matches(value) is not None) is not negated
