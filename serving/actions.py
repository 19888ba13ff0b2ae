"""Decisions on the next action: for one customer, for many, and once more just before the message is sent."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import anyio
import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from features.people import digest
from features.store.base import Decision, DecisionStore, EventStore, Json, StoreError
from nba.asked import Asked, AskedWrongly, Constraints
from nba.batches import chunks, planned
from nba.desk import Desk
from nba.drafting import Circumstances, KeyReused, Made, Signed, answers
from nba.one_customer import Who
from nba.questions import ACTION, Question
from nba.release import release
from serving.access import Access
from serving.bodies import json_answer, read_body
from serving.champion import Champion, Loaded
from serving.decision_schemas import DecisionBody, DecisionsBatchBody, QuestionBody, ReleaseBody
from serving.metrics import Metrics
from serving.problems import (
    ERASED,
    INVALID_REQUEST,
    KEY_REUSED,
    NO_MODEL,
    STORE_UNAVAILABLE,
    UNKNOWN_DECISION,
    ProblemError,
    invalid_body,
    pointer,
)

log = logging.getLogger(__name__)

KEY_HEADER = "Idempotency-Key"
_LONGEST_KEY = 255

#: Customers decided about at a time: in between, other requests are answered, and what is decided is on its way.
CHUNK = 500

_PATIENCE_SECONDS = 5.0

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Actions:
    """The calls for decisions. All of them need a secret key.

    Args:
        champion: the model to ask.
        events, decisions: the stores of the shop.
        access: who may ask.
        metrics: counts what is decided.
        body_limit, batch_limit: largest bodies, bytes.
        clock: now, in microseconds since 1970 UTC.
        new_id: makes decision ids.
    """

    def __init__(
        self,
        champion: Champion[Desk],
        events: EventStore,
        decisions: DecisionStore,
        access: Access,
        metrics: Metrics,
        *,
        body_limit: int,
        batch_limit: int,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._champion = champion
        self._events = events
        self._decisions = decisions
        self._access = access
        self._metrics = metrics
        self._body_limit = body_limit
        self._batch_limit = batch_limit
        self._clock = clock
        self._new_id = new_id

    def routes(self) -> list[Route]:
        """The calls."""
        return [
            Route("/v1/decisions", self.post, methods=["POST"]),
            Route("/v1/decisions:batch", self.batch, methods=["POST"]),
            Route("/v1/decisions/{decision_id}/release", self.release, methods=["POST"]),
        ]

    async def post(self, request: Request) -> Response:
        """``POST /v1/decisions``: one customer."""
        self._access.admit(request, "secret")
        try:
            body = DecisionBody.model_validate_json(await read_body(request, self._body_limit))
        except ValidationError as error:
            raise invalid_body(error) from None
        if body.customer_id is None and body.anonymous_id is None:
            raise ProblemError(INVALID_REQUEST, "Name a customer_id or an anonymous_id.")
        key = _key(request)
        loaded = self._loaded()
        now = self._clock()
        question = _question(body, Who(body.customer_id, body.anonymous_id), now)
        under = Circumstances(_signed(loaded), now, self._new_id, keep=not body.dry_run, key=key)
        try:
            [made] = self._answered(loaded.answers, [question], under)
        except StoreError:  # somebody is writing: wait for them where nobody else has to wait
            answered = partial(self._answered, loaded.answers, [question], under)
            [made] = await anyio.to_thread.run_sync(_patiently, answered)
        return json_answer(made.answer)

    def _answered(self, desk: Desk, questions: list[Question], under: Circumstances) -> list[Made]:
        try:
            made = answers(desk, questions, under)
        except AskedWrongly as error:
            fault = {"pointer": pointer(error.name), "detail": str(error)}
            raise ProblemError(INVALID_REQUEST, str(error), errors=[fault]) from None
        except KeyReused as error:
            raise ProblemError(KEY_REUSED, str(error)) from None
        for one in made:
            if not one.again:
                choice = one.decision.answer["choice"]
                self._metrics.action(choice["action"], choice["channel"])
            if one.decision.answer["degraded"]:
                self._metrics.degraded()
            self._metrics.races_lost(one.lost)
        return made

    async def release(self, request: Request) -> Response:
        """``POST /v1/decisions/{decision_id}/release``: may it still be sent?"""
        self._access.admit(request, "secret")
        said = await read_body(request, self._body_limit)
        try:
            body = ReleaseBody.model_validate_json(said or b"{}")
        except ValidationError as error:
            raise invalid_body(error) from None
        made_at = self._clock()
        now = made_at if body.at is None else _micros(body.at)
        decision_id = request.path_params["decision_id"]
        loaded = self._loaded()
        released = partial(self._released, loaded, decision_id, now, made_at)
        return json_answer(await anyio.to_thread.run_sync(_patiently, released))

    def _released(self, loaded: Loaded[Desk], decision_id: str, now: int, made_at: int) -> Json:
        found = self._decisions.read(decision_id)
        if found is None or (isinstance(found, Decision) and found.kind != ACTION):
            raise ProblemError(UNKNOWN_DECISION, "No decision on an action of that id is kept.")
        if not isinstance(found, Decision):
            raise ProblemError(ERASED, "Whom it was for was erased.")
        done = release(loaded.answers, found, now=now, made_at=made_at)
        self._metrics.released(done.verdict)
        return done.to_json()

    async def batch(self, request: Request) -> Response:
        """``POST /v1/decisions:batch``: many customers, one JSON line each."""
        self._access.admit(request, "secret")
        try:
            body = DecisionsBatchBody.model_validate_json(await read_body(request, self._batch_limit))
        except ValidationError as error:
            raise invalid_body(error) from None
        loaded = self._loaded()
        now = self._clock()
        asked = _asked(body)
        try:
            asked.check(loaded.answers.config)
        except AskedWrongly as error:
            fault = {"pointer": pointer(error.name), "detail": str(error)}
            raise ProblemError(INVALID_REQUEST, str(error), errors=[fault]) from None
        run = self._new_id()
        questions = partial(self._questions, body, now)
        plan = await anyio.to_thread.run_sync(partial(planned, loaded.answers, questions(), run=run, chunk=CHUNK))
        under = Circumstances(_signed(loaded), now, self._new_id, keep=not body.dry_run, run=run, plan=plan)

        def decided(some: list[Question]) -> bytes:
            try:
                made = _patiently(partial(self._answered, loaded.answers, some, under))
            except StoreError:
                log.exception("%s decisions could not be kept", len(some))
                problem = ProblemError(STORE_UNAVAILABLE, "Ask again for this one.").body()
                return _lines({"customer_id": one.who.customer_id, "problem": problem} for one in some)
            pairs = zip(some, made, strict=True)
            return _lines({"customer_id": one.who.customer_id, **answer.answer} for one, answer in pairs)

        async def lines() -> AsyncIterator[bytes]:
            # Read where they are decided about: in a thread of its own.
            parts = chunks(questions(), CHUNK)
            nothing: list[Question] = []
            while some := await anyio.to_thread.run_sync(next, parts, nothing):
                yield await anyio.to_thread.run_sync(decided, some)

        return StreamingResponse(lines(), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})

    def _questions(self, body: DecisionsBatchBody, now: int) -> Iterator[Question]:
        """One a customer, each once."""
        if body.customer_ids is None:
            names: Iterator[str] = (str(person.customer_id) for person, _ in self._events.everyone())
        else:
            names = iter(dict.fromkeys(body.customer_ids))
        return (_question(body, Who(name), now) for name in names)

    def _loaded(self) -> Loaded[Desk]:
        loaded = self._champion.loaded  # taken once: a swap from here on does not concern this request
        if loaded is None:
            raise ProblemError(
                NO_MODEL, "No model of decisions is loaded; train and promote one: segue train nba.",
                headers={"Retry-After": "5"},
            )  # fmt: skip
        return loaded


def _patiently(decide: Callable[[], T]) -> T:
    """Decide again for as long as the store is busy: who asks for a decision waits rather than goes without.

    Raises:
        StoreError: it still is after `_PATIENCE_SECONDS`.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return decide()
        except StoreError:
            if time.monotonic() > until:
                raise
        time.sleep(0.02)


def _signed(loaded: Loaded[Desk]) -> Signed:
    release_ = loaded.release
    return Signed({"name": release_.name, "version": release_.version, "bundle": loaded.bundle}, loaded.rules)


def _question(body: QuestionBody, who: Who, now: int) -> Question:
    at = now if body.at is None else _micros(body.at)
    return Question(who, _asked(body), at, past=at < now)


def _asked(body: QuestionBody) -> Asked:
    limits = body.constraints
    return Asked(
        horizon_hours=body.horizon_hours,
        actions=None if body.actions is None else tuple(body.actions),
        channels=None if body.channels is None else tuple(body.channels),
        journey=body.journey,
        constraints=Constraints()
        if limits is None
        else Constraints(
            limits.max_cost,
            limits.min_incremental_value,
            None if limits.not_before is None else _micros(limits.not_before),
            None if limits.not_after is None else _micros(limits.not_after),
        ),
        context={name: tuple(value) if isinstance(value, list) else value for name, value in body.context.items()},
    )


def _key(request: Request) -> int | None:
    """The digest of the caller's Idempotency-Key."""
    said = request.headers.get(KEY_HEADER)
    if said is None:
        return None
    if not 0 < len(said) <= _LONGEST_KEY:
        raise ProblemError(INVALID_REQUEST, f"{KEY_HEADER}: not 1 to {_LONGEST_KEY} characters")
    return digest(f"idempotency:{said}")


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _lines(said: Iterator[Json]) -> bytes:
    return b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in said)
