"""Decisions of requests that came in together: what shares a transaction, and who is told what."""

from __future__ import annotations

import asyncio

import pytest

from features.store.base import Decision, StoreError, Watermark
from features.store.memory import MemoryDecisions
from serving.journal import Journal
from tests.serving.shop_doors import NOW

pytestmark = pytest.mark.anyio


def decision(name: str) -> Decision:
    return Decision(name, NOW, "recommendations", None, None, {"bundle": "b"}, None, Watermark(0, 0, 0), {})


class NotingStore(MemoryDecisions):
    """A store that notes its transactions."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[list[str]] = []

    def write(self, *decisions: Decision) -> None:
        self.groups.append([one.id for one in decisions])
        if any(one.id == "disk full" for one in decisions):
            raise StoreError("the disk is full")
        if any(one.id == "odd" for one in decisions):
            raise ValueError("this decision cannot be written")
        super().write(*decisions)


async def kept(journal: Journal, *names: str) -> list[BaseException | None]:
    return await asyncio.gather(*(journal.keep(decision(name)) for name in names), return_exceptions=True)


async def test_decisions_of_one_moment_share_a_transaction() -> None:
    store = NotingStore()
    journal = Journal(store)
    assert await kept(journal, "1", "2", "3") == [None] * 3
    assert await kept(journal, "4") == [None]
    assert store.groups == [["1", "2", "3"], ["4"]]


async def test_one_that_took_long_waits_for_nobody() -> None:
    store = NotingStore()
    journal = Journal(store)
    waiting = asyncio.create_task(journal.keep(decision("1")))
    await asyncio.sleep(0)
    with pytest.raises(StopIteration):
        journal.keep(decision("2"), at_once=True).send(None)
    assert store.groups == [["2"]]
    with pytest.raises(StoreError):
        await journal.keep(decision("disk full"), at_once=True)
    await waiting
    assert store.groups == [["2"], ["disk full"], ["1"]]


async def test_nobody_is_told_before_it_is_written() -> None:
    store = NotingStore()
    waiting = asyncio.create_task(Journal(store).keep(decision("1")))
    while not store.groups:
        assert not waiting.done()
        await asyncio.sleep(0)
    await waiting
    assert store.read("1") == decision("1")


async def test_when_the_store_fails_all_are_told_at_once() -> None:
    store = NotingStore()
    told = await kept(Journal(store), "1", "disk full", "2")
    assert [type(one) for one in told] == [StoreError] * 3
    assert len(store.groups) == 1  # each further one could wait for a locked file


async def test_a_decision_that_cannot_be_written_fails_alone() -> None:
    store = NotingStore()
    told = await kept(Journal(store), "1", "odd", "2")
    assert [type(one) for one in told] == [type(None), ValueError, type(None)]
    assert [identifier for _, identifier in store.ids()] == ["1", "2"]


async def test_who_gave_up_holds_nobody_up() -> None:
    store = NotingStore()
    journal = Journal(store)
    tasks = [asyncio.create_task(journal.keep(decision(name))) for name in "12"]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await tasks[1]
    assert tasks[0].cancelled()
    assert [identifier for _, identifier in store.ids()] == ["1", "2"]
