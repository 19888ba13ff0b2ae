"""Segment's messages: track, identify, page, screen, group, alias, as its SDKs and its server send them.

Names are those of Segment's specifications for e-commerce (v2, and v1's aliases), e-mail, mobile and video
(https://segment.com/docs/connections/spec/); docs/events.md holds the table for readers.
"""

from __future__ import annotations

from features.contract import EVENT_NAMES
from features.events import Kind
from features.store.base import Event, Json
from serving.clocks import segment_time
from serving.fields import Rejected, event_identifier, identifier, inner, rest, text
from serving.meanings import COLUMNS, Heading, Meaning, Shape, Vocabulary, events_meant
from serving.traits import traits_of

#: Message types; each is also an address under /v1.
TYPES = frozenset({"track", "identify", "page", "screen", "group", "alias"})

WORDS = Vocabulary(
    inside="properties.",
    products="products",
    product_ids=("product_id", "sku"),
    order_id="order_id",
    values=("revenue", "total", "value"),
    spoken_for=COLUMNS
    | {"products", "product_id", "sku", "order_id", "name", "title", "brand", "category", "url", "image_url"},
)

_BY_KIND = {
    Kind.VIEW: Shape.EACH,
    Kind.CLICK: Shape.EACH,
    Kind.CART: Shape.EACH,
    Kind.REMOVE_FROM_CART: Shape.EACH,
    Kind.WISHLIST: Shape.EACH,
    Kind.IMPRESSION: Shape.LIST,
    Kind.PURCHASE: Shape.ORDER,
    Kind.REFUND: Shape.REFUND,
}


def _messages(tool: str, channel: str) -> dict[str, Meaning]:
    """What happens to a message on its way, under the names of one tool."""
    return {
        f"{tool} sent": Meaning("send", channel=channel),
        f"{tool} delivered": Meaning(f"{channel}_delivered", channel=channel),
        f"{tool} received": Meaning(f"{channel}_received", channel=channel),
        f"{tool} opened": Meaning("open", channel=channel),
        f"{tool} read": Meaning("open", channel=channel),
        f"{tool} tapped": Meaning("open", channel=channel),
        f"{tool} link clicked": Meaning("click", channel=channel),
        f"{tool} clicked": Meaning("click", channel=channel),
        f"{tool} bounced": Meaning(f"{channel}_bounced", channel=channel),
        f"{tool} failed": Meaning(f"{channel}_bounced", channel=channel),
        f"{tool} marked as spam": Meaning("complained", channel=channel),
        f"{tool} unsubscribed": Meaning("unsubscribe", channel=channel),
        f"{tool} subscribed": Meaning("subscribe", channel=channel),
    }


#: Event name in lower case -> what it means. Any other name is a custom event under its own name.
MEANINGS: dict[str, Meaning] = {
    **{name: Meaning(name, _BY_KIND.get(kind, Shape.PLAIN)) for name, kind in EVENT_NAMES.items()},
    **_messages("email", "email"),
    **_messages("push notification", "app_push"),
    **_messages("web push notification", "web_push"),
    **_messages("sms", "sms"),
    **_messages("whatsapp", "whatsapp"),
    "products searched": Meaning("search"),
    "product list viewed": Meaning("impression", Shape.LIST),
    "product list filtered": Meaning("impression", Shape.LIST),
    "promotion viewed": Meaning("impression", Shape.PROMOTION),
    "promotion clicked": Meaning("click", Shape.PROMOTION),
    "product clicked": Meaning("click", Shape.EACH),
    "product viewed": Meaning("view", Shape.EACH),
    "product added": Meaning("cart", Shape.EACH),
    "product removed": Meaning("remove_from_cart", Shape.EACH),
    "order completed": Meaning("purchase", Shape.ORDER),
    "order refunded": Meaning("refund", Shape.REFUND),
    "order cancelled": Meaning("refund", Shape.WHOLE),
    "order delivered": Meaning("deliver"),
    "product added to wishlist": Meaning("wishlist", Shape.EACH),
    "wishlist product added to cart": Meaning("cart", Shape.EACH),
    "video playback started": Meaning("video_view"),
    "video playback completed": Meaning("video_view"),
    "signup started": Meaning("signup_started"),
    "signed up": Meaning("signup"),
    "subscribed": Meaning("subscribe"),
    "unsubscribed": Meaning("unsubscribe", channel="email"),
    "application installed": Meaning("app_install"),
    # Names of version 1
    "viewed product category": Meaning("impression", Shape.LIST),
    "viewed promotion": Meaning("impression", Shape.PROMOTION),
    "clicked promotion": Meaning("click", Shape.PROMOTION),
    "clicked product": Meaning("click", Shape.EACH),
    "viewed product": Meaning("view", Shape.EACH),
    "added product": Meaning("cart", Shape.EACH),
    "removed product": Meaning("remove_from_cart", Shape.EACH),
    "completed order": Meaning("purchase", Shape.ORDER),
}

_NOTHING: frozenset[str] = frozenset()


def segment_events(message: Json, received: int, *, kind: str | None = None, sent_at: object = None) -> list[Event]:
    """The events of one message.

    Args:
        message: the message.
        received: when it came in, microseconds since 1970 UTC: the moment the shop learned of it.
        kind: its type, if it does not say (the address it was sent to).
        sent_at: ``sentAt`` of its batch.

    Raises:
        Rejected: it cannot be taken; the reason names the field.
    """
    kind = message.get("type") or kind
    if type(kind) is not str or kind not in TYPES:
        raise Rejected(f"type: none of {', '.join(sorted(TYPES))}")
    customer_id, anonymous_id = identifier(message, "userId"), identifier(message, "anonymousId")
    if kind == "alias":
        anonymous_id = identifier(message, "previousId") or anonymous_id
    if customer_id is None and (anonymous_id is None or kind == "alias"):
        raise Rejected("userId: missing" if kind == "alias" else "userId: missing, and so is anonymousId")
    context = inner(message, "context")
    properties = inner(message, "properties")
    heading = Heading(
        segment_time(message, received, sent_at),
        received,
        customer_id,
        anonymous_id,
        identifier(properties, "session_id", "properties.") or identifier(context, "sessionId", "context."),
        event_identifier(message, "messageId"),
    )
    campaign = context.get("campaign")
    more = {"campaign": campaign} if type(campaign) is dict and campaign else None
    if kind == "track":
        name = text(message, "event")
        if name is None:
            raise Rejected("event: missing")
        meaning = MEANINGS.get(name.lower()) or Meaning(name)
        if meaning.event != "identify":
            return events_meant(name, meaning, heading, properties, WORDS, rest(more, _NOTHING) if more else None)
    if kind in ("page", "screen"):
        name = text(message, "name")
        said = {**properties, "name": name} if name else properties
        return [heading.event("page", rest({**said, **(more or {})}, COLUMNS))]
    if kind == "group":
        said = {**inner(message, "traits"), "group_id": message.get("groupId")}
        return [heading.event("group", rest(said, _NOTHING))]
    traits = traits_of(inner(message, "traits"), context.get("timezone"))
    return [heading.event("identify", {"traits": traits} if traits else None)]
