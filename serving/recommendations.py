"""The hot route: product lists.

Requests are read by pydantic from bytes and answers written by orjson, in plain Starlette endpoints: about half of what
FastAPI's own parsing, dependency and response machinery costs. `serving.openapi` documents them. The model is called
on the event loop: an answer takes a millisecond of pure computation, a thread would wait for the same interpreter lock
and cost a fifth of that again; worker processes are what scales.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from features.filters import FilterError
from recommender.answers import Block, BlockRequest, Item, Shopper, UnknownPlacement
from serving.access import Access
from serving.champion import Champion, Loaded
from serving.metrics import Metrics
from serving.problems import (
    FILTER,
    INVALID_REQUEST,
    NO_MODEL,
    TOO_LARGE,
    UNKNOWN_PLACEMENT,
    ProblemError,
    invalid_body,
    invalid_query,
    pointer,
)
from serving.schemas import BlockBody, ListQuery, RecommendationsBody

log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_REPEATABLE = frozenset({"product_id", "exclude"})


class Recommendations:
    """The two calls for product lists.

    Args:
        champion: the model to ask.
        access: who may ask.
        metrics: counts the lists made.
        body_limit: largest body, bytes.
        clock: now, in microseconds since 1970 UTC.
        new_id: makes decision ids.
    """

    def __init__(
        self,
        champion: Champion,
        access: Access,
        metrics: Metrics,
        *,
        body_limit: int,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._champion = champion
        self._access = access
        self._metrics = metrics
        self._body_limit = body_limit
        self._clock = clock
        self._new_id = new_id

    async def post(self, request: Request) -> Response:
        """``POST /v1/recommendations``: one or more blocks."""
        begun = time.perf_counter()
        caller = self._access.admit(request, "public")
        try:
            body = RecommendationsBody.model_validate_json(await _body(request, self._body_limit))
        except ValidationError as error:
            raise invalid_body(error) from None
        self._access.check_customer(caller, body.customer_id, request)
        shopper = Shopper(body.customer_id, body.anonymous_id, body.session_id)
        blocks = [_block_request(block) for block in body.blocks]
        at = self._clock() if body.at is None else (body.at - _EPOCH) // _MICROSECOND
        try:
            loaded, answered = self._answer(shopper, blocks, at, explain=body.explain)
        except UnknownPlacement as error:
            place = next(i for i, block in enumerate(blocks) if block.placement == error.name)
            fault = {"pointer": pointer("blocks", place, "placement"), "detail": str(error)}
            raise ProblemError(UNKNOWN_PLACEMENT, str(error), status=422, errors=[fault]) from None
        except FilterError as error:
            place = next(i for i, block in enumerate(blocks) if block.filter == error.text)
            fault = {"pointer": pointer("blocks", place, "filter"), "detail": error.message}
            raise ProblemError(FILTER, error.message, position=error.position, errors=[fault]) from None
        return self._write(begun, loaded, answered)

    async def get(self, request: Request) -> Response:
        """``GET /v1/recommendations/{placement}``: one block."""
        begun = time.perf_counter()
        caller = self._access.admit(request, "public")
        query = _query(request)
        self._access.check_customer(caller, query.customer_id, request)
        shopper = Shopper(query.customer_id, query.anonymous_id, query.session_id)
        block = BlockRequest(
            placement=request.path_params["placement"],
            count=query.count,
            product_ids=tuple(query.product_id),
            category=query.category,
            filter=query.filter,
            exclude=tuple(query.exclude),
        )
        try:
            loaded, answered = self._answer(shopper, [block], self._clock(), explain=False)
        except UnknownPlacement as error:
            raise ProblemError(UNKNOWN_PLACEMENT, str(error)) from None
        except FilterError as error:
            fault = {"parameter": "filter", "detail": error.message}
            raise ProblemError(FILTER, error.message, position=error.position, errors=[fault]) from None
        return self._write(begun, loaded, answered)

    def _answer(
        self, shopper: Shopper, blocks: list[BlockRequest], at: int, *, explain: bool
    ) -> tuple[Loaded, list[Block]]:
        loaded = self._champion.loaded  # taken once: a swap from here on does not concern this request
        if loaded is None:
            # Why not is for operators: this answer may go to a page.
            raise ProblemError(NO_MODEL, "Ask again soon; /health/ready says why.", headers={"Retry-After": "5"})
        try:
            return loaded, loaded.answers.answer(shopper, blocks, at, explain=explain)
        except (UnknownPlacement, FilterError):
            raise
        except Exception:  # whatever is wrong with the model, the page gets a list
            log.exception("%s version %s raised an error", loaded.release.name, loaded.release.version)
            self._metrics.degraded()
            return loaded, loaded.answers.fallback(blocks, at)

    def _write(self, begun: float, loaded: Loaded, blocks: list[Block]) -> Response:
        for block in blocks:
            self._metrics.block(block.placement, block.items[0].fallback_level if block.items else None)
        model = {"name": loaded.release.name, "version": loaded.release.version}
        answer = {
            "decision_id": self._new_id(),
            "took_ms": 0.0,
            "blocks": [
                {
                    "placement": block.placement,
                    "model": model,
                    "items": [_item(item) for item in block.items],
                    "funnel": [{"step": step, "in": into, "out": out} for step, into, out in block.funnel],
                    **block.extra,
                }
                for block in blocks
            ],
        }
        answer["took_ms"] = round((time.perf_counter() - begun) * 1000, 3)
        return Response(
            orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY),
            media_type="application/json",
            headers={"Cache-Control": "no-store"},
        )


def _item(item: Item) -> dict[str, Any]:
    written: dict[str, Any] = {
        "kind": item.kind,
        "id": item.id,
        "rank": item.rank,
        "score": item.score,
        "propensity": item.propensity,
        "source": item.source,
        "fallback_level": item.fallback_level,
        "reasons": item.reasons,
        **item.extra,
    }
    if item.product is not None:
        written["product"] = item.product
    return written


def _block_request(block: BlockBody) -> BlockRequest:
    context = block.context
    return BlockRequest(
        placement=block.placement,
        count=block.count,
        product_ids=tuple(context.product_ids) if context else (),
        category=context.category if context else None,
        filter=block.filter,
        exclude=tuple(block.exclude),
    )


async def _body(request: Request, limit: int) -> bytes:
    """The body, counted as it comes in: its declared length may be absent or untrue."""
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
    return b"".join(chunks)


def _query(request: Request) -> ListQuery:
    """The query parameters. One that is unknown, or given twice where one is meant, is refused and not dropped."""
    given: dict[str, Any] = {}
    try:
        pairs = parse_qsl(request.scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise ProblemError(INVALID_REQUEST, "The query is not percent-encoded UTF-8.") from None
    for name, value in pairs:
        if name in _REPEATABLE:
            given.setdefault(name, []).append(value)
        elif name in given:
            detail = f"{name}: may be given once"
            raise ProblemError(INVALID_REQUEST, detail, errors=[{"parameter": name, "detail": "may be given once"}])
        else:
            given[name] = value
    try:
        return ListQuery.model_validate(given)
    except ValidationError as error:
        raise invalid_query(error) from None
