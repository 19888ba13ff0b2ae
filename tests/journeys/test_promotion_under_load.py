"""A release while shoppers look: ``segue promote`` moves the alias back and forth, and no request notices."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from features.gate import promote
from recommender import bundle
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from tests import logs, shops
from tests.serving.test_process import running
from tests.training.test_tracking import VERDICT, record
from training.tracking import Tracking, open_tracking

MODEL = "recommender"
SEGUE = Path(sys.executable).with_name("segue")
IN_FLIGHT = 100
BODY = {"customer_id": "c001", "blocks": [{"placement": "recommended_for_you", "count": 3}]}
#: By its products an answer tells which version made it.
PREFIX = {"1": "p", "2": "new-"}


@pytest.fixture
def two_versions(mlflow_uri: str, small_recommender: Recommender, tmp_path: Path) -> Tracking:
    """Version 1, champion, and version 2 with evidence against it. Their products have other names."""
    events, products = shops.planted_tastes()
    log, catalogue = logs.encoded(
        events.assign(product_id="new-" + events["product_id"]),
        products.assign(product_id="new-" + products["product_id"]),
    )
    renamed = fit(log, catalogue, RecommenderConfig.default(), at=logs.end_of(log))
    tracking = open_tracking(mlflow_uri)
    verdicts = (VERDICT, VERDICT.model_copy(update={"champion_version": 1, "against": "champion"}))
    for name, recommender, verdict in zip(("one", "two"), (small_recommender, renamed), verdicts, strict=True):
        folder = tmp_path / name / "bundle"
        bundle.write(recommender, folder, {})
        tracking.log_training(MODEL, replace(record(folder), verdict=verdict))
    promote(tracking, MODEL, 1)
    return tracking


def test_no_request_fails_while_the_alias_moves(two_versions: Tracking, tmp_path: Path) -> None:
    with running(tmp_path, SEGUE_HOME=str(tmp_path / "home")) as client:
        answers = asyncio.run(answers_while_promoting(str(client.base_url), two_versions, tmp_path))
        assert client.get("/health/ready").json()["last_error"] is None
    assert len(answers) >= IN_FLIGHT
    assert set(answers) == {("1", "p"), ("2", "new-")}, "every answer comes whole from one version"


async def answers_while_promoting(address: str, tracking: Tracking, folder: Path) -> list[tuple[str, str]]:
    """Version and product prefix of every answer given while version 2, 1, 2 and 1 again become champion."""
    answers: list[tuple[str, str]] = []
    asking = True

    async def ask(client: httpx.AsyncClient) -> None:
        while asking:
            answer = await client.post("/v1/recommendations", json=BODY)
            assert answer.status_code == 200, answer.text
            [block] = answer.json()["blocks"]
            version = block["model"]["version"]
            assert len(block["items"]) == 3
            assert all(item["id"].startswith(PREFIX[version]) for item in block["items"])
            answers.append((version, PREFIX[version]))

    async def seen(version: str) -> None:
        """Wait for an answer of this version that came after now."""
        before, deadline = len(answers), time.monotonic() + 20
        while not any(found == version for found, _ in answers[before:]):
            assert time.monotonic() < deadline, f"version {version} never answered"
            await asyncio.sleep(0.05)

    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client, asyncio.TaskGroup() as tasks:
        for _ in range(IN_FLIGHT):
            tasks.create_task(ask(client))
        await seen("1")
        command = await asyncio.create_subprocess_exec(
            *(SEGUE, "promote", MODEL, "2", "--json"), cwd=folder, stdout=subprocess.DEVNULL
        )
        assert await command.wait() == 0
        await seen("2")
        for version in (1, 2, 1):
            done = await asyncio.to_thread(promote, tracking, MODEL, version)
            assert done.returned
            await seen(str(version))
        asking = False
    return answers
