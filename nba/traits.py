"""What was told of customers as columns that expressions and models read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from features.catalogue import Column, Flag, Number, Tags, Text, Time
from features.store.base import Json
from features.vocabulary import Vocabulary
from nba.columns import AttributeKind, null

#: What is no attribute of a customer.
_KNOWN = frozenset({"timezone", "consents", "reachable"})


def trait_columns(traits: Sequence[Json], declared: Mapping[str, AttributeKind]) -> dict[str, Column]:
    """A column of n rows for each trait that anybody has.

    Args:
        traits: of n customers.
        declared: what some traits hold; a value of another kind is null. Others hold what all who have them have in
            common, and are left out where that is nothing.
    """
    names = sorted({name for told in traits for name in told} - _KNOWN)
    found: dict[str, Column] = {}
    for name in names:
        values = [told.get(name) for told in traits]
        kind = declared.get(name) or _kind_of(values)
        if kind is not None:
            found[name] = _column([value if _fits(value, kind) else None for value in values], kind)
    return found


def _kind_of(values: Sequence[object]) -> AttributeKind | None:
    """What an attribute that nobody declared holds: what all who have it have in common."""
    kinds: tuple[AttributeKind, ...] = ("flag", "number", "tags", "text")
    there = [value for value in values if value is not None]
    return next((kind for kind in kinds if all(_fits(value, kind) for value in there)), None) if there else None


def _fits(value: object, kind: AttributeKind) -> bool:
    match kind:
        case "flag":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "tags":
            return isinstance(value, list) and all(isinstance(one, str) for one in value)
        case "text":
            return isinstance(value, str)
        case "time":
            return isinstance(value, str) and _micros(value) is not None


def _column(values: Sequence[Any], kind: AttributeKind) -> Column:
    """A column of values that fit, or are None."""
    n = len(values)
    match kind:
        case "flag":
            return Flag(np.array([-1 if value is None else int(value) for value in values], dtype=np.int8))
        case "number":
            return Number(np.array([np.nan if value is None else float(value) for value in values]))
        case "time":
            lowest = np.iinfo(np.int64).min
            return Time(np.array([lowest if value is None else _micros(value) for value in values], dtype=np.int64))
        case "text":
            words = Vocabulary(dict.fromkeys(value for value in values if value is not None))
            return Text(np.array([-1 if value is None else words.code(value) for value in values], np.int32), words)
        case "tags":
            if all(value is None for value in values):
                return null("tags", n)
            lists = [list(dict.fromkeys(value or ())) for value in values]
            words = Vocabulary(dict.fromkeys(one for value in lists for one in value))
            indptr = np.cumsum([0, *map(len, lists)], dtype=np.int64)
            return Tags(indptr, np.array([words.code(one) for value in lists for one in value], np.int32), words)


def _micros(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round(moment.timestamp() * 1_000_000) if moment.tzinfo is not None else None
