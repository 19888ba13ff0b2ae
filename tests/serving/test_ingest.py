"""Group commit: what shares a transaction, who is told what, and what happens at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Event as Flag

import pytest

from features.store.base import Appended, Event, StoreError
from features.store.memory import MemoryEvents
from serving.ingest import Crowded, Ingest
from serving.metrics import Metrics
from tests.serving.shop_doors import NOW, logged

pytestmark = pytest.mark.anyio


def view(event_id: str) -> Event:
    return Event("view", NOW, NOW, anonymous_id="a", product_id="P", event_id=event_id)


class SlowStore(MemoryEvents):
    """A store that writes when it is told to, and notes its transactions."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[list[str | None]] = []
        self.writing, self.go = Flag(), Flag()

    def append(self, events: Sequence[Event]) -> Appended:
        self.groups.append([event.event_id for event in events])
        self.writing.set()
        assert self.go.wait(10)
        if any(event.event_id == "disk full" for event in events):
            raise StoreError("the disk is full")
        if any(event.event_id == "odd" for event in events):
            raise ValueError("this event cannot be written")
        return super().append(events)


async def started(ingest: Ingest, store: SlowStore, *batches: list[Event]) -> list[asyncio.Task[list[bool]]]:
    """The batches, handed over in this order, the first of them being written."""
    tasks = []
    for batch in batches:
        tasks.append(asyncio.create_task(ingest.append(batch)))
        await asyncio.sleep(0)
        if len(tasks) == 1:
            await asyncio.to_thread(store.writing.wait, 10)
    return tasks


async def test_what_comes_in_while_one_group_is_written_is_the_next_group() -> None:
    store = SlowStore()
    ingest = Ingest(store, Metrics())
    tasks = await started(ingest, store, [view("1")], [view("2"), view("1")], [view("3")], [view("2")])
    assert not any(task.done() for task in tasks), "told only when it is written"
    store.go.set()
    assert await asyncio.gather(*tasks) == [[True], [True, False], [True], [False]]
    assert store.groups == [["1"], ["2", "1", "3", "2"]]
    ingest.close()


async def test_a_group_is_bounded_but_a_request_is_never_divided() -> None:
    store = SlowStore()
    ingest = Ingest(store, Metrics(), group=3)
    tasks = await started(ingest, store, [view("0")], [view("1")], [view("2")], [view(f"a{i}") for i in range(5)])
    store.go.set()
    await asyncio.gather(*tasks)
    assert [len(group) for group in store.groups] == [1, 2, 5]
    ingest.close()


async def test_an_error_of_the_store_reaches_everyone_who_waits_and_nobody_else() -> None:
    store = SlowStore()
    ingest = Ingest(store, Metrics())
    tasks = await started(ingest, store, [view("1")], [view("2")], [view("disk full")])
    store.go.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert told[0] == [True]
    assert all(isinstance(one, StoreError) for one in told[1:])
    assert await ingest.append([view("2")]) == [True], "it was not written, and the writer goes on"
    ingest.close()


async def test_an_event_the_store_chokes_on_fails_only_its_own_request() -> None:
    store = SlowStore()
    ingest = Ingest(store, Metrics())
    tasks = await started(ingest, store, [view("1")], [view("2")], [view("3"), view("odd")], [view("4")])
    store.go.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert told[:2] == [[True], [True]]
    assert isinstance(told[2], ValueError)
    assert told[3] == [True]
    assert [event.event_id for event in logged(store)] == ["1", "2", "4"]
    ingest.close()


async def test_more_than_may_wait_is_refused_at_once() -> None:
    store = SlowStore()
    ingest = Ingest(store, Metrics(), most=3)
    tasks = await started(ingest, store, [view("1")], [view("2"), view("3")])
    with pytest.raises(Crowded):
        await ingest.append([view("4"), view("5")])
    store.go.set()
    await asyncio.gather(*tasks)
    assert await ingest.append([view(f"a{i}") for i in range(9)]) == [True] * 9, (
        "a large request is not refused forever"
    )
    ingest.close()


async def test_a_request_that_was_given_up_is_written_all_the_same() -> None:
    store = SlowStore()
    ingest = Ingest(store, Metrics())
    given_up, other = await started(ingest, store, [view("1")], [view("2")])
    given_up.cancel()
    store.go.set()
    assert await other == [True]
    assert [event.event_id for event in logged(store)] == ["1", "2"]
    ingest.close()


async def test_closing_writes_what_was_accepted_and_takes_no_more() -> None:
    store = SlowStore()
    ingest = Ingest(store, Metrics())
    tasks = await started(ingest, store, [view("1")], [view("2")])
    closing = asyncio.create_task(asyncio.to_thread(ingest.close))
    await asyncio.sleep(0.01)
    with pytest.raises(StoreError, match="going down"):
        await ingest.append([view("3")])
    store.go.set()
    await closing
    assert await asyncio.gather(*tasks) == [[True], [True]]
    ingest.close()
    assert await ingest.append([]) == []
