"""The live catalogue over HTTP: what a product may hold, ids as they come, and what is there afterwards."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.store.base import EventStore
from features.store.memory import MemoryEvents
from serving.fields import Rejected
from serving.products import product_of
from tests.serving.shop_doors import NOW, PUBLIC, SECRET, Verbatim, doors, keys
from tests.serving.test_events import problem

pytestmark = pytest.mark.anyio


@pytest.fixture
def store() -> EventStore:
    return MemoryEvents()


LIPSTICK = {
    "title": "Red",
    "category": "Lips > Lipstick",
    "brand": "OPI",
    "price": 12,
    "sale_price": 9.5,
    "margin": -1,
    "currency": "EUR",
    "availability": "in_stock",
    "item_group_id": 77,
    "available_from": "2026-02-01T00:00:00+01:00",
    "skin_type": ["dry", "oily"],
    "vegan": True,
    "spf": 15,
    "shade": "07",
    "gone": None,
    "empty": "",
}


async def test_a_product_is_put_whole(store: EventStore) -> None:
    async with doors(store) as client:
        answer = await client.put("/v1/products/P1", json=LIPSTICK)
        assert answer.status_code == 200
        known = {
            "title": "Red",
            "category": "Lips > Lipstick",
            "brand": "OPI",
            "price": 12.0,
            "sale_price": 9.5,
            "margin": -1.0,
            "currency": "EUR",
            "availability": "in_stock",
            "item_group_id": "77",
            "available_from": "2026-01-31T23:00:00Z",
            "skin_type": ["dry", "oily"],
            "vegan": True,
            "spf": 15,
            "shade": "07",
        }
        assert answer.json() == {"product_id": "P1", **known}
        assert (await client.get("/v1/products/P1")).json() == {"product_id": "P1", **known}
        await client.put("/v1/products/P1", json={"title": "Rosé"})
        assert (await client.get("/v1/products/P1")).json() == {"product_id": "P1", "title": "Rosé"}
    assert [change.attributes for change in store.product_changes()] == [known, {"title": "Rosé"}]


@pytest.mark.parametrize("product_id", ["a/b", "/", "ünï/💄 %", 'q"?#', "a b", "..", "products:batch"])
async def test_any_id_in_the_address(store: EventStore, product_id: str) -> None:
    address = "/v1/products/" + quote(product_id, safe="").replace(".", "%2E")
    async with doors(store) as client:
        assert (await client.put(address, json={"price": 1})).json() == {"product_id": product_id, "price": 1.0}
        assert (await client.get(address)).json()["product_id"] == product_id
        assert (await client.delete(address)).status_code == 204
        assert problem(await client.get(address))[:2] == (404, "not-found")
    assert [(one.product_id, one.attributes) for one in store.product_changes()] == [
        (product_id, {"price": 1.0}),
        (product_id, None),
    ]


async def test_a_product_leaves_the_catalogue_once(store: EventStore) -> None:
    async with doors(store) as client:
        assert (await client.get("/v1/products/comb")).json() == {"product_id": "comb", "title": "Comb", "price": 3.5}
        assert (await client.delete("/v1/products/comb")).status_code == 204
        assert problem(await client.delete("/v1/products/comb"))[:2] == (404, "not-found")
        assert problem(await client.delete("/v1/products/unheard"))[:2] == (404, "not-found")
        await client.put("/v1/products/comb", json={})
        assert (await client.get("/v1/products/comb")).json() == {"product_id": "comb"}


async def test_a_change_by_another_process_is_seen(store: EventStore) -> None:
    async with doors(store) as client:
        assert problem(await client.get("/v1/products/P1"))[0] == 404
        store.put_products([("P1", {"title": "Red"}), ("comb", None)], 0)
        assert (await client.get("/v1/products/P1")).json() == {"product_id": "P1", "title": "Red"}
        assert problem(await client.get("/v1/products/comb"))[0] == 404


@pytest.mark.parametrize("wrapped", [True, False])
async def test_a_batch_keeps_the_good_ones(store: EventStore, wrapped: bool) -> None:
    members = [{"product_id": "P1", "price": 1}, {"price": 2}, "P3", {"product_id": 4, "price": -1}, {"product_id": 5}]
    async with doors(store) as client:
        answer = await client.post("/v1/products:batch", json={"products": members} if wrapped else members)
    assert answer.json() == {
        "accepted": 2,
        "rejected": [
            {"index": 1, "reason": "product_id: missing"},
            {"index": 2, "reason": "not an object"},
            {"index": 3, "reason": "price: negative"},
        ],
    }
    assert [(one.product_id, one.attributes) for one in store.product_changes()] == [("P1", {"price": 1.0}), ("5", {})]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"title": 5}, "title: not a text"),
        ({"price": "12"}, "price: not a number"),
        ({"price": True}, "price: not a number"),
        ({"price": -0.01}, "price: negative"),
        ({"sale_price": -1}, "sale_price: negative"),
        ({"margin": "x"}, "margin: not a number"),
        ({"availability": "sold"}, "availability: none of in_stock, out_of_stock, preorder"),
        ({"availability": True}, "availability: not a text"),
        ({"item_group_id": ["g"]}, "item_group_id: not an id"),
        ({"available_from": "soon"}, "available_from: not an RFC 3339 time"),
        ({"available_from": "9999-12-31T23:59:59-14:00"}, "available_from: not an RFC 3339 time"),
        ({"size": {"ml": 5}}, "size: neither a string, a number, a boolean nor a list of strings"),
        ({"size": [5]}, "size: neither a string, a number, a boolean nor a list of strings"),
        ({"": "x"}, "a field without a name"),
        ({"n" * 101: 1}, "n" * 100 + "…: a name longer than 100 characters"),
        ({"story": "x" * 5_001}, "story: longer than 5000 characters"),
        ({"title": "x" * 5_001}, "title: longer than 5000 characters"),
        ({"tags": ["x" * 5_001]}, "tags: longer than 5000 characters"),
        ({"tags": ["x"] * 201}, "tags: more than 200 entries"),
        ({f"a{i}": i for i in range(101)}, "a100: one of more than 100 attributes"),
        ({"product_id": "other"}, "product_id: not that of the address, 'P1'"),
    ],
)
async def test_what_is_refused_says_where_and_why(store: EventStore, fields: dict[str, Any], reason: str) -> None:
    async with doors(store) as client:
        answer = await client.put("/v1/products/P1", json=fields)
    assert problem(answer) == (422, "invalid-request", reason)
    assert store.product_changes() == []


async def test_the_most_a_product_may_hold(store: EventStore) -> None:
    most: dict[str, Any] = {f"a{i}": i for i in range(98)}
    most |= {"n" * 100: "x" * 5_000, "tags": ["x"] * 200, "title": "x" * 5_000, "price": 1.0}
    async with doors(store) as client:
        assert (await client.put("/v1/products/P1", json={**most, "gone": None})).json() == {"product_id": "P1", **most}


@pytest.mark.parametrize(
    ("address", "detail"),
    [
        ("/v1/products/%FF", "The path is not percent-encoded UTF-8."),
        ("/v1/products/50%", "The path is not percent-encoded UTF-8."),
        ("/v1/products/P1?dry_run=1", "dry_run: There is no such parameter"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
async def test_an_address_is_read_strictly(store: EventStore, method: str, address: str, detail: str) -> None:
    store.put_products([("\ufffd", {}), ("50%", {}), ("P1", {})], NOW)
    async with doors(store) as client:
        request = client.build_request(method, "/v1/products/x", json={})
        request.url = Verbatim(address)
        assert problem(await client.send(request)) == (422, "invalid-request", detail)
    assert len(store.product_changes()) == 3


@pytest.mark.parametrize(
    ("method", "address", "content", "status"),
    [
        ("PUT", "/v1/products/P1", b"", 400),
        ("PUT", "/v1/products/P1", b"[]", 422),
        ("PUT", "/v1/products/", b"{}", 422),
        ("PUT", "/v1/products/" + "x" * 1001, b"{}", 422),
        ("POST", "/v1/products:batch", b"{}", 422),
        ("POST", "/v1/products:batch", b" " * 5_000_001, 413),
    ],
)
async def test_a_body_that_says_nothing_is_a_problem(
    store: EventStore, method: str, address: str, content: bytes, status: int
) -> None:
    async with doors(store) as client:
        assert problem(await client.request(method, address, content=content))[0] == status


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("PUT", "/v1/products/P1"),
        ("GET", "/v1/products/comb"),
        ("DELETE", "/v1/products/comb"),
        ("POST", "/v1/products:batch"),
    ],
)
async def test_the_catalogue_needs_a_secret_key(store: EventStore, method: str, address: str) -> None:
    body: Any = [] if address.endswith("batch") else {}
    async with doors(store, guard=keys()) as client:
        for key, status in ((PUBLIC, 403), ("wrong", 401)):
            answer = await client.request(method, address, json=body, headers={"Authorization": f"Bearer {key}"})
            assert problem(answer)[0] == status
        assert store.product_changes() == []
        answer = await client.request(method, address, json=body, headers={"Authorization": f"Bearer {SECRET}"})
        assert answer.status_code in {200, 204}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
COLUMNS = ["product_id", "title", "price", "margin", "availability", "item_group_id", "available_from", "spf", ""]


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=VALUES | st.dictionaries(st.sampled_from(COLUMNS), VALUES))
def test_a_product_is_taken_or_refused(said: Any) -> None:
    try:
        product_id, attributes = product_of(said)
    except Rejected:
        return
    assert product_id
    for value in attributes.values():
        assert isinstance(value, str | int | float | bool) or all(isinstance(one, str) for one in value)
