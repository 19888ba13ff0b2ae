"""What an identify event says of a person, by the contract of customers."""

from __future__ import annotations

from functools import cache
from typing import Any
from zoneinfo import available_timezones

from features.store.base import Json
from serving.fields import Rejected, rest

_KNOWN = frozenset({"timezone", "consents", "reachable"})


def traits_of(said: Json, zone: object = None, inside: str = "traits.") -> Json:
    """Traits, JSON-ready: time zone, consents and reachable by the contract, and attributes.

    Attributes are strings, numbers, booleans and lists of strings; objects and nulls are left out, and the rest is
    bounded like other properties. A null list of channels is an empty one.

    Args:
        said: the traits as sent.
        zone: the time zone that a device says it is in; taken if it is one and ``said`` names none.
        inside: what stands before a field's name in a reason.

    Raises:
        Rejected: a time zone or list of channels is none.
    """
    found: Json = {}
    named = said.get("timezone")
    if named is not None and named != "":
        if not _is_zone(named):
            raise Rejected(f"{inside}timezone: not an IANA time zone")
        found["timezone"] = named
    elif zone is not None and _is_zone(zone):
        found["timezone"] = zone
    for name in ("consents", "reachable"):
        if name in said:
            found[name] = _channels(said[name], inside + name)
    attributes = {name: value for name, value in said.items() if name not in _KNOWN and _is_attribute(value)}
    return {**(rest(attributes, frozenset()) or {}), **found}


def _channels(value: object, field: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) and 0 < len(one) <= 100 for one in value):
        raise Rejected(f"{field}: not a list of channels")
    return list(dict.fromkeys(value))


def _is_attribute(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, str) for one in value)
    return isinstance(value, str | int | float)


def _is_zone(value: object) -> bool:
    return isinstance(value, str) and value in _zones()


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())  # reads a folder, so once
