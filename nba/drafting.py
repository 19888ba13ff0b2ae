"""Answers to questions about the people of a live shop: given again, or decided, reserved and kept.

One code path for one question and for many. What was decided before stands for as long as nothing changed that it was
made from; a decision and the contact it reserves are written together, or not at all and decided again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from features.events import HOUR
from features.store.base import Choice, Contact, Decision, Json, Reservation, Standing, StoreError, Use, Watermark
from nba.asked import AskedWrongly
from nba.choose import ON_PAGE
from nba.decide import Decided
from nba.desk import GRACE, TRIES, Crowded, Desk, Pair
from nba.one_customer import Seen
from nba.purse import Purse, purse_at
from nba.questions import ACTION, Question, eligible_labels, hold_answer, told_of
from nba.telling import moment, told

log = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Circumstances:
    """What answers are given under.

    Attributes:
        signed: by what.
        made_at: the clock, microseconds UTC.
        new_id: makes decision ids.
        keep: write decisions, and reserve their contacts.
        key: digest of an Idempotency-Key, of one question.
        run: see `nba.purse.purse_at`.
        plan: by the name of whom a question is about, what was settled to be best for them under budgets.
    """

    signed: Signed
    made_at: int
    new_id: Callable[[], str]
    keep: bool = True
    key: int | None = None
    run: str | None = None
    plan: Mapping[str, Pair] = field(default_factory=dict)


def answers(desk: Desk, questions: Sequence[Question], under: Circumstances) -> list[Made]:
    """Answer questions that ask the same, about different people.

    Raises:
        nba.asked.AskedWrongly: the question names something there is not.
        KeyReused: the key came with another question.
        StoreError: nothing could be read, or kept.
    """
    _, decisions, _ = desk.stores
    made: dict[int, Made] = {}
    for lost in range(TRIES):
        left = [place for place in range(len(questions)) if place not in made]
        if not left:
            break
        purse = purse_at(desk.config, desk.model.arms, decisions, questions[0].at, run=under.run)
        drafts = _drafted(desk, [questions[place] for place in left], purse, under)
        new = [draft for draft in drafts if isinstance(draft, Reservation)]
        kept = iter(decisions.reserve(new) if under.keep else [True] * len(new))
        for place, draft in zip(left, drafts, strict=True):
            if isinstance(draft, Made):
                made[place] = replace(draft, lost=lost)
            elif next(kept):
                made[place] = Made(draft.decision, lost=lost)
    if len(made) < len(questions):
        raise Crowded("too many decisions about the same people at once; ask again")
    return [made[place] for place in range(len(questions))]


def _drafted(desk: Desk, questions: Sequence[Question], purse: Purse, under: Circumstances) -> list[Made | Reservation]:
    """What to answer: earlier decisions that still stand, and new ones, to be reserved."""
    drafting = _Drafting(desk, purse, under)
    try:
        return drafting.drafts(questions)
    except (AskedWrongly, KeyReused, StoreError):
        raise
    except Exception:
        if len(questions) > 1:  # one customer must not spoil the answers of all
            return [draft for one in questions for draft in _drafted(desk, [one], purse, under)]
        model = under.signed.model
        log.exception("%s version %s raised an error", model["name"], model["version"])
        return [drafting.fallback(questions[0])]


class _Drafting:
    """One round of questions."""

    def __init__(self, desk: Desk, purse: Purse, under: Circumstances) -> None:
        self._desk = desk
        self._purse = purse
        self._under = under
        self._window = desk.config.policy.window_hours * HOUR

    def drafts(self, questions: Sequence[Question]) -> list[Made | Reservation]:
        """See `_drafted`."""
        desk = self._desk
        looked = [desk.look(question) for question in questions]
        earlier = [self._earlier(*one) for one in zip(questions, looked, strict=True)]
        seen = [one for one, _ in looked]
        # An earlier answer to the same question is no hindrance to giving it again.
        contacts = [
            desk.contacts(*look, but=None if one is None else one.decision_id)
            for look, one in zip(looked, earlier, strict=True)
        ]
        planned = [self._under.plan.get(question.who.name) for question in questions]
        decided = desk.decided(questions[0], seen, contacts, self._purse, planned)
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
            rest = [planned[row] for row in anew]
            decided = desk.decided(questions[0], [seen[row] for row in anew], some, self._purse, rest)
            for place, row in enumerate(anew):
                found[row] = self._draft(questions[row], looked[row], None, decided, place)
        return [found[row] for row in range(len(questions))]

    def _earlier(self, question: Question, looked: tuple[Seen, Standing]) -> Choice | None:
        """The newest answer to the same question in this window, or to the same key."""
        if not self._under.keep:
            return None
        seen, standing = looked
        _, decisions, _ = self._desk.stores
        named = None if self._under.key is None else decisions.by_key(self._under.key)
        if named is not None:
            choice = decisions.choice(named)
            mine = any(one.decision_id == named for one in standing.choices)
            if choice is not None and (choice.question != question.number or not mine):
                raise KeyReused("this Idempotency-Key came with another question before; take a new one")
        reported = {one.decision_id for one in seen.sent}
        since = seen.at // self._window * self._window
        same = [
            one
            for one in standing.choices
            if one.question == question.number
            and (since <= one.at <= seen.at or one.decision_id == named)
            and one.state != "released"
            and one.decision_id not in reported
            and (one.contact is None or one.contact.until > seen.at)
        ]
        return same[-1] if same else None

    def _stands(self, choice: Choice, seen: Seen, eligible: list[str]) -> Decision | None:
        """The decision, if nothing has changed that it was made from."""
        events, decisions, _ = self._desk.stores
        kept = decisions.read(choice.decision_id)
        if not isinstance(kept, Decision) or kept.answer["degraded"]:
            return None
        if (kept.model, kept.rules, kept.answer["eligible"]) != (
            self._under.signed.model,
            self._under.signed.rules,
            eligible,
        ):
            return None
        newer = events.events_of(seen.person, first=kept.watermark.seq + 1, upto=seen.seq)
        return kept if next(newer, None) is None else None

    @staticmethod
    def _is_out(choice: Choice, seen: Seen) -> bool:
        """Whether an earlier contact cannot be called back any more."""
        return choice.contact is not None and choice.contact.send_at <= seen.at

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
            filled = desk.fill(question, seen, label, keep=self._under.keep)
            if filled is not None:
                answer["choice"]["product_ids"] = list(filled.product_ids)
                listed = filled.decision_id
        given_up = None if earlier is None else earlier.decision_id
        waiting = desk.waiting(seen, standing, but=given_up)
        answer |= {
            "policy": {"name": self._under.signed.model["name"], "version": self._under.signed.model["version"]},
            "eligible": eligible_labels(decided, row),
            "cost": float(decided.weighed.values.cost[arm]),
            "discount": 0.0 if contact is None else desk.discount(label),
            "explored": bool(chosen.explored[row]),
            "holdout": bool(chosen.in_holdout[row]),
            "products_decision_id": listed,
            "degraded": False,
        }
        request = question.to_json() | {
            "labels": desk.labels(seen, standing),
            "waiting": [[one.action, one.channel, one.time] for one in waiting],
            "budgets": self._purse.to_json(),
            "planned": self._under.plan.get(question.who.name),
        }
        uses = () if contact is None else self._purse.uses(arm, explored=bool(chosen.explored[row]))
        return self._reservation(question, seen, standing, request, answer, contact, uses, given_up)

    def fallback(self, question: Question) -> Reservation:
        """Hold, because the model failed."""
        seen, standing = self._desk.look(question)
        answer = hold_answer(str(moment(question.at + HOUR))) | {
            "policy": {"name": "fallback", "version": self._under.signed.model["version"]},
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
        uses: tuple[Use, ...],
        replaces: str | None,
    ) -> Reservation:
        decision = Decision(
            id=self._under.new_id(),
            at=self._under.made_at,
            kind=ACTION,
            customer_id=question.who.customer_id,
            anonymous_id=question.who.anonymous_id,
            model=self._under.signed.model,
            rules=self._under.signed.rules,
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
            key=self._under.key,
        )


def digest_of(answer: Json) -> str:
    """SHA-256, hexadecimal, of an answer as JSON."""
    return hashlib.sha256(orjson.dumps(answer)).hexdigest()
