"""``segue replay`` of decisions on the next action."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from features.events import DAY, HOUR
from features.store.base import Event
from features.store.sqlite import SqliteEvents
from serving.app import create_app
from serving.settings import Settings
from tests.nba.simple_models import moment
from tests.shell import Shell

NOON = moment("2026-03-02 12:00")


@pytest.fixture
def segue(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    return Shell(capsys)


@pytest.fixture
def settings(tmp_path: Path, small_nba: Path) -> Settings:
    contact = tmp_path / "contact.toml"
    contact.write_text("[policy]\nexploration = 0.0\nholdout = 0.0\n")
    return Settings(home=tmp_path / "home", bundles=(small_nba,), contact_file=contact)


def asked(settings: Settings, *paths: tuple[str, str, Any]) -> list[httpx.Response]:
    """What a service says at `NOON`, which is over afterwards."""

    async def answers() -> list[httpx.Response]:
        app = create_app(settings, clock=lambda: NOON)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
        ):
            return [await client.request(method, path, json=body) for method, path, body in paths]

    return anyio.run(answers)


def happened(settings: Settings, name: str, at: int) -> None:
    """Anna does something with a lipstick."""
    settings.home.mkdir(exist_ok=True)
    events = SqliteEvents(settings.home / "events.db")
    events.append([Event(name, at, at, customer_id="anna", product_id="lipstick")])
    events.close()


def reminded(settings: Settings) -> dict[str, Any]:
    """The decision on somebody who left a cart."""
    happened(settings, "cart", NOON - 2 * HOUR)
    [answer] = asked(settings, ("POST", "/v1/decisions", {"customer_id": "anna", "actions": ["cart_reminder"]}))
    found: dict[str, Any] = answer.json()
    assert found["choice"]["action"] == "cart_reminder"
    return found


def test_a_decision_is_the_same_after_the_shop_went_on(segue: Shell, settings: Settings) -> None:
    answer = reminded(settings)
    happened(settings, "purchase", NOON + DAY)
    assert settings.contact_file is not None
    settings.contact_file.write_text("hold = true\n")
    told = segue.json("replay", answer["decision_id"])
    assert told["match"] is True
    assert told["diff"] == []
    assert told["model"]["name"] == "nba"
    code, out, _ = segue.run("replay", answer["decision_id"])
    assert (code, out) == (0, f"{answer['decision_id']} by nba version {told['model']['version']}: the same\n")


def test_another_model_in_its_place_is_found_out(segue: Shell, settings: Settings) -> None:
    answer = reminded(settings)
    [kept] = (settings.home / "bundles" / "kept").iterdir()
    manifest = json.loads((kept / "manifest.json").read_text())
    manifest["config"]["channels"]["app_push"]["quiet_hours"] = [0, 24]
    manifest["config"]["channels"][answer["choice"]["channel"]]["quiet_hours"] = [0, 24]
    (kept / "manifest.json").write_text(json.dumps(manifest))
    code, out, _ = segue.run("replay", answer["decision_id"])
    assert code == 1
    assert "differs" in out
    assert f"/choice/channel: {answer['choice']['channel']} then, " in out


def test_what_cannot_be_made_again_is_said(segue: Shell, settings: Settings) -> None:
    assert "holds no log of decisions" in segue.refusal("replay", "none")
    answer = reminded(settings)
    assert "no decision none is kept" in segue.refusal("replay", "none")
    asked(settings, ("DELETE", "/v1/customers/anna", None))
    assert "was erased" in segue.refusal("replay", answer["decision_id"])


def test_nobody_replays_without_the_bundle(segue: Shell, settings: Settings) -> None:
    answer = reminded(settings)
    [kept] = (settings.home / "bundles" / "kept").iterdir()
    kept.rename(kept.with_name("elsewhere"))
    assert "not there any more" in segue.refusal("replay", answer["decision_id"])
