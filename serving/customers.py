"""One person, seen and forgotten: what is known of a customer or visitor, and how to erase them."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.store.base import DecisionStore, Event, EventStore, Json, Person, StoreError
from serving.access import Access
from serving.addresses import parameters
from serving.bodies import json_answer
from serving.clocks import rfc3339
from serving.problems import INVALID_REQUEST, NOT_FOUND, STORE_UNAVAILABLE, ProblemError

log = logging.getLogger(__name__)

_RECENT = 20

_Told = TypeVar("_Told")

#: What a person's state holds at a moment: feature -> value.
StateOf = Callable[[Person, int], Mapping[str, float]]

#: Stage, segments and scores of a customer or visitor at a moment; empty where no model tells them.
ProfileOf = Callable[[str | None, str | None, int], Json]


def _no_profile(customer_id: str | None, anonymous_id: str | None, at: int) -> Json:
    return {}


def customer_routes(
    store: EventStore,
    decisions: DecisionStore,
    state_of: StateOf,
    access: Access,
    *,
    clock: Callable[[], int],
    profile_of: ProfileOf = _no_profile,
) -> list[Route]:
    """The routes of one person. All of them need a secret key.

    Args:
        store: what people did.
        decisions: what was decided for them.
        state_of: a person's state at a moment.
        access: who may.
        clock: now, in microseconds since 1970 UTC.
        profile_of: a person's stage, segments and scores.
    """
    customers = _Customers(store, decisions, state_of, access, clock, profile_of)
    return [
        Route("/v1/customers", customers.get, methods=["GET"]),
        Route("/v1/customers", customers.delete, methods=["DELETE"]),
        Route("/v1/customers/{id:path}", customers.get, methods=["GET"]),
        Route("/v1/customers/{id:path}", customers.delete, methods=["DELETE"]),
    ]


class _Customers:
    def __init__(
        self,
        store: EventStore,
        decisions: DecisionStore,
        state_of: StateOf,
        access: Access,
        clock: Callable[[], int],
        profile_of: ProfileOf,
    ) -> None:
        self._profile_of = profile_of
        self._store = store
        self._decisions = decisions
        self._state_of = state_of
        self._access = access
        self._clock = clock

    async def get(self, request: Request) -> Response:
        """``GET /v1/customers/{id}``: everything that is known of somebody."""
        self._access.admit(request, "secret")
        known = await _in_thread(partial(self._seen, **_named(request)))
        if known is None:
            raise ProblemError(NOT_FOUND, "Nobody of that id was seen.")
        return json_answer(known)

    async def delete(self, request: Request) -> Response:
        """``DELETE /v1/customers/{id}``: forget somebody."""
        self._access.admit(request, "secret")
        return json_answer(await _in_thread(partial(self._erased, **_named(request))))

    def _seen(self, customer_id: str | None, anonymous_id: str | None) -> Json | None:
        upto = self._store.watermark().seq  # one moment for all that is read
        person = self._store.person(customer_id=customer_id, anonymous_id=anonymous_id, upto=upto)
        if not person.spans:
            return None
        counts: Counter[str] = Counter()
        times = []
        recent: deque[Event] = deque(maxlen=_RECENT)
        for _, event in self._store.events_of(person, upto=upto):
            counts[event.event] += 1
            times.append(event.time)
            recent.append(event)
        if not times:
            return None
        traits = self._store.traits(person)
        return {
            "customer_id": person.customer_id,
            "anonymous_ids": list(person.anonymous_ids),
            "timezone": traits.get("timezone"),
            "consents": traits.get("consents"),
            "reachable": traits.get("reachable"),
            "traits": {
                name: value for name, value in traits.items() if name not in ("timezone", "consents", "reachable")
            },
            "first_seen": rfc3339(min(times)),
            "last_seen": rfc3339(max(times)),
            "events": dict(sorted(counts.items())),
            "state": dict(self._state_of(person, self._clock())),
            **self._profile_of(customer_id, anonymous_id, self._clock()),
            "recent": [_event(event) for event in reversed(recent)],
        }

    def _erased(self, customer_id: str | None, anonymous_id: str | None) -> Json:
        """The receipt of an erasing; also for whom nobody knows, who are noted all the same."""
        person = self._store.person(customer_id=customer_id, anonymous_id=anonymous_id)
        customers = {one for one in (customer_id, person.customer_id) if one is not None}
        visitors = {one for one in (anonymous_id, *person.anonymous_ids) if one is not None}
        sessions = set(self._store.sessions_of(person))

        def forget_decisions() -> int:
            return self._decisions.erase(
                customer_ids=sorted(customers), anonymous_ids=sorted(visitors), session_ids=sorted(sessions)
            )

        # Decisions first: if the process dies in between, the links that lead to all of them are still there.
        forgotten = forget_decisions()
        known = self._store.erase(customer_id=customer_id, anonymous_id=anonymous_id, at=self._clock())
        if known is not None:
            visitors.update(known.anonymous_ids)
            sessions.update(known.session_ids)
        # And again: somebody may have asked for lists, or been linked, meanwhile.
        forgotten += forget_decisions()
        if known is None and not forgotten:
            return {"erased": True, "known": False, "visitors": 0, "decisions": 0}
        return {"erased": True, "known": True, "visitors": len(visitors), "decisions": forgotten}


def _named(request: Request) -> dict[str, str | None]:
    """Whom a request names: a customer in its address, or a visitor in its query."""
    customer_id = request.path_params.get("id") or None
    anonymous_id = parameters(request, "anonymous_id").get("anonymous_id") or None
    if (customer_id is None) == (anonymous_id is None):
        detail = "Name a customer, /v1/customers/ID, or a visitor, /v1/customers?anonymous_id=ID."
        raise ProblemError(INVALID_REQUEST, detail)
    return {"customer_id": customer_id, "anonymous_id": anonymous_id}


async def _in_thread(call: Callable[[], _Told]) -> _Told:
    """A call that reads a whole history, and may wait for the disk."""
    try:
        return await anyio.to_thread.run_sync(call)
    except StoreError:
        log.exception("a person cannot be read or erased")
        raise ProblemError(STORE_UNAVAILABLE, "Ask again.", headers={"Retry-After": "1"}) from None


def _event(event: Event) -> Json:
    said: dict[str, Any] = {name: value for name, value in event._asdict().items() if value is not None}
    said["timestamp"], said["known_at"] = rfc3339(said.pop("time")), rfc3339(said.pop("known"))
    return {**said.pop("more", {}), **said}
