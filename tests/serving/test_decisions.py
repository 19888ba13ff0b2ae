"""Every answer is kept, can be looked up, and can be made again."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import httpx
import pytest

from features.store.base import Event
from features.store.sqlite import SqliteDecisions, SqliteEvents
from recommender import bundle
from serving.app import create_app
from serving.schemas import DecisionAnswer
from serving.settings import Settings
from tests.serving.shelves import serving
from tests.serving.test_recommendations import HOME, assert_problem

pytestmark = pytest.mark.anyio

ASKED = {"customer_id": "c001", "blocks": [{"placement": "recommended_for_you", "count": 3}]}


class Shop:
    """A service over a trained bundle, a client of it, and the stores in its home."""

    def __init__(self, settings: Settings, client: httpx.AsyncClient) -> None:
        self.settings = settings
        self.client = client

    def events(self) -> SqliteEvents:
        return SqliteEvents(self.settings.home / "events.db")

    async def ask(self, body: dict[str, Any] = ASKED) -> dict[str, Any]:
        answer = await self.client.post("/v1/recommendations", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def replay(self, decision_id: str) -> httpx.Response:
        return await self.client.get(f"/v1/decisions/{decision_id}/replay")


def settings_of(tmp_path: Path, small_bundle: Path, **more: Any) -> Settings:
    folder = tmp_path / "given" / "v1"
    if not folder.exists():
        copytree(small_bundle, folder)
    return Settings(home=tmp_path / "home", bundles=(folder,), **more)


def open_shop(settings: Settings) -> Any:
    app = create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://shop")


@pytest.fixture
async def shop(tmp_path: Path, small_bundle: Path) -> AsyncIterator[Shop]:
    settings = settings_of(tmp_path, small_bundle)
    running, client = open_shop(settings)
    async with running, client:
        yield Shop(settings, client)


async def test_a_decision_tells_what_was_decided_and_from_what(shop: Shop) -> None:
    answer = await shop.ask()
    found = (await shop.client.get(f"/v1/decisions/{answer['decision_id']}")).json()
    DecisionAnswer.model_validate(found)
    assert found["customer_id"] == "c001"
    assert found["model"]["version"] == "v1"
    assert found["request"]["blocks"][0]["placement"] == "recommended_for_you"
    [block] = answer["blocks"]
    shown = ("kind", "id", "rank", "score", "propensity", "source", "fallback_level")
    assert found["blocks"][0]["items"] == [{name: item[name] for name in shown} for item in block["items"]]
    assert found["blocks"][0]["funnel"] == block["funnel"]
    assert found["degraded"] is False


async def test_a_decision_is_the_same_again_after_the_shop_went_on(shop: Shop, tmp_path: Path) -> None:
    before = await shop.ask()
    store = shop.events()
    at = 1_900_000_000_000_000
    store.append([Event("view", at + n, at + n, customer_id="c001", product_id=f"p{n:03}") for n in range(20)])
    store.put_products([("p005", {"title": "changed", "price": 1.0, "availability": "out_of_stock"})], at)
    after = await shop.ask({**ASKED, "at": "2031-01-01T00:00:00Z"})
    assert after["blocks"] != before["blocks"]
    rmtree(tmp_path / "given")  # what was served is kept
    for answer in (before, after):
        assert (await shop.replay(answer["decision_id"])).json() == {"match": True}
    store.close()


async def test_a_get_is_a_decision_too(shop: Shop) -> None:
    answer = (await shop.client.get("/v1/recommendations/best_sellers?count=2&filter=price%20%3C%2020")).json()
    assert (await shop.replay(answer["decision_id"])).json() == {"match": True}


async def test_a_dry_run_leaves_no_trace(shop: Shop) -> None:
    answer = await shop.ask({**ASKED, "dry_run": True})
    assert_problem(await shop.client.get(f"/v1/decisions/{answer['decision_id']}"), 404, "unknown-decision")


async def test_an_unknown_decision_is_a_problem(shop: Shop) -> None:
    assert_problem(await shop.client.get("/v1/decisions/none"), 404, "unknown-decision")
    assert_problem(await shop.replay("none"), 404, "unknown-decision")


async def test_an_erased_decision_is_gone(shop: Shop) -> None:
    answer = await shop.ask()
    log = SqliteDecisions(shop.settings.home / "decisions.db")
    log.erase(customer_ids=["c001"], anonymous_ids=[])
    log.close()
    assert_problem(await shop.client.get(f"/v1/decisions/{answer['decision_id']}"), 410, "erased")
    assert_problem(await shop.replay(answer["decision_id"]), 410, "erased")


async def test_a_decision_outlives_the_process_its_model_and_its_rules(tmp_path: Path, small_bundle: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\naction = "pin"\nproduct_ids = ["p007"]\n', encoding="utf-8")
    settings = settings_of(tmp_path, small_bundle, rules_file=rules)
    running, client = open_shop(settings)
    async with running, client:
        answer = await Shop(settings, client).ask()
    assert answer["blocks"][0]["items"][0]["id"] == "p007"

    rules.write_text("", encoding="utf-8")
    recommender, _ = bundle.read(small_bundle)
    bundle.write(recommender, tmp_path / "given" / "v2", {"note": "another"})
    settings = settings.model_copy(update={"bundles": (tmp_path / "given" / "v2",)})
    rmtree(tmp_path / "given" / "v1")
    running, client = open_shop(settings)
    async with running, client:
        later = Shop(settings, client)
        newer = await later.ask()
        assert newer["blocks"][0]["model"]["version"] == "v2"
        assert newer["blocks"][0]["items"][0]["source"] != "pin"
        for decision in (answer, newer):
            assert (await later.replay(decision["decision_id"])).json() == {"match": True}


async def test_a_decision_whose_bundle_is_gone_says_so(shop: Shop) -> None:
    answer = await shop.ask()
    rmtree(shop.settings.home / "bundles" / "kept")
    assert_problem(await shop.replay(answer["decision_id"]), 409, "not-replayable")


async def test_an_answer_in_place_of_a_failed_model_is_kept_as_such(settings: Settings) -> None:
    async with serving(settings) as client:
        answer = (await client.post("/v1/recommendations", json={"customer_id": "frail", **HOME})).json()
        found = (await client.get(f"/v1/decisions/{answer['decision_id']}")).json()
        assert found["degraded"] is True
        assert found["blocks"][0]["items"][0]["source"] == "fallback_popularity"
        assert_problem(await client.get(f"/v1/decisions/{answer['decision_id']}/replay"), 409, "not-replayable")


async def test_a_list_is_answered_when_decisions_cannot_be_kept(shop: Shop) -> None:
    broken = sqlite3.connect(shop.settings.home / "decisions.db")
    for (table,) in broken.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        broken.execute(f'DROP TABLE "{table}"')
    broken.commit()
    broken.close()
    answer = await shop.ask()
    assert len(answer["blocks"][0]["items"]) == 3
    assert "segue_decisions_lost_total 1.0" in (await shop.client.get("/metrics")).text
