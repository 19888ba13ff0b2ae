"""Who a person is called: customers, visitors, sessions and orders in one vocabulary, not mistaken for each other.

A customer goes by the customer id. A visitor goes by the anonymous id, a session without a visitor by ``session:ID``,
an order without either by ``order:ID``. A visitor whose id is also a customer's, or looks like one of these names, goes
by ``visitor:ID``; a name that is a customer's id all the same gets its prefix once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

PREFIXES = ("visitor:", "session:", "order:")


def visitor_name(anonymous_id: str, is_customer: Callable[[str], bool]) -> str:
    """The name of a visitor."""
    if anonymous_id.startswith(PREFIXES) or is_customer(anonymous_id):
        return _prefixed("visitor:", anonymous_id, is_customer)
    return anonymous_id


def session_name(session_id: str, is_customer: Callable[[str], bool]) -> str:
    """The name of a session whose events name neither customer nor visitor."""
    return _prefixed("session:", session_id, is_customer)


def order_name(order_id: str, is_customer: Callable[[str], bool]) -> str:
    """The name of an order whose events name neither customer, visitor nor session."""
    return _prefixed("order:", order_id, is_customer)


def _prefixed(prefix: str, identifier: str, is_customer: Callable[[str], bool]) -> str:
    name = prefix + identifier
    while is_customer(name):
        name = prefix + name
    return name


class People(Protocol):
    """Names as codes: a `features.vocabulary.Vocabulary`, or `Digests` of one."""

    def __len__(self) -> int:
        """How many people there are."""
        ...

    def code(self, identifier: str, /) -> int:
        """The code of a name, or -1 if it is unknown."""
        ...


@dataclass(frozen=True)
class Digests:
    """People by the digests of their names: they can be found by name, but not named.

    ``values``: int64[n], ascending; the place of a digest is the code.
    """

    values: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)

    def code(self, name: str, /) -> int:
        """The code of a name, or -1 if it is unknown."""
        sought = np.int64(digest(name))
        place = int(self.values.searchsorted(sought))
        return place if place < len(self.values) and self.values[place] == sought else -1


def find_person(
    people: People,
    anonymous: NDArray[np.bool_],
    *,
    customer_id: str | None = None,
    anonymous_id: str | None = None,
    session_id: str | None = None,
) -> int:
    """The code of the best-named person known, or -1: the customer, else the visitor, else the session.

    Args:
        people, anonymous: those of an event log.
        customer_id, anonymous_id, session_id: what a request says.
    """

    def is_customer(name: str) -> bool:
        code = people.code(name)
        return code >= 0 and not anonymous[code]

    if customer_id is not None and is_customer(customer_id):
        return people.code(customer_id)
    if anonymous_id is not None and (code := people.code(visitor_name(anonymous_id, is_customer))) >= 0:
        return code
    return people.code(session_name(session_id, is_customer)) if session_id is not None else -1


def identity_digest(kind: Literal["customer", "visitor", "session", "order"], identifier: str) -> int:
    """The digest of who is meant by an id: a visitor is not mistaken for a customer of the same id."""
    return digest(f"{kind}:{identifier}")


def digest(text: str) -> int:
    """A signed 64-bit number for an id or name, the same everywhere: its BLAKE2b digest of 8 bytes, little-endian.

    Two of n ids share one with a probability of about n² / 2^65: 3 in a million for ten million ids.
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
