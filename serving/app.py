"""The composition root of a serving process."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from secrets import token_hex
from threading import Event, Thread
from typing import Any

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from features.config import ConfigError
from features.states import States
from features.store.base import DecisionStore, EventStore, Json, Person, StoreError
from features.store.sqlite import SqliteDecisions, SqliteEvents
from nba.asked import Asked
from nba.desk import Desk
from nba.desks import DecisionParts, open_desk, read_parts, reopened
from nba.one_customer import Who
from nba.questions import Question
from nba.replays import ActionReplayer
from recommender import bundle
from recommender.decisions import Replayer
from recommender.live_shop import LiveShop
from recommender.rules import read_text
from serving import openapi
from serving.access import SIGNATURE_HEADER, Access
from serving.actions import KEY_HEADER, Actions
from serving.aliases import alias_routes
from serving.champion import Answers, Champion, follow
from serving.customers import customer_routes
from serving.decisions import decision_routes
from serving.events import event_routes
from serving.ingest import Ingest
from serving.keeping import Keeping
from serving.keys import read_keys
from serving.metrics import Measured, Metrics
from serving.origins import Folders, Origin, folders_of
from serving.problems import (
    INTERNAL,
    INVALID_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    STORE_UNAVAILABLE,
    ProblemError,
)
from serving.products import product_routes
from serving.recommendations import Recommendations, warm
from serving.registry import Registry
from serving.settings import Settings, settings_from
from serving.shelf import LiveShelf
from serving.status import status_routes
from serving.upkeep import Upkeep

log = logging.getLogger(__name__)

MODEL = "recommender"
DECISIONS = "nba"

#: Longest wait for the first model before requests are let in (and told 503).
_FIRST_LOOK_SECONDS = 30.0


def from_environment() -> FastAPI:
    """The application that the environment variables ask for: what uvicorn's worker processes call."""
    return create_app(settings_from(os.environ))


def create_app(
    settings: Settings,
    *,
    build: Callable[[Path], Answers] | None = None,
    read_decisions: Callable[[Path], DecisionParts] | None = None,
    clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    new_id: Callable[[], str] = lambda: f"{time.time_ns() // 1_000_000:012x}{token_hex(10)}",
) -> FastAPI:
    """A serving process, not yet started: its model is loaded when the application's lifespan begins.

    Args:
        settings: what the operator set.
        build: makes a model from its bundle folder; by default the recommender under the merchandiser's rules, kept up
            with the live shop.
        read_decisions: reads a bundle of decisions.
        clock: now, in microseconds since 1970 UTC.
        new_id: makes decision ids; by default they begin with the time, so that an index of them grows at its end.

    Raises:
        serving.keys.KeysError: the file of keys cannot be used.
        serving.origins.OriginError: the given bundles are not one for each model.
        features.store.base.StoreError: the stores in the home folder cannot be used.
    """
    metrics = Metrics()
    keys = read_keys(settings.keys_file) if settings.keys_file else None
    access = Access(keys, settings.rate_limit, time.monotonic)
    origin = _origin(settings)
    settings.home.mkdir(parents=True, exist_ok=True)
    events, decisions = SqliteEvents(settings.home / "events.db"), SqliteDecisions(settings.home / "decisions.db")
    keeping = Keeping(settings.home / "bundles" / "kept", decisions)
    clock = _set(clock, settings, events)
    edition = partial(_stamp, settings.rules_file)
    build = build or partial(_build, settings.rules_file, events)
    champion = Champion(
        MODEL,
        origin,
        partial(_warmed, build, clock),
        edition,
        keeping,
        metrics,
        clock,
        optional=isinstance(origin, Folders) and origin.names == {DECISIONS},
    )
    read_decisions = read_decisions or read_parts
    shelf = LiveShelf(champion, events, decisions, clock=clock, new_id=new_id)
    decider = Champion(
        DECISIONS,
        origin,
        partial(_build_desk, settings.contact_file, read_decisions, events, decisions, shelf),
        partial(_stamp, settings.contact_file),
        keeping,
        metrics,
        clock,
        optional=not champion.optional,
    )
    champions: tuple[Champion[Any], ...] = (champion, decider)
    actions = Actions(
        decider,
        events,
        decisions,
        access,
        metrics,
        body_limit=settings.body_limit,
        batch_limit=settings.batch_limit,
        clock=clock,
        new_id=new_id,
    )
    recommendations = Recommendations(
        champion, decisions, access, metrics, body_limit=settings.body_limit, clock=clock, new_id=new_id
    )
    ingest = Ingest(events, metrics)
    upkeep = Upkeep(champions, decisions, keeping, settings.decision_days, clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stop = Event()
        looks = [Event() for _ in champions]
        for one, looked in zip(champions, looks, strict=True):
            arguments = (one, settings.poll_seconds, looked, stop)
            Thread(target=follow, args=arguments, name=f"follow-{one.name}", daemon=True).start()
        for looked in looks:
            await anyio.to_thread.run_sync(looked.wait, _FIRST_LOOK_SECONDS)
        keeper = Thread(target=upkeep.run, args=(stop,), name="upkeep", daemon=True)
        keeper.start()
        yield
        stop.set()
        await anyio.to_thread.run_sync(keeper.join)
        await anyio.to_thread.run_sync(ingest.close)
        upkeep.once()
        events.close()
        decisions.close()

    app = FastAPI(
        title="Segue",
        version="1",
        lifespan=lifespan,
        redoc_url=None,
        # /metrics tells of requests. Whether OpenTelemetry is set up would be asked at each of them.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        middleware=[
            Middleware(Measured, metrics=metrics),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", SIGNATURE_HEADER, KEY_HEADER],
                expose_headers=["Retry-After"],
                max_age=86_400,
            ),
        ],
        exception_handlers={
            ProblemError: _problem,
            StoreError: _store_unavailable,
            HTTPException: _http_error,
            RequestValidationError: _validation_error,
            ClientDisconnect: _gone,
            Exception: _unexpected,
        },
    )
    app.router.routes[:0] = [  # first, since they are asked most
        Route("/v1/recommendations", recommendations.post, methods=["POST"]),
        Route("/v1/recommendations/{placement}", recommendations.get, methods=["GET"]),
        *event_routes(ingest, events, access, metrics, body_limit=settings.batch_limit, clock=clock),
        *product_routes(
            events, access, body_limit=settings.batch_limit, clock=clock, trained=partial(_trained, champion)
        ),
        *actions.routes(),
        *alias_routes(origin, settings.alias, access),
        *customer_routes(
            events,
            decisions,
            partial(_state_of, events, States(events)),
            access,
            clock=clock,
            profile_of=partial(_profile_of, decider),
        ),
    ]
    opened = reopened(events, decisions, keeping.folder, read_decisions)
    replayer = Replayer(events, decisions, keeping.folder)
    app.include_router(decision_routes(decisions, replayer, ActionReplayer(opened), access))
    app.include_router(status_routes(champions, origin, access, metrics))
    app.openapi = partial(_document_once, app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _set(clock: Callable[[], int], settings: Settings, events: EventStore) -> Callable[[], int]:
    """The clock, set back to ``settings.now`` when the shop was first served with that; it runs on from there.

    So events that are logged now come after the old data, and every process and every later start agrees: also one
    without ``settings.now``, if the shop was first served with it, or what was decided then would be old by today's.
    """
    given = "" if settings.now is None else str(int(settings.now.timestamp() * 1_000_000))
    first = events.setting("clock first set to", given)
    moment = given or first
    if not moment:
        return clock
    behind = int(events.setting(f"clock behind, set to {moment}", str(clock() - int(moment))))
    if not given:
        set_to = datetime.fromtimestamp(int(moment) / 1e6, UTC).isoformat()
        log.warning("the clock of this home was set to %s when it was first served, and runs on from there", set_to)
    return lambda: clock() - behind


def _origin(settings: Settings) -> Origin:
    if settings.bundles:
        return folders_of(settings.bundles, name=MODEL)
    return Registry(settings.tracking_uri, settings.alias, settings.home / "bundles")


def _build(rules_file: Path | None, events: EventStore, folder: Path) -> Answers:
    recommender, _manifest = bundle.read(folder)
    rules = "" if rules_file is None else read_text(rules_file)
    try:
        shop = LiveShop(recommender, rules, events)
    except ConfigError as error:
        raise ConfigError(f"{rules_file}: {error}") from None
    shop.keep_up()
    shop.check_rules()
    return shop


def _warmed(build: Callable[[Path], Answers], clock: Callable[[], int], folder: Path) -> Answers:
    answers = build(folder)
    warm(answers, clock())
    return answers


def _build_desk(
    contact_file: Path | None,
    read: Callable[[Path], DecisionParts],
    events: EventStore,
    decisions: DecisionStore,
    shelf: LiveShelf,
    folder: Path,
) -> Desk:
    text = "" if contact_file is None else read_text(contact_file)
    try:
        return open_desk(read(folder), text, events, decisions, shelf)
    except ConfigError as error:
        raise ConfigError(f"{contact_file or folder}: {error}") from None


def _profile_of(decider: Champion[Desk], customer_id: str | None, anonymous_id: str | None, at: int) -> Json:
    """Stage, segments and scores, where a model of decisions is loaded."""
    if decider.loaded is None:
        return {}
    return decider.loaded.answers.profile(Question(Who(customer_id, anonymous_id), Asked(), at))


def _trained(champion: Champion[Answers], product_id: str) -> Json | None:
    """What the model that answers knows of a product."""
    return champion.loaded.answers.product(product_id) if champion.loaded else None


def _state_of(events: EventStore, states: States, person: Person, at: int) -> Mapping[str, float]:
    """The state of a person; hours of the day are those of their own time zone, if they said so."""
    return states.person(person, at, zone=events.traits(person).get("timezone"))


def _stamp(file: Path | None) -> tuple[int, int] | None:
    """What changes when a file is written to; None while it is not there."""
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None


def _document_once(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = openapi.document(app)
    return app.openapi_schema


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101  # Starlette's handlers are typed for any exception
    return error.response()


async def _store_unavailable(_: Request, error: Exception) -> Response:
    log.error("%s", error)
    return ProblemError(STORE_UNAVAILABLE, "Ask again soon.", headers={"Retry-After": "1"}).response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}.get(error.status_code, INVALID_REQUEST)
    detail = f"{request.method} {request.url.path}: {kind.title[0].lower()}{kind.title[1:]}; see /docs."
    return ProblemError(kind, detail, status=error.status_code, headers=dict(error.headers or {})).response()


async def _validation_error(_: Request, error: Exception) -> Response:
    return ProblemError(INVALID_REQUEST, str(error)).response()


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _unexpected(_: Request, __: Exception) -> Response:
    return ProblemError(INTERNAL, "The error was logged.").response()  # by the server, with its traceback
