"""Answers as they are written and remembered, and how a remembered one is made again, byte for byte."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from features.store.base import Decision, DecisionStore, EventStore, Json, Watermark
from recommender import bundle
from recommender.answers import Asked, Block, Item
from recommender.live_shop import Basis, LiveShop

#: ``Decision.kind`` of product lists.
KIND = "recommendations"

#: Shops held for replays: each is a bundle mapped into memory, with rankings of its own.
_SHOPS = 2

#: Differences told of one decision.
_MOST_DIFFERENCES = 50


class NotReplayableError(Exception):
    """A decision that cannot be made again; the message says what is missing."""


def written(blocks: Sequence[Block], *, name: str, version: str) -> bytes:
    """Blocks as the JSON array of an HTTP answer, under the name and version of the model."""
    model = {"name": name, "version": version}
    return orjson.dumps(
        [
            {
                "placement": block.placement,
                "model": model,
                "items": [_item(item) for item in block.items],
                "funnel": _funnel(block),
                **block.extra,
            }
            for block in blocks
        ],
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def _item(item: Item) -> Json:
    said: Json = {
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
        said["product"] = item.product
    return said


def _funnel(block: Block) -> list[Json]:
    return [{"step": step, "in": into, "out": out} for step, into, out in block.funnel]


def compact(blocks: Sequence[Block]) -> list[Json]:
    """What a decision keeps of its answer: what was shown where, with which probability, and the funnel."""
    return [
        {
            "placement": block.placement,
            "items": [
                {
                    "kind": item.kind,
                    "id": item.id,
                    "rank": item.rank,
                    "score": item.score,
                    "propensity": item.propensity,
                    "source": item.source,
                    "fallback_level": item.fallback_level,
                }
                for item in block.items
            ],
            "funnel": _funnel(block),
        }
        for block in blocks
    ]


def decision_of(
    decision_id: str,
    asked: Asked,
    blocks: Sequence[Block],
    answer: bytes,
    *,
    made_at: int,
    basis: Basis | None,
    model: Json,
    rules: str | None,
) -> Decision:
    """The record of one answer.

    Args:
        decision_id: also what every random draw of the answer is a hash of.
        asked: the request.
        blocks, answer: what was answered, and the same as `written`.
        made_at: the clock, microseconds UTC.
        basis: what it was made from; None for an answer from the fallback chain, because the model failed.
        model: name, version and bundle.
        rules: digest of the rules in force.
    """
    known, who = basis or Basis(0, 0, 0, 0), asked.shopper
    return Decision(
        id=decision_id,
        at=made_at,
        kind=KIND,
        customer_id=who.customer_id,
        anonymous_id=who.anonymous_id,
        session_id=who.session_id,
        model={**model, "trends": known.trends},
        rules=rules,
        watermark=known.watermark,
        request=asked.to_json(),
        answer={"blocks": compact(blocks), "degraded": basis is None},
        digest=hashlib.sha256(answer).hexdigest(),
    )


@dataclass(frozen=True)
class Replayed:
    """Whether a decision made again is what it was, and where it differs: places, then and now."""

    match: bool
    differences: list[Json]


class Replayer:
    """Makes decisions again. Calls may be made from any thread; one at a time is worked on.

    Args:
        events: the live log the decisions were made from.
        decisions: where rules are kept.
        bundles: folder that holds the bundles decisions name.
    """

    def __init__(self, events: EventStore, decisions: DecisionStore, bundles: Path) -> None:
        self._events = events
        self._decisions = decisions
        self._bundles = bundles
        self._shops: OrderedDict[tuple[str, str | None], LiveShop] = OrderedDict()
        self._lock = Lock()

    def replay(self, decision: Decision) -> Replayed:
        """Make a decision again: same request, same model, same rules, as of the same moment of the log.

        Raises:
            NotReplayableError: its bundle or its rules are gone, or the model failed when it was made.
        """
        if decision.kind != KIND:
            raise NotReplayableError(f"decisions of kind {decision.kind!r} are not made here")
        if decision.answer.get("degraded"):
            raise NotReplayableError("the model failed when this decision was made: it shows the fallback chain")
        asked = Asked.of_json(decision.request)
        mark: Watermark = decision.watermark
        basis = Basis(mark.seq, decision.model["trends"], mark.change, mark.products)
        with self._lock:
            shop = self._shop(decision)
            blocks = shop.answer_as_of(basis, asked, made_at=decision.at, draw=decision.id)
        answer = written(blocks, name=decision.model["name"], version=decision.model["version"])
        if hashlib.sha256(answer).hexdigest() == decision.digest:
            return Replayed(True, [])
        now = orjson.loads(orjson.dumps(compact(blocks), option=orjson.OPT_SERIALIZE_NUMPY))
        found = list(_differences(decision.answer["blocks"], now, "/blocks"))
        return Replayed(False, found[:_MOST_DIFFERENCES] or [{"place": "/blocks", "what": "reasons or product data"}])

    def _shop(self, decision: Decision) -> LiveShop:
        key = (decision.model["bundle"], decision.rules)
        if key not in self._shops:
            self._shops[key] = self._opened(*key)
            if len(self._shops) > _SHOPS:
                self._shops.popitem(last=False)
        self._shops.move_to_end(key)
        return self._shops[key]

    def _opened(self, name: str, rules: str | None) -> LiveShop:
        try:
            recommender, _ = bundle.read(self._bundles / name)
        except bundle.BundleError as error:
            raise NotReplayableError(f"the bundle that decided is not there any more: {error}") from None
        text = "" if rules is None else self._decisions.text(rules)
        if text is None:
            raise NotReplayableError("the rules that were in force are not there any more")
        return LiveShop(recommender, text, self._events)


def _differences(then: Any, now: Any, place: str) -> Sequence[Json]:
    """Where two JSON values differ."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [
            one for key in sorted({*then, *now}) for one in _differences(then.get(key), now.get(key), f"{place}/{key}")
        ]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [
            one
            for i, (left, right) in enumerate(zip(then, now, strict=True))
            for one in _differences(left, right, f"{place}/{i}")
        ]
    return [] if then == now else [{"place": place, "then": then, "now": now}]
