"""What Prometheus can read of this service.

With several worker processes and ``PROMETHEUS_MULTIPROC_DIR`` set (``python -m serving --workers`` does), ``/metrics``
sums over all of them; otherwise it tells of the process that happens to answer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"})

#: The addresses that are counted under their own name; what callers make up would be a time series each.
_ROUTES = frozenset(
    {
        "/v1/recommendations",
        "/v1/events",
        "/v1/track",
        "/v1/identify",
        "/v1/page",
        "/v1/batch",
        "/v1/products:batch",
        "/v1/customers",
        "/v1/decisions",
        "/v1/decisions:batch",
        "/v1/models",
        "/v1/segue.js",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/docs",
        "/openapi.json",
    }
)

#: Those with an id in them, by what they begin with.
_WITH_ID = {
    "/v1/recommendations/": "/v1/recommendations/{placement}",
    "/v1/products/": "/v1/products/{id}",
    "/v1/customers/": "/v1/customers/{id}",
    "/v1/models/": "/v1/models/{name}/aliases/{alias}",
}


class Metrics:
    """The counters of one process. Each application has its own, so two can live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "segue_requests", "Requests answered.", ["route", "method", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "segue_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self._blocks = Counter(
            "segue_blocks",
            "Lists made, by placement and the fallback level of their first item (`empty` if they have none).",
            ["placement", "level"],
            registry=self._registry,
        )
        # Looking a series up by its labels costs as much as counting in it. There are few: see `_route` and `_METHODS`.
        self._answered = cache(self._requests.labels)
        self._timed = cache(self._seconds.labels)
        self._listed = cache(self._blocks.labels)
        self._degraded = Counter(
            "segue_degraded_requests",
            "Requests answered with popular products, or with hold, because the model raised an error.",
            registry=self._registry,
        )
        self._lost = Counter(
            "segue_decisions_lost",
            "Answers that were sent but could not be kept, because the store of decisions failed.",
            registry=self._registry,
        )
        self._actions = Counter(
            "segue_actions",
            "Decisions on the next action, by action and channel (`none` where it has none; hold is an action).",
            ["action", "channel"],
            registry=self._registry,
        )
        self._races = Counter(
            "segue_decision_races_lost",
            "Decisions made anew because somebody else had the last place meanwhile.",
            registry=self._registry,
        )
        self._releases = Counter(
            "segue_releases", "Second looks just before sending, by verdict.", ["verdict"], registry=self._registry
        )
        self._messages = Counter(
            "segue_messages",
            "Messages of events that came in, by what became of them: accepted, duplicate or rejected.",
            ["result"],
            registry=self._registry,
        )
        self._written = Counter("segue_events_written", "Events put into the log.", registry=self._registry)
        self._commit_seconds = Histogram(
            "segue_event_commit_seconds",
            "Time to put a group of events on disk; its count is that of transactions.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._swaps = Counter("segue_model_swaps", "Models loaded and put to work.", registry=self._registry)
        self._load_failures = Counter(
            "segue_model_load_failures", "Models that could not be loaded.", registry=self._registry
        )
        self._model = Gauge(
            "segue_model_info",
            "1 for the version that answers.",
            ["name", "version"],
            multiprocess_mode="livemax",
            registry=self._registry,
        )
        self._last_check = Gauge(
            "segue_model_last_check_timestamp_seconds",
            "When the registry was last looked at.",
            multiprocess_mode="livemax",
            registry=self._registry,
        )

    def request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Count one answer."""
        route = _route(path)
        self._answered(route, method if method in _METHODS else "other", str(status)).inc()
        self._timed(route).observe(seconds)

    def block(self, placement: str, level: int | None) -> None:
        """Count one list; ``level`` is None if it is empty."""
        self._listed(placement, "empty" if level is None else str(level)).inc()

    def degraded(self) -> None:
        """Count a request that the model failed."""
        self._degraded.inc()

    def decision_lost(self) -> None:
        """Count an answer that could not be kept."""
        self._lost.inc()

    def action(self, action: str, channel: str | None) -> None:
        """Count a decision on the next action."""
        self._actions.labels(action, channel or "none").inc()

    def races_lost(self, number: int) -> None:
        """Count decisions that others were quicker than."""
        if number:
            self._races.inc(number)

    def released(self, verdict: str) -> None:
        """Count a second look."""
        self._releases.labels(verdict).inc()

    def messages(self, *, accepted: int, duplicates: int, rejected: int) -> None:
        """Count what became of the messages of one request."""
        for result, number in (("accepted", accepted), ("duplicate", duplicates), ("rejected", rejected)):
            if number:
                self._messages.labels(result).inc(number)

    def committed(self, events: int, seconds: float) -> None:
        """Count a group of events that was put on disk."""
        self._written.inc(events)
        self._commit_seconds.observe(seconds)

    def swapped(self, name: str, version: str, previous: str | None) -> None:
        """Note that a version took the place of another."""
        if previous is not None:
            self._model.labels(name, previous).set(0)
        self._model.labels(name, version).set(1)
        self._swaps.inc()

    def load_failed(self) -> None:
        """Count a model that could not be loaded."""
        self._load_failures.inc()

    def checked(self, seconds: float) -> None:
        """Note a look at the registry, in seconds since 1970."""
        self._last_check.set(seconds)

    def text(self) -> bytes:
        """Everything in the Prometheus text format."""
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            everyone = CollectorRegistry()
            MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
            return generate_latest(everyone)
        return generate_latest(self._registry)


class Measured:
    """ASGI middleware: counts and times every HTTP request. The clock gives seconds, monotonic."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and see what comes back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what a client gets if nothing was sent

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begun = self._clock()
        try:
            await self._app(scope, receive, watch)
        finally:
            self._metrics.request(scope["path"], scope["method"], status, self._clock() - begun)


def _route(path: str) -> str:
    if path in _ROUTES:
        return path
    if path.startswith("/v1/decisions/") and path.endswith("/release"):
        return "/v1/decisions/{decision_id}/release"
    return next((route for prefix, route in _WITH_ID.items() if path.startswith(prefix)), "other")
