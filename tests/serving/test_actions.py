"""Decisions on the next action over HTTP."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from features.events import HOUR, MINUTE
from features.store.base import Event
from features.store.sqlite import SqliteDecisions, SqliteEvents
from nba.config import NbaConfig
from nba.crowd import Crowd
from nba.scores import ScoreModels
from nba.values import Values
from serving.decision_schemas import BatchLine, NextActionAnswer, ReleaseAnswer
from serving.schemas import DecisionAnswer
from serving.settings import Settings
from tests.nba.live import NOON, tables
from tests.nba.simple_models import PriorModel
from tests.serving.shelves import put_shelf, serving
from tests.serving.shop_doors import PUBLIC, SECRET
from tests.serving.test_recommendations import assert_problem

pytestmark = pytest.mark.anyio

CART = {"event": "cart", "product_id": "comb"}


@dataclass(frozen=True)
class Frail(PriorModel):
    """Fails for the customer ``frail``."""

    def values(self, crowd: Crowd) -> Values:
        if "frail" in crowd.ids:
            raise ZeroDivisionError("a fault of the model")
        return super().values(crowd)


@dataclass(frozen=True)
class Parts:
    """A bundle of decisions."""

    model: Frail
    config: NbaConfig
    scores: ScoreModels | None = None


def read_parts(folder: Path) -> Parts:
    changes = json.loads((folder / "manifest.json").read_text())["tables"]
    config = NbaConfig.of(tables(**changes))
    return Parts(Frail(config), config)


def put_parts(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"kind": "nba", "tables": changes}))
    return folder


#: What is reminded of in these shops is a list that `Shelf` has.
ACTIONS = {
    "cart_reminder": {
        **tables()["actions"]["cart_reminder"],
        "placement": "best_sellers",
        "eligible": "since_cart <= 4 and (since_purchase is null or since_purchase > since_cart)",
    },
    "survey": tables()["actions"]["survey"],
}


class Shop:
    """A service with both models, a client of it, its stores, and its clock."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now = NOON
        self.events = SqliteEvents(settings.home / "events.db")
        self.decisions = SqliteDecisions(settings.home / "decisions.db")
        self.client: httpx.AsyncClient

    def happened(self, name: str, at: int, customer_id: str = "anna", **columns: Any) -> None:
        self.events.append([Event(name, at, at, customer_id=customer_id, **columns)])

    async def post(self, path: str, body: Any = None, **parts: Any) -> httpx.Response:
        return await self.client.post(path, json=body, **parts)

    async def ask(self, customer_id: str = "anna", **body: Any) -> dict[str, Any]:
        answer = await self.post("/v1/decisions", {"customer_id": customer_id, **body})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        NextActionAnswer.model_validate(found)
        return found

    async def replay(self, decision_id: str) -> httpx.Response:
        return await self.client.get(f"/v1/decisions/{decision_id}/replay")


@pytest.fixture
def both(tmp_path: Path) -> Settings:
    lists = put_shelf(tmp_path / "lists", ["comb", "brush", "mirror"])
    decisions = put_parts(tmp_path / "decisions", actions=ACTIONS)
    return Settings(
        home=tmp_path / "home",
        bundles=(lists, decisions),
        poll_seconds=0.01,
        contact_file=tmp_path / "contact.toml",
    )


@pytest.fixture
async def shop(both: Settings) -> AsyncIterator[Shop]:
    assert both.contact_file is not None
    both.contact_file.write_text("")
    found = Shop(both)
    async with serving(both, read_decisions=read_parts, clock=lambda: found.now) as client:
        found.client = client
        yield found
    found.events.close()
    found.decisions.close()


async def test_the_next_action(shop: Shop) -> None:
    shop.happened("cart", NOON - 2 * HOUR, product_id="comb")
    answer = await shop.ask()
    assert answer["choice"] == {
        "action": "cart_reminder",
        "channel": "web_push",
        "send_at": "2026-03-02T12:00:00Z",
        "product_ids": ["brush", "mirror"],
    }
    assert answer["propensity"] == 1.0
    assert answer["policy"] == {"name": "nba", "version": "decisions"}
    assert (await shop.ask())["decision_id"] == answer["decision_id"]
    told = (await shop.client.get(f"/v1/decisions/{answer['decision_id']}")).json()
    DecisionAnswer.model_validate(told)
    assert (told["kind"], told["choice"], told["customer_id"]) == ("action", answer["choice"], "anna")
    assert told["eligible"] == ["cart_reminder@email", "cart_reminder@web_push"]
    products = await shop.client.get(f"/v1/decisions/{told['products_decision_id']}")
    assert products.json()["kind"] == "recommendations"
    assert (await shop.replay(answer["decision_id"])).json() == {"match": True}


async def test_it_is_the_same_after_the_shop_went_on(shop: Shop) -> None:
    shop.happened("cart", NOON - 2 * HOUR, product_id="comb")
    first = await shop.ask()
    shop.now += 30 * MINUTE
    shop.happened("purchase", shop.now - 1, product_id="comb")
    second = await shop.ask()
    assert second["choice"]["action"] != "cart_reminder"
    for answer in (first, second):
        assert (await shop.replay(answer["decision_id"])).json() == {"match": True}


async def test_release(shop: Shop) -> None:
    shop.happened("cart", NOON - 2 * HOUR, product_id="comb")
    answer = await shop.ask()
    path = f"/v1/decisions/{answer['decision_id']}/release"
    released = (await shop.client.post(path)).json()
    ReleaseAnswer.model_validate(released)
    assert released == {"verdict": "send", "reason": "unchanged", "choice": answer["choice"]}
    shop.now += MINUTE
    await shop.client.put("/v1/products/brush", json={"title": "Brush", "availability": "out_of_stock"})
    replaced = (await shop.post(path, {})).json()
    assert (replaced["verdict"], replaced["choice"]["product_ids"]) == ("replace", ["mirror"])
    shop.happened("purchase", shop.now, product_id="comb")
    assert (await shop.post(path, {})).json() == {"verdict": "cancel", "reason": "not_eligible"}
    written = await shop.client.get(f"/v1/decisions/{answer['decision_id']}-r2")
    DecisionAnswer.model_validate(written.json())
    assert (written.json()["kind"], written.json()["verdict"]) == ("release", "cancel")
    assert_problem(await shop.replay(f"{answer['decision_id']}-r2"), 409, "not-replayable")
    assert_problem(await shop.post("/v1/decisions/none/release", {}), 404, "unknown-decision")
    assert_problem(await shop.post(f"/v1/decisions/{answer['decision_id']}-r2/release", {}), 404, "unknown-decision")


async def test_the_erased_are_gone(shop: Shop) -> None:
    shop.happened("cart", NOON - 2 * HOUR, product_id="comb")
    answer = await shop.ask()
    assert (await shop.client.delete("/v1/customers/anna")).json()["decisions"] == 2, "and the list of products"
    assert_problem(await shop.replay(answer["decision_id"]), 410, "erased")
    assert_problem(await shop.post(f"/v1/decisions/{answer['decision_id']}/release", {}), 410, "erased")
    assert (await shop.ask())["choice"]["action"] == "hold", "a new person"


async def test_a_batch_is_json_lines(shop: Shop) -> None:
    for name in ("anna", "ben", "ü/'\""):
        shop.happened("cart", NOON - 2 * HOUR, customer_id=name, product_id="comb")
    shop.happened("page", NOON - HOUR, customer_id="carl")
    answer = await shop.post("/v1/decisions:batch", {"customer_ids": None})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    for line in lines:
        BatchLine.model_validate(line)
    assert {line["customer_id"]: line["choice"]["action"] for line in lines} == {
        "anna": "cart_reminder", "ben": "cart_reminder", "carl": "hold", "ü/'\"": "cart_reminder"
    }  # fmt: skip
    for line in lines:
        assert (await shop.replay(line["decision_id"])).json() == {"match": True}
        assert (await shop.ask(line["customer_id"]))["decision_id"] == line["decision_id"]
    asked = await shop.post("/v1/decisions:batch", {"customer_ids": ["carl", "carl", "new"], "dry_run": True})
    assert [json.loads(line)["customer_id"] for line in asked.text.splitlines()] == ["carl", "new"]
    assert (await shop.post("/v1/decisions:batch", {"customer_ids": []})).text == ""


async def test_budgets_are_shared_out_over_a_batch(both: Settings, tmp_path: Path) -> None:
    """The mail goes to whom it is worth most: only those can be reached by nothing else."""
    budgets = {"mails": {"amount": 2.0, "over": "contacts", "channels": ["email"], "exploration_share": 0.0}}
    decisions = put_parts(tmp_path / "tight", actions=ACTIONS, budgets=budgets)
    settings = both.model_copy(update={"bundles": (decisions,), "contact_file": None})
    shop = Shop(settings)
    for number in range(6):
        kind = "cart" if number >= 4 else "view"
        shop.happened(kind, NOON - 2 * HOUR, customer_id=f"c{number}", product_id="comb")
        shop.happened("identify", NOON - 2 * HOUR, customer_id=f"c{number}", more={"traits": {"consents": ["email"]}})
    async with serving(settings, read_decisions=read_parts, clock=lambda: NOON) as client:
        answer = await client.post("/v1/decisions:batch", json={"customer_ids": [f"c{number}" for number in range(6)]})
    lines = [json.loads(line)["choice"] for line in answer.text.splitlines()]
    assert [line["action"] for line in lines] == ["hold"] * 4 + ["cart_reminder"] * 2
    assert lines[-1]["product_ids"] == [], "there is no recommender"
    assert shop.decisions.used("mails", "2026-03-02") == 2
    shop.events.close()
    shop.decisions.close()


async def test_a_key_makes_retries_safe(shop: Shop) -> None:
    shop.happened("cart", NOON - 2 * HOUR, product_id="comb")
    body = {"customer_id": "anna"}
    first = await shop.post("/v1/decisions", body, headers={"Idempotency-Key": "k"})
    again = await shop.post("/v1/decisions", body, headers={"Idempotency-Key": "k"})
    assert again.content == first.content
    other = await shop.post("/v1/decisions", {**body, "horizon_hours": 1}, headers={"Idempotency-Key": "k"})
    assert_problem(other, 422, "idempotency-key-reused")
    assert_problem(await shop.post("/v1/decisions", body, headers={"Idempotency-Key": ""}), 422, "invalid-request")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, None),
        ({"customer_id": ""}, None),
        ({"customer_id": "a", "colour": 1}, "/colour"),
        ({"customer_id": "a", "horizon_hours": 1000}, "/horizon_hours"),
        ({"customer_id": "a", "actions": ["fly"]}, "/actions"),
        ({"customer_id": "a", "channels": ["fax"]}, "/channels"),
        ({"customer_id": "a", "journey": "west"}, "/journey"),
        ({"customer_id": "a", "constraints": {"max_cost": -1}}, "/constraints/max_cost"),
        ({"customer_id": "a", "constraints": {"not_after": "tomorrow"}}, "/constraints/not_after"),
        ({"customer_id": "a", "context": {"page": {}}}, "/context/page"),
        ({"customer_id": "a", "at": "1700000000"}, "/at"),
    ],
)
async def test_what_is_not_understood_is_refused(shop: Shop, body: dict[str, Any], place: str | None) -> None:
    problem = assert_problem(await shop.post("/v1/decisions", body), 422, "invalid-request")
    assert place is None or problem["errors"][0]["pointer"].startswith(place)


async def test_a_decision_waits_for_whoever_locks_the_file(shop: Shop) -> None:
    lock = sqlite3.connect(shop.settings.home / "decisions.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    answers: list[dict[str, Any]] = []
    async with anyio.create_task_group() as tasks:

        async def ask() -> None:
            answers.append(await shop.ask())

        tasks.start_soon(ask)
        await anyio.sleep(0.6)  # longer than a list would wait
        assert answers == []
        assert (await shop.client.get("/health/live")).status_code == 200
        lock.execute("ROLLBACK")
    lock.close()
    assert (await shop.client.get(f"/v1/decisions/{answers[0]['decision_id']}")).status_code == 200


async def test_a_fault_of_the_model_is_a_hold(shop: Shop) -> None:
    shop.happened("cart", NOON - 2 * HOUR, customer_id="frail", product_id="comb")
    answer = await shop.ask("frail")
    assert (answer["choice"]["action"], answer["policy"]["name"]) == ("hold", "fallback")
    assert_problem(await shop.replay(answer["decision_id"]), 409, "not-replayable")
    metrics = (await shop.client.get("/metrics")).text
    assert "segue_degraded_requests_total 1.0" in metrics
    assert 'segue_actions_total{action="hold",channel="none"} 1.0' in metrics


def put_in_place(settings: Settings, text: str) -> None:
    """A contact file that is never seen half written."""
    assert settings.contact_file is not None
    new = settings.contact_file.with_suffix(".new")
    new.write_text(text)
    new.rename(settings.contact_file)


async def test_the_switch(shop: Shop, both: Settings) -> None:
    shop.happened("cart", NOON - 2 * HOUR, product_id="comb")
    first = await shop.ask()
    put_in_place(both, "hold = true\n")
    with anyio.fail_after(10):
        while (answer := await shop.ask())["choice"]["action"] != "hold":
            await anyio.sleep(0.01)
    assert answer["propensity"] == 1.0
    for one in (first, answer):
        assert (await shop.replay(one["decision_id"])).json() == {"match": True}
    put_in_place(both, "hold = maybe\n")
    with anyio.fail_after(10):
        while (ready := (await shop.client.get("/health/ready")).json())["last_error"] is None:
            await anyio.sleep(0.01)
    assert "contact.toml" in ready["last_error"]
    assert (await shop.ask())["choice"]["action"] == "hold"


async def test_caps_of_the_contact_file_count(shop: Shop, both: Settings) -> None:
    put_in_place(both, "[channels.web_push]\nper_day = 0\n[channels.email]\nper_day = 0\n")
    shop.happened("cart", NOON - 2 * HOUR, product_id="comb")
    with anyio.fail_after(10):
        while (answer := await shop.ask(dry_run=True))["choice"]["action"] != "hold":
            await anyio.sleep(0.01)
    assert {one["code"] for one in answer["excluded"]} >= {"channel_cap"}


async def test_a_customer_is_told_with_stage_and_segments(shop: Shop) -> None:
    shop.happened("cart", NOON - 2 * HOUR, product_id="comb")
    known = (await shop.client.get("/v1/customers/anna")).json()
    assert isinstance(known["stage"], str)
    assert isinstance(known["segments"], list)
    assert known["scores"] == {}


async def test_both_models_are_told(shop: Shop) -> None:
    models = (await shop.client.get("/v1/models")).json()["models"]
    assert [(one["name"], one["serving"]["version"]) for one in models] == [
        ("recommender", "lists"),
        ("nba", "decisions"),
    ]
    ready = (await shop.client.get("/health/ready")).json()
    assert [one["name"] for one in ready["models"]] == ["recommender", "nba"]


async def test_without_a_model_of_decisions_lists_go_on(client: httpx.AsyncClient) -> None:
    for path, body in (("/v1/decisions", {"customer_id": "a"}), ("/v1/decisions:batch", {"customer_ids": ["a"]})):
        assert_problem(await client.post(path, json=body), 503, "no-model")
    assert_problem(await client.post("/v1/decisions/x/release"), 503, "no-model")
    assert (await client.get("/v1/recommendations/best_sellers")).status_code == 200
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["last_error"]) == (200, None)
    assert [one["name"] for one in (await client.get("/v1/models")).json()["models"]] == ["recommender"]


async def test_decisions_alone_are_enough_to_be_ready(both: Settings) -> None:
    alone = both.model_copy(update={"bundles": both.bundles[1:], "contact_file": None})
    async with serving(alone, read_decisions=read_parts) as client:
        assert (await client.get("/health/ready")).status_code == 200
        assert_problem(await client.get("/v1/recommendations/best_sellers"), 503, "no-model")
        assert (await client.post("/v1/decisions", json={"anonymous_id": "v"})).status_code == 200


async def test_decisions_need_a_secret_key(both: Settings, tmp_path: Path) -> None:
    import hashlib

    lines = [
        f'[[keys]]\nname = "{scope}"\nscope = "{scope}"\nsha256 = "{hashlib.sha256(key.encode()).hexdigest()}"'
        for scope, key in (("secret", SECRET), ("public", PUBLIC))
    ]
    (tmp_path / "keys.toml").write_text("\n".join(lines))
    guarded = both.model_copy(update={"keys_file": tmp_path / "keys.toml", "contact_file": None})
    async with serving(guarded, read_decisions=read_parts) as client:
        for key, status in ((PUBLIC, 403), (SECRET, 200)):
            headers = {"Authorization": f"Bearer {key}"}
            answer = await client.post("/v1/decisions", json={"anonymous_id": "v"}, headers=headers)
            assert answer.status_code == status
        headers = {"Authorization": f"Bearer {PUBLIC}"}
        for path in ("/v1/decisions:batch", "/v1/decisions/x/release", "/v1/models/nba/aliases/champion"):
            assert_problem(await client.post(path, json={}, headers=headers), 403, "forbidden")
