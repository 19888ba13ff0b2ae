"""What operators and machines read: models, health, metrics, the OpenAPI document, the snippet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving.app import create_app
from serving.events import DOORS
from serving.problems import PROBLEM_TYPES
from serving.settings import Settings
from tests.serving.test_recommendations import HOME

pytestmark = pytest.mark.anyio


async def test_models_tell_what_answers_here(client: httpx.AsyncClient) -> None:
    [model] = (await client.get("/v1/models")).json()["models"]
    assert model["name"] == "recommender"
    assert model["serving"]["version"] == "first"
    assert [version["version"] for version in model["versions"]] == ["first"]


async def test_health_tells_version_and_last_look(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "live"}
    ready = (await client.get("/health/ready")).json()
    assert ready["status"] == "ready"
    assert ready["models"][0]["version"] == "first"
    assert ready["last_poll"].endswith("Z")
    assert ready["last_error"] is None


async def test_metrics_count_by_route_status_and_placement(client: httpx.AsyncClient) -> None:
    await client.post("/v1/recommendations", json={"customer_id": "known", **HOME})
    await client.get("/v1/recommendations/best_sellers")
    await client.get("/v1/recommendations/best_sellers?filter=product_id%20%3D%20'none'")
    await client.get("/v1/recommendations/made-up-by-a-caller")
    await client.get("/made/up")
    await client.request("BREW", "/v1/recommendations")
    text = (await client.get("/metrics")).text
    for line in (
        'segue_requests_total{method="POST",route="/v1/recommendations",status="200"} 1.0',
        'segue_requests_total{method="GET",route="/v1/recommendations/{placement}",status="200"} 2.0',
        'segue_requests_total{method="GET",route="/v1/recommendations/{placement}",status="404"} 1.0',
        'segue_requests_total{method="GET",route="other",status="404"} 1.0',
        'segue_requests_total{method="other",route="/v1/recommendations",status="405"} 1.0',
        'segue_request_seconds_count{route="/v1/recommendations"} 2.0',
        'segue_blocks_total{level="0",placement="best_sellers"} 1.0',
        'segue_blocks_total{level="1",placement="best_sellers"} 1.0',
        'segue_blocks_total{level="empty",placement="best_sellers"} 1.0',
        'segue_model_info{name="recommender",version="first"} 1.0',
        "segue_model_swaps_total 1.0",
        "segue_degraded_requests_total 0.0",
    ):
        assert line in text.splitlines(), line
    assert "made-up" not in text


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


async def test_the_document_is_openapi_3_1_and_whole(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    for reference in references(document):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)


async def test_every_route_is_documented(client: httpx.AsyncClient, settings: Settings) -> None:
    documented = set((await client.get("/openapi.json")).json()["paths"])
    app = create_app(settings)
    served = {context.path.replace(":path}", "}") for context in app.routes if hasattr(context, "path")}
    served -= {"/openapi.json", "/docs", "/docs/oauth2-redirect"}
    served -= set(DOORS) - {"/v1/events", "/v1/track", "/v1/identify", "/v1/page", "/v1/batch"}  # their short names
    assert {"/v1/recommendations", "/v1/recommendations/{placement}"} <= served
    assert served <= documented
    for path in (
        "/v1/recommendations",
        "/v1/recommendations/{placement}",
        "/v1/models",
        "/v1/segue.js",
        "/health/live",
        "/health/ready",
        "/metrics",
    ):
        assert path in documented


async def test_every_problem_is_documented_with_its_status(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    told = {
        (kind.slug, int(status))
        for path in document["paths"].values()
        for operation in path.values()
        for status, response in operation["responses"].items()
        for kind in PROBLEM_TYPES
        if f"`{kind.uri}`" in response["description"]
    }
    anywhere = {"method-not-allowed"}  # of methods that are not there
    assert {slug for slug, _ in told} == {kind.slug for kind in PROBLEM_TYPES} - anywhere
    statuses = {kind.slug: {kind.status} for kind in PROBLEM_TYPES}
    statuses["unknown-placement"].add(422)
    assert all(status in statuses[slug] for slug, status in told)


async def test_the_docs_page_is_there(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    assert answer.status_code == 200
    assert "/openapi.json" in answer.text


async def test_the_snippet_is_served_and_cached(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/segue.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "window.Segue" in answer.text
    assert "innerHTML" not in answer.text, "titles are the shop's suppliers' words: never markup"
    again = await client.get("/v1/segue.js", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
