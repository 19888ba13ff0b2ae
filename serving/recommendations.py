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

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from features.filters import FilterError
from features.store.base import DecisionStore, StoreError
from recommender.answers import Asked, Block, BlockRequest, Shopper, UnknownPlacement
from recommender.decisions import decision_of, written
from recommender.live_shop import Basis
from serving.access import Access
from serving.bodies import read_body
from serving.champion import Answers, Champion, Loaded
from serving.journal import Journal
from serving.metrics import Metrics
from serving.problems import (
    FILTER,
    INVALID_REQUEST,
    NO_MODEL,
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

#: An answer that took longer to make costs more than is saved by writing its decision together with others.
_LONG_SECONDS = 0.001

_REPEATABLE = frozenset({"product_id", "exclude"})


class Recommendations:
    """The two calls for product lists.

    Args:
        champion: the model to ask.
        decisions: where answers are kept, before they are sent.
        access: who may ask.
        metrics: counts the lists made.
        body_limit: largest body, bytes.
        clock: now, in microseconds since 1970 UTC.
        new_id: makes decision ids.
    """

    def __init__(
        self,
        champion: Champion[Answers],
        decisions: DecisionStore,
        access: Access,
        metrics: Metrics,
        *,
        body_limit: int,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._champion = champion
        self._journal = Journal(decisions)
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
            body = RecommendationsBody.model_validate_json(await read_body(request, self._body_limit))
        except ValidationError as error:
            raise invalid_body(error) from None
        self._access.check_customer(caller, body.customer_id, request)
        shopper = Shopper(body.customer_id, body.anonymous_id, body.session_id)
        blocks = [_block_request(block) for block in body.blocks]
        now = self._clock()
        at = now if body.at is None else (body.at - _EPOCH) // _MICROSECOND
        asked = Asked(shopper, blocks, at, body.explain)
        try:
            return await self._answer(begun, asked, now, keep=not body.dry_run)
        except UnknownPlacement as error:
            place = next(i for i, block in enumerate(blocks) if block.placement == error.name)
            fault = {"pointer": pointer("blocks", place, "placement"), "detail": str(error)}
            raise ProblemError(UNKNOWN_PLACEMENT, str(error), status=422, errors=[fault]) from None
        except FilterError as error:
            place = next(i for i, block in enumerate(blocks) if block.filter == error.text)
            fault = {"pointer": pointer("blocks", place, "filter"), "detail": error.message}
            raise ProblemError(FILTER, error.message, position=error.position, errors=[fault]) from None

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
        now = self._clock()
        try:
            return await self._answer(begun, Asked(shopper, [block], now), now, keep=True)
        except UnknownPlacement as error:
            raise ProblemError(UNKNOWN_PLACEMENT, str(error)) from None
        except FilterError as error:
            fault = {"parameter": "filter", "detail": error.message}
            raise ProblemError(FILTER, error.message, position=error.position, errors=[fault]) from None

    async def _answer(self, begun: float, asked: Asked, now: int, *, keep: bool) -> Response:
        """Answer, keep the decision, send.

        Args:
            begun: when the request came in, seconds of the performance counter.
            asked: what for.
            now: microseconds UTC.
            keep: write the decision down; a dry run is seen by nobody and leaves no trace.
        """
        loaded = self._champion.loaded  # taken once: a swap from here on does not concern this request
        if loaded is None:
            # Why not is for operators: this answer may go to a page.
            raise ProblemError(NO_MODEL, "Ask again soon; /health/ready says why.", headers={"Retry-After": "5"})
        decision_id = self._new_id()
        making = time.perf_counter()
        blocks, basis = self._blocks(loaded, asked, decision_id, past=asked.at < now)
        took_long = time.perf_counter() - making > _LONG_SECONDS
        for block in blocks:
            self._metrics.block(block.placement, block.items[0].fallback_level if block.items else None)
        name, version = loaded.release.name, loaded.release.version
        answer = written(blocks, name=name, version=version)
        if keep:
            model = {"name": name, "version": version, "bundle": loaded.bundle}
            decision = decision_of(
                decision_id, asked, blocks, answer, made_at=now, basis=basis, model=model, rules=loaded.rules
            )
            try:
                await self._journal.keep(decision, at_once=took_long)
            except StoreError:  # the page gets its list all the same
                log.exception("decision %s could not be kept", decision_id)
                self._metrics.decision_lost()
        took = round((time.perf_counter() - begun) * 1000, 3)
        head = f'{{"decision_id":"{decision_id}","took_ms":{took},"blocks":'.encode()
        return Response(
            b"".join((head, answer, b"}")), media_type="application/json", headers={"Cache-Control": "no-store"}
        )

    def _blocks(
        self, loaded: Loaded[Answers], asked: Asked, draw: str, *, past: bool
    ) -> tuple[list[Block], Basis | None]:
        try:
            answered = loaded.answers.answer(asked, draw=draw, past=past)
        except (UnknownPlacement, FilterError):
            raise
        except Exception:  # whatever is wrong with the model or the store, the page gets a list
            log.exception("%s version %s raised an error", loaded.release.name, loaded.release.version)
            self._metrics.degraded()
            return loaded.answers.fallback(asked), None
        return answered.blocks, answered.basis


def warm(answers: Answers, at: int) -> None:
    """Ask for every placement before a shopper does: pages come into memory, faults to light."""
    for placement in answers.placements:
        asked = Asked(Shopper(), [BlockRequest(placement)], at)
        answers.answer(asked)
        answers.fallback(asked)


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
