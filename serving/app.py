"""The composition root of a serving process."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from recommender import bundle
from recommender.answering import Answerer
from recommender.rules import Rules, read_rules
from serving import openapi
from serving.access import SIGNATURE_HEADER, Access
from serving.champion import Answers, Champion, follow
from serving.keys import read_keys
from serving.metrics import Measured, Metrics
from serving.origins import Origin, folders_of
from serving.problems import INTERNAL, INVALID_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND, ProblemError
from serving.recommendations import Recommendations
from serving.registry import Registry
from serving.settings import Settings, settings_from
from serving.status import status_routes

MODEL = "recommender"

#: Longest wait for the first model before requests are let in (and told 503).
_FIRST_LOOK_SECONDS = 30.0


def from_environment() -> FastAPI:
    """The application that the environment variables ask for: what uvicorn's worker processes call."""
    return create_app(settings_from(os.environ))


def create_app(
    settings: Settings,
    *,
    build: Callable[[Path], Answers] | None = None,
    clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    new_id: Callable[[], str] = lambda: uuid4().hex,
) -> FastAPI:
    """A serving process, not yet started: its model is loaded when the application's lifespan begins.

    Args:
        settings: what the operator set.
        build: makes a model from its bundle folder; by default the recommender under the merchandiser's rules.
        clock: now, in microseconds since 1970 UTC.
        new_id: makes decision ids.

    Raises:
        serving.keys.KeysError: the file of keys cannot be used.
        serving.origins.OriginError: the given bundles are not one for each model.
    """
    metrics = Metrics()
    keys = read_keys(settings.keys_file) if settings.keys_file else None
    access = Access(keys, settings.rate_limit, time.monotonic)
    origin = _origin(settings)
    edition = partial(_stamp, settings.rules_file)
    champion = Champion(MODEL, origin, build or partial(_build, settings.rules_file), edition, metrics, clock)
    recommendations = Recommendations(
        champion, access, metrics, body_limit=settings.body_limit, clock=_asked_as_of(settings, clock), new_id=new_id
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        looked, stop = Event(), Event()
        thread = Thread(target=follow, args=(champion, settings.poll_seconds, looked, stop), name="follow", daemon=True)
        thread.start()
        await anyio.to_thread.run_sync(looked.wait, _FIRST_LOOK_SECONDS)
        yield
        stop.set()

    app = FastAPI(
        title="Segue",
        version="1",
        lifespan=lifespan,
        redoc_url=None,
        middleware=[
            Middleware(Measured, metrics=metrics),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", SIGNATURE_HEADER],
                expose_headers=["Retry-After"],
                max_age=86_400,
            ),
        ],
        exception_handlers={
            ProblemError: _problem,
            HTTPException: _http_error,
            RequestValidationError: _validation_error,
            ClientDisconnect: _gone,
            Exception: _unexpected,
        },
    )
    app.router.routes[:0] = [  # first, since they are asked most
        Route("/v1/recommendations", recommendations.post, methods=["POST"]),
        Route("/v1/recommendations/{placement}", recommendations.get, methods=["GET"]),
    ]
    app.include_router(status_routes([champion], origin, access, metrics))
    app.openapi = partial(_document_once, app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _asked_as_of(settings: Settings, clock: Callable[[], int]) -> Callable[[], int]:
    """The moment of a request that names none."""
    if settings.now is None:
        return clock
    moment = int(settings.now.timestamp() * 1_000_000)
    return lambda: moment


def _origin(settings: Settings) -> Origin:
    if settings.bundles:
        return folders_of(settings.bundles, name=MODEL)
    return Registry(settings.tracking_uri, settings.alias, settings.home / "bundles")


def _build(rules_file: Path | None, folder: Path) -> Answers:
    recommender, _manifest = bundle.read(folder)
    rules = read_rules(rules_file, tuple(recommender.config.placements)) if rules_file else ()
    return Answerer(recommender, Rules(rules, recommender.catalogue))


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
