"""Events over HTTP: every form at every door, what becomes of each message, and who may send what."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.store.base import LATEST, Appended, Event, EventStore, Person, StoreError
from features.store.memory import MemoryEvents
from serving import ga4, segment
from serving.events import DOORS
from serving.metrics import Metrics
from serving.problems import MEDIA_TYPE
from tests.serving.shop_doors import NOW, PUBLIC, SECRET, doors, keys, logged, signature

pytestmark = pytest.mark.anyio

SECOND = 1_000_000
VIEW = {"event": "view", "anonymous_id": "a", "product_id": "P1"}
TRACK = {"event": "Product Viewed", "anonymousId": "a", "messageId": "m1", "properties": {"product_id": "P1"}}
GA4 = {"client_id": "a", "events": [{"name": "view_item", "params": {"items": [{"item_id": "P1"}]}}]}


@pytest.fixture
def store() -> EventStore:
    return MemoryEvents()


def counts(answer: httpx.Response) -> tuple[int, int, list[dict[str, Any]]]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"accepted", "duplicates", "rejected"}
    return body["accepted"], body["duplicates"], body["rejected"]


def problem(answer: httpx.Response) -> tuple[int, str, str]:
    assert answer.headers["content-type"] == MEDIA_TYPE
    body = answer.json()
    return answer.status_code, body["type"].rpartition(":")[2], body["detail"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("body", [VIEW, {"events": [VIEW]}, [VIEW], {"batch": [{"type": "track", **TRACK}]}, GA4])
async def test_every_form_at_every_door(store: EventStore, door: str, body: Any) -> None:
    async with doors(store) as client:
        assert counts(await client.post(door, json=body)) == (1, 0, [])
    [event] = logged(store)
    assert (event.event, event.anonymous_id, event.product_id, event.known) == ("view", "a", "P1", NOW)


@pytest.mark.parametrize(("door", "kind"), [(path, kind) for path, kind in DOORS.items() if kind])
async def test_a_message_without_a_type_is_of_the_type_of_its_door(store: EventStore, door: str, kind: str) -> None:
    async with doors(store) as client:
        await client.post(door, json={**TRACK, "userId": "c"})
    expected = {"track": "view", "screen": "page", "alias": "identify"}.get(kind, kind)
    assert [event.event for event in logged(store)] == [expected]


async def test_a_segment_body_is_known_by_its_fields_at_the_common_door(store: EventStore) -> None:
    async with doors(store) as client:
        assert counts(await client.post("/v1/events", json={"type": "page", "userId": "c"}))[0] == 1
        refused = await client.post("/v1/events", json=TRACK)
    assert problem(refused) == (
        422,
        "invalid-request",
        "type: none of alias, group, identify, page, screen, track",
    )


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "text/plain;charset=UTF-8", "a/b"])
async def test_the_content_type_does_not_matter(store: EventStore, content_type: str) -> None:
    async with doors(store) as client:
        answer = await client.post("/v1/t", content=json.dumps(TRACK), headers={"Content-Type": content_type})
    assert counts(answer) == (1, 0, [])


async def test_gzip_is_undone_within_the_limit(store: EventStore) -> None:
    packed = {"Content-Encoding": "gzip"}
    async with doors(store, body_limit=10_000) as client:
        answer = await client.post("/v1/t", content=gzip.compress(json.dumps(TRACK).encode()), headers=packed)
        assert counts(answer) == (1, 0, [])
        bomb = await client.post("/v1/t", content=gzip.compress(b" " * 1_000_000), headers=packed)
        assert problem(bomb)[:2] == (413, "too-large")
        assert problem(await client.post("/v1/t", content=b"{}", headers=packed))[:2] == (400, "invalid-json")
        large = await client.post("/v1/t", content=b" " * 10_001)
        assert problem(large)[:2] == (413, "too-large")


async def test_gzip_has_an_end_and_maybe_several_members(store: EventStore) -> None:
    written = json.dumps(TRACK).encode()
    whole = gzip.compress(written)
    several = b"".join(gzip.compress(written[i : i + 20]) for i in range(0, len(written), 20))
    async with doors(store, body_limit=10_000) as client:

        async def post(content: bytes) -> httpx.Response:
            return await client.post("/v1/t", content=content, headers={"Content-Encoding": "gzip"})

        assert counts(await post(several)) == (1, 0, [])
        for broken in (whole[:-1], whole[:-8], several[:-1], whole + b"x", gzip.compress(b"") * 400):
            assert problem(await post(broken))[:2] == (400, "invalid-json")
        assert problem(await post(gzip.compress(b" " * 9_000) * 2))[:2] == (413, "too-large")
    assert len(logged(store)) == 1


async def test_a_message_that_comes_twice_is_counted_once(store: EventStore) -> None:
    order = {
        "type": "track",
        "event": "Order Completed",
        "userId": "c",
        "messageId": "m2",
        "properties": {"order_id": "o", "products": [{"sku": "A"}, {"sku": "B"}]},
    }
    async with doors(store) as client:
        assert counts(await client.post("/v1/batch", json={"batch": [order, order]})) == (1, 1, [])
        assert counts(await client.post("/v1/track", json=order)) == (0, 1, [])
        purchase = {"name": "purchase", "params": {"transaction_id": "T", "items": [{"item_id": "A"}]}}
        body = {"client_id": "a", "events": [purchase]}
        assert counts(await client.post("/v1/events", json=body)) == (1, 0, [])
        assert counts(await client.post("/v1/events", json=body)) == (0, 1, [])
    assert len(logged(store)) == 3


async def test_a_bad_member_does_not_take_the_good_ones_with_it(store: EventStore) -> None:
    batch = [VIEW, 5, {**VIEW, "price": -1}, {"type": "track", **TRACK}, {"event": "view"}, {**VIEW, "event": None}]
    metrics = Metrics()
    async with doors(store, metrics=metrics) as client:
        accepted, duplicates, rejected = counts(await client.post("/v1/events", json=batch))
    assert (accepted, duplicates) == (2, 0)
    assert rejected == [
        {"index": 1, "reason": "not an object"},
        {"index": 2, "reason": "price: negative"},
        {"index": 4, "reason": "customer_id: names nobody: no customer, visitor, session or order"},
        {"index": 5, "reason": "event: missing"},
    ]
    assert len(logged(store)) == 2
    told = metrics.text().decode()
    assert 'segue_messages_total{result="accepted"} 2.0' in told
    assert 'segue_messages_total{result="rejected"} 4.0' in told
    assert "segue_events_written_total 2.0" in told
    assert "segue_event_commit_seconds_count 1.0" in told


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"", 400, "invalid-json"),
        (b"{", 400, "invalid-json"),
        (b'{"event": "view", "anonymous_id": "\xff"}', 400, "invalid-json"),
        (b"[" * 5000, 400, "invalid-json"),
        (b"5", 422, "invalid-request"),
        (b"{}", 422, "invalid-request"),
        (b'{"batch": 5}', 422, "invalid-request"),
        (b'{"events": {}}', 422, "invalid-request"),
        (b'{"client_id": {}, "events": []}', 422, "invalid-request"),
        (b'{"event": "view", "product_id": "P1"}', 422, "invalid-request"),
    ],
)
async def test_a_body_that_says_nothing_is_a_problem(store: EventStore, body: bytes, status: int, slug: str) -> None:
    async with doors(store) as client:
        assert problem(await client.post("/v1/events", content=body))[:2] == (status, slug)
    assert logged(store) == []


class FullStore(MemoryEvents):
    """A store on a full disk."""

    def append(self, events: Sequence[Event]) -> Appended:
        raise StoreError("/secret/place/events.db: the disk is full")


async def test_a_store_that_fails_is_told_so_and_where_it_is_is_not(caplog: pytest.LogCaptureFixture) -> None:
    async with doors(FullStore()) as client:
        answer = await client.post("/v1/events", json=[VIEW, VIEW])
    assert problem(answer) == (503, "store-unavailable", "Nothing was kept; send it again.")
    assert answer.headers["retry-after"] == "1"
    assert "the disk is full" in caplog.text


@pytest.mark.parametrize("body", [[], {"batch": []}, {"events": []}, {"client_id": "a", "events": []}])
async def test_nothing_is_nothing(store: EventStore, body: Any) -> None:
    async with doors(store) as client:
        assert counts(await client.post("/v1/events", json=body)) == (0, 0, [])


async def test_a_row_has_the_columns_of_the_contract(store: EventStore) -> None:
    row = {
        "event": "cart",
        "timestamp": "2026-01-31T08:59:50Z",
        "customer_id": 12,
        "anonymous_id": "a",
        "session_id": "s",
        "product_id": 'a/b "💄"',
        "order_id": None,
        "quantity": 2,
        "price": "3.5",
        "currency": "EUR",
        "channel": "on_site",
        "event_id": 9.0,
        "known_at": "2020-01-01T00:00:00Z",
        "placement": "trending",
        "decision_id": "d",
        "shelf": "top",
    }
    async with doors(store) as client:
        assert counts(await client.post("/v1/events", json=row)) == (1, 0, [])
    assert logged(store) == [
        Event(
            "cart",
            NOW - 10 * SECOND,
            NOW,
            "12",
            "a",
            "s",
            'a/b "💄"',
            None,
            2.0,
            3.5,
            "EUR",
            "on_site",
            "9",
            "trending",
            "d",
            {"shelf": "top"},
        )
    ]


async def test_rows_have_the_defaults_of_the_contract(store: EventStore) -> None:
    rows = [
        {"event": "purchase", "customer_id": "c", "order_id": "o", "product_id": "P"},
        {"event": "refund", "order_id": "o"},
        {"event": "view", "session_id": "s", "timestamp": "2999-01-01T00:00:00"},
        {"event": "identify", "customer_id": "c", "anonymous_id": "a", "traits": {"consents": ["sms"], "skin": "dry"}},
        {"event": "open", "customer_id": "c", "channel": "email", "machine_open": True},
    ]
    async with doors(store) as client:
        assert counts(await client.post("/v1/events", json=rows)) == (5, 0, [])
    purchase, refund, view, identify, opened = logged(store)
    assert (purchase.quantity, refund.quantity, purchase.time) == (1.0, None, NOW)
    assert view.time == NOW
    assert identify.more == {"traits": {"consents": ["sms"], "skin": "dry"}}
    assert opened.event == "machine_open"
    assert store.traits(store.person(anonymous_id="a")) == {"consents": ["sms"], "skin": "dry"}


async def test_a_user_of_ga4_is_linked_to_the_client_once(store: EventStore) -> None:
    async with doors(store) as client:
        await client.post("/v1/events", json=GA4)
        for _ in range(2):
            assert counts(await client.post("/v1/events", json={**GA4, "user_id": "c"})) == (1, 0, [])
        for earlier, who in ((2, "d"), (1, "c")):
            body = {**GA4, "user_id": who, "timestamp_micros": NOW - earlier * SECOND}
            await client.post("/v1/events", json=body)
    assert [event.event for event in logged(store)] == [
        "view",
        *["identify", "view", "view"],
        *["identify", "view"] * 2,
    ]
    assert store.person(anonymous_id="a").customer_id == "c"


async def test_what_ga4_says_of_a_customer_counts_once(store: EventStore) -> None:
    body = {"client_id": "a", "user_id": "c", "events": [{"name": "sign_up", "params": {"event_id": "e"}}]}
    dry = {**body, "user_properties": {"skin": {"value": "dry"}}, "timestamp_micros": NOW - SECOND}
    oily = {**body, "user_properties": {"skin": {"value": "oily"}}}
    async with doors(store) as client:
        await client.post("/v1/events", json=dry)
        for again in (dry, oily, oily, dry):
            assert counts(await client.post("/v1/events", json=again)) == (0, 1, [])
    assert [event.event for event in logged(store)] == ["identify", "signup", "identify"]
    assert store.traits(store.person(customer_id="c")) == {"skin": "oily"}


async def test_the_id_of_a_line_is_no_other_messages_id(store: EventStore) -> None:
    cart = {"products": [{"sku": "A"}, {"sku": "B"}]}
    batch = [
        {"type": "track", "event": "Order Completed", "userId": "c", "messageId": "m", "properties": cart},
        {"type": "track", "event": "Signed Up", "userId": "c", "messageId": "m/1"},
        {"type": "track", "event": "Signed Up", "userId": "c", "messageId": "m\x1f1"},
        {"event": "signup", "customer_id": "c", "event_id": "m\x1f1"},
    ]
    async with doors(store) as client:
        accepted, duplicates, rejected = counts(await client.post("/v1/batch", json={"batch": batch}))
    assert (accepted, duplicates) == (2, 0)
    assert rejected == [
        {"index": 2, "reason": "messageId: the character U+001F in an id"},
        {"index": 3, "reason": "event_id: the character U+001F in an id"},
    ]


def nested(levels: int) -> Any:
    value: Any = "deep"
    for level in range(levels):
        value = [value] if level % 2 else {"x": value}
    return value


@pytest.mark.parametrize("padding", ["", "p" * 2_000])
async def test_what_is_nested_too_deep_is_left_out(store: EventStore, padding: str) -> None:
    row = {"event": "view", "customer_id": "n", "padding": padding, "kept": nested(20)}
    message = {"event": "View", "userId": "n", "properties": {"product_id": "P", "far": nested(240)}}
    async with doors(store) as client:
        assert counts(await client.post("/v1/events", json={**row, "x": nested(21), "y": nested(240)})) == (1, 0, [])
        assert counts(await client.post("/v1/track", json=message)) == (1, 0, [])
        recent = (await client.get("/v1/customers/n")).json()["recent"]
    assert recent[1]["kept"] == nested(20)
    assert {"x", "y"}.isdisjoint(recent[1])
    assert "far" not in recent[0]


@pytest.mark.parametrize("numeral", ["1_0", "\u0661\u0662", "nan", "inf", "0x1", "1e999", "1,5", "", " "])
async def test_a_price_in_a_text_is_a_plain_numeral(store: EventStore, numeral: str) -> None:
    async with doors(store) as client:
        answer = await client.post("/v1/events", json={**VIEW, "price": numeral})
        if numeral:
            assert problem(answer) == (422, "invalid-request", "price: not a number")
        else:
            assert counts(answer) == (1, 0, [])
        for said in ("12.50", " 12.5 ", "1.25e1", "+12.5"):
            await client.post("/v1/events", json={**VIEW, "price": said})
    assert [event.price for event in logged(store)] == [None] * (not numeral) + [12.5] * 4


def email(event: str, seconds: float, **fields: Any) -> dict[str, Any]:
    at = f"2026-01-31T08:00:{seconds:09.6f}Z"
    return {"type": "track", "event": event, "userId": "c", "timestamp": at, **fields}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("after", "who", "kind"),
    [(0.0, "c", "machine_open"), (5.0, "c", "machine_open"), (5.000001, "c", "open"), (2.0, "other", "open")],
)
async def test_an_open_at_delivery_is_a_machine(
    store: EventStore, together: bool, after: float, who: str, kind: str
) -> None:
    delivered, opened = email("Email Delivered", 10), email("Email Opened", 10 + after, userId=who)
    async with doors(store) as client:
        if together:
            await client.post("/v1/batch", json={"batch": [delivered, opened]})
        else:
            await client.post("/v1/track", json=delivered)
            await client.post("/v1/track", json=opened)
    assert [event.event for event in logged(store)] == ["email_delivered", kind]


async def test_an_open_before_the_delivery_or_of_a_push_is_human(store: EventStore) -> None:
    batch = [
        email("Email Delivered", 10),
        email("Email Opened", 9),
        email("Push Notification Opened", 11),
        email("Email Link Clicked", 12),
    ]
    async with doors(store) as client:
        await client.post("/v1/batch", json={"batch": batch})
    assert [event.event for event in logged(store)] == ["email_delivered", "open", "open", "click"]


class Asked(MemoryEvents):
    """A store that counts how often it is asked for deliveries, and reads nobody's history."""

    asked = 0

    def newest_time(self, person: Person, event: str, *, channel: str | None = None, first: int = 0) -> int | None:
        self.asked += 1
        return super().newest_time(person, event, channel=channel, first=first)

    def events_of(self, person: Person, *, first: int = 0, upto: int = LATEST) -> Iterator[tuple[int, Event]]:
        raise AssertionError("a whole history for an open")


async def test_deliveries_are_asked_for_once_a_person_and_batch() -> None:
    store = Asked()
    async with doors(store) as client:
        await client.post("/v1/track", json=email("Email Delivered", 10))
        opens = [email("Email Opened", 9 + i % 4, userId=f"{'cd'[i % 2]}") for i in range(50)]
        await client.post("/v1/batch", json={"batch": opens})
    assert store.asked == 2
    machines = [(event.customer_id, event.event) for event in logged(store)[1:]]
    assert set(machines) == {("c", "machine_open"), ("c", "open"), ("d", "open")}


async def test_a_machine_opens_the_mail_of_a_linked_visitor(store: EventStore) -> None:
    async with doors(store) as client:
        await client.post("/v1/identify", json={"userId": "c", "anonymousId": "v"})
        await client.post("/v1/track", json=email("Email Delivered", 10))
        await client.post("/v1/track", json=email("Email Opened", 12, userId=None, anonymousId="v"))
    assert [event.event for event in logged(store)][-1] == "machine_open"


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{key}:".encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Authorization": f"Bearer {SECRET}"}, TRACK, 200),
        (basic(SECRET), TRACK, 200),
        ({}, {**TRACK, "writeKey": SECRET}, 200),
        ({}, {"batch": [{"type": "track", **TRACK}], "writeKey": PUBLIC}, 200),
        ({"Authorization": f"Bearer {PUBLIC}"}, TRACK, 200),
        ({}, TRACK, 401),
        ({}, [TRACK], 401),
        ({}, {**TRACK, "writeKey": "wrong"}, 401),
        ({}, {**TRACK, "writeKey": [SECRET]}, 401),
        (basic("wrong"), {**TRACK, "writeKey": SECRET}, 401),
        ({"Authorization": "Basic !"}, TRACK, 401),
        ({"Authorization": "Basic /w=="}, TRACK, 401),
        ({"Authorization": f"Digest {SECRET}"}, TRACK, 401),
    ],
)
async def test_a_key_comes_as_a_token_a_user_name_or_in_the_body(
    store: EventStore, headers: dict[str, str], body: Any, status: int
) -> None:
    async with doors(store, guard=keys()) as client:
        answer = await client.post("/v1/track", json=body, headers=headers)
    assert answer.status_code == status
    assert len(logged(store)) == (status == 200)


SERVERS = [
    {"event": "identify", "anonymous_id": "a"},
    {"event": "purchase", "anonymous_id": "a", "product_id": "P"},
    {"event": "refund", "anonymous_id": "a", "order_id": "o"},
    {"event": "deliver", "anonymous_id": "a", "order_id": "o"},
    {"event": "open", "anonymous_id": "a"},
    {"event": "open", "anonymous_id": "a", "is_bot": True},
    {"event": "machine_open", "anonymous_id": "a"},
    {"event": "email_delivered", "anonymous_id": "a"},
    {"type": "track", "event": "Email Bounced", "anonymousId": "a"},
    {"type": "track", "event": "Push Notification Received", "anonymousId": "a"},
    {"type": "track", "event": "SMS Marked as Spam", "anonymousId": "a"},
    {"event": "view", "order_id": "o"},
    {"event": "view", "customer_id": "c", "anonymous_id": "a"},
    {"type": "alias", "userId": "c", "previousId": "a"},
]


@pytest.mark.parametrize("row", SERVERS)
async def test_a_public_key_tells_only_what_visitors_do(store: EventStore, row: dict[str, Any]) -> None:
    public, secret = ({"Authorization": f"Bearer {key}"} for key in (PUBLIC, SECRET))
    async with doors(store, guard=keys()) as client:
        status, slug, detail = problem(await client.post("/v1/events", json=row, headers=public))
        assert (status, slug) == (403, "forbidden")
        assert "needs a secret key" in detail
        answer = await client.post("/v1/events", json=[VIEW, row], headers=public)
        assert counts(answer) == (1, 0, [{"index": 1, "reason": "needs a secret key"}])
        assert counts(await client.post("/v1/events", json=row, headers=secret)) == (1, 0, [])


async def test_a_public_key_tells_of_a_customer_by_signature(store: EventStore) -> None:
    headers = {"Authorization": f"Bearer {PUBLIC}", "Segue-Customer-Signature": signature("c")}
    batch = [{"event": "view", "customer_id": "c"}, {"event": "view", "customer_id": "d"}]
    async with doors(store, guard=keys()) as client:
        answer = await client.post("/v1/events", json=batch, headers=headers)
        assert counts(answer) == (1, 0, [{"index": 1, "reason": "needs a secret key"}])
        await client.post("/v1/events", json={**GA4, "user_id": "c"}, headers=headers)
    assert [(event.event, event.customer_id) for event in logged(store)] == [("view", "c"), ("view", "c")]


async def test_no_page_takes_the_event_id_of_a_server_or_of_another_visitor(store: EventStore) -> None:
    public, secret = ({"Authorization": f"Bearer {key}"} for key in (PUBLIC, SECRET))
    taken = {"event": "view", "anonymous_id": "a", "event_id": "ga4:purchase:1002"}
    purchase = {"name": "purchase", "params": {"transaction_id": "1002", "items": [{"item_id": "P1"}]}}
    added = {"name": "add_to_cart", "params": {"event_id": "e", "items": [{"item_id": "A"}, {"item_id": "B"}]}}
    async with doors(store, guard=keys()) as client:
        for row in (taken, {**taken, "anonymous_id": "b"}, {"event": "view", "session_id": "s", "event_id": "e"}):
            assert counts(await client.post("/v1/events", json=row, headers=public)) == (1, 0, [])
            assert counts(await client.post("/v1/events", json=row, headers=public)) == (0, 1, [])
        body = {"client_id": "c", "events": [purchase]}
        assert counts(await client.post("/v1/events", json=body, headers=secret)) == (1, 0, [])
        body = {"client_id": "c", "events": [added]}
        assert counts(await client.post("/v1/events", json=body, headers=public)) == (1, 0, [])
        assert counts(await client.post("/v1/events", json=VIEW, headers=public)) == (1, 0, [])
    assert [event.event_id for event in logged(store)] == [
        "page:a:ga4:purchase:1002",
        "page:b:ga4:purchase:1002",
        "page:s:e",
        "ga4:purchase:1002",
        "page:c:e",
        "page:c:e\x1f1",
        None,
    ]


async def test_the_event_id_of_a_page_goes_with_whom_it_names(store: EventStore) -> None:
    headers = {"Authorization": f"Bearer {PUBLIC}", "Segue-Customer-Signature": signature("c")}
    row = {"event": "view", "customer_id": "c", "anonymous_id": "a", "product_id": "P1", "event_id": "e"}
    async with doors(store, guard=keys()) as client:
        assert counts(await client.post("/v1/events", json=row, headers=headers)) == (1, 0, [])
    store.erase(anonymous_id="a", at=NOW)
    assert [event.event_id for event in logged(store)] == ["page:c:e"], "another's event, without the visitor's id"


@pytest.mark.parametrize("who", [{}, {"customer_id": "c"}])
async def test_what_the_script_in_a_page_sends_is_taken(store: EventStore, who: dict[str, str]) -> None:
    item = {"product_id": "P1", "placement": "trending", "decision_id": "0f5c"}
    events = [
        {"event": name, "anonymous_id": "6b1e0f0e-7a55-4a0c-9a6e-7a1f4f3f7d11", "event_id": event_id, **item, **who}
        for name, event_id in (("impression", "0d9a2c4e-1111-4c1a-8b7e-000000000001"), ("click", "42"))
    ]
    headers = {"Authorization": f"Bearer {PUBLIC}"}
    if who:
        headers["Segue-Customer-Signature"] = signature("c")
    async with doors(store, guard=keys()) as client:
        assert counts(await client.post("/v1/events", json={"events": events}, headers=headers)) == (2, 0, [])
        assert counts(await client.post("/v1/events", json={"events": events}, headers=headers)) == (0, 2, [])
    found = [(one.event, one.time, one.product_id, one.placement, one.decision_id) for one in logged(store)]
    assert found == [(name, NOW, "P1", "trending", "0f5c") for name in ("impression", "click")]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = [
    "type",
    "event",
    "name",
    "userId",
    "anonymousId",
    "messageId",
    "previousId",
    "groupId",
    "properties",
    "params",
    "traits",
    "context",
    "timestamp",
    "sentAt",
    "originalTimestamp",
    "receivedAt",
    "client_id",
    "user_id",
    "timestamp_micros",
    "user_properties",
    "events",
    "batch",
    "writeKey",
    "products",
    "items",
    "product_id",
    "sku",
    "item_id",
    "order_id",
    "transaction_id",
    "price",
    "quantity",
    "currency",
    "channel",
    "placement",
    "decision_id",
    "session_id",
    "customer_id",
    "anonymous_id",
    "event_id",
    "timezone",
    "consents",
    "reachable",
    "campaign",
    "machine_open",
    "value",
    "revenue",
]
NAMES = [*segment.MEANINGS, *ga4.MEANINGS, *segment.TYPES, "identify", "a", "2026-01-31T08:59:50Z", ""]
NESTED = st.recursive(
    JSON | st.sampled_from(NAMES),
    lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=10,
)
MESSAGES = st.builds(
    lambda fields, name, who, ids: {"type": "track", "event": name, "name": name, **who, **fields, **ids},
    st.dictionaries(st.sampled_from(FIELDS), NESTED, max_size=3),
    st.sampled_from(NAMES),
    st.sampled_from([{"userId": "c"}, {"anonymousId": "a"}, {"customer_id": "c"}, {"anonymous_id": "a"}, {}]),
    st.sampled_from([{}, *({field: one} for field in ("messageId", "event_id") for one in ("a", "b", 9.0))]),
)
PLAIN = st.builds(
    lambda products, who, ids: {
        "type": "track",
        "event": "Order Completed",
        "properties": {"products": [{"sku": one} for one in products]},
        **who,
        **ids,
    },
    st.lists(st.sampled_from(["A", "B"]), max_size=3),
    st.sampled_from([{"userId": "c"}, {"anonymousId": "a"}]),
    st.sampled_from([{}, {"messageId": "a"}, {"messageId": "b"}, {"messageId": "c"}]),
)
BATCHES = st.lists(MESSAGES | PLAIN, max_size=4)
BODIES = (
    NESTED
    | MESSAGES
    | BATCHES
    | st.builds(lambda name, batch: {name: batch}, st.sampled_from(["batch", "events"]), BATCHES)
)


def members(body: Any) -> int:
    """How many messages a body has that can be taken as a whole."""
    if isinstance(body, dict):
        body = body.get("batch", body.get("events", [body]))
    return len(body)


def ids(body: Any) -> list[str]:
    """All that may become an event_id."""
    if isinstance(body, list):
        return [found for one in body for found in ids(one)]
    if not isinstance(body, dict):
        return []
    own = [value for name, value in body.items() if name in ("messageId", "event_id", "transaction_id")]
    plain = [str(int(one)) if isinstance(one, float) else str(one) for one in own]
    return plain + ids(list(body.values()))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=BODIES, door=st.sampled_from(list(DOORS)), guarded=st.booleans())
async def test_no_body_however_odd_is_a_fault_of_ours(body: Any, door: str, guarded: bool) -> None:
    store = MemoryEvents()
    headers = {"Authorization": f"Bearer {PUBLIC}"} if guarded else {}
    async with doors(store, guard=keys() if guarded else None) as client:
        answer = await client.post(door, content=json.dumps(body), headers=headers)
    assert answer.status_code in {200, 403, 422}
    if answer.status_code == 200:
        accepted, duplicates, rejected = counts(answer)
        assert accepted <= len(logged(store))
        assert accepted + duplicates + len(rejected) == members(body)
        assert duplicates == 0 or len(set(ids(body))) < len(ids(body))
    else:
        assert logged(store) == []
    for event in logged(store):
        assert 0 <= event.time <= event.known == NOW
        assert event.customer_id or event.anonymous_id or event.session_id or event.order_id


PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*DOORS, *ga4.MEANINGS])
def test_every_door_and_name_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_every_name_of_segment_is_on_the_page_with_its_meaning() -> None:
    table = re.search(r"<!-- segment -->(.*?)<!-- /segment -->", PAGE, re.DOTALL)
    assert table is not None
    told = {}
    for row in re.findall(r"^\| (.+?) \| (.+?) \|", table.group(1), re.MULTILINE)[1:]:
        for name in row[0].split(" · "):
            told[name.lower()] = re.search(r"`(\w+)`", row[1])
    for name, meaning in segment.MEANINGS.items():
        if name == meaning.event:
            continue  # a name of the contract
        match = told.get(name)
        assert match is not None, name
        assert match.group(1) == meaning.event, name
