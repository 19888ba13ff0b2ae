"""GA4's Measurement Protocol: ``{client_id, user_id?, timestamp_micros?, events: [{name, params}]}``.

Names are those of https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference/events;
docs/events.md holds the table for readers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import orjson

from features.store.base import Event, Json
from serving.clocks import ga4_time
from serving.fields import Rejected, event_identifier, identifier, inner, text
from serving.meanings import COLUMNS, Heading, Meaning, Shape, Vocabulary, events_meant
from serving.traits import traits_of

WORDS = Vocabulary(
    inside="params.",
    products="items",
    product_ids=("item_id", "product_id"),
    order_id="transaction_id",
    values=("value",),
    spoken_for=COLUMNS
    | {"items", "item_id", "product_id", "transaction_id", "item_name", "item_brand", "item_variant"}
    | {"item_category", "item_category2", "item_category3", "item_category4", "item_category5"}
    | {"event_id", "engagement_time_msec"},
)

#: Event name -> what it means. Any other name is a custom event under its own name.
MEANINGS: dict[str, Meaning] = {
    "view_item": Meaning("view", Shape.EACH),
    "view_item_list": Meaning("impression", Shape.LIST),
    "select_item": Meaning("click", Shape.EACH),
    "view_promotion": Meaning("impression", Shape.PROMOTION),
    "select_promotion": Meaning("click", Shape.PROMOTION),
    "add_to_cart": Meaning("cart", Shape.EACH),
    "remove_from_cart": Meaning("remove_from_cart", Shape.EACH),
    "add_to_wishlist": Meaning("wishlist", Shape.EACH),
    "purchase": Meaning("purchase", Shape.ORDER),
    "refund": Meaning("refund", Shape.REFUND),
    "search": Meaning("search"),
    "view_search_results": Meaning("search"),
    "page_view": Meaning("page"),
    "screen_view": Meaning("page"),
    "sign_up": Meaning("signup"),
    "first_open": Meaning("app_install"),
    "video_start": Meaning("video_view"),
    "video_complete": Meaning("video_view"),
    "notification_open": Meaning("open", channel="app_push"),
    "notification_receive": Meaning("app_push_received", channel="app_push"),
}


@dataclass(frozen=True)
class Ga4Sender:
    """Who a body is about, and when it happened unless an event says otherwise.

    ``link``: an identify event that says customer and visitor are one, and what is known of them; None where the body
    names no customer, or nothing else. Its event_id follows from what it says: a body sent again adds none.
    """

    customer_id: str | None
    anonymous_id: str | None
    time: int
    link: Event | None


def ga4_sender(body: Json, received: int) -> Ga4Sender:
    """The sender of a body.

    Raises:
        Rejected: nobody is named, or a field is not as it must be.
    """
    customer_id = identifier(body, "user_id")
    anonymous_id = identifier(body, "client_id") or identifier(body, "app_instance_id")
    if customer_id is None and anonymous_id is None:
        raise Rejected("client_id: missing, and so is user_id")
    time = ga4_time(body, received, received)
    said = {name: one.get("value") for name, one in inner(body, "user_properties").items() if isinstance(one, dict)}
    traits = traits_of(said, inside="user_properties.")
    link = None
    if customer_id is not None and (anonymous_id is not None or traits):
        more = {"traits": traits} if traits else None
        event_id = _link_id(customer_id, anonymous_id, time, traits)
        link = Event("identify", time, received, customer_id, anonymous_id, event_id=event_id, more=more)
    return Ga4Sender(customer_id, anonymous_id, time, link)


def ga4_events(event: object, sender: Ga4Sender, received: int) -> list[Event]:
    """The events of one member of ``events``.

    GA4 has no message ids. ``params.event_id`` is taken for one; a purchase goes by its transaction, which GA4 counts
    once too.

    Raises:
        Rejected: it cannot be taken; the reason names the field.
    """
    if not isinstance(event, dict):
        raise Rejected("not an object")
    name = text(event, "name")
    if name is None:
        raise Rejected("name: missing")
    params = inner(event, "params")
    meaning = MEANINGS.get(name) or Meaning(name)
    event_id = event_identifier(params, "event_id", "params.")
    if event_id is None and meaning.shape is Shape.ORDER:
        order_id = event_identifier(params, "transaction_id", "params.")
        event_id = f"ga4:purchase:{order_id}" if order_id else None
    session = identifier(params, "session_id", "params.") or identifier(params, "ga_session_id", "params.")
    if session is not None and sender.anonymous_id is not None:
        session = f"{sender.anonymous_id}.{session}"  # GA4 counts sessions for each client by itself
    heading = Heading(
        ga4_time(event, sender.time, received), received, sender.customer_id, sender.anonymous_id, session, event_id
    )
    return events_meant(name, meaning, heading, params, WORDS)


def _link_id(*said: object) -> str:
    return "ga4:identify:" + hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
