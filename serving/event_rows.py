"""Our own event rows: objects with the columns of the dataset contract (docs/dataset.md)."""

from __future__ import annotations

from features.contract import EVENTS
from features.store.base import Event, Json
from serving.clocks import row_time
from serving.fields import Rejected, amount, event_identifier, identifier, inner, rest, text
from serving.machine_opens import MACHINE_OPEN, by_machine
from serving.traits import traits_of

#: Columns of the contract, and `traits` of an identify event. Other fields are kept with the event.
_SPOKEN_FOR = frozenset({column.name for column in EVENTS.columns} | {"traits"})


def row_event(row: Json, received: int) -> Event:
    """The event of a row.

    ``known_at`` is not looked at: the shop learns of an event when it is told. A row without ``timestamp`` happened
    then.

    Args:
        row: the row.
        received: when it came in, microseconds since 1970 UTC.

    Raises:
        Rejected: it cannot be taken; the reason names the field.
    """
    event = text(row, "event")
    if event is None:
        raise Rejected("event: missing")
    customer_id, anonymous_id = identifier(row, "customer_id"), identifier(row, "anonymous_id")
    session_id, order_id = identifier(row, "session_id"), identifier(row, "order_id")
    if customer_id is None and anonymous_id is None and session_id is None and order_id is None:
        raise Rejected("customer_id: names nobody: no customer, visitor, session or order")
    more = rest(row, _SPOKEN_FOR)
    if event == "identify":
        traits = traits_of(inner(row, "traits"))
        more = {**(more or {}), "traits": traits} if traits else more
    elif event == "open" and by_machine(row):
        event = MACHINE_OPEN
    quantity = amount(row, "quantity")
    return Event(
        event,
        row_time(row, received),
        received,
        customer_id,
        anonymous_id,
        session_id,
        identifier(row, "product_id"),
        order_id,
        1.0 if quantity is None and event != "refund" else quantity,
        amount(row, "price"),
        text(row, "currency"),
        text(row, "channel"),
        event_identifier(row, "event_id"),
        text(row, "placement"),
        identifier(row, "decision_id"),
        more,
    )
