"""A decision looked at again just before it is sent: may it still go, in another form, or not at all?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from features.events import Kind
from features.store.base import Choice, Contact, Decision, EventStore, Json, Watermark
from nba.arms import split_label
from nba.choose import ON_PAGE
from nba.codes import Code
from nba.decide import weighed
from nba.desk import GRACE, TRIES, Crowded, Desk
from nba.one_customer import Seen
from nba.questions import RELEASE, Question
from nba.telling import moment
from nba.weighing import Weighed

Verdict = Literal["send", "replace", "cancel"]

#: Rows of the log in which later purchases are looked for.
NEWEST = 1000


@dataclass(frozen=True)
class Released:
    """What is to be done.

    Attributes:
        verdict: send it as it is, send ``choice`` instead, or send nothing.
        reason: why; "unchanged" for send.
        choice: what is to be sent, None for cancel.
    """

    verdict: Verdict
    reason: str
    choice: Json | None

    def to_json(self) -> Json:
        """As it is told."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            **({} if self.choice is None else {"choice": self.choice}),
        }


CANCEL: Verdict = "cancel"


def release(desk: Desk, decision: Decision, *, now: int, made_at: int) -> Released:
    """Look again at a decision on the next action, and keep what became of it.

    Looked at are what may be done (consent, reachability, whom the action is for, caps, cooldowns, quiet hours: all
    that the configuration says), and the products: what was bought since or cannot be bought any more is replaced.
    Where the channel is closed, another one of the same action takes its place. A cancellation frees the contact.

    Args:
        desk: of the model that serves now.
        decision: of kind `nba.questions.ACTION`.
        now: the moment, microseconds UTC.
        made_at: the clock.

    Raises:
        StoreError: nothing could be read, or kept.
    """
    _, decisions, _ = desk.stores
    for _ in range(TRIES):
        choice = decisions.choice(decision.id)
        done = _settled(desk, decision, choice, now)
        if done is not None:
            return done
        assert choice is not None  # noqa: S101  # else it is settled
        looking = _Looking(desk, decision, choice, now)
        found, contact = looking.verdict()
        if found.verdict == "send":
            return found
        record = looking.record(found, made_at)
        if decisions.revise(decision.id, contact, record, who=looking.seen.digests, expected=looking.standing.version):
            return found
    raise Crowded("too many decisions about the same person at once; ask again")


def _settled(desk: Desk, decision: Decision, choice: Choice | None, now: int) -> Released | None:
    """What needs no second look."""
    if choice is None or choice.contact is None:
        return Released(CANCEL, "hold", None)
    if choice.state == "released":
        last = last_record(desk, decision.id)
        reason = last.answer["reason"] if last is not None and last.answer["verdict"] == CANCEL else "superseded"
        return Released(CANCEL, str(reason), None)
    if now >= choice.contact.until:
        return Released(CANCEL, "expired", None)
    return Released(CANCEL, "holding", None) if desk.holding else None


def record_id(decision_id: str, number: int) -> str:
    """The id of what became of a decision, the first time (1) or later."""
    return f"{decision_id}-r{number}"


def last_record(desk: Desk, decision_id: str) -> Decision | None:
    """The last record of what became of a decision."""
    _, decisions, _ = desk.stores
    found, number = None, 1
    while isinstance(record := decisions.read(record_id(decision_id, number)), Decision):
        found, number = record, number + 1
    return found


class _Looking:
    """One second look."""

    def __init__(self, desk: Desk, decision: Decision, choice: Choice, now: int) -> None:
        assert choice.contact is not None  # noqa: S101
        self._desk = desk
        self._decision = decision
        self._contact = choice.contact
        asked = Question.of_json(decision.request)
        # A moment before its time is looked at as its time: quiet hours end, windows open.
        self._question = replace(asked, at=max(now, choice.contact.send_at), past=False)
        self.seen, self.standing = desk.look(self._question)
        before = last_record(desk, decision.id)
        self._number = 1 if before is None else int(before.request["number"]) + 1
        said: Json = decision.answer["choice"] if before is None else before.answer["choice"]
        self._products: list[str] = said["product_ids"]

    def verdict(self) -> tuple[Released, Contact | None]:
        """What is to be done, and the contact that stays reserved."""
        if any(one.decision_id == self._decision.id for one in self.seen.sent):
            return Released(CANCEL, "already_sent", None), None
        found = self._weighed()
        arm = found.menu.arms.find(self._contact.action, self._contact.channel)
        reason, contact = "unchanged", self._contact
        code = Code(int(found.codes[0, arm])) if arm >= 0 else Code.NOT_IN_CATALOGUE
        if code != Code.OPEN:
            other = self._another(found)
            if other is None:
                return Released(CANCEL, code.text, None), None
            reason, contact = code.text, other
        products, why = self._filled()
        if why == "no_products":
            return Released(CANCEL, why, None), None
        reason = why or reason
        if reason == "unchanged":
            return Released("send", reason, self._told(contact, self._products)), contact
        return Released("replace", reason, self._told(contact, products)), contact

    def _weighed(self) -> Weighed:
        desk, seen = self._desk, self.seen
        contacts = desk.contacts(seen, self.standing, but=self._decision.id)
        crowd = desk.crowd([seen], [contacts])
        # Now or not at all; nothing else was promised.
        asked = replace(self._question.asked, horizon_hours=0, actions=(self._contact.action,), journey=None)
        return weighed(asked, crowd, desk.model, desk.config)

    def _another(self, found: Weighed) -> Contact | None:
        """The same action on the channel that is worth most."""
        arms = found.menu.arms
        open_ = [arm for arm in np.flatnonzero(found.open[0]).tolist() if arms.pair(arm)[0] == self._contact.action]
        if not open_:
            return None
        best = max(open_, key=lambda arm: (float(found.value[0, arm]), -arm))
        at = self._question.at
        return Contact(self._contact.action, arms.pair(best)[1], at, at + GRACE)

    def _filled(self) -> tuple[list[str], str | None]:
        """The products of the message, and why they are others than before."""
        if not self._products:
            return [], None
        events, _, shelf = self._desk.stores
        bought = _bought_since(events, self.seen, self._decision.watermark)
        sold_out = shelf.gone(self._products)
        if not set(self._products) & (bought | sold_out):
            return self._products, None
        why = "bought" if set(self._products) & bought else "out_of_stock"
        exclude = tuple(sorted(bought | sold_out))
        filled = self._desk.fill(self._question, self.seen, self._contact.action, keep=True, exclude=exclude)
        fresh = [one for one in (filled.product_ids if filled is not None else ()) if one not in exclude]
        kept = fresh or [one for one in self._products if one not in exclude]
        return (kept, why) if kept else ([], "no_products")

    def _told(self, contact: Contact, products: Sequence[str]) -> Json:
        action, offer = split_label(contact.action)
        was = self._decision.answer["choice"]
        on_page = was["send_at"] is None
        return {
            "action": action,
            **({} if offer is None else {"offer": offer}),
            "channel": contact.channel,
            "send_at": moment(ON_PAGE if on_page else contact.send_at),
            "product_ids": list(products),
        }

    def record(self, found: Released, made_at: int) -> Decision:
        """What is kept of it."""
        decision = self._decision
        return Decision(
            id=record_id(decision.id, self._number),
            at=made_at,
            kind=RELEASE,
            customer_id=decision.customer_id,
            anonymous_id=decision.anonymous_id,
            model=decision.model,
            rules=decision.rules,
            watermark=Watermark(self.seen.seq, 0, 0),
            request={"decision_id": decision.id, "number": self._number, "at": self._question.at},
            answer={"verdict": found.verdict, "reason": found.reason, "choice": found.choice},
        )


def _bought_since(events: EventStore, seen: Seen, mark: Watermark) -> set[str]:
    """Products that somebody bought since a moment of the log."""
    tail = events.tail(seen.person, first=mark.seq + 1, upto=seen.seq, newest=NEWEST)
    bought = {int(product) for product, kind in zip(tail.product, tail.kind, strict=True) if kind == Kind.PURCHASE}
    return {events.product_ids(number, number + 1)[0] for number in bought}
