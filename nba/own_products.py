"""What the products of a message should go with: what the customer has in the cart, bought or looked at last."""

from __future__ import annotations

from typing import Literal

from features.events import Kind
from features.store.base import LATEST, EventStore, Person

Anchors = Literal["none", "cart", "last_order", "last_viewed"]

#: Rows of the log that are looked at.
NEWEST = 100


def anchors(events: EventStore, person: Person, which: Anchors, *, upto: int = LATEST) -> tuple[str, ...]:
    """Product ids: what was put into the cart since the last purchase and not taken out, the last order, or the last
    product looked at.

    Args:
        events: the live log.
        person: whose.
        which: of these; ``none``: none.
        upto: sequence number.
    """
    if which == "none":
        return ()
    tail = events.tail(person, upto=upto, newest=NEWEST)
    rows = list(zip(tail.kind.tolist(), tail.time.tolist(), tail.product.tolist(), strict=True))
    bought = [time for kind, time, _ in rows if kind == Kind.PURCHASE]
    if which == "last_order":
        found = [product for kind, time, product in rows if kind == Kind.PURCHASE and time == bought[-1]]
    elif which == "last_viewed":
        found = [product for kind, _, product in rows if kind in (Kind.VIEW, Kind.CART)][-1:]
    else:
        found = []
        for kind, time, product in rows:
            if kind == Kind.CART and (not bought or time > bought[-1]):
                found.append(product)
            elif kind == Kind.REMOVE_FROM_CART and product in found:
                found.remove(product)
    return tuple(events.product_ids(product, product + 1)[0] for product in dict.fromkeys(found))
