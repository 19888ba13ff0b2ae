"""A service with nothing but the doors of a shop: events, products, customers; and its clock."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from features.store.base import DecisionStore, Event, EventStore, Person
from features.store.memory import MemoryDecisions
from serving.access import Access
from serving.customers import customer_routes
from serving.events import event_routes
from serving.ingest import Ingest
from serving.keys import Keys
from serving.metrics import Metrics
from serving.problems import ProblemError
from serving.products import product_routes

NOW = 1_769_850_000_000_000  # 2026-01-31T09:00:00Z
SECRET, PUBLIC, SIGNING = "sk-1", "pk-1", "a secret for signing"

#: What the trained catalogue of these shops knows.
TRAINED: dict[str, dict[str, Any]] = {"comb": {"title": "Comb", "price": 3.5}}


def keys() -> Keys:
    """A secret and a public key."""
    return Keys.model_validate(
        {
            "signing_secret": SIGNING,
            "keys": [
                {"name": scope, "scope": scope, "sha256": hashlib.sha256(key.encode()).hexdigest()}
                for scope, key in (("secret", SECRET), ("public", PUBLIC))
            ],
        }
    )


def signature(customer_id: str) -> str:
    return hmac.new(SIGNING.encode(), customer_id.encode(), hashlib.sha256).hexdigest()


def state_of(person: Person, at: int) -> Mapping[str, float]:
    """A state that shows whose it is, and when."""
    return {"spans": float(len(person.spans)), "at": float(at)}


@asynccontextmanager
async def doors(
    store: EventStore,
    *,
    decisions: DecisionStore | None = None,
    guard: Keys | None = None,
    metrics: Metrics | None = None,
    body_limit: int = 5_000_000,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the doors of a shop, at `NOW`."""
    access = Access(guard, 0, lambda: 0.0)
    metrics = metrics or Metrics()
    ingest = Ingest(store, metrics)
    routes = [
        *event_routes(ingest, store, access, metrics, body_limit=body_limit, clock=lambda: NOW),
        *product_routes(store, access, body_limit=body_limit, clock=lambda: NOW, trained=TRAINED.get),
        *customer_routes(store, decisions or MemoryDecisions(), state_of, access, clock=lambda: NOW),
    ]

    async def problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return error.response()

    app = Starlette(routes=routes, exception_handlers={ProblemError: problem})
    transport = httpx.ASGITransport(app)  # what no handler takes is raised, and fails the test
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            yield client
    finally:
        ingest.close()


class Verbatim(httpx.URL):
    """An address that goes out as it is, however it is encoded: httpx would mend it."""

    def __init__(self, target: str) -> None:
        super().__init__("http://shop" + target)
        self._target = target.encode()

    @property
    def raw_path(self) -> bytes:
        """The path and query."""
        return self._target


def logged(store: EventStore) -> list[Event]:
    """Every event of a store."""
    return [event for _, event in store.rows()]
