"""The OpenAPI 3.1 document: FastAPI's own for its routes, and the two hot routes, which FastAPI does not see."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from serving import problems
from serving.access import SIGNATURE_HEADER
from serving.problems import ProblemType
from serving.schemas import ListQuery, Problem, RecommendationsAnswer, RecommendationsBody

_REF = "#/components/schemas/{model}"

_DESCRIPTION = """Which products to show to this shopper, here, now.

Without keys the service answers on loopback only. With keys, send `Authorization: Bearer KEY`.
Errors are RFC 9457 problem details; `type` is stable."""

_EVERYWHERE = (problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.RATE_LIMITED, problems.INTERNAL)


def problem_responses(*kinds: ProblemType) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of these problems and those that any guarded call may answer."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in sorted((*kinds, *_EVERYWHERE), key=lambda kind: kind.status):
        _add_problem(found, kind.status, kind)
    return found


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document."""
    written = get_openapi(
        title=app.title, version=app.version, openapi_version="3.1.0", description=_DESCRIPTION, routes=app.routes
    )
    _, definitions = models_json_schema(
        [(RecommendationsBody, "validation"), (Problem, "serialization")], ref_template=_REF
    )
    _, answers = models_json_schema([(RecommendationsAnswer, "serialization")], ref_template=_REF, by_alias=True)
    components = written.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **definitions["$defs"], **answers["$defs"]}
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    written["paths"] = {
        "/v1/recommendations": {"post": _post()},
        "/v1/recommendations/{placement}": {"get": _get()},
        **written["paths"],
    }
    return written


def _post() -> dict[str, Any]:
    responses = problem_responses(
        problems.INVALID_JSON, problems.TOO_LARGE, problems.INVALID_REQUEST, problems.FILTER, problems.NO_MODEL
    )
    _add_problem(responses, 422, problems.UNKNOWN_PLACEMENT)
    return {
        "operationId": "recommend",
        "summary": "Lists for one shopper, for the placements of a page",
        "tags": ["recommendations"],
        "security": [{}, {"key": []}],
        "parameters": [_signature()],
        "requestBody": {"required": True, "content": _json("RecommendationsBody")},
        "responses": _with_answer(responses),
    }


def _get() -> dict[str, Any]:
    responses = problem_responses(
        problems.UNKNOWN_PLACEMENT, problems.INVALID_REQUEST, problems.FILTER, problems.NO_MODEL
    )
    query = ListQuery.model_json_schema(ref_template=_REF)["properties"]
    placement = {"name": "placement", "in": "path", "required": True, "schema": {"type": "string"}}
    parameters = [
        {"name": name, "in": "query", "description": schema.pop("description"), "schema": schema}
        for name, schema in query.items()
    ]
    return {
        "operationId": "recommend_one",
        "summary": "One list",
        "tags": ["recommendations"],
        "security": [{}, {"key": []}],
        "parameters": [placement, *parameters, _signature()],
        "responses": _with_answer(responses),
    }


def _signature() -> dict[str, Any]:
    return {
        "name": SIGNATURE_HEADER,
        "in": "header",
        "description": "Hex HMAC-SHA256 of the customer_id, needed with a public key.",
        "schema": {"type": "string"},
    }


def _with_answer(responses: dict[int | str, dict[str, Any]]) -> dict[str, Any]:
    answer = {"description": "The lists", "content": _json("RecommendationsAnswer")}
    return {"200": answer, **{str(status): response for status, response in responses.items()}}


def _add_problem(responses: dict[int | str, dict[str, Any]], status: int, kind: ProblemType) -> None:
    line = f"`{kind.uri}`: {kind.title}"
    if status in responses:
        responses[status]["description"] += f"; {line}"
    else:
        content = {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
        responses[status] = {"description": line, "content": content}


def _json(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=model)}}}
