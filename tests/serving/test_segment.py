"""Segment's messages: what every name means, whose clock counts, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from features.contract import EVENT_NAMES
from features.store.base import Event
from serving.fields import LONGEST, MOST_BYTES, MOST_KEPT, Rejected
from serving.segment import MEANINGS, segment_events
from tests.serving.shop_doors import NOW

SECOND = 1_000_000


def track(name: str, properties: Any = None, **fields: Any) -> dict[str, Any]:
    message = {"type": "track", "event": name, "userId": "c1", "messageId": "m1", "properties": properties}
    return {**message, **fields}


def only(message: dict[str, Any]) -> Event:
    [event] = segment_events(message, NOW)
    return event


def refusal(message: dict[str, Any]) -> str:
    with pytest.raises(Rejected) as raised:
        segment_events(message, NOW)
    return str(raised.value)


LINE = {"product_id": "P1", "price": 4.5, "quantity": 2}


@pytest.mark.parametrize(
    ("name", "properties", "event", "channel", "product"),
    [
        ("Product Viewed", LINE, "view", None, "P1"),
        ("product viewed", LINE, "view", None, "P1"),
        ("Viewed Product", LINE, "view", None, "P1"),
        ("Product Clicked", LINE, "click", None, "P1"),
        ("Product Added", LINE, "cart", None, "P1"),
        ("Product Removed", LINE, "remove_from_cart", None, "P1"),
        ("Product Added to Wishlist", LINE, "wishlist", None, "P1"),
        ("Wishlist Product Added to Cart", LINE, "cart", None, "P1"),
        ("Product Removed from Wishlist", LINE, "Product Removed from Wishlist", None, "P1"),
        ("Cart Viewed", {"cart_id": "k", "products": [LINE]}, "Cart Viewed", None, None),
        ("Product List Viewed", {"products": [LINE]}, "impression", None, "P1"),
        ("Product List Filtered", {"products": [LINE]}, "impression", None, "P1"),
        ("Product List Viewed", {"category": "Lips"}, "Product List Viewed", None, None),
        ("Promotion Viewed", {"creative": "top"}, "impression", None, None),
        ("Promotion Clicked", {"creative": "top", "product_id": "P1"}, "click", None, None),
        ("Products Searched", {"query": "red"}, "search", None, None),
        ("Checkout Started", {"order_id": "o", "products": [LINE]}, "Checkout Started", None, None),
        ("Order Completed", {"order_id": "o", "products": [LINE]}, "purchase", None, "P1"),
        ("Order Updated", {"order_id": "o", "products": [LINE]}, "Order Updated", None, None),
        ("Order Refunded", {"order_id": "o", "products": [LINE]}, "refund", None, "P1"),
        ("Order Refunded", {"order_id": "o"}, "refund", None, None),
        ("Order Cancelled", {"order_id": "o", "products": [LINE]}, "refund", None, None),
        ("Order Delivered", {"order_id": "o"}, "deliver", None, None),
        ("Order Fulfilled", {"order_id": "o"}, "Order Fulfilled", None, None),
        ("Coupon Entered", {"coupon_id": "x"}, "Coupon Entered", None, None),
        ("Coupon Denied", {"coupon_id": "x"}, "Coupon Denied", None, None),
        ("Video Playback Started", {"product_id": "P1"}, "video_view", None, "P1"),
        ("Video Playback Completed", {"title": "How to"}, "video_view", None, None),
        ("Signed Up", {}, "signup", None, None),
        ("Email Sent", {}, "send", "email", None),
        ("Email Delivered", {}, "email_delivered", "email", None),
        ("Email Opened", {}, "open", "email", None),
        ("Email Link Clicked", {"link_url": "x"}, "click", "email", None),
        ("Email Bounced", {}, "email_bounced", "email", None),
        ("Email Marked as Spam", {}, "complained", "email", None),
        ("Unsubscribed", {}, "unsubscribe", "email", None),
        ("Unsubscribed", {"channel": "sms"}, "unsubscribe", "sms", None),
        ("Subscribed", {}, "subscribe", None, None),
        ("Push Notification Sent", {}, "send", "app_push", None),
        ("Push Notification Received", {}, "app_push_received", "app_push", None),
        ("Push Notification Opened", {}, "open", "app_push", None),
        ("Push Notification Tapped", {"channel": "web_push"}, "open", "web_push", None),
        ("Push Notification Bounced", {}, "app_push_bounced", "app_push", None),
        ("SMS Sent", {}, "send", "sms", None),
        ("SMS Delivered", {}, "sms_delivered", "sms", None),
        ("SMS Link Clicked", {}, "click", "sms", None),
        ("WhatsApp Read", {}, "open", "whatsapp", None),
        ("Application Installed", {}, "app_install", None, None),
        ("Scratch Card Won", {"prize": 5}, "Scratch Card Won", None, None),
        ("wishlist", LINE, "wishlist", None, "P1"),
    ],
)
def test_what_a_name_means(
    name: str, properties: dict[str, Any], event: str, channel: str | None, product: str | None
) -> None:
    found = only(track(name, properties))
    assert (found.event, found.channel, found.product_id) == (event, channel, product)
    assert (found.customer_id, found.event_id, found.time, found.known) == ("c1", "m1", NOW, NOW)


def test_every_name_of_the_contract_means_itself() -> None:
    assert {name: MEANINGS[name].event for name in EVENT_NAMES} == {name: name for name in EVENT_NAMES}


def test_a_product_event_has_its_columns_and_keeps_the_rest() -> None:
    said = {
        **LINE,
        "currency": "EUR",
        "position": 3,
        "coupon": "MAY",
        "name": "Lipstick",
        "decision_id": "d",
        "placement": "similar_products",
        "session_id": 77,
    }
    assert only(track("Product Clicked", said, context={"campaign": {"name": "spring"}})) == Event(
        "click",
        NOW,
        NOW,
        customer_id="c1",
        session_id="77",
        product_id="P1",
        quantity=2.0,
        price=4.5,
        currency="EUR",
        event_id="m1",
        placement="similar_products",
        decision_id="d",
        more={"position": 3, "coupon": "MAY", "campaign": {"name": "spring"}},
    )


def test_a_product_goes_by_product_id_else_by_sku() -> None:
    assert only(track("Product Viewed", {"product_id": 9, "sku": "S"})).product_id == "9"
    assert only(track("Product Viewed", {"product_id": "", "sku": "S"})).product_id == "S"


def test_an_order_is_a_purchase_a_line() -> None:
    said = {
        "order_id": "o1",
        "currency": "EUR",
        "total": 20,
        "tax": 1,
        "decision_id": "d",
        "products": [
            {"product_id": "P1", "price": "4.50", "quantity": 2, "coupon": "X", "name": "Comb"},
            {"sku": "P2", "price": 11, "decision_id": "other"},
        ],
    }
    first, second = segment_events(track("Order Completed", said), NOW)
    assert (first.product_id, first.price, first.quantity, first.order_id) == ("P1", 4.5, 2.0, "o1")
    assert (second.product_id, second.price, second.quantity, second.order_id) == ("P2", 11.0, 1.0, "o1")
    assert (first.event_id, second.event_id) == ("m1", "m1\x1f1")
    assert (first.decision_id, second.decision_id) == ("d", "other")
    assert (first.currency, second.currency) == ("EUR", "EUR")
    assert first.more == {"total": 20, "tax": 1, "coupon": "X"}
    assert second.more is None


def test_an_order_of_ten_thousand_lines_is_ordinary() -> None:
    lines = [{"product_id": f"P{i}"} for i in range(10_000)]
    events = segment_events(track("Order Completed", {"order_id": "o", "products": lines}), NOW)
    assert [event.product_id for event in events] == [line["product_id"] for line in lines]
    assert len({event.event_id for event in events}) == 10_000


def test_an_order_without_lines_has_its_value() -> None:
    event = only(track("Order Completed", {"order_id": "o", "revenue": 25.0, "total": 30}))
    assert (event.event, event.product_id, event.order_id, event.price, event.quantity) == (
        "purchase",
        None,
        "o",
        25.0,
        1.0,
    )


def test_a_refund_names_lines_or_the_whole_order() -> None:
    line = only(track("Order Refunded", {"order_id": "o", "products": [{"product_id": "P1"}]}))
    assert (line.product_id, line.quantity, line.order_id) == ("P1", None, "o")
    piece = only(track("Order Refunded", {"order_id": "o", "products": [{"product_id": "P1", "quantity": 2}]}))
    assert piece.quantity == 2.0
    for name in ("Order Refunded", "Order Cancelled"):
        whole = only(track(name, {"order_id": "o", "products": []}))
        assert (whole.event, whole.product_id, whole.quantity, whole.order_id) == ("refund", None, None, "o")


def test_a_list_is_an_impression_a_product_of_our_decision() -> None:
    said = {"decision_id": "d", "placement": "trending", "list_id": "l", "products": [{"sku": "A"}, {"sku": "B"}]}
    events = segment_events(track("Product List Viewed", said), NOW)
    assert [(e.event, e.product_id, e.decision_id, e.placement) for e in events] == [
        ("impression", "A", "d", "trending"),
        ("impression", "B", "d", "trending"),
    ]
    assert events[0].more == {"list_id": "l"}


def test_pages_and_screens_are_pages() -> None:
    page = only({"type": "page", "anonymousId": "a", "name": "Home", "properties": {"url": "https://x/", "title": "X"}})
    assert (page.event, page.anonymous_id, page.more) == (
        "page",
        "a",
        {"url": "https://x/", "title": "X", "name": "Home"},
    )
    assert only({"type": "screen", "anonymousId": "a", "name": "Bag"}).event == "page"


def test_identify_links_and_tells_traits() -> None:
    said = {
        "email": "x@example.com",
        "age": 30,
        "vip": True,
        "skin": ["dry", "pale"],
        "address": {"city": "Berlin"},
        "nothing": None,
        "consents": ["email", "sms", "email"],
        "reachable": None,
    }
    message = {"type": "identify", "userId": 7, "anonymousId": "a", "traits": said, "messageId": "m"}
    event = only({**message, "context": {"timezone": "Europe/Berlin"}})
    assert (event.event, event.customer_id, event.anonymous_id, event.event_id) == ("identify", "7", "a", "m")
    assert event.more == {
        "traits": {
            "email": "x@example.com",
            "age": 30,
            "vip": True,
            "skin": ["dry", "pale"],
            "timezone": "Europe/Berlin",
            "consents": ["email", "sms"],
            "reachable": [],
        }
    }


def test_what_a_shop_says_of_the_time_zone_comes_before_the_device() -> None:
    message = {"type": "identify", "userId": "c", "traits": {"timezone": "Asia/Tokyo"}}
    event = only({**message, "context": {"timezone": "Europe/Berlin"}})
    assert event.more == {"traits": {"timezone": "Asia/Tokyo"}}
    assert only({"type": "identify", "userId": "c", "context": {"timezone": "GMT+2"}}).more is None


def test_alias_links_like_identify() -> None:
    event = only({"type": "alias", "userId": "c", "previousId": "a", "anonymousId": "b"})
    assert (event.event, event.customer_id, event.anonymous_id) == ("identify", "c", "a")


def test_a_group_is_kept() -> None:
    event = only({"type": "group", "userId": "c", "groupId": "g", "traits": {"name": "Ltd"}})
    assert (event.event, event.more) == ("group", {"name": "Ltd", "group_id": "g"})


# 2026-01-31T09:00:00Z is NOW


@pytest.mark.parametrize(
    ("clocks", "before_receipt"),
    [
        ({}, 0),
        ({"timestamp": "2026-01-31T08:59:50Z"}, 10),
        ({"timestamp": "2026-01-31T09:59:50+01:00"}, 10),
        ({"timestamp": "2026-01-31T08:59:50"}, 10),
        # The device is an hour behind: it sent the message 20 s after it happened.
        ({"timestamp": "2026-01-31T07:59:40Z", "sentAt": "2026-01-31T08:00:00Z"}, 20),
        (
            {
                "originalTimestamp": "2026-01-31T07:59:40Z",
                "timestamp": "1999-01-01T00:00:00Z",
                "sentAt": "2026-01-31T08:00:00Z",
            },
            20,
        ),
        # Forwarded by Segment, which corrected the timestamp.
        (
            {
                "timestamp": "2026-01-31T08:59:30Z",
                "originalTimestamp": "2001-01-01T00:00:00Z",
                "sentAt": "2001-01-01T00:00:01Z",
                "receivedAt": "2026-01-31T08:59:59Z",
            },
            30,
        ),
        # A device that was off for a day.
        ({"timestamp": "2026-01-30T08:00:00Z", "sentAt": "2026-01-31T08:00:00Z"}, 86_400),
        # Nothing happened after we were told.
        ({"timestamp": "2026-01-31T09:00:01Z"}, 0),
        ({"timestamp": "2999-01-31T09:00:01Z"}, 0),
        ({"timestamp": "2026-01-31T08:00:05Z", "sentAt": "2026-01-31T08:00:00Z"}, 0),
    ],
)
def test_the_four_clocks(clocks: dict[str, str], before_receipt: int) -> None:
    event = only(track("Signed Up", {}, **clocks))
    assert (event.time, event.known) == (NOW - before_receipt * SECOND, NOW)


def test_a_batch_has_one_moment_of_sending() -> None:
    [event] = segment_events(
        track("Signed Up", {}, timestamp="2026-01-31T07:59:40Z"), NOW, sent_at="2026-01-31T08:00:00Z"
    )
    assert event.time == NOW - 20 * SECOND


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"type": "merge", "userId": "c"}, "type: none of alias, group, identify, page, screen, track"),
        ({"type": "track", "event": "Signed Up"}, "userId: missing, and so is anonymousId"),
        (
            {"type": "track", "event": "Signed Up", "userId": None, "anonymousId": ""},
            "userId: missing, and so is anonymousId",
        ),
        ({"type": "alias", "previousId": "a"}, "userId: missing"),
        (track(""), "event: missing"),
        (track("Signed Up", userId=["c"]), "userId: not an id"),
        (track("Signed Up", userId=1.5), "userId: not an id"),
        (track("Signed Up", userId=True), "userId: not an id"),
        (track("Signed Up", userId="x" * (LONGEST + 1)), f"userId: longer than {LONGEST} characters"),
        (track("Signed Up", properties=[]), "properties: not an object"),
        (track("Product Viewed", {}), "properties.product_id: missing"),
        (track("Product Viewed", {"product_id": "P", "price": -1}), "properties.price: negative"),
        (track("Product Viewed", {"product_id": "P", "price": "cheap"}), "properties.price: not a number"),
        (track("Product Viewed", {"product_id": "P", "price": "nan"}), "properties.price: not a number"),
        (track("Product Viewed", {"product_id": "P", "quantity": True}), "properties.quantity: not a number"),
        (track("Product Viewed", {"product_id": "P", "currency": 1}), "properties.currency: not a text"),
        (track("Order Completed", {"products": {}}), "properties.products: not a list"),
        (track("Order Completed", {"products": ["P"]}), "properties.products[0]: not an object"),
        (track("Order Completed", {"products": [{"sku": "A"}, {}]}), "properties.products[1].product_id: missing"),
        (
            track("Order Completed", {"products": [{"sku": "A", "quantity": -2}]}),
            "properties.products[0].quantity: negative",
        ),
        (track("Order Refunded", {}), "properties.order_id: missing, and so are the products"),
        (track("Order Cancelled", {"products": [LINE]}), "properties.order_id: missing, and so are the products"),
        (track("Signed Up", timestamp="yesterday"), "timestamp: not an RFC 3339 time"),
        (track("Signed Up", timestamp=1769850000), "timestamp: not an RFC 3339 time"),
        (track("Signed Up", timestamp="1969-12-31T23:59:59Z"), "timestamp: before 1970"),
        (track("Signed Up", timestamp="2026-01-31T08:59:50Z", sentAt=5), "sentAt: not an RFC 3339 time"),
        (
            {"type": "identify", "userId": "c", "traits": {"timezone": "Mars/Base"}},
            "traits.timezone: not an IANA time zone",
        ),
        (
            {"type": "identify", "userId": "c", "traits": {"consents": "email"}},
            "traits.consents: not a list of channels",
        ),
        ({"type": "identify", "userId": "c", "traits": {"reachable": [1]}}, "traits.reachable: not a list of channels"),
    ],
)
def test_what_is_refused_says_where_and_why(message: dict[str, Any], reason: str) -> None:
    assert refusal(message) == reason


def test_what_is_kept_beside_is_bounded() -> None:
    many = only(track("Quiz Done", {f"q{i}": i for i in range(200)}))
    assert many.more == {f"q{i}": i for i in range(MOST_KEPT)}
    long = only(track("Quiz Done", {"said": "x" * 5000}))
    assert long.more == {"said": "x" * LONGEST}
    large = only(track("Quiz Done", {"list": ["x" * 100] * 1000, "score": 3}))
    assert large.more == {"score": 3}
    texts = only(track("Quiz Done", {f"q{i}": "x" * 900 for i in range(40)}))
    assert texts.more is not None
    assert len(texts.more) == MOST_BYTES // 910
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    assert only(track("Quiz Done", {"deep": deep, "score": 3})).more == {"score": 3}


@pytest.mark.parametrize(
    "flag", [{"machine_open": True}, {"sg_machine_open": "true"}, {"isMachine": 1}, {"bot": "apple"}, {"is_bot": True}]
)
def test_an_open_flagged_by_its_provider_is_kept_apart(flag: dict[str, Any]) -> None:
    assert only(track("Email Opened", flag)).event == "machine_open"


@pytest.mark.parametrize("flag", [{"machine_open": False}, {"sg_machine_open": "false"}, {"bot": ""}, {"is_bot": None}])
def test_an_open_that_is_not_flagged_is_an_open(flag: dict[str, Any]) -> None:
    assert only(track("Email Opened", flag)).event == "open"
