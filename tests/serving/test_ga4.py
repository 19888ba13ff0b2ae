"""GA4's names, and how its bodies say who and when."""

from __future__ import annotations

from typing import Any

import pytest

from features.store.base import Event
from serving.fields import Rejected
from serving.ga4 import ga4_events, ga4_sender
from tests.serving.shop_doors import NOW

SECOND = 1_000_000
ITEM = {"item_id": "P1", "price": 4.5, "quantity": 2, "item_name": "Comb"}


def events(name: str, params: dict[str, Any] | None = None, **fields: Any) -> list[Event]:
    sender = ga4_sender({"client_id": "555.777", **fields.pop("body", {})}, NOW)
    return ga4_events({"name": name, "params": params, **fields}, sender, NOW)


@pytest.mark.parametrize(
    ("name", "params", "event", "product"),
    [
        ("view_item", {"items": [ITEM]}, "view", "P1"),
        ("view_item_list", {"items": [ITEM]}, "impression", "P1"),
        ("view_item_list", {"item_list_id": "l"}, "view_item_list", None),
        ("select_item", {"items": [ITEM]}, "click", "P1"),
        ("add_to_cart", {"items": [ITEM]}, "cart", "P1"),
        ("remove_from_cart", {"items": [ITEM]}, "remove_from_cart", "P1"),
        ("add_to_wishlist", {"items": [ITEM]}, "wishlist", "P1"),
        ("purchase", {"transaction_id": "T", "items": [ITEM]}, "purchase", "P1"),
        ("refund", {"transaction_id": "T", "items": [ITEM]}, "refund", "P1"),
        ("refund", {"transaction_id": "T"}, "refund", None),
        ("view_promotion", {"promotion_id": "x", "items": [ITEM]}, "impression", None),
        ("select_promotion", {"promotion_id": "x"}, "click", None),
        ("search", {"search_term": "red"}, "search", None),
        ("view_search_results", {"search_term": "red"}, "search", None),
        ("page_view", {"page_location": "https://x/"}, "page", None),
        ("screen_view", {}, "page", None),
        ("sign_up", {"method": "mail"}, "signup", None),
        ("first_open", {}, "app_install", None),
        ("video_start", {}, "video_view", None),
        ("video_complete", {}, "video_view", None),
        ("notification_open", {}, "open", None),
        ("notification_receive", {}, "app_push_received", None),
        ("begin_checkout", {"items": [ITEM]}, "begin_checkout", None),
        ("generate_lead", {"value": 3}, "generate_lead", None),
    ],
)
def test_what_a_name_means(name: str, params: dict[str, Any], event: str, product: str | None) -> None:
    [found] = events(name, params)
    assert (found.event, found.product_id, found.anonymous_id) == (event, product, "555.777")


def test_an_order_is_a_purchase_a_line_counted_once_by_its_transaction() -> None:
    params = {"transaction_id": "T", "currency": "EUR", "value": 12, "tax": 1, "decision_id": "d"}
    first, second = events("purchase", {**params, "items": [ITEM, {"item_id": "P2"}]})
    assert (first.product_id, first.quantity, first.price, first.currency) == ("P1", 2.0, 4.5, "EUR")
    assert (second.product_id, second.quantity, second.order_id, second.decision_id) == ("P2", 1.0, "T", "d")
    assert (first.event_id, second.event_id) == ("ga4:purchase:T", "ga4:purchase:T\x1f1")
    assert first.more == {"value": 12, "tax": 1}
    [whole] = events("purchase", params)
    assert (whole.product_id, whole.price) == (None, 12.0)


def test_only_a_purchase_or_an_event_id_is_counted_once() -> None:
    assert events("view_item", {"items": [ITEM]})[0].event_id is None
    assert events("refund", {"transaction_id": "T"})[0].event_id is None
    assert events("sign_up", {"event_id": "e"})[0].event_id == "e"


def test_a_session_belongs_to_its_client() -> None:
    assert events("sign_up", {"session_id": 1769850000})[0].session_id == "555.777.1769850000"
    assert events("sign_up", {"ga_session_id": "9"})[0].session_id == "555.777.9"


@pytest.mark.parametrize(
    ("body", "event", "before_receipt"),
    [
        ({}, {}, 0),
        ({"timestamp_micros": NOW - 7 * SECOND}, {}, 7),
        ({"timestamp_micros": str(NOW - 7 * SECOND)}, {}, 7),
        ({"timestamp_micros": NOW - 7 * SECOND}, {"timestamp_micros": NOW - 5 * SECOND}, 5),
        ({"timestamp_micros": NOW + 1}, {}, 0),
    ],
)
def test_when_it_happened(body: dict[str, Any], event: dict[str, Any], before_receipt: int) -> None:
    [found] = events("sign_up", body=body, **event)
    assert (found.time, found.known) == (NOW - before_receipt * SECOND, NOW)


def test_a_user_of_a_client_is_a_link() -> None:
    properties = {"skin": {"value": "dry"}, "timezone": {"value": "Europe/Berlin"}, "odd": 3}
    sender = ga4_sender({"client_id": "v", "user_id": "c", "user_properties": properties}, NOW)
    assert sender.link is not None
    assert (sender.link.event, sender.link.customer_id, sender.link.anonymous_id) == ("identify", "c", "v")
    assert sender.link.more == {"traits": {"skin": "dry", "timezone": "Europe/Berlin"}}
    assert ga4_sender({"client_id": "v"}, NOW).link is None
    assert ga4_sender({"user_id": "c"}, NOW).link is None


def test_a_link_sent_again_is_the_same_event() -> None:
    def event_id(**changes: Any) -> str | None:
        body = {"client_id": "v", "user_id": "c", "timestamp_micros": NOW - SECOND, **changes}
        link = ga4_sender(body, NOW).link
        assert link is not None
        return link.event_id

    skin: dict[str, Any] = {"user_properties": {"skin": {"value": "dry"}}}
    assert event_id() == event_id(events=[])
    assert event_id(**skin) == event_id(**skin)
    others: list[dict[str, Any]] = [
        {},
        skin,
        {"client_id": "w"},
        {"user_id": "d"},
        {"timestamp_micros": NOW},
        {"client_id": None, **skin},
    ]
    assert len({event_id(**changes) for changes in others}) == len(others)


def test_a_body_that_names_nobody_is_refused() -> None:
    with pytest.raises(Rejected, match=r"client_id: missing, and so is user_id"):
        ga4_sender({"user_id": ""}, NOW)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("view_item", "not an object"),
        ({"params": {}}, "name: missing"),
        ({"name": "view_item"}, "params.item_id: missing"),
        ({"name": "view_item", "params": {"items": [{"item_name": "Comb"}]}}, "params.items[0].item_id: missing"),
        (
            {"name": "view_item", "params": {"items": [{"item_id": "P", "price": -3}]}},
            "params.items[0].price: negative",
        ),
        ({"name": "refund", "params": {}}, "params.transaction_id: missing, and so are the products"),
        ({"name": "sign_up", "timestamp_micros": "now"}, "timestamp_micros: not a number of microseconds"),
        ({"name": "sign_up", "timestamp_micros": -1}, "timestamp: before 1970"),
    ],
)
def test_what_is_refused_says_where_and_why(event: object, reason: str) -> None:
    with pytest.raises(Rejected) as raised:
        ga4_events(event, ga4_sender({"client_id": "v"}, NOW), NOW)
    assert str(raised.value) == reason
