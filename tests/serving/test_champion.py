"""Which model answers: swaps that no request notices, and new models that are not fit to answer."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import httpx
import pytest

from features.store.memory import MemoryDecisions
from serving.champion import Answers, Champion, Loaded, follow
from serving.keeping import Keeping
from serving.metrics import Metrics
from serving.origins import Folders, OriginError, Release, folders_of
from serving.recommendations import warm
from serving.settings import Settings
from tests.serving.conftest import PRODUCTS
from tests.serving.shelves import put_shelf, read_shelf, serving
from tests.serving.test_recommendations import HOME, assert_problem

SECOND = 1_000_000


class Shop:
    """A champion that follows a link, a clock to set and a rules file to change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.link = folder / "current"
        self.now = 0
        self.rules = "none"
        self.built: list[Path] = []
        put_shelf(folder / "v1", ["comb"])
        self.point("v1")
        origin = Folders({"recommender": self.link})
        keeping = Keeping(folder / "kept", MemoryDecisions())
        self.champion = Champion(
            "recommender", origin, self._build, lambda: self.rules, keeping, Metrics(), lambda: self.now
        )

    def _build(self, folder: Path) -> Answers:
        self.built.append(folder)
        answers = read_shelf(folder)
        warm(answers, self.now)
        return answers

    def point(self, name: str) -> None:
        new = self.folder / "new"
        new.symlink_to(self.folder / name)
        new.rename(self.link)

    @property
    def loaded(self) -> Loaded[Answers]:
        assert self.champion.loaded is not None
        return self.champion.loaded


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    found = Shop(tmp_path)
    found.champion.check()
    return found


def test_a_release_is_loaded_once(shop: Shop) -> None:
    shop.champion.check()
    assert shop.loaded.release.version == "v1"
    assert len(shop.built) == 1
    assert shop.champion.last_error is None


def test_another_release_takes_its_place_and_may_go_back(shop: Shop) -> None:
    put_shelf(shop.folder / "v2", ["brush"])
    for version in ("v2", "v1"):
        shop.point(version)
        shop.champion.check()
        assert shop.loaded.release.version == version


def test_changed_rules_build_the_model_anew(shop: Shop) -> None:
    before = shop.loaded
    shop.rules = "some"
    shop.champion.check()
    assert shop.loaded is not before
    assert shop.loaded.release == before.release
    shop.champion.check()
    assert len(shop.built) == 2


@pytest.mark.parametrize("products", [["broken"], []], ids=["cannot be read", "cannot answer"])
def test_a_model_that_is_not_fit_leaves_the_old_one(shop: Shop, products: list[str]) -> None:
    put_shelf(shop.folder / "v2", products)
    shop.point("v2")
    shop.champion.check()
    assert shop.loaded.release.version == "v1"
    assert shop.champion.last_error is not None
    assert "recommender version v2 could not be loaded" in shop.champion.last_error
    shop.point("v1")
    shop.champion.check()
    assert shop.champion.last_error is None


def test_a_failed_release_is_tried_again_after_a_while_and_not_at_every_look(shop: Shop) -> None:
    put_shelf(shop.folder / "v2", ["broken"])
    shop.point("v2")
    for _ in range(5):
        shop.champion.check()
    assert len(shop.built) == 2
    (shop.folder / "v2" / "manifest.json").write_text('{"products": ["repaired"]}', encoding="utf-8")
    shop.now += 31 * SECOND
    shop.champion.check()
    assert shop.loaded.release.version == "v2"
    assert shop.champion.last_error is None


def test_a_release_after_a_failed_one_does_not_wait(shop: Shop) -> None:
    put_shelf(shop.folder / "v2", ["broken"])
    put_shelf(shop.folder / "v3", ["mirror"])
    for version in ("v2", "v3"):
        shop.point(version)
        shop.champion.check()
    assert shop.loaded.release.version == "v3"


def test_an_origin_that_is_gone_leaves_the_old_model(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.link.unlink()
    for _ in range(3):
        shop.champion.check()
    assert shop.loaded.release.version == "v1"
    assert shop.champion.last_error is not None
    assert str(shop.link) in shop.champion.last_error
    assert caplog.text.count(str(shop.link)) == 1, "said once, not at every look"


def test_following_ends_when_told(shop: Shop) -> None:
    looked, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=follow, args=(shop.champion, 0.001, looked, stop))
    thread.start()
    assert looked.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_two_bundles_of_one_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OriginError, match="2 bundles of one model"):
        folders_of([tmp_path / "a", tmp_path / "b"], name="recommender")


def test_folders_know_only_the_models_they_were_given(tmp_path: Path) -> None:
    folders = folders_of([tmp_path], name="recommender")
    assert folders.latest("recommender") == Release("recommender", tmp_path.name, str(tmp_path))
    with pytest.raises(OriginError, match="nba"):
        folders.latest("nba")
    assert folders.versions("nba") == []


@pytest.mark.anyio
async def test_a_hundred_requests_at_a_time_notice_nothing_of_swaps(settings: Settings, tmp_path: Path) -> None:
    put_shelf(tmp_path / "second", ["soap", "towel"])
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "first")
    products = {"first": PRODUCTS, "second": ["soap", "towel"]}
    answers: list[httpx.Response] = []
    asking = True

    async def ask(client: httpx.AsyncClient) -> None:
        while asking:
            answers.append(await client.post("/v1/recommendations", json=HOME))
            await anyio.sleep(0)  # nothing here waits for a network, so let the others have their turn

    async with serving(settings.model_copy(update={"bundles": (link,)})) as client, anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(ask, client)
        for turn in range(5):
            new = tmp_path / "new"
            new.symlink_to(tmp_path / ("second", "first")[turn % 2])
            new.rename(link)
            await anyio.sleep(0.03)
        asking = False

    seen = set()
    for answer in answers:
        assert answer.status_code == 200, answer.text
        [block] = answer.json()["blocks"]
        version = block["model"]["version"]
        assert [item["id"] for item in block["items"]] == products[version], "one model answers throughout"
        seen.add(version)
    assert seen == {"first", "second"}


@pytest.mark.anyio
async def test_without_a_model_the_service_waits_for_one(settings: Settings, tmp_path: Path) -> None:
    late = tmp_path / "late"
    async with serving(settings.model_copy(update={"bundles": (late,)})) as client:
        for path in ("/health/ready", "/v1/recommendations/best_sellers"):
            answer = await client.get(path)
            problem = assert_problem(answer, 503, "no-model")
            assert (str(late) in problem["detail"]) == (path == "/health/ready"), "a page learns nothing of our disks"
            assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/health/live")).status_code == 200
        put_shelf(late, ["comb"])
        with anyio.fail_after(10):
            while (await client.get("/health/ready")).status_code != 200:
                await anyio.sleep(0.01)
        assert (await client.get("/v1/recommendations/best_sellers")).status_code == 200


@pytest.mark.anyio
async def test_a_broken_release_shows_in_health_and_metrics_while_the_old_one_answers(
    settings: Settings, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "first")
    put_shelf(tmp_path / "second", ["broken"])
    async with serving(settings.model_copy(update={"bundles": (link,)})) as client:
        link.unlink()
        link.symlink_to(tmp_path / "second")
        with anyio.fail_after(10):
            while "segue_model_load_failures_total 1.0" not in (await client.get("/metrics")).text:
                await anyio.sleep(0.01)
        ready = (await client.get("/health/ready")).json()
        assert "second could not be loaded" in ready["last_error"]
        assert ready["models"][0]["version"] == "first"
        assert (await client.post("/v1/recommendations", json=HOME)).status_code == 200
