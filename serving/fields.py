"""Fields of what comes in from outside: taken by their kind, or refused by their name."""

from __future__ import annotations

import math
import re

import orjson

from features.store.base import Json

#: Longest id, name or short text.
LONGEST = 1000

#: What is kept of properties that the contract has no column for.
MOST_KEPT, MOST_BYTES = 50, 8192

#: Lists and objects within each other, of such a property.
DEEPEST = 20

#: Stands in an event_id between that of a message and the place of the event in it, so in no id that is sent.
PLACE = "\x1f"

_EXACT = 2**53  # beyond it a JSON number does not hold every integer

_NUMERAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


class Rejected(ValueError):
    """Something that cannot be taken as it is. The message names the field and says what is wrong with it."""


def identifier(fields: Json, name: str, inside: str = "") -> str | None:
    """The id in a field; None if there is none. Integers become strings, an empty string is none.

    Args:
        fields: the object that may have the field.
        name: which one.
        inside: what stands before the name in the reason, such as ``properties.``.

    Raises:
        Rejected: it is no id.
    """
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not str:
        if type(value) is not int and not (type(value) is float and value.is_integer() and abs(value) < _EXACT):
            raise Rejected(f"{inside}{name}: not an id")
        return str(int(value))
    if len(value) > LONGEST:
        raise Rejected(f"{inside}{name}: longer than {LONGEST} characters")
    return value or None


def event_identifier(fields: Json, name: str, inside: str = "") -> str | None:
    """The id of an event or message in a field; see `identifier`.

    Raises:
        Rejected: it is no id, or has `PLACE` in it.
    """
    found = identifier(fields, name, inside)
    if found is not None and PLACE in found:
        raise Rejected(f"{inside}{name}: the character U+001F in an id")
    return found


def text(fields: Json, name: str, inside: str = "") -> str | None:
    """The text in a field; None if there is none, or an empty one.

    Raises:
        Rejected: it is no text, or too long.
    """
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not str:
        raise Rejected(f"{inside}{name}: not a text")
    if len(value) > LONGEST:
        raise Rejected(f"{inside}{name}: longer than {LONGEST} characters")
    return value or None


def amount(fields: Json, name: str, inside: str = "") -> float | None:
    """The number in a field, not negative; None if there is none. Numerals in a string are taken: many shops send them.

    Raises:
        Rejected: it is no number, or negative.
    """
    value = fields.get(name)
    if value is None or value == "":
        return None
    if type(value) is str:
        if not _NUMERAL.fullmatch(value):  # float takes "1_0", "nan" and the digits of every script
            raise Rejected(f"{inside}{name}: not a number")
        value = float(value)
    elif type(value) is not float and type(value) is not int:
        raise Rejected(f"{inside}{name}: not a number")
    if not math.isfinite(value):
        raise Rejected(f"{inside}{name}: not a number")
    if value < 0:
        raise Rejected(f"{inside}{name}: negative")
    return float(value)


def inner(fields: Json, name: str, inside: str = "") -> Json:
    """The object in a field; an empty one if there is none.

    Raises:
        Rejected: it is something else.
    """
    value = fields.get(name)
    if value is None:
        return {}
    if type(value) is not dict:
        raise Rejected(f"{inside}{name}: not an object")
    return value


def rest(fields: Json, but: frozenset[str]) -> Json | None:
    """What is kept of the other fields: at most `MOST_KEPT` that are not null, `MOST_BYTES` of JSON, strings cut.

    The first ones count; what does not fit is left out, and what is nested deeper than `DEEPEST`. None if nothing is
    left.
    """
    left = {name: value for name, value in fields.items() if name not in but and value is not None}
    if not left:
        return None
    try:
        if len(left) <= MOST_KEPT and len(orjson.dumps(left)) <= LONGEST and not _is_deep(left, DEEPEST + 1):
            return left  # the ordinary case: nothing can be too long
    except orjson.JSONEncodeError:  # nested too deep to be written again
        pass
    kept: Json = {}
    room = MOST_BYTES
    for name, value in left.items():
        value = value[:LONGEST] if type(value) is str else value
        try:
            size = len(orjson.dumps({name: value}))
        except orjson.JSONEncodeError:
            continue
        if size <= room and len(kept) < MOST_KEPT and not _is_deep(value, DEEPEST):
            kept[name] = value
            room -= size
    return kept or None


def _is_deep(value: object, levels: int) -> bool:
    """Whether a JSON value has more levels of lists and objects."""
    if type(value) is dict:
        return levels == 0 or any(_is_deep(one, levels - 1) for one in value.values())
    if type(value) is list:
        return levels == 0 or any(_is_deep(one, levels - 1) for one in value)
    return False
