"""What a process does beside answering: one job goes on whatever becomes of the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from features.events import DAY
from features.store.base import Decision, StoreError, Watermark
from features.store.memory import MemoryDecisions
from serving.champion import Champion
from serving.keeping import Keeping
from serving.metrics import Metrics
from serving.origins import folders_of
from serving.upkeep import Upkeep
from tests.serving.shelves import Shelf, put_shelf

NOW = 200 * DAY


class Followed(Shelf):
    """A shelf that counts how often it kept up, and fails at it when told to."""

    def __init__(self) -> None:
        super().__init__(["comb"])
        self.kept_up = 0
        self.fails = False

    def keep_up(self) -> None:
        self.kept_up += 1
        if self.fails:
            raise ValueError("an event that nobody understands")


class Disk(MemoryDecisions):
    """A log that counts how often it was put on disk, on a disk that may be full or slow to tidy."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed = 0
        self.fails = False
        self.flushed_twice = Event()
        self.before_pruning: Callable[[], object] = lambda: None

    def flush(self) -> None:
        self.flushed += 1
        if self.flushed == 2:
            self.flushed_twice.set()
        if self.fails:
            raise StoreError("the disk is full")

    def prune(self, before: int) -> int:
        self.before_pruning()
        return super().prune(before)


class Kept:
    """A process's upkeep, and all it is about."""

    def __init__(self, folder: Path) -> None:
        self.shelf, self.disk = Followed(), Disk()
        keeping = Keeping(folder / "kept", self.disk)
        origin = folders_of([put_shelf(folder / "v1", ["comb"])], name="recommender")
        champion = Champion("recommender", origin, lambda _: self.shelf, lambda: 0, keeping, Metrics(), lambda: NOW)
        champion.check()
        self.shelf.kept_up = 0
        self.upkeep = Upkeep([champion], self.disk, keeping, 90, lambda: NOW)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_decisions_reach_the_disk_though_the_shop_cannot_be_followed(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.shelf.fails = True
    kept.upkeep.once()
    kept.upkeep.once()
    assert kept.disk.flushed == 2
    assert [record.getMessage() for record in caplog.records] == ["the shop cannot be followed"]


def test_the_shop_is_followed_though_decisions_cannot_reach_the_disk(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.disk.fails = True
    kept.upkeep.once()
    kept.upkeep.once()
    assert kept.shelf.kept_up == 2
    kept.shelf.fails = True
    kept.upkeep.once()
    assert [record.getMessage() for record in caplog.records] == [
        "decisions cannot be put on disk",
        "the shop cannot be followed",
    ]


def test_a_failure_that_comes_back_is_told_again(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    for fails in (True, True, False, True):
        kept.disk.fails = fails
        kept.upkeep.once()
    assert len(caplog.records) == 2


def test_tidying_does_not_keep_decisions_from_the_disk(kept: Kept) -> None:
    stop = Event()
    kept.disk.before_pruning = lambda: kept.disk.flushed_twice.wait(20)
    thread = Thread(target=kept.upkeep.run, args=(stop,))
    thread.start()
    flushed = kept.disk.flushed_twice.wait(10)
    stop.set()
    thread.join()
    assert flushed


def test_old_decisions_are_forgotten(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for name, at in (("old", NOW - 91 * DAY), ("new", NOW - 89 * DAY)):
        kept.disk.write(
            Decision(name, at, "recommendations", None, None, {"bundle": "b"}, None, Watermark(0, 0, 0), {})
        )
    kept.upkeep.tidy()
    assert [name for _, name in kept.disk.ids()] == ["new"]
    assert "1 decisions older than 90 days were removed" in caplog.text
