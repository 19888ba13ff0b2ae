"""Which of three languages a body speaks (Segment, GA4, our own rows), and what each of its messages says."""

from __future__ import annotations

from dataclasses import dataclass

from features.store.base import Event, Json
from serving.event_rows import row_event
from serving.fields import Rejected
from serving.ga4 import Ga4Sender, ga4_events, ga4_sender
from serving.segment import TYPES, segment_events

#: Fields that only Segment's messages have.
_SEGMENT = frozenset(
    {"userId", "anonymousId", "messageId", "properties", "context", "traits", "previousId", "sentAt"}
    | {"originalTimestamp", "groupId"}
)
#: Fields that only rows of our own have.
_OURS = frozenset({"customer_id", "anonymous_id", "session_id", "product_id", "order_id"})


@dataclass(frozen=True)
class Reading:
    """What a body said.

    Attributes:
        messages: of each message its events, or why it cannot be taken.
        alone: the body was one message, no batch.
        link: an identify event beside the messages, see `serving.ga4.Ga4Sender`.
    """

    messages: list[list[Event] | Rejected]
    alone: bool = False
    link: Event | None = None


def read_messages(body: object, received: int, *, door: str | None = None) -> Reading:
    """What a body says.

    Args:
        body: parsed JSON: one message, a list of them, ``{"batch": […]}`` or ``{"events": […]}``.
        received: when it came in, microseconds since 1970 UTC.
        door: the type of Segment messages that do not name theirs: where the body was sent to.

    Raises:
        Rejected: the body as a whole cannot be taken.
    """
    if isinstance(body, list):
        return Reading([_message(one, received, door, None) for one in body])
    if not isinstance(body, dict):
        raise Rejected("the body: neither an object nor a list")
    if "batch" in body:
        members, sent_at = _list(body, "batch"), body.get("sentAt")
        return Reading([_message(one, received, door, sent_at) for one in members])
    if "events" in body:
        members = _list(body, "events")
        if not body.keys().isdisjoint({"client_id", "app_instance_id", "user_id"}):
            sender = ga4_sender(body, received)
            return Reading([_ga4_message(one, sender, received) for one in members], link=sender.link)
        return Reading([_message(one, received, door, None) for one in members])
    return Reading([_message(body, received, door, None)], alone=True)


def _list(body: Json, name: str) -> list[object]:
    members = body[name]
    if not isinstance(members, list):
        raise Rejected(f"{name}: not a list")
    return members


def _message(message: object, received: int, door: str | None, sent_at: object) -> list[Event] | Rejected:
    if not isinstance(message, dict):
        return Rejected("not an object")
    try:
        if _is_segment(message, door):
            return segment_events(message, received, kind=door, sent_at=sent_at)
        return [row_event(message, received)]
    except Rejected as rejected:
        return rejected


def _ga4_message(event: object, sender: Ga4Sender, received: int) -> list[Event] | Rejected:
    try:
        return ga4_events(event, sender, received)
    except Rejected as rejected:
        return rejected


def _is_segment(message: Json, door: str | None) -> bool:
    names = message.keys()
    if not names.isdisjoint(_OURS):
        return False
    kind = message.get("type", door)
    return not names.isdisjoint(_SEGMENT) or (isinstance(kind, str) and kind in TYPES)
