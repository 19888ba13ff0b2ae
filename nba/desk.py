"""Decisions for the people of a live shop: looked up, decided, reserved, and made again.

One code path for one question and for many. What was decided before stands for as long as nothing changed that it was
made from; a decision and the contact it reserves are written together, or not at all and decided again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from features.events import HOUR
from features.states import States
from features.store.base import (
    Choice,
    Contact,
    Decision,
    DecisionStore,
    EventStore,
    Json,
    Reservation,
    Standing,
    StoreError,
    Watermark,
)
from nba.arms import split_label
from nba.asked import AskedWrongly
from nba.choose import ON_PAGE
from nba.config import NbaConfig
from nba.decide import Decided, decide
from nba.one_customer import REMEMBERED, Customers, Seen, Sent, crowd_of, reserved
from nba.own_products import anchors
from nba.purse import Purse, purse_at
from nba.questions import ACTION, Question, Shelf, Wanted, eligible_labels, hold_answer, told_of
from nba.scores import ScoreModels
from nba.telling import moment, told
from nba.values import Floats, ValueModel

log = logging.getLogger(__name__)

#: A contact that nobody reported counts for so long after its time.
GRACE = HOUR

#: How often somebody else may be first before a decision is given up.
TRIES = 8


class Crowded(StoreError):
    """Others decide about the same people all the time; ask again."""


@dataclass(frozen=True)
class Signed:
    """By what decisions are made.

    Attributes:
        model: name, version, bundle.
        rules: digest of what is laid over its configuration.
    """

    model: Json
    rules: str | None


@dataclass(frozen=True)
class Made:
    """An answer. ``again``: it was given before. ``lost``: how often somebody else was first."""

    decision: Decision
    again: bool = False
    lost: int = 0

    @property
    def answer(self) -> Json:
        """As it is told."""
        return {"decision_id": self.decision.id, **told_of(self.decision)}


class KeyReused(ValueError):
    """An Idempotency-Key that came with another question before."""


class Desk:
    """A model of decisions over a live shop. Calls may be made from any thread.

    Args:
        model: what arms are worth.
        config: what may be done.
        scores: of customers, or None.
        events: the live log.
        decisions: where decisions and contacts are kept.
        shelf: where the products of messages come from.
        holding: everybody gets hold.
    """

    def __init__(
        self,
        model: ValueModel,
        config: NbaConfig,
        scores: ScoreModels | None,
        events: EventStore,
        decisions: DecisionStore,
        shelf: Shelf,
        *,
        holding: bool = False,
    ) -> None:
        self.model = model
        self.config = config
        self.scores = scores
        self.holding = holding
        self._events = events
        self._decisions = decisions
        self._shelf = shelf
        self.customers = Customers(events, States(events))

    def answer(
        self,
        questions: Sequence[Question],
        *,
        signed: Signed,
        made_at: int,
        new_id: Callable[[], str],
        keep: bool = True,
        key: int | None = None,
        run: str | None = None,
        price: Floats | None = None,
    ) -> list[Made]:
        """Answer questions that ask the same, about different people.

        Args:
            questions: with equal ``asked``.
            signed: by what.
            made_at: the clock, microseconds UTC.
            new_id: makes decision ids.
            keep: write decisions, and reserve their contacts.
            key: digest of an Idempotency-Key, of one question.
            run: see `nba.purse.purse_at`; so is ``price``.

        Raises:
            nba.asked.AskedWrongly: the question names something there is not.
            KeyReused: the key came with another question.
            StoreError: nothing could be read, or kept.
        """
        questions[0].asked.check(self.config)
        made: dict[int, Made] = {}
        for lost in range(TRIES):
            left = [place for place in range(len(questions)) if place not in made]
            if not left:
                break
            purse = purse_at(self.config, self.model.arms, self._decisions, questions[0].at, run=run, price=price)
            drafts = self._drafted([questions[place] for place in left], purse, signed, made_at, new_id, keep, key)
            asked = [draft for draft in drafts if isinstance(draft, Reservation)]
            kept = iter(self._decisions.reserve(asked) if keep else [True] * len(asked))
            for place, draft in zip(left, drafts, strict=True):
                if isinstance(draft, Made):
                    made[place] = replace(draft, lost=lost)
                elif next(kept):
                    made[place] = Made(draft.decision, lost=lost)
        if len(made) < len(questions):
            raise Crowded("too many decisions about the same people at once; ask again")
        return [made[place] for place in range(len(questions))]

    def _drafted(
        self,
        questions: Sequence[Question],
        purse: Purse,
        signed: Signed,
        made_at: int,
        new_id: Callable[[], str],
        keep: bool,
        key: int | None,
    ) -> list[Made | Reservation]:
        """What to answer: earlier decisions that still stand, and new ones, to be reserved."""
        drafting = _Drafting(self, purse, signed, made_at, new_id, keep, key)
        try:
            return drafting.drafts(questions)
        except (AskedWrongly, KeyReused, StoreError):
            raise
        except Exception:
            if len(questions) > 1:  # one customer must not spoil the answers of all
                return [
                    draft
                    for one in questions
                    for draft in self._drafted([one], purse, signed, made_at, new_id, keep, key)
                ]
            log.exception("%s version %s raised an error", signed.model["name"], signed.model["version"])
            return [drafting.fallback(questions[0])]

    # What both drafting and looking again need

    def look(self, question: Question) -> tuple[Seen, Standing]:
        """A person, and what was decided for them."""
        mark = self._events.watermark()
        seen = self.customers.look(question.who, question.at, past=question.past, upto=mark.seq)
        return seen, self.standing(seen)

    def standing(self, seen: Seen) -> Standing:
        """What was decided for a person."""
        return self._decisions.standing(seen.digests, since=seen.at - REMEMBERED)

    def contacts(self, seen: Seen, standing: Standing, *, but: str | None = None) -> list[Sent]:
        """What was sent to a person, and what is reserved: of a decision that was reported, the sending counts."""
        labels = {one.decision_id: one.contact.action for one in standing.choices if one.contact is not None}
        sent = [
            one if one.action is not None else replace(one, action=labels.get(one.decision_id or ""))
            for one in seen.sent
        ]
        return sent + self.waiting(seen, standing, but=but)

    def waiting(self, seen: Seen, standing: Standing, *, but: str | None = None) -> list[Sent]:
        """Contacts that are reserved and not reported."""
        reported = {one.decision_id for one in seen.sent}
        return [
            reserved(one.contact)
            for one in standing.choices
            if one.contact is not None
            and one.state == "reserved"
            and one.contact.until > seen.at
            and one.decision_id not in reported
            and one.decision_id != but
        ]

    def decided(
        self, question: Question, seen: Sequence[Seen], contacts: Sequence[Sequence[Sent]], purse: Purse
    ) -> Decided:
        """The decision itself, for people who are asked the same about."""
        crowd = crowd_of(
            seen, contacts, self.customers.names, tuple(self.config.channels), self.config.attributes, self.scores
        )
        bound = bool(purse.names)
        return decide(
            question.asked,
            crowd,
            self.model,
            self.config,
            prices=purse.prices if bound else None,
            explorable=purse.explorable if bound else None,
            holding=self.holding,
        )

    def fill(self, question: Question, seen: Seen, label: str, *, keep: bool, exclude: tuple[str, ...] = ()) -> Any:
        """The products of a message, None where its action has none."""
        action = self.config.actions[split_label(label)[0]]
        if action.placement is None:
            return None
        beside = anchors(self._events, seen.person, action.anchors, upto=seen.seq)
        wanted = Wanted(question.who, action.placement, action.count, beside, question.at, exclude)
        return self._shelf.fill(wanted, keep=keep)

    def discount(self, label: str) -> float:
        """The share of the order that an offer gives."""
        name, offer = split_label(label)
        return next((one.discount for one in self.config.actions[name].offers if one.name == offer), 0.0)

    @property
    def stores(self) -> tuple[EventStore, DecisionStore, Shelf]:
        """What it stands on."""
        return self._events, self._decisions, self._shelf


class _Drafting:
    """One round of questions."""

    def __init__(
        self,
        desk: Desk,
        purse: Purse,
        signed: Signed,
        made_at: int,
        new_id: Callable[[], str],
        keep: bool,
        key: int | None,
    ) -> None:
        self._desk = desk
        self._purse = purse
        self._signed = signed
        self._made_at = made_at
        self._new_id = new_id
        self._keep = keep
        self._key = key
        self._window = desk.config.policy.window_hours * HOUR

    def drafts(self, questions: Sequence[Question]) -> list[Made | Reservation]:
        """See `Desk._drafted`."""
        desk = self._desk
        looked = [desk.look(question) for question in questions]
        earlier = [self._earlier(*one) for one in zip(questions, looked, strict=True)]
        seen = [one for one, _ in looked]
        # An earlier answer to the same question is no hindrance to giving it again.
        contacts = [
            desk.contacts(*look, but=None if one is None else one.decision_id)
            for look, one in zip(looked, earlier, strict=True)
        ]
        decided = desk.decided(questions[0], seen, contacts, self._purse)
        found: dict[int, Made | Reservation] = {}
        anew = []
        for row, (question, look, one) in enumerate(zip(questions, looked, earlier, strict=True)):
            stands = None if one is None else self._stands(one, look[0], eligible_labels(decided, row))
            if stands is not None:
                found[row] = Made(stands, again=True)
            elif one is not None and self._is_out(one, look[0]):
                anew.append(row)  # it may be on its way: now it counts as any other contact
            else:
                found[row] = self._draft(question, look, one, decided, row)
        if anew:
            some = [desk.contacts(*looked[row]) for row in anew]
            decided = desk.decided(questions[0], [seen[row] for row in anew], some, self._purse)
            for place, row in enumerate(anew):
                found[row] = self._draft(questions[row], looked[row], None, decided, place)
        return [found[row] for row in range(len(questions))]

    def _earlier(self, question: Question, looked: tuple[Seen, Standing]) -> Choice | None:
        """The newest answer to the same question in this window, or to the same key."""
        if not self._keep:
            return None
        seen, standing = looked
        _, decisions, _ = self._desk.stores
        named = None if self._key is None else decisions.by_key(self._key)
        if named is not None:
            choice = decisions.choice(named)
            if choice is not None and choice.question != question.number:
                raise KeyReused("this Idempotency-Key came with another question before; take a new one")
        since = seen.at // self._window * self._window
        same = [
            one
            for one in standing.choices
            if one.question == question.number
            and (since <= one.at <= seen.at or one.decision_id == named)
            and one.state != "released"
            and (one.contact is None or one.contact.until > seen.at)
        ]
        return same[-1] if same else None

    def _stands(self, choice: Choice, seen: Seen, eligible: list[str]) -> Decision | None:
        """The decision, if nothing has changed that it was made from."""
        events, decisions, _ = self._desk.stores
        kept = decisions.read(choice.decision_id)
        if not isinstance(kept, Decision) or kept.answer["degraded"]:
            return None
        if (kept.model, kept.rules, kept.answer["eligible"]) != (self._signed.model, self._signed.rules, eligible):
            return None
        newer = events.events_of(seen.person, first=kept.watermark.seq + 1, upto=seen.seq)
        return kept if next(newer, None) is None else None

    @staticmethod
    def _is_out(choice: Choice, seen: Seen) -> bool:
        """Whether an earlier contact can not be called back any more."""
        reported = any(one.decision_id == choice.decision_id for one in seen.sent)
        return choice.contact is not None and not reported and choice.contact.send_at <= seen.at

    def _draft(
        self, question: Question, looked: tuple[Seen, Standing], earlier: Choice | None, decided: Decided, row: int
    ) -> Reservation:
        """A new decision, which takes the place of an earlier one."""
        desk, (seen, standing) = self._desk, looked
        chosen, arm = decided.chosen, int(decided.chosen.arm[row])
        label, channel = decided.weighed.menu.arms.pair(arm)
        answer = told(decided, row)
        contact, listed = None, None
        if arm > 0:
            send_at = int(chosen.send_at[row])
            send_at = question.at if send_at == ON_PAGE else send_at
            contact = Contact(label, channel, send_at, send_at + GRACE)
            filled = desk.fill(question, seen, label, keep=self._keep)
            if filled is not None:
                answer["choice"]["product_ids"] = list(filled.product_ids)
                listed = filled.decision_id
        given_up = None if earlier is None else earlier.decision_id
        waiting = desk.waiting(seen, standing, but=given_up)
        answer |= {
            "policy": {"name": self._signed.model["name"], "version": self._signed.model["version"]},
            "eligible": eligible_labels(decided, row),
            "cost": float(decided.weighed.values.cost[arm]),
            "discount": 0.0 if contact is None else desk.discount(label),
            "explored": bool(chosen.explored[row]),
            "holdout": bool(chosen.in_holdout[row]),
            "products_decision_id": listed,
            "degraded": False,
        }
        request = question.to_json() | {
            "waiting": [[one.action, one.channel, one.time] for one in waiting],
            "budgets": self._purse.to_json(),
        }
        uses = () if contact is None else self._purse.uses(arm, explored=bool(chosen.explored[row]))
        return self._reservation(question, seen, standing, request, answer, contact, uses, given_up)

    def fallback(self, question: Question) -> Reservation:
        """Hold, because the model failed."""
        seen, standing = self._desk.look(question)
        answer = hold_answer(str(moment(question.at + HOUR))) | {
            "policy": {"name": "fallback", "version": self._signed.model["version"]},
            "eligible": [],
            "cost": 0.0,
            "discount": 0.0,
            "explored": False,
            "holdout": False,
            "products_decision_id": None,
            "degraded": True,
        }
        return self._reservation(question, seen, standing, question.to_json(), answer, None, (), None)

    def _reservation(
        self,
        question: Question,
        seen: Seen,
        standing: Standing,
        request: Json,
        answer: Json,
        contact: Contact | None,
        uses: tuple[Any, ...],
        replaces: str | None,
    ) -> Reservation:
        decision = Decision(
            id=self._new_id(),
            at=self._made_at,
            kind=ACTION,
            customer_id=question.who.customer_id,
            anonymous_id=question.who.anonymous_id,
            model=self._signed.model,
            rules=self._signed.rules,
            watermark=Watermark(seen.seq, 0, 0),
            request=request,
            answer=answer,
        )
        decision = replace(decision, digest=digest_of(told_of(decision)))
        return Reservation(
            decision,
            seen.digests,
            standing.version,
            question.number,
            contact,
            at=question.at,
            uses=uses,
            replaces=replaces,
            key=self._key,
        )


def digest_of(answer: Json) -> str:
    """SHA-256, hexadecimal, of an answer as JSON."""
    return hashlib.sha256(orjson.dumps(answer)).hexdigest()
