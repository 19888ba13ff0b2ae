"""What the event names of a vendor mean in the contract, and how one message becomes its events.

Segment and GA4 differ in words, not in ideas: a message has a name and properties, some of them products. So each is a
`Vocabulary` and a table of `Meaning`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from features.store.base import Event, Json
from serving.fields import PLACE, Rejected, amount, identifier, rest, text
from serving.machine_opens import MACHINE_OPEN, by_machine


class Shape(Enum):
    """How many events a message is."""

    PLAIN = auto()  # one, about whatever it names; prices and quantities are properties like others
    EACH = auto()  # one for each product, and there must be one
    LIST = auto()  # one for each product, or a custom event without any
    ORDER = auto()  # one for each product, or one for the order's value
    REFUND = auto()  # one for each product, or one for the whole order
    WHOLE = auto()  # one for the whole order, whatever products it lists
    PROMOTION = auto()  # one that is about no product, whatever products it lists


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name means. ``channel`` is that of the message it tells of, unless the message says another."""

    event: str
    shape: Shape = Shape.PLAIN
    channel: str | None = None


@dataclass(frozen=True)
class Vocabulary:
    """The words of a vendor.

    Attributes:
        inside: what stands before a property's name in a reason.
        products: the property that lists products.
        product_ids: where the id of a product may stand, the best first.
        order_id: the property that names the order.
        values: where the value of an order without products may stand, the best first.
        spoken_for: properties that have a column of the contract, or are not kept: what the catalogue knows better.
    """

    inside: str
    products: str
    product_ids: tuple[str, ...]
    order_id: str
    values: tuple[str, ...]
    spoken_for: frozenset[str]


class Heading(NamedTuple):
    """What all events of one message share; see `features.store.base.Event`."""

    time: int
    known: int
    customer_id: str | None
    anonymous_id: str | None
    session_id: str | None
    event_id: str | None

    def event(self, name: str, more: Json | None = None) -> Event:
        """An event of the message."""
        return Event(name, *self[:5], event_id=self.event_id, more=more)


#: Properties that are columns of the contract in every vocabulary.
COLUMNS = frozenset({"session_id", "quantity", "price", "currency", "channel", "placement", "decision_id"})

_PLAIN_COLUMNS = frozenset({"session_id", "product_id", "order_id", "channel", "placement", "decision_id"})


def events_meant(
    name: str, meaning: Meaning, heading: Heading, properties: Json, words: Vocabulary, more: Json | None = None
) -> list[Event]:
    """The events of one message.

    Of several, the first has the event_id of the message, and each other that, `PLACE` and its place.

    Args:
        name: the name as it was sent.
        meaning: what it means.
        heading: who, when, and the event_id of the message.
        properties: what it says.
        words: how it says it.
        more: what is to be kept beside the properties.

    Raises:
        Rejected: a property is not as it must be, or a needed one is missing.
    """
    shape = meaning.shape
    if shape is Shape.PLAIN or shape is Shape.PROMOTION:
        return [_plain(meaning, heading, properties, words, more)]
    order_id = identifier(properties, words.order_id, words.inside)
    if shape is not Shape.WHOLE:
        lines, inside = _lines(properties, words)
        if lines:
            return _each(meaning, heading, properties, words, more, lines=lines, inside=inside, order_id=order_id)
    if shape is Shape.EACH:
        raise Rejected(f"{words.inside}{words.product_ids[0]}: missing")
    if shape is Shape.LIST:
        return [_plain(Meaning(name), heading, properties, words, more)]
    if shape is not Shape.ORDER and order_id is None:
        raise Rejected(f"{words.inside}{words.order_id}: missing, and so are the products")
    price = None
    if shape is Shape.ORDER:
        price = next(
            (paid for one in words.values if (paid := amount(properties, one, words.inside)) is not None), None
        )
    whole = _shared(meaning, heading, properties, words)._replace(
        order_id=order_id,
        quantity=1.0 if shape is Shape.ORDER else None,
        price=price,
        currency=text(properties, "currency", words.inside),
        more=_both(more, rest(properties, words.spoken_for)),
    )
    return [whole]


def _shared(meaning: Meaning, heading: Heading, properties: Json, words: Vocabulary) -> Event:
    """What all events of a message have, whatever its shape."""
    return heading.event(meaning.event)._replace(
        channel=text(properties, "channel", words.inside) or meaning.channel,
        placement=text(properties, "placement", words.inside),
        decision_id=identifier(properties, "decision_id", words.inside),
    )


def _plain(meaning: Meaning, heading: Heading, properties: Json, words: Vocabulary, more: Json | None) -> Event:
    shared = _shared(meaning, heading, properties, words)
    taken = _PLAIN_COLUMNS | {words.order_id, *words.product_ids}
    promotion = meaning.shape is Shape.PROMOTION
    return shared._replace(
        event=MACHINE_OPEN if shared.event == "open" and by_machine(properties) else shared.event,
        product_id=None if promotion else _product(properties, words, words.inside),
        order_id=identifier(properties, words.order_id, words.inside),
        more=_both(more, rest(properties, taken)),
    )


def _lines(properties: Json, words: Vocabulary) -> tuple[list[Json], str]:
    """The products a message lists, or the one it is about; and what stands before their fields in a reason."""
    listed = properties.get(words.products)
    if listed is None or listed == []:
        about_one = _product(properties, words, words.inside) is not None
        return ([properties] if about_one else []), words.inside
    if type(listed) is not list:
        raise Rejected(f"{words.inside}{words.products}: not a list")
    return listed, f"{words.inside}{words.products}"


def _each(
    meaning: Meaning,
    heading: Heading,
    properties: Json,
    words: Vocabulary,
    more: Json | None,
    *,
    lines: list[Json],
    inside: str,
    order_id: str | None,
) -> list[Event]:
    shared = _shared(meaning, heading, properties, words)
    currency = text(properties, "currency", words.inside)
    unsaid = None if meaning.shape is Shape.REFUND else 1.0  # a refund without a quantity takes back all
    kept = _both(more, rest(properties, words.spoken_for))
    events = []
    for place, line in enumerate(lines):
        alone = line is properties
        field = inside if alone else f"{inside}[{place}]."
        if type(line) is not dict:
            raise Rejected(f"{inside}[{place}]: not an object")
        product_id = _product(line, words, field)
        if product_id is None:
            raise Rejected(f"{field}{words.product_ids[0]}: missing")
        quantity = amount(line, "quantity", field)
        if alone:
            of_line = kept
        else:
            of_line = rest(line, words.spoken_for)
            of_line = _both(kept, of_line) if place == 0 else of_line
        events.append(
            shared._replace(
                product_id=product_id,
                order_id=order_id,
                quantity=unsaid if quantity is None else quantity,
                price=amount(line, "price", field),
                currency=text(line, "currency", field) or currency,
                event_id=_nth(heading.event_id, place),
                placement=text(line, "placement", field) or shared.placement,
                decision_id=identifier(line, "decision_id", field) or shared.decision_id,
                more=of_line,
            )
        )
    return events


def _nth(event_id: str | None, place: int) -> str | None:
    return event_id if event_id is None or place == 0 else f"{event_id}{PLACE}{place}"


def _product(fields: Json, words: Vocabulary, inside: str) -> str | None:
    for name in words.product_ids:
        found = identifier(fields, name, inside)
        if found is not None:
            return found
    return None


def _both(first: Json | None, second: Json | None) -> Json | None:
    return {**first, **second} if first and second else first or second
