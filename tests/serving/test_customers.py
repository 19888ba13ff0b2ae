"""One person over HTTP: seen, and forgotten."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from features.store.base import ERASED, Decision, Erased, Event, EventStore, Watermark
from features.store.memory import MemoryDecisions, MemoryEvents
from tests.serving.shop_doors import NOW, PUBLIC, Verbatim, doors, keys, logged
from tests.serving.test_events import problem

pytestmark = pytest.mark.anyio

SECOND = 1_000_000


@pytest.fixture
def store() -> EventStore:
    """A customer who was a visitor, and another visitor."""
    store = MemoryEvents()
    traits = {"timezone": "Europe/Berlin", "consents": ["email"], "skin": "dry"}
    store.append(
        [
            Event("view", NOW - 60 * SECOND, NOW, anonymous_id="v", product_id="P1", more={"position": 3}),
            Event("identify", NOW - 50 * SECOND, NOW, customer_id="c/1", anonymous_id="v", more={"traits": traits}),
            Event("view", NOW - 70 * SECOND, NOW, customer_id="c/1", product_id="P2"),
            Event("view", NOW, NOW, anonymous_id="w", product_id="P1"),
        ]
    )
    return store


def decision(name: str, **who: str | None) -> Decision:
    customer_id, anonymous_id = who.get("customer_id"), who.get("anonymous_id")
    return Decision(
        name,
        NOW,
        "recommendations",
        customer_id,
        anonymous_id,
        {"bundle": "b"},
        None,
        Watermark(0, 0, 0),
        {},
        session_id=who.get("session_id"),
    )


UNKNOWN = {"erased": True, "known": False, "visitors": 0, "decisions": 0}
C1 = "/v1/customers/" + quote("c/1", safe="")


async def test_a_customer_is_all_their_visitors(store: EventStore) -> None:
    async with doors(store) as client:
        answer = await client.get(C1)
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert (await client.get("/v1/customers", params={"anonymous_id": "v"})).json() == body
    recent = body.pop("recent")
    assert body == {
        "customer_id": "c/1",
        "anonymous_ids": ["v"],
        "timezone": "Europe/Berlin",
        "consents": ["email"],
        "reachable": None,
        "traits": {"skin": "dry"},
        "first_seen": "2026-01-31T08:58:50Z",
        "last_seen": "2026-01-31T08:59:10Z",
        "events": {"identify": 1, "view": 2},
        "state": {"spans": 2.0, "at": float(NOW)},
    }
    assert [(one["event"], one.get("product_id")) for one in recent] == [
        ("view", "P2"),
        ("identify", None),
        ("view", "P1"),
    ]
    assert recent[2] == {
        "event": "view",
        "timestamp": "2026-01-31T08:59:00Z",
        "known_at": "2026-01-31T09:00:00Z",
        "anonymous_id": "v",
        "product_id": "P1",
        "quantity": 1.0,
        "position": 3,
    }


async def test_a_visitor_is_somebody_too(store: EventStore) -> None:
    async with doors(store) as client:
        body = (await client.get("/v1/customers", params={"anonymous_id": "w"})).json()
    assert (body["customer_id"], body["anonymous_ids"], body["events"]) == (None, ["w"], {"view": 1})


async def test_the_newest_events_are_told(store: EventStore) -> None:
    store.append([Event("view", NOW - i, NOW, customer_id="c/1", product_id=f"N{i}") for i in range(50)])
    async with doors(store) as client:
        recent = (await client.get(C1)).json()["recent"]
    assert [one["product_id"] for one in recent] == [f"N{i}" for i in reversed(range(30, 50))]


async def test_a_customer_is_forgotten_with_their_visitors_and_decisions(store: EventStore) -> None:
    decisions = MemoryDecisions()
    for one in (
        decision("d1", customer_id="c/1"),
        decision("d2", anonymous_id="v"),
        decision("d3", customer_id="c/1", anonymous_id="x"),
        decision("d4", anonymous_id="w"),
    ):
        decisions.write(one)
    async with doors(store, decisions=decisions) as client:
        answer = await client.delete(C1)
        assert answer.json() == {"erased": True, "known": True, "visitors": 1, "decisions": 3}
        assert problem(await client.get(C1))[:2] == (404, "not-found")
        assert (await client.delete(C1)).json() == UNKNOWN
    assert [decisions.read(name) for name in ("d1", "d2", "d3")] == [ERASED] * 3
    assert isinstance(decisions.read("d4"), Decision)
    assert [event.anonymous_id for event in logged(store)] == ["w"]
    assert store.erased_at("customer", "c/1") == NOW


async def test_decisions_for_the_sessions_of_somebody_are_forgotten_with_them() -> None:
    store, decisions = MemoryEvents(), MemoryDecisions()
    store.append([Event("view", NOW, NOW, anonymous_id="v", session_id=one, product_id="P1") for one in ("s1", "s2")])
    for one in (decision("d1", session_id="s2"), decision("d2", session_id="s3")):
        decisions.write(one)
    async with doors(store, decisions=decisions) as client:
        answer = await client.delete("/v1/customers", params={"anonymous_id": "v"})
    assert answer.json() == {"erased": True, "known": True, "visitors": 1, "decisions": 1}
    assert decisions.read("d1") == ERASED
    assert isinstance(decisions.read("d2"), Decision)


class Busy(MemoryEvents):
    """A store whose people are linked and decided for while they are erased."""

    def __init__(self, decisions: MemoryDecisions) -> None:
        super().__init__()
        self._log_of_decisions = decisions

    def erase(self, *, customer_id: str | None = None, anonymous_id: str | None = None, at: int) -> Erased | None:
        self.append([Event("identify", NOW, NOW, customer_id="c", anonymous_id="late", session_id="s")])
        for one in (
            decision("d1", customer_id="c"),
            decision("d2", anonymous_id="late"),
            decision("d3", session_id="s"),
            decision("d4", anonymous_id="other"),
        ):
            self._log_of_decisions.write(one)
        return super().erase(customer_id=customer_id, anonymous_id=anonymous_id, at=at)


async def test_what_was_decided_while_somebody_is_forgotten_is_forgotten_too() -> None:
    decisions = MemoryDecisions()
    store = Busy(decisions)
    store.append([Event("view", NOW, NOW, customer_id="c", product_id="P1")])
    async with doors(store, decisions=decisions) as client:
        answer = await client.delete("/v1/customers/c")
    assert answer.json() == {"erased": True, "known": True, "visitors": 1, "decisions": 3}
    assert [name for _, name in decisions.ids()] == ["d4"]


async def test_a_visitor_is_forgotten(store: EventStore) -> None:
    async with doors(store) as client:
        answer = await client.delete("/v1/customers", params={"anonymous_id": "w"})
        assert answer.json() == {"erased": True, "known": True, "visitors": 1, "decisions": 0}
        assert (await client.get(C1)).status_code == 200
    assert "w" not in [event.anonymous_id for event in logged(store)]


async def test_somebody_unheard_of_is_noted_all_the_same(store: EventStore) -> None:
    decisions = MemoryDecisions()
    decisions.write(decision("d", customer_id="only asked for"))
    async with doors(store, decisions=decisions) as client:
        for address in ("/v1/customers/nobody", "/v1/customers?anonymous_id=nobody"):
            answer = await client.delete(address)
            assert (answer.status_code, answer.json()) == (200, UNKNOWN)
        answer = await client.delete("/v1/customers/only%20asked%20for")
        assert answer.json() == {"erased": True, "known": True, "visitors": 0, "decisions": 1}
    assert all(store.erased_at("customer", name) for name in ("nobody", "only asked for"))
    assert store.erased_at("visitor", "nobody") == NOW


@pytest.mark.parametrize("address", ["/v1/customers", "/v1/customers/", "/v1/customers/c?anonymous_id=v"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_one_person_is_named(store: EventStore, method: str, address: str) -> None:
    async with doors(store) as client:
        assert problem(await client.request(method, address))[:2] == (422, "invalid-request")
    assert store.erased() == {}


@pytest.mark.parametrize(
    ("address", "detail"),
    [
        ("/v1/customers/%FF", "The path is not percent-encoded UTF-8."),
        ("/v1/customers?anonymous_id=%FF", "The query is not percent-encoded UTF-8."),
        ("/v1/customers?anonymous_id=%v", "The query is not percent-encoded UTF-8."),
        ("/v1/customers?anonymous_id=v&anonymous_id=w", "anonymous_id: may be given once"),
        ("/v1/customers?anonymous_id=v&customer_id=c", "customer_id: There is no such parameter"),
        ("/v1/customers/c?days=3", "days: There is no such parameter"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_address_is_read_strictly(store: EventStore, method: str, address: str, detail: str) -> None:
    async with doors(store) as client:
        request = client.build_request(method, "/v1/customers")
        request.url = Verbatim(address)
        assert problem(await client.send(request)) == (422, "invalid-request", detail)
    assert store.erased() == {}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_people_need_a_secret_key(store: EventStore, method: str) -> None:
    public: dict[str, Any] = {"headers": {"Authorization": f"Bearer {PUBLIC}"}}
    async with doors(store, guard=keys()) as client:
        for address in (C1, "/v1/customers?anonymous_id=w"):
            assert problem(await client.request(method, address, **public))[:2] == (403, "forbidden")
            assert problem(await client.request(method, address))[:2] == (401, "unauthenticated")
    assert store.erased() == {}
