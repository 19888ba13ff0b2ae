"""What was decided, from what, and the same decision made again."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter, Request, Response

from features.store.base import Decision, DecisionStore, Json
from nba.questions import ACTION
from nba.replays import ActionReplayer, NotMadeAgain
from recommender.decisions import NotReplayableError, Replayer
from serving.access import Access
from serving.bodies import json_answer
from serving.clocks import rfc3339
from serving.openapi import problem_responses
from serving.problems import ERASED, NOT_REPLAYABLE, UNKNOWN_DECISION, ProblemError
from serving.schemas import DecisionAnswer, ReplayAnswer

log = logging.getLogger(__name__)


def decision_routes(decisions: DecisionStore, replayer: Replayer, actions: ActionReplayer, access: Access) -> APIRouter:
    """The routes over a log of decisions.

    Args:
        decisions: the log.
        replayer: of product lists.
        actions: of decisions on the next action.
        access: who may.
    """
    router = APIRouter(tags=["decisions"])

    # Not async: the log is read, and a replay takes milliseconds to seconds, so these have their thread.
    @router.get(
        "/v1/decisions/{decision_id}",
        response_model=DecisionAnswer,
        responses=problem_responses(UNKNOWN_DECISION, ERASED),
    )
    def decision(decision_id: str, request: Request) -> Response:
        """What was decided, for whom, and from what. Needs a secret key."""
        access.admit(request, "secret")
        return json_answer(_told(_found(decisions, decision_id)))

    @router.get(
        "/v1/decisions/{decision_id}/replay",
        response_model=ReplayAnswer,
        responses=problem_responses(UNKNOWN_DECISION, ERASED, NOT_REPLAYABLE),
    )
    def replay(decision_id: str, request: Request) -> Response:
        """The decision made again, from the same request, model, rules and moment of the log. Needs a secret key."""
        access.admit(request, "secret")
        found = _found(decisions, decision_id)
        try:
            differences = _differences(found, replayer, actions)
        except (NotReplayableError, NotMadeAgain) as error:
            raise ProblemError(NOT_REPLAYABLE, str(error)) from None
        if differences is not None:
            log.error("decision %s does not replay: %s", decision_id, differences)
        return json_answer({"match": True} if differences is None else {"match": False, "diff": differences})

    return router


def _differences(decision: Decision, replayer: Replayer, actions: ActionReplayer) -> list[Json] | None:
    """Where a decision made again differs; None: nowhere."""
    if decision.kind == ACTION:
        return actions.differences(decision) or None
    replayed = replayer.replay(decision)
    return None if replayed.match else replayed.differences


def _found(decisions: DecisionStore, decision_id: str) -> Decision:
    found = decisions.read(decision_id)
    if found is None:
        raise ProblemError(UNKNOWN_DECISION, "No decision of that id is kept: it never was, or it is too old.")
    if found == "erased":
        raise ProblemError(ERASED, "Whom it was for was erased.")
    return found


def _told(decision: Decision) -> dict[str, Any]:
    request = decision.request
    return {
        "decision_id": decision.id,
        "made_at": rfc3339(decision.at),
        "kind": decision.kind,
        "customer_id": decision.customer_id,
        "anonymous_id": decision.anonymous_id,
        "model": decision.model,
        "rules": decision.rules,
        "log": {
            "seq": decision.watermark.seq,
            "change": decision.watermark.change,
            "products": decision.watermark.products,
        },
        "request": {**request, "at": rfc3339(request["at"])},
        **decision.answer,
        "sha256": decision.digest,
    }
