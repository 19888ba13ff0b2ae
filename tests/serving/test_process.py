"""The service as it runs: real bundles of a real recommender, real processes, real connections."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from features.encode import encode_catalogue, encode_events
from recommender import bundle
from recommender.config import RecommenderConfig
from recommender.engine import fit
from serving.schemas import RecommendationsAnswer
from tests import shops

PLACEMENTS = sorted(RecommenderConfig.default().placements)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundles v1 and v2 of one small shop."""
    events, products = shops.planted_tastes()
    log = encode_events(events, products)
    catalogue = encode_catalogue(products, log)
    recommender = fit(log, catalogue, RecommenderConfig.default(), at=int(log.time.max()) + 1)
    folder = tmp_path_factory.mktemp("bundles")
    for version in ("v1", "v2"):
        bundle.write(recommender, folder / version, {})
    return folder


@contextmanager
def running(folder: Path, *arguments: str, **variables: str) -> Iterator[httpx.Client]:
    """``python -m serving``, ready, and a client of it. It must end by itself when told to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "serving", "--port", str(port), *arguments]
    log = folder / "log.txt"
    with log.open("wb") as written:
        home = {"SEGUE_HOME": str(folder / "home"), "SEGUE_POLL_SECONDS": "0.05"}
        environment = {**os.environ, **home, **variables}
        process = subprocess.Popen(command, stderr=written, env=environment)  # noqa: S603
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            deadline = time.monotonic() + 60
            while not _ready(client):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert "Traceback" not in log.read_text(), log.read_text()


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def point(link: Path, target: Path) -> None:
    new = link.with_name("new")
    new.symlink_to(target)
    new.rename(link)


def test_every_placement_answers_and_no_request_notices_a_swap(bundles: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    point(link, bundles / "v1")
    with running(tmp_path, "--bundle", str(link)) as client:
        for placement in PLACEMENTS:
            answer = client.get(
                f"/v1/recommendations/{placement}", params={"customer_id": "c001", "product_id": "p001", "count": 3}
            )
            [block] = RecommendationsAnswer.model_validate(answer.json()).blocks
            assert block.model.version == "v1"
            assert block.items or placement in ("recently_viewed", "buy_it_again")
        versions = asyncio.run(_swap_under_load(str(client.base_url), link, bundles))
    assert versions == {"v1", "v2"}


async def _swap_under_load(address: str, link: Path, bundles: Path) -> set[str]:
    versions = set()
    body = {"anonymous_id": "a", "blocks": [{"placement": "best_sellers", "count": 2}]}
    asking = True
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client:

        async def ask() -> None:
            while asking:
                answer = await client.post("/v1/recommendations", json=body)
                assert answer.status_code == 200, answer.text
                versions.add(answer.json()["blocks"][0]["model"]["version"])

        load = asyncio.gather(*(ask() for _ in range(100)))
        for turn in range(6):
            await asyncio.sleep(0.5)
            point(link, bundles / ("v2", "v1")[turn % 2])
        asking = False
        await load
    return versions


def test_workers_are_counted_together(bundles: Path, tmp_path: Path) -> None:
    with running(tmp_path, "--bundle", str(bundles / "v1"), "--workers", "2") as client:
        for _ in range(20):  # each on a connection of its own, so that both workers get some
            httpx.get(str(client.base_url.join("/v1/recommendations/best_sellers"))).raise_for_status()
        text = client.get("/metrics").text
    line = r'segue_requests_total\{method="GET",route="/v1/recommendations/\{placement\}",status="200"\} (\S+)'
    found = re.search(line, text)
    assert found is not None, text
    assert float(found[1]) == 20


def test_rules_are_taken_up_while_serving(bundles: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("", encoding="utf-8")
    with running(tmp_path, "--bundle", str(bundles / "v1"), SEGUE_RULES_FILE=str(rules)) as client:

        def first() -> str:
            answer = client.get("/v1/recommendations/best_sellers")
            return str(answer.json()["blocks"][0]["items"][0]["id"])

        other = next(product for product in ("p000", "p001") if product != first())
        rules.write_text(f'[[rule]]\naction = "pin"\nproduct_ids = ["{other}"]\n', encoding="utf-8")
        deadline = time.monotonic() + 20
        while first() != other:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        rules.write_text("[[rule]]\naction = 'promote'\n", encoding="utf-8")
        while client.get("/health/ready").json()["last_error"] is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert first() == other, "rules that cannot be read leave those before"


def test_a_click_shows_at_once_in_every_worker_process(bundles: Path, tmp_path: Path) -> None:
    def viewed(address: str) -> list[str]:
        answer = httpx.get(f"{address}/v1/recommendations/recently_viewed", params={"anonymous_id": "v"}, timeout=30)
        return [item["id"] for item in answer.json()["blocks"][0]["items"]]

    seen: list[str] = []
    with running(tmp_path, "--bundle", str(bundles / "v1"), "--workers", "2") as client:
        address = str(client.base_url).rstrip("/")
        for number in range(3):
            product = f"p{number:03}"
            told = client.post("/v1/track", json=TRACK | {"messageId": product, "properties": {"product_id": product}})
            assert told.json() == {"accepted": 1, "duplicates": 0, "rejected": []}
            seen.insert(0, product)
            for _ in range(4):  # each on a connection of its own, so some in another process
                assert viewed(address) == seen
        changed = {"title": "now", "price": 1.5, "availability": "out_of_stock"}
        assert client.put("/v1/products/p001", json=changed).status_code == 200
        for _ in range(4):
            assert viewed(address) == ["p002", "p000"]
        assert client.delete("/v1/customers", params={"anonymous_id": "v"}).status_code == 200
        for _ in range(4):
            assert viewed(address) == []


TRACK = {"type": "track", "event": "Product Viewed", "anonymousId": "v"}
