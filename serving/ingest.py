"""Events on their way to disk: requests of the same moment share one durable transaction (group commit).

While one group is being written, the next one gathers. So a single shopper waits for one write, and under load the cost
of a write is shared by hundreds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread

from features.store.base import Event, EventStore, StoreError
from serving.metrics import Metrics


class Crowded(Exception):
    """More events wait to be written than this process is willing to hold."""


@dataclass(frozen=True)
class _Waiter:
    events: Sequence[Event]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[bool]]


_Result = list[bool] | Exception


class Ingest:
    """The one writer of events in a process: a thread, and a queue before it.

    Args:
        store: where they go.
        metrics: counts and times the writes.
        most: events that may wait; a single request may bring more.
        group: events written in one transaction; a single request is never divided.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        store: EventStore,
        metrics: Metrics,
        *,
        most: int = 200_000,
        group: int = 10_000,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._most = most
        self._group = group
        self._clock = clock
        self._waiting: deque[_Waiter] = deque()
        self._events = 0  # in `_waiting`
        self._closed = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="ingest", daemon=True)
        self._thread.start()

    async def append(self, events: Sequence[Event]) -> list[bool]:
        """Write events; returns when they are on disk.

        A caller who stops waiting does not stop the write.

        Returns:
            One for each: False for a duplicate.

        Raises:
            StoreError: nothing was written, or the service is going down.
            Crowded: too much is waiting; nothing was written.
        """
        if not events:
            return []
        loop = asyncio.get_running_loop()
        waiter = _Waiter(events, loop, loop.create_future())
        with self._changed:
            if self._closed:
                raise StoreError("the service is going down")
            if self._waiting and self._events + len(events) > self._most:
                raise Crowded(f"{self._events} events wait to be written")
            self._waiting.append(waiter)
            self._events += len(events)
            self._changed.notify()
        return await waiter.future

    def close(self) -> None:
        """Write what was accepted, and end. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next():
            self._write(group)

    def _next(self) -> list[_Waiter]:
        """The next group; empty when there will be none any more."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            group: list[_Waiter] = []
            size = 0
            while self._waiting and (not group or size + len(self._waiting[0].events) <= self._group):
                waiter = self._waiting.popleft()
                group.append(waiter)
                size += len(waiter.events)
            self._events -= size
            return group

    def _write(self, group: list[_Waiter]) -> None:
        events = [event for waiter in group for event in waiter.events]
        begun = self._clock()
        try:
            accepted = self._store.append(events).accepted
        except StoreError as error:
            _tell([(waiter, error) for waiter in group])
        except Exception as error:  # noqa: BLE001  # an event the store chokes on must not fail its neighbours
            if len(group) == 1:
                _tell([(group[0], error)])
            else:
                for waiter in group:
                    self._write([waiter])
        else:
            self._metrics.committed(len(events), self._clock() - begun)
            told: list[tuple[_Waiter, _Result]] = []
            place = 0
            for waiter in group:
                told.append((waiter, accepted[place : place + len(waiter.events)]))
                place += len(waiter.events)
            _tell(told)


def _tell(results: list[tuple[_Waiter, _Result]]) -> None:
    """Wake the waiters, with one call into each event loop."""
    for loop in {waiter.loop for waiter, _ in results}:
        with suppress(RuntimeError):  # a closed loop: nobody waits there any more
            loop.call_soon_threadsafe(_settle, [(one.future, result) for one, result in results if one.loop is loop])


def _settle(results: list[tuple[asyncio.Future[list[bool]], _Result]]) -> None:
    for future, result in results:
        if future.done():  # its request was given up
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
