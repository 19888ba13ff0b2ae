"""Errors as RFC 9457 problem details: every type the service can answer, and which error becomes which.

Domain errors know nothing of HTTP; this table is where they meet it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """A kind of error: its slug, HTTP status and title. ``uri`` is stable and needs no host."""

    slug: str
    status: int
    title: str

    @property
    def uri(self) -> str:
        """The ``type`` member of the problem."""
        return f"urn:segue:problem:{self.slug}"


INVALID_JSON = ProblemType("invalid-json", 400, "The body is not JSON")
UNAUTHENTICATED = ProblemType("unauthenticated", 401, "A key is needed")
FORBIDDEN = ProblemType("forbidden", 403, "This key may not do that")
NOT_FOUND = ProblemType("not-found", 404, "There is nothing at this address")
UNKNOWN_PLACEMENT = ProblemType("unknown-placement", 404, "There is no such placement")  # 422 inside a body
UNKNOWN_DECISION = ProblemType("unknown-decision", 404, "There is no such decision")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "This address has no such method")
NO_REGISTRY = ProblemType("no-registry", 409, "There is no registry to change")
REFUSED = ProblemType("promotion-refused", 409, "The gate refuses this version")
NOT_REPLAYABLE = ProblemType("not-replayable", 409, "This decision cannot be made again")
ERASED = ProblemType("erased", 410, "This was erased")
TOO_LARGE = ProblemType("too-large", 413, "The body is too large")
INVALID_REQUEST = ProblemType("invalid-request", 422, "A field of the request is not as it must be")
KEY_REUSED = ProblemType("idempotency-key-reused", 422, "This Idempotency-Key belongs to another question")
FILTER = ProblemType("filter", 422, "The filter cannot be honoured")
RATE_LIMITED = ProblemType("rate-limited", 429, "Too many requests")
INTERNAL = ProblemType("internal", 500, "Something went wrong here")
NO_MODEL = ProblemType("no-model", 503, "No model is loaded yet")
STORE_UNAVAILABLE = ProblemType("store-unavailable", 503, "The store does not take or tell anything now")
REGISTRY_UNAVAILABLE = ProblemType("registry-unavailable", 503, "The model registry does not answer")

PROBLEM_TYPES = (
    INVALID_JSON,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    UNKNOWN_PLACEMENT,
    UNKNOWN_DECISION,
    METHOD_NOT_ALLOWED,
    NO_REGISTRY,
    REFUSED,
    NOT_REPLAYABLE,
    ERASED,
    TOO_LARGE,
    INVALID_REQUEST,
    KEY_REUSED,
    FILTER,
    RATE_LIMITED,
    INTERNAL,
    NO_MODEL,
    STORE_UNAVAILABLE,
    REGISTRY_UNAVAILABLE,
)

#: Errors named in one answer, so that a broken body of a thousand fields gets a short one.
_MOST_ERRORS = 20


class ProblemError(Exception):
    """Ends a request with a problem.

    Args:
        kind: which one.
        detail: one sentence for the developer who reads it: the culprit and the cure.
        status: where it differs from that of the kind.
        headers: HTTP headers to add, such as ``Retry-After``.
        members: further members of the problem, such as ``position``.
    """

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        *,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.status = status or kind.status
        self.headers = headers or {}
        self.members = members

    def body(self) -> dict[str, Any]:
        """The problem as JSON."""
        return {
            "type": self.kind.uri,
            "title": self.kind.title,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }

    def response(self) -> Response:
        """The problem as an HTTP answer."""
        written = orjson.dumps(self.body(), option=orjson.OPT_UTC_Z)
        return Response(written, status_code=self.status, headers=self.headers, media_type=MEDIA_TYPE)


def invalid_body(error: ValidationError) -> ProblemError:
    """What pydantic found wrong with a JSON body: 400 where it is no JSON, else 422 with JSON pointers (RFC 6901)."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return ProblemError(INVALID_JSON, found[0]["msg"])
    errors = [{"pointer": pointer(*one["loc"]), "detail": _sentence(one["msg"])} for one in found]
    return ProblemError(
        INVALID_REQUEST, f"{errors[0]['pointer'] or 'the body'}: {errors[0]['detail']}", errors=errors[:_MOST_ERRORS]
    )


def invalid_query(error: ValidationError) -> ProblemError:
    """What pydantic found wrong with query parameters: 422 naming each."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    errors = [{"parameter": str(one["loc"][0]), "detail": _sentence(one["msg"])} for one in found]
    return ProblemError(
        INVALID_REQUEST, f"{errors[0]['parameter']}: {errors[0]['detail']}", errors=errors[:_MOST_ERRORS]
    )


def pointer(*parts: str | int) -> str:
    """A JSON pointer to a place in the body: ``pointer("blocks", 0)`` is ``/blocks/0``."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _sentence(message: str) -> str:
    return (
        "There is no such field"
        if message == "Extra inputs are not permitted"
        else message.removeprefix("Value error, ")
    )
