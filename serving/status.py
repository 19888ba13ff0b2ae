"""What operators ask: which models there are, whether the service is well, its metrics; and the snippet for pages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from serving.access import Access
from serving.champion import Champion
from serving.metrics import Metrics
from serving.openapi import problem_responses
from serving.origins import Origin, OriginError
from serving.problems import NO_MODEL, REGISTRY_UNAVAILABLE, ProblemError
from serving.schemas import (
    LiveAnswer,
    ModelsAnswer,
    ReadyAnswer,
    RegisteredModelAnswer,
    ServedModel,
    VersionAnswer,
)


def status_routes(champions: Sequence[Champion[Any]], origin: Origin, access: Access, metrics: Metrics) -> APIRouter:
    """The routes, over the models that are served and where they come from."""
    router = APIRouter()
    snippet = resources.files("serving").joinpath("snippet.js").read_bytes()
    snippet_tag = f'"{hashlib.sha256(snippet).hexdigest()[:16]}"'

    # Not async: a registry is asked over the network, so this one has its thread.
    @router.get("/v1/models", tags=["models"], responses=problem_responses(REGISTRY_UNAVAILABLE))
    def models(request: Request) -> ModelsAnswer:
        """Registered models, their versions and aliases, and which of them answer here. Needs a secret key."""
        access.admit(request, "secret")
        try:
            found = [_registered(champion, origin) for champion in champions]
        except OriginError as error:
            raise ProblemError(REGISTRY_UNAVAILABLE, str(error), headers={"Retry-After": "5"}) from None
        there = [one for one, champion in zip(found, champions, strict=True) if one.versions or not champion.optional]
        return ModelsAnswer(models=there)

    @router.get("/health/live", tags=["health"])
    async def live() -> LiveAnswer:
        """Whether the process runs."""
        return LiveAnswer()

    @router.get("/health/ready", tags=["health"], responses={503: problem_responses(NO_MODEL)[503]})
    async def ready() -> ReadyAnswer:
        """Whether the models are loaded. A registry out of reach shows here, but does not stop the service."""
        served = [_served(champion) for champion in champions]
        needed = [champion for champion in champions if not champion.optional]
        first = next((champion for champion in needed if champion.loaded is None), needed[0])
        if first.loaded is None:
            detail = first.last_error or "The first look at the registry is under way."
            raise ProblemError(NO_MODEL, detail, headers={"Retry-After": "5"}, last_poll=first.last_check)
        errors = (champion.last_error for champion in champions if not champion.absent)
        return ReadyAnswer(
            models=[one for one in served if one is not None],
            last_poll=first.last_check,
            last_error=next((error for error in errors if error is not None), None),
        )

    @router.get("/metrics", tags=["health"], response_class=Response, responses=problem_responses())
    async def prometheus(request: Request) -> Response:
        """Metrics in the Prometheus text format. Needs a secret key."""
        access.admit(request, "secret")
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @router.get("/v1/segue.js", tags=["snippet"], response_class=Response)
    async def script(request: Request) -> Response:
        """The script that fills lists in a page."""
        headers = {"ETag": snippet_tag, "Cache-Control": "public, max-age=300"}
        if request.headers.get("if-none-match") == snippet_tag:
            return Response(status_code=304, headers=headers)
        return Response(snippet, media_type="text/javascript", headers=headers)

    return router


def _served(champion: Champion[Any]) -> ServedModel | None:
    loaded = champion.loaded
    if loaded is None:
        return None
    return ServedModel(name=champion.name, version=loaded.release.version, loaded_at=loaded.loaded_at)


def _registered(champion: Champion[Any], origin: Origin) -> RegisteredModelAnswer:
    versions = [
        VersionAnswer(version=one.version, aliases=list(one.aliases), created_at=one.created_at, run_id=one.run_id)
        for one in origin.versions(champion.name)
    ]
    return RegisteredModelAnswer(name=champion.name, serving=_served(champion), versions=versions)
