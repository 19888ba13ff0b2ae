"""Bodies: those of requests read within a limit, those of answers written."""

from __future__ import annotations

import zlib
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serving.problems import INVALID_JSON, TOO_LARGE, ProblemError

#: Members of a gzip body, which may be several put together. What follows a member is copied, so they are bounded.
_MOST_MEMBERS = 100


async def read_body(request: Request, limit: int) -> bytes:
    """The body, counted as it comes in: its declared length may be absent or untrue. Gzip is undone.

    Raises:
        ProblemError: too large, packed or not; or not whole gzip though it says so.
    """
    declared = request.headers.get("content-length", "")
    chunks, size = [], int(declared) if declared.isdecimal() else 0
    if size <= limit:
        size = 0
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                break
    if size > limit:
        # What was not read would be taken for the next request of this connection.
        raise ProblemError(TOO_LARGE, f"A body may have {limit} bytes.", headers={"Connection": "close"})
    body = b"".join(chunks)
    return _unpacked(body, limit) if request.headers.get("content-encoding", "").lower() == "gzip" else body


async def read_json(request: Request, limit: int) -> Any:
    """The body as JSON, whatever its content type says: browsers send beacons as text.

    Raises:
        ProblemError: too large, or not JSON.
    """
    body = await read_body(request, limit)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError(INVALID_JSON, f"{error}"[:200]) from None


def json_answer(answer: Any) -> Response:
    """An answer that no cache may keep. Numbers may be those of numpy; NaN, which says nothing is known, is null."""
    written = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(written, media_type="application/json", headers={"Cache-Control": "no-store"})


def _unpacked(body: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    room = limit + 1
    while body:
        unpacker = zlib.decompressobj(wbits=31)  # gzip alone
        try:
            parts.append(unpacker.decompress(body, room))
        except zlib.error:
            raise ProblemError(INVALID_JSON, "The body is not gzip, though its Content-Encoding says so.") from None
        room -= len(parts[-1])
        if room <= 0:
            raise ProblemError(TOO_LARGE, f"A body may have {limit} bytes, unpacked.")
        if not unpacker.eof:
            raise ProblemError(INVALID_JSON, "The body is gzip that ends too soon.")
        if len(parts) > _MOST_MEMBERS:
            raise ProblemError(INVALID_JSON, f"The body is gzip of more than {_MOST_MEMBERS} members.")
        body = unpacker.unused_data
    return b"".join(parts)
