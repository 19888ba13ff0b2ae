"""Who an event belongs to: identities and the links between them.

An identity is a customer, a visitor, a session or an order, whichever an event names best. A visitor is linked to a
customer, an order to whoever bought it. A link holds from its sequence number to the next link of the same source; the
first link of a source holds for all before it too. A source linked to itself is nobody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from features.store.base import LATEST, Event, Identity, Person, StoreError

Span = tuple[int, int, int]  # number of an identity, first sequence number, last sequence number


class Link(NamedTuple):
    """From sequence number ``since`` on, events of identity ``source`` are those of ``target``."""

    source: int
    target: int
    since: int


def best_named(
    customer_id: str | None, anonymous_id: str | None, session_id: str | None, order_id: str | None = None
) -> tuple[Identity, str] | None:
    """The identity that something belongs to; None if nobody is named."""
    if customer_id is not None:
        return "customer", customer_id
    if anonymous_id is not None:
        return "visitor", anonymous_id
    if session_id is not None:
        return "session", session_id
    if order_id is not None:
        return "order", order_id
    return None


def whose(event: Event) -> tuple[Identity, str]:
    """The identity that an event belongs to.

    Raises:
        StoreError: it names nobody.
    """
    named = best_named(event.customer_id, event.anonymous_id, event.session_id, event.order_id)
    if named is None:
        raise StoreError("an event names nobody; give it a customer, visitor, session or order id")
    return named


def owner(links: Sequence[Link], source: int) -> int:
    """Whose the newest events of a source are. ``links``: those from it, ascending by ``since``."""
    return links[-1].target if links else source


def spans(
    root: int, links_from: Callable[[int], Sequence[Link]], links_to: Callable[[int], Sequence[Link]]
) -> list[Span]:
    """Which events are those of identity ``root``, ascending by number and first sequence number.

    Args:
        root: an identity that is its own owner.
        links_from, links_to: links by source and by target, ascending by ``since``.
    """
    own = [(first, last) for first, last, target in _holdings(links_from(root), root) if target == root]
    found = [span for first, last in own for span in _below(root, first, last, links_from, links_to)]
    return sorted(set(found))


def _below(
    identity: int,
    first: int,
    last: int,
    links_from: Callable[[int], Sequence[Link]],
    links_to: Callable[[int], Sequence[Link]],
) -> Iterator[Span]:
    """The events of an identity from ``first`` to ``last`` and, meanwhile, of everything linked to it."""
    yield identity, first, last
    for source in {link.source for link in links_to(identity)} - {identity}:
        for since, until, target in _holdings(links_from(source), source):
            if target == identity and (low := max(first, since)) <= (high := min(last, until)):
                yield from _below(source, low, high, links_from, links_to)


def _holdings(links: Sequence[Link], source: int) -> list[tuple[int, int, int]]:
    """(first, last, target) of every link from a source; without one it is its own."""
    if not links:
        return [(0, LATEST, source)]
    begins = [0, *(link.since for link in links[1:])]
    ends = [*(begin - 1 for begin in begins[1:]), LATEST]
    return [(begin, end, link.target) for begin, end, link in zip(begins, ends, links, strict=True)]


def unseen(named: tuple[Identity, str] | None) -> Person:
    """Somebody whom nobody has seen, by the identity asked for."""
    match named:
        case ("customer", customer_id):
            return Person(customer_id, (), None, ())
        case ("visitor", anonymous_id):
            return Person(None, (anonymous_id,), None, ())
        case ("session", session_id):
            return Person(None, (), session_id, ())
        case _:
            return Person(None, (), None, ())


def person_of(
    root: int, found: Sequence[Span], name_of: Callable[[int], tuple[Identity, str]], upto: int = LATEST
) -> Person:
    """The person whose identity is ``root`` and whose events are ``found``, cut at a sequence number."""
    kind, identifier = name_of(root)
    names = [name_of(number) for number in dict.fromkeys(number for number, _, _ in found)]
    return Person(
        customer_id=identifier if kind == "customer" else None,
        anonymous_ids=tuple(name for other, name in names if other == "visitor"),
        session_id=identifier if kind == "session" else None,
        spans=tuple((number, first, min(last, upto)) for number, first, last in found if first <= upto),
    )


def forgotten(found: Sequence[Span]) -> set[int]:
    """Of the identities in a person's spans, those that are nobody else's at any time."""
    held: dict[int, list[Span]] = {}
    for span in found:
        held.setdefault(span[0], []).append(span)
    return {number for number, parts in held.items() if _is_whole(parts)}


def _is_whole(parts: Sequence[Span]) -> bool:
    joined = all(before[2] + 1 >= after[1] for before, after in pairwise(parts))
    return joined and parts[0][1] == 0 and parts[-1][2] == LATEST
