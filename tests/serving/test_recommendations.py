"""The two calls for lists: what goes in, what comes out, and every way to ask wrongly."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from serving.problems import MEDIA_TYPE
from serving.schemas import RecommendationsAnswer
from serving.settings import Settings
from tests.serving.shelves import serving

pytestmark = pytest.mark.anyio

HOME = {"blocks": [{"placement": "best_sellers"}]}


def ids(answer: httpx.Response, block: int = 0) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["blocks"][block]["items"]]


def block(**fields: Any) -> dict[str, Any]:
    return {"blocks": [{"placement": "best_sellers", **fields}]}


def assert_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == f"urn:segue:problem:{slug}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem


async def test_an_answer_is_of_the_documented_shape(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/recommendations", json={"customer_id": "known", **HOME})
    body = answer.json()
    RecommendationsAnswer.model_validate(body)
    assert set(body) == {"decision_id", "took_ms", "blocks"}
    assert body["took_ms"] > 0
    [only] = body["blocks"]
    assert only["placement"] == "best_sellers"
    assert only["model"] == {"name": "recommender", "version": "first"}
    assert only["funnel"] == [{"step": "shelf", "in": 4, "out": 4}]
    assert only["items"][0] == {
        "kind": "product",
        "id": "comb",
        "rank": 1,
        "score": 1.0,
        "propensity": 1.0,
        "source": "shelf",
        "fallback_level": 0,
        "reasons": [{"code": "shelf"}],
        "product": {"product_id": "comb", "title": "Comb"},
    }
    assert answer.headers["cache-control"] == "no-store"


async def test_every_answer_is_another_decision(client: httpx.AsyncClient) -> None:
    answers = [(await client.post("/v1/recommendations", json=HOME)).json()["decision_id"] for _ in range(3)]
    assert len(set(answers)) == 3


async def test_blocks_come_in_the_order_asked_for_with_what_only_they_tell(client: httpx.AsyncClient) -> None:
    asked = [{"placement": "frequently_bought_together", "count": 1}, {"placement": "buy_it_again", "count": 1}]
    answer = await client.post("/v1/recommendations", json={"blocks": asked})
    together, again = answer.json()["blocks"]
    assert (together["placement"], together["bundle_total"]) == ("frequently_bought_together", 3.5)
    assert again["items"][0]["due_at"] == "2026-01-01T00:00:00Z"
    assert again["items"][0]["due_probability"] == 0.5
    assert ids(answer, 0) == ["comb"]
    assert ids(answer, 1) == ["brush"]


async def test_everything_asked_reaches_the_model(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/v1/recommendations",
        json={
            "customer_id": "c",
            "anonymous_id": "a",
            "session_id": "s",
            "at": "2026-01-31T10:30:00.000001+01:00",
            "explain": True,
            "dry_run": True,
            **block(context={"product_ids": ["comb"], "category": "Hair"}, exclude=["brush"], count=1),
        },
    )
    assert ids(answer) == ['ra/zor "1"']
    asked = answer.json()["blocks"][0]["items"][0]["asked"]
    assert asked["shopper"] == {"customer_id": "c", "anonymous_id": "a", "session_id": "s"}
    assert asked["category"] == "Hair"
    moment = datetime.fromisoformat("2026-01-31T09:30:00.000001+00:00")
    assert asked["at"] == round(moment.timestamp() * 1_000_000)


async def test_the_moment_is_now_by_default(settings: Settings) -> None:
    async with serving(settings, clock=lambda: 123) as client:
        answer = await client.post("/v1/recommendations", json={"explain": True, **HOME})
    assert answer.json()["blocks"][0]["items"][0]["asked"]["at"] == 123


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {}),
        ("count=2", block(count=2)),
        (
            "customer_id=known&anonymous_id=a&session_id=s",
            {"customer_id": "known", "anonymous_id": "a", "session_id": "s"},
        ),
        (
            "product_id=comb&product_id=brush&category=Hair",
            block(context={"product_ids": ["comb", "brush"], "category": "Hair"}),
        ),
        ("filter=" + quote("price < 3 and product_id != 'comb'"), block(filter="price < 3 and product_id != 'comb'")),
        ("exclude=comb&exclude=" + quote('ra/zor "1"', safe=""), block(exclude=["comb", 'ra/zor "1"'])),
        ("product_id=" + quote("mirror 💄"), block(context={"product_ids": ["mirror 💄"]})),
    ],
)
async def test_get_answers_as_post_does(client: httpx.AsyncClient, query: str, body: dict[str, Any]) -> None:
    got = (await client.get(f"/v1/recommendations/best_sellers?{query}")).json()
    posted = (await client.post("/v1/recommendations", json={**HOME, **body})).json()
    assert got["blocks"] == posted["blocks"]
    assert set(got) == set(posted)


async def test_a_page_may_send_empty_ids_for_a_visitor_it_does_not_know(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/recommendations", json={"customer_id": "", "explain": True, **HOME})
    assert answer.json()["blocks"][0]["items"][0]["asked"]["shopper"]["customer_id"] is None
    assert (await client.get("/v1/recommendations/best_sellers?customer_id=")).status_code == 200


async def test_whole_numbers_are_taken_for_ids(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/recommendations", json={"customer_id": 12, "explain": True, **HOME})
    assert answer.json()["blocks"][0]["items"][0]["asked"]["shopper"]["customer_id"] == "12"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/blocks"),
        ({"blocks": []}, "/blocks"),
        ({"blocks": [{"placement": "best_sellers"}] * 21}, "/blocks"),
        ({"blocks": [{}]}, "/blocks/0/placement"),
        (block(count=0), "/blocks/0/count"),
        (block(count=101), "/blocks/0/count"),
        (block(count="7"), "/blocks/0/count"),
        (block(count=True), "/blocks/0/count"),
        (block(exclude="comb"), "/blocks/0/exclude"),
        (block(context={"product": "comb"}), "/blocks/0/context/product"),
        (block(context={"product_ids": ["a", None]}), "/blocks/0/context/product_ids/1"),
        (block(filtr="price < 3"), "/blocks/0/filtr"),
        ({**HOME, "user/id": 1}, "/user~1id"),
        ({**HOME, "customer_id": True}, "/customer_id"),
        ({**HOME, "explain": "yes"}, "/explain"),
        ({**HOME, "at": "yesterday"}, "/at"),
        ({**HOME, "at": "2026-01-31"}, "/at"),
        ({**HOME, "at": "2026-01-31T10:00:00"}, "/at"),
        ({**HOME, "at": "1700000000"}, "/at"),
        ({**HOME, "at": 1700000000}, "/at"),
        ({**HOME, "at": "2026-02-30T10:00:00Z"}, "/at"),
        ([], ""),
    ],
)
async def test_a_broken_body_is_refused_naming_the_place(client: httpx.AsyncClient, body: Any, pointer: str) -> None:
    problem = assert_problem(await client.post("/v1/recommendations", json=body), 422, "invalid-request")
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]


async def test_a_thousand_faults_get_a_short_answer(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/recommendations", json={**HOME, **{f"field{n}": n for n in range(1000)}})
    assert len(assert_problem(answer, 422, "invalid-request")["errors"]) == 20


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"blocks": NaN', b'{"customer_id": "\\ud800"}'])
async def test_what_is_no_json_is_told_apart(client: httpx.AsyncClient, body: bytes) -> None:
    assert_problem(await client.post("/v1/recommendations", content=body), 400, "invalid-json")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("count=0", "count"),
        ("count=many", "count"),
        ("count=1&count=2", "count"),
        ("customer_id=a&customer_id=b", "customer_id"),
        ("filter=price<1&filter=price<2", "filter"),
        ("product_ids=comb", "product_ids"),
        ("utm_source=x", "utm_source"),
    ],
)
async def test_a_query_parameter_is_honoured_or_refused(client: httpx.AsyncClient, query: str, parameter: str) -> None:
    answer = await client.get(f"/v1/recommendations/best_sellers?{query}")
    problem = assert_problem(answer, 422, "invalid-request")
    assert [fault["parameter"] for fault in problem["errors"]] == [parameter]


async def test_a_query_must_be_utf8(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/v1/recommendations/best_sellers?customer_id=%ff"), 422, "invalid-request")


@pytest.mark.parametrize(
    ("text", "position"), [("price <", 7), ("colour = 'red'", 0), ("price < 3 and brand = 'x'", 14)]
)
async def test_a_filter_that_cannot_be_honoured_is_refused_with_its_position(
    client: httpx.AsyncClient, text: str, position: int
) -> None:
    body = {"blocks": [{"placement": "best_sellers"}, {"placement": "best_sellers", "filter": text}]}
    posted = assert_problem(await client.post("/v1/recommendations", json=body), 422, "filter")
    assert posted["position"] == position
    assert posted["errors"][0]["pointer"] == "/blocks/1/filter"
    got = assert_problem(await client.get("/v1/recommendations/best_sellers", params={"filter": text}), 422, "filter")
    assert got["position"] == position
    assert got["errors"][0]["parameter"] == "filter"


async def test_an_empty_filter_is_not_taken_for_none(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/v1/recommendations/best_sellers?filter="), 422, "filter")


async def test_an_unknown_placement_is_an_unknown_address_or_a_fault_of_the_body(client: httpx.AsyncClient) -> None:
    problem = assert_problem(await client.get("/v1/recommendations/worst_sellers"), 404, "unknown-placement")
    assert "best_sellers" in problem["detail"]
    assert_problem(await client.get("/v1/recommendations/%E2%9C%A8"), 404, "unknown-placement")
    body = {"blocks": [{"placement": "best_sellers"}, {"placement": "worst_sellers"}]}
    problem = assert_problem(await client.post("/v1/recommendations", json=body), 422, "unknown-placement")
    assert problem["errors"][0]["pointer"] == "/blocks/1/placement"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_has_a_limit_whether_its_length_is_declared_or_not(settings: Settings, *, declared: bool) -> None:
    text = json.dumps(block(exclude=["x" * 40] * 10)).encode()

    async def streamed() -> AsyncIterator[bytes]:
        for start in range(0, len(text), 100):
            yield text[start : start + 100]

    async with serving(settings.model_copy(update={"body_limit": len(text) - 1})) as client:
        answer = await client.post("/v1/recommendations", content=text if declared else streamed())
        assert_problem(answer, 413, "too-large")
    async with serving(settings.model_copy(update={"body_limit": len(text)})) as client:
        answer = await client.post("/v1/recommendations", content=text if declared else streamed())
        assert answer.status_code == 200


async def test_other_addresses_and_methods_are_problems_too(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/v2/recommendations"), 404, "not-found")
    answer = await client.put("/v1/recommendations", json={})
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


async def test_a_model_that_raises_is_covered_by_popular_products(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.post("/v1/recommendations", json={"customer_id": "frail", **HOME})
    [item] = answer.json()["blocks"][0]["items"]
    assert (item["source"], item["fallback_level"]) == ("fallback_popularity", 1)
    assert "a fault of the model" in caplog.text
    assert "segue_degraded_requests_total 1.0" in (await client.get("/metrics")).text
