"""Lists' decisions on their way into the log: those of requests that came in together share one transaction."""

from __future__ import annotations

import asyncio

from features.store.base import Decision, DecisionStore, StoreError


class Journal:
    """Writes on the event loop it is called from, after whatever that loop has to do already.

    Under load a read from the network brings several requests, and the cost of a transaction is shared by them. A
    single one waits for nobody, and one whose answer took long to make does not wait for those of others. Writing takes
    50 µs, for which a thread would cost more than it would save.

    Args:
        decisions: where they go.
    """

    def __init__(self, decisions: DecisionStore) -> None:
        self._decisions = decisions
        self._waiting: list[tuple[Decision, asyncio.Future[None]]] = []

    async def keep(self, decision: Decision, *, at_once: bool = False) -> None:
        """Write a decision, ``at_once`` or with others; returns when it is kept.

        Raises:
            StoreError: it could not be kept.
        """
        if at_once:
            self._decisions.write(decision)
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._write)
        kept = loop.create_future()
        self._waiting.append((decision, kept))
        await kept

    def _write(self) -> None:
        group, self._waiting = self._waiting, []
        try:
            self._decisions.write(*(decision for decision, _ in group))
        except StoreError as error:
            _settle(group, error)
        except Exception:  # noqa: BLE001  # a decision that cannot be written must not fail its neighbours
            for one in group:
                self._write_alone(one)
        else:
            _settle(group, None)

    def _write_alone(self, one: tuple[Decision, asyncio.Future[None]]) -> None:
        try:
            self._decisions.write(one[0])
        except Exception as error:  # noqa: BLE001  # whoever waits raises it
            _settle([one], error)
        else:
            _settle([one], None)


def _settle(group: list[tuple[Decision, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, kept in group:
        if kept.done():  # its request was given up
            continue
        if error is None:
            kept.set_result(None)
        else:
            kept.set_exception(error)
