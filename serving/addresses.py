"""Addresses of requests, strictly: a mistyped parameter or a broken id must not pass for something else."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.requests import Request

from serving.problems import INVALID_REQUEST, ProblemError

_BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def parameters(request: Request, *known: str) -> dict[str, str]:
    """The query parameters of a request whose address is percent-encoded UTF-8.

    Starlette would put U+FFFD for what is not UTF-8: another id than the one meant.

    Args:
        request: the request.
        known: the parameters it may have, each once.

    Raises:
        ProblemError: the address is encoded otherwise, or a parameter is unknown or repeated.
    """
    path, query = request.scope.get("raw_path") or b"", request.scope["query_string"]
    for part, encoded in (("path", path), ("query", query)):
        if not _is_utf8(encoded):
            raise ProblemError(INVALID_REQUEST, f"The {part} is not percent-encoded UTF-8.")
    found: dict[str, str] = {}
    for name, value in parse_qsl(query.decode(), keep_blank_values=True):
        if name not in known:
            raise _refused(name, "There is no such parameter")
        if name in found:
            raise _refused(name, "may be given once")
        found[name] = value
    return found


def _is_utf8(encoded: bytes) -> bool:
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return False
    return not _BROKEN.search(encoded)


def _refused(name: str, why: str) -> ProblemError:
    return ProblemError(INVALID_REQUEST, f"{name}: {why}", errors=[{"parameter": name, "detail": why}])
