"""The OpenAPI 3.1 document: FastAPI's own for its routes, and the plain ones, which FastAPI does not see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from serving import problems
from serving.access import SIGNATURE_HEADER
from serving.decision_schemas import (
    BatchLine,
    DecisionBody,
    DecisionsBatchBody,
    NextActionAnswer,
    ReleaseAnswer,
    ReleaseBody,
)
from serving.event_schemas import (
    CustomerAnswer,
    ErasedAnswer,
    EventRow,
    EventRows,
    EventsAnswer,
    Ga4Body,
    ProductBody,
    ProductsAnswer,
    ProductsBody,
    SegmentBatch,
    SegmentMessage,
)
from serving.problems import ProblemType
from serving.schemas import AliasAnswer, AliasBody, ListQuery, Problem, RecommendationsAnswer, RecommendationsBody

_REF = "#/components/schemas/{model}"

_DESCRIPTION = """Which products to show to this shopper; what to do next, on which channel, when, or nothing.

Without keys the service answers on loopback only. With keys, send `Authorization: Bearer KEY`.
Errors are RFC 9457 problem details; `type` is stable."""

_BODY = (problems.INVALID_JSON, problems.TOO_LARGE, problems.INVALID_REQUEST, problems.STORE_UNAVAILABLE)


@dataclass(frozen=True)
class _Call:
    """A plain call of the shop. ``bodies``: what it takes, any one of them."""

    method: str
    path: str
    operation: str
    summary: str
    answer: type[BaseModel] | None
    bodies: tuple[type[BaseModel], ...] = ()
    refusals: tuple[ProblemType, ...] = _BODY

    @property
    def tag(self) -> str:
        """The first word of the address."""
        return self.path.removeprefix("/v1/").partition("/")[0].partition(":")[0]


_NAMED = (problems.INVALID_REQUEST, problems.STORE_UNAVAILABLE)
_STORED = (problems.NOT_FOUND, *_NAMED)
_SEGMENT = (SegmentMessage, SegmentBatch)

_CALLS = (
    _Call(
        "post",
        "/v1/events",
        "track_any",
        "Events of any form, on disk when answered",
        EventsAnswer,
        (EventRow, EventRows, SegmentMessage, SegmentBatch, Ga4Body),
    ),
    _Call("post", "/v1/track", "track", "What somebody did, from Segment's libraries", EventsAnswer, _SEGMENT),
    _Call("post", "/v1/identify", "identify", "Who somebody is, and what is known of them", EventsAnswer, _SEGMENT),
    _Call("post", "/v1/page", "page", "A page somebody looked at", EventsAnswer, _SEGMENT),
    _Call("post", "/v1/batch", "track_batch", "Many messages of Segment's libraries", EventsAnswer, _SEGMENT),
    _Call("put", "/v1/products/{id}", "put_product", "The whole of a product", ProductBody, (ProductBody,)),
    _Call("get", "/v1/products/{id}", "get_product", "What is known of a product", ProductBody, refusals=_STORED),
    _Call("delete", "/v1/products/{id}", "delete_product", "A product leaves the catalogue", None, refusals=_STORED),
    _Call("post", "/v1/products:batch", "put_products", "Many products", ProductsAnswer, (ProductsBody,)),
    _Call("get", "/v1/customers/{id}", "get_customer", "What is known of a customer", CustomerAnswer, refusals=_STORED),
    _Call("delete", "/v1/customers/{id}", "erase_customer", "Forget a customer", ErasedAnswer, refusals=_NAMED),
    _Call(
        "get",
        "/v1/customers",
        "get_visitor",
        "What is known of a visitor",
        CustomerAnswer,
        refusals=_STORED,
    ),
    _Call(
        "delete",
        "/v1/customers",
        "erase_visitor",
        "Forget a visitor",
        ErasedAnswer,
        refusals=_NAMED,
    ),
    _Call(
        "post",
        "/v1/decisions",
        "decide",
        "The next best action for one customer: which, on which channel, when, or nothing",
        NextActionAnswer,
        (DecisionBody,),
        (*_BODY, problems.KEY_REUSED, problems.NO_MODEL),
    ),
    _Call(
        "post",
        "/v1/decisions:batch",
        "decide_batch",
        "The same for many customers, one JSON line each",
        BatchLine,
        (DecisionsBatchBody,),
        (*_BODY, problems.NO_MODEL),
    ),
    _Call(
        "post",
        "/v1/decisions/{decision_id}/release",
        "release_decision",
        "Whether a decision may still be sent, asked just before",
        ReleaseAnswer,
        (ReleaseBody,),
        (*_BODY, problems.UNKNOWN_DECISION, problems.ERASED, problems.NO_MODEL),
    ),
    _Call(
        "post",
        "/v1/models/{name}/aliases/{alias}",
        "move_alias",
        "Promote a version, through the gate",
        AliasAnswer,
        (AliasBody,),
        (
            problems.INVALID_JSON,
            problems.NOT_FOUND,
            problems.NO_REGISTRY,
            problems.REFUSED,
            problems.INVALID_REQUEST,
            problems.REGISTRY_UNAVAILABLE,
        ),
    ),
)

_TAGS = ("products", "customers", "models", "decisions")

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
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "validation") for call in _CALLS for model in (*call.bodies, call.answer) if model is not None
    ]
    _, shop = models_json_schema(list(dict.fromkeys(modes)), ref_template=_REF)
    components = written.setdefault("components", {})
    components["schemas"] = {
        **components.get("schemas", {}),
        **definitions["$defs"],
        **answers["$defs"],
        **shop["$defs"],
    }
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    written["paths"] = {
        "/v1/recommendations": {"post": _post()},
        "/v1/recommendations/{placement}": {"get": _get()},
        **_shop(),
        **written["paths"],
    }
    return written


def _shop() -> dict[str, Any]:
    """The calls by which a shop tells and asks of its events, products and customers."""
    paths: dict[str, Any] = {}
    for call in _CALLS:
        responses = {str(status): response for status, response in problem_responses(*call.refusals).items()}
        if call.answer is None:
            responses["204"] = {"description": "Done"}
        else:
            content = _json(call.answer.__name__)
            if call.answer is BatchLine:
                content = {"application/x-ndjson": content["application/json"]}
            responses["200"] = {"description": "Done", "content": content}
        operation = {
            "operationId": call.operation,
            "summary": call.summary,
            "tags": [call.tag if call.tag in _TAGS else "events"],
            "security": [{}, {"key": []}],
            "parameters": _parameters(call),
            "responses": responses,
        }
        if call.bodies:
            refs = [{"$ref": _REF.format(model=body.__name__)} for body in call.bodies]
            schema = {"anyOf": refs} if len(refs) > 1 else refs[0]
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        paths.setdefault(call.path, {})[call.method] = operation
    return paths


def _parameters(call: _Call) -> list[dict[str, Any]]:
    if named := re.findall(r"\{(\w+)\}", call.path):
        return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in named]
    if call.path == "/v1/customers":
        return [{"name": "anonymous_id", "in": "query", "required": True, "schema": {"type": "string"}}]
    if call.answer is NextActionAnswer:
        return [_idempotency_key()]
    return [_signature()] if call.answer is EventsAnswer else []


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


def _idempotency_key() -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "With the same key, the same question has the same answer for as long as nothing changed.",
        "schema": {"type": "string", "maxLength": 255},
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
