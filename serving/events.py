"""What shoppers did comes in: Segment's calls, GA4's and our own rows, answered when they are on disk.

Plain Starlette endpoints, as for lists (`serving.recommendations`); `serving.openapi` documents them.
"""

from __future__ import annotations

import logging
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.store.base import Event, EventStore, StoreError
from serving.access import Access, Caller
from serving.bodies import json_answer, read_json
from serving.fields import Rejected
from serving.ingest import Crowded, Ingest
from serving.machine_opens import MACHINE_OPEN, told_apart
from serving.messages import Reading, read_messages
from serving.metrics import Metrics
from serving.problems import FORBIDDEN, INVALID_REQUEST, STORE_UNAVAILABLE, ProblemError

log = logging.getLogger(__name__)

#: Addresses, and the type of Segment messages that do not name theirs. The letters are those of Segment's script for
#: pages (`https://api.segment.io/v1/t`), ``import`` that of its older server libraries.
DOORS: dict[str, str | None] = {
    "/v1/events": None,
    "/v1/track": "track",
    "/v1/t": "track",
    "/v1/identify": "identify",
    "/v1/i": "identify",
    "/v1/page": "page",
    "/v1/p": "page",
    "/v1/screen": "screen",
    "/v1/s": "screen",
    "/v1/group": "group",
    "/v1/g": "group",
    "/v1/alias": "alias",
    "/v1/a": "alias",
    "/v1/batch": None,
    "/v1/b": None,
    "/v1/import": None,
}

#: Events that only the shop's servers may tell of: they link people, or move money, stock and messages.
_SERVERS_ONLY = frozenset(
    {"identify", "purchase", "refund", "deliver", "send", "open", MACHINE_OPEN, "complained"}
    | {
        f"{channel}_{fate}"
        for channel in ("email", "app_push", "web_push", "sms", "whatsapp")
        for fate in ("delivered", "received", "bounced")
    }
)

_NEEDS_SECRET = "needs a secret key"  # noqa: S105  # words, not a key
_RETRY = {"Retry-After": "1"}


def event_routes(
    ingest: Ingest,
    store: EventStore,
    access: Access,
    metrics: Metrics,
    *,
    body_limit: int,
    clock: Callable[[], int],
) -> list[Route]:
    """The routes by which events come in.

    Args:
        ingest: writes them.
        store: where they go; asked for deliveries and links.
        access: who may send what.
        metrics: counts messages.
        body_limit: largest body, bytes, also unpacked.
        clock: now, in microseconds since 1970 UTC: the receipt of events.
    """
    events = _Events(ingest, store, access, metrics, body_limit, clock)
    return [Route(path, partial(events.post, door=door), methods=["POST"]) for path, door in DOORS.items()]


class _Events:
    def __init__(
        self,
        ingest: Ingest,
        store: EventStore,
        access: Access,
        metrics: Metrics,
        body_limit: int,
        clock: Callable[[], int],
    ) -> None:
        self._ingest = ingest
        self._store = store
        self._access = access
        self._metrics = metrics
        self._body_limit = body_limit
        self._clock = clock

    async def post(self, request: Request, *, door: str | None) -> Response:
        """Any of the calls."""
        caller, body = await self._admitted(request)
        try:
            reading = read_messages(body, self._clock(), door=door)
        except Rejected as rejected:
            raise ProblemError(INVALID_REQUEST, str(rejected)) from None
        kept, rejected_ones = self._sifted(reading, caller, request)
        link = reading.link if caller.scope == "secret" and kept else None
        accepted = await self._written(kept, link)
        duplicates = len(kept) - accepted
        self._metrics.messages(accepted=accepted, duplicates=duplicates, rejected=len(rejected_ones))
        return json_answer({"accepted": accepted, "duplicates": duplicates, "rejected": rejected_ones})

    async def _admitted(self, request: Request) -> tuple[Caller, Any]:
        """The caller and the body. Segment's libraries put the key in front of a colon, or into the body."""
        if "authorization" in request.headers:
            caller = self._access.admit(request, "public", key=_basic_user(request))
            return caller, await read_json(request, self._body_limit)
        body = await read_json(request, self._body_limit)
        key = body.get("writeKey") if isinstance(body, dict) else None
        return self._access.admit(request, "public", key=key if isinstance(key, str) else None), body

    def _sifted(
        self, reading: Reading, caller: Caller, request: Request
    ) -> tuple[list[list[Event]], list[dict[str, Any]]]:
        """The messages that may be written, and what is wrong with the others."""
        kept: list[list[Event]] = []
        rejected = []
        for index, message in enumerate(reading.messages):
            if isinstance(message, Rejected):
                if reading.alone:
                    self._metrics.messages(accepted=0, duplicates=0, rejected=1)
                    raise ProblemError(INVALID_REQUEST, str(message))
                rejected.append({"index": index, "reason": str(message)})
            elif caller.scope == "secret":
                kept.append(message)
            elif self._is_public(message[0], caller, request):
                kept.append([_of_page(event) for event in message])
            elif reading.alone:
                self._metrics.messages(accepted=0, duplicates=0, rejected=1)
                raise ProblemError(
                    FORBIDDEN, f"{message[0].event}: {_NEEDS_SECRET}; a public key tells what visitors do in a page."
                )
            else:
                rejected.append({"index": index, "reason": _NEEDS_SECRET})
        return kept, rejected

    def _is_public(self, event: Event, caller: Caller, request: Request) -> bool:
        if event.event in _SERVERS_ONLY:
            return False
        if event.customer_id is None:
            return event.anonymous_id is not None or event.session_id is not None
        try:
            self._access.check_customer(caller, event.customer_id, request)
        except ProblemError:
            return False
        return True

    async def _written(self, messages: list[list[Event]], link: Event | None) -> int:
        """Write messages; how many of them were new."""
        events = [event for message in messages for event in message]
        try:
            if link is not None or any(event.event == "open" for event in events):
                prepare = partial(_prepared, events, link, self._store)
                events, linked = await anyio.to_thread.run_sync(prepare)  # reads of the store
            else:
                linked = 0
            new = await self._ingest.append(events)
        except Crowded:
            raise ProblemError(
                STORE_UNAVAILABLE, "Too much waits to be written; send it again.", headers=_RETRY
            ) from None
        except StoreError:
            log.exception("events could not be kept")
            raise ProblemError(STORE_UNAVAILABLE, "Nothing was kept; send it again.", headers=_RETRY) from None
        accepted, place = 0, linked
        for message in messages:
            accepted += any(new[place : place + len(message)])
            place += len(message)
        return accepted


def _of_page(event: Event) -> Event:
    """The event with an event_id of its person's own: no page can take the ids of servers, or of other people.

    The person is whose event it is, so that nobody else's name stays in it when they are erased.
    """
    if event.event_id is None:
        return event
    who = event.customer_id or event.anonymous_id or event.session_id
    return event._replace(event_id=f"page:{who}:{event.event_id}")


def _prepared(events: list[Event], link: Event | None, store: EventStore) -> tuple[list[Event], int]:
    """The events, opens by machines told apart, after the link if it is news; and how many links that are."""
    events = told_apart(events, store)
    if link is None or not _is_news(link, store):
        return events, 0
    return [link, *events], 1


def _is_news(link: Event, store: EventStore) -> bool:
    """Whether an identify event says what is not known: the customer of a visitor, or a trait."""
    visitor = link.anonymous_id
    if visitor is not None and store.person(anonymous_id=visitor).customer_id != link.customer_id:
        return True
    if link.more is None:
        return False
    known = store.traits(store.person(customer_id=link.customer_id))
    return any(known.get(name) != value for name, value in link.more["traits"].items())


def _basic_user(request: Request) -> str | None:
    """The user name of HTTP basic authentication, which Segment's server libraries send the key as."""
    scheme, _, credentials = request.headers["authorization"].partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return b64decode(credentials, validate=True).decode().partition(":")[0]
    except (Base64Error, ValueError):
        return None
