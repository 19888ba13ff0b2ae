"""Moving an alias of the model registry: promotion, through the gate."""

from __future__ import annotations

import anyio
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.gate import GateRefused, Promotion, UnknownModelError, evidence, promote
from features.store.base import Json
from serving.access import Access
from serving.bodies import json_answer, read_body
from serving.origins import Origin, OriginError
from serving.problems import NO_REGISTRY, NOT_FOUND, REFUSED, REGISTRY_UNAVAILABLE, ProblemError, invalid_body
from serving.registry import Registry
from serving.schemas import AliasBody

#: The alias that always stands behind the gate; so does the one that is served.
CHAMPION = "champion"

_BODY_LIMIT = 1_000


def alias_routes(origin: Origin, served: str, access: Access) -> list[Route]:
    """The route that moves an alias. It needs a secret key.

    Args:
        origin: where models come from.
        served: the alias that is followed.
        access: who may.
    """
    return [Route("/v1/models/{name}/aliases/{alias}", _Aliases(origin, served, access).post, methods=["POST"])]


class _Aliases:
    def __init__(self, origin: Origin, served: str, access: Access) -> None:
        self._origin = origin
        self._gated = frozenset({CHAMPION, served})
        self._access = access

    async def post(self, request: Request) -> Response:
        """``POST /v1/models/{name}/aliases/{alias}``: give an alias to a version, if the evidence allows it."""
        self._access.admit(request, "secret")
        try:
            body = AliasBody.model_validate_json(await read_body(request, _BODY_LIMIT))
        except ValidationError as error:
            raise invalid_body(error) from None
        if not isinstance(self._origin, Registry):
            raise ProblemError(
                NO_REGISTRY, "This service runs from bundle folders; start it without --bundle to follow a registry."
            )
        name, alias = request.path_params["name"], request.path_params["alias"]
        registry = self._origin
        try:
            done = await anyio.to_thread.run_sync(lambda: self._moved(registry, name, alias, body.version))
        except UnknownModelError as error:
            raise ProblemError(NOT_FOUND, str(error)) from None
        except GateRefused as refusal:
            verdict = refusal.verdict.model_dump(mode="json") if refusal.verdict else None
            raise ProblemError(REFUSED, str(refusal), reason=refusal.reason, verdict=verdict) from None
        except OriginError as error:
            raise ProblemError(REGISTRY_UNAVAILABLE, str(error), headers={"Retry-After": "5"}) from None
        return json_answer(_told(done, alias))

    def _moved(self, registry: Registry, name: str, alias: str, version: int) -> Promotion:
        if alias in self._gated:
            return promote(registry.aliased(alias), name, version)
        previous = registry.holder(name, alias)
        found = registry.version(name, version)
        registry.move(name, alias, version)
        return Promotion(name, version, previous, previous == version, evidence(found))


def _told(done: Promotion, alias: str) -> Json:
    verdict = done.verdict.model_dump(mode="json") if done.verdict else None
    return {
        "name": done.name,
        "alias": alias,
        "version": done.version,
        "previous": done.previous,
        "returned": done.returned,
        "verdict": verdict,
    }
