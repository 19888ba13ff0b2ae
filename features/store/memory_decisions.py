"""The log of decisions in memory: for tests, and as the plain statement of what a store does."""
# ruff: noqa: D102 - the protocol says what the methods do

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal

from features.store.base import (
    ERASED,
    Choice,
    ChoiceState,
    Contact,
    Decision,
    Reservation,
    Standing,
    StoreError,
    Use,
)


class MemoryDecisions:
    """A `DecisionStore` in memory."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._last = 0
        self._decisions: dict[str, tuple[int, Decision]] = {}
        self._erased: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._choices: dict[str, tuple[int, Choice, tuple[Use, ...]]] = {}  # whose, what, for what of budgets
        self._versions: dict[int, int] = {}
        self._keys: dict[int, str] = {}
        self._budgets: dict[tuple[str, str], tuple[float, int]] = {}  # what is used, and since when

    def write(self, *decisions: Decision) -> None:
        with self._lock:
            self._check_new([decision.id for decision in decisions])
            for decision in decisions:
                self._last += 1
                self._decisions[decision.id] = self._last, decision

    def _check_new(self, ids: Sequence[str]) -> None:
        for place, identifier in enumerate(ids):
            if identifier in self._decisions or identifier in ids[:place]:
                raise StoreError(f"there is a decision {identifier} already")

    def standing(self, who: Sequence[int], *, since: int) -> Standing:
        with self._lock:
            own = (choice for whose, choice, _ in self._choices.values() if whose in who)
            choices = tuple(
                one for one in own if one.at >= since or (one.contact is not None and one.contact.until > since)
            )
            return Standing(self._version(who), choices)

    def _version(self, who: Sequence[int]) -> int:
        return sum(self._versions.get(one, 0) for one in set(who))

    def reserve(self, reservations: Sequence[Reservation]) -> list[bool]:
        with self._lock:
            self._check_new([one.decision.id for one in reservations])
            return [self._reserve(one) for one in reservations]

    def _reserve(self, one: Reservation) -> bool:
        if self._version(one.who) != one.expected:
            return False
        freed = {(use.budget, use.period): use.amount for use in self._held(one.replaces)}
        for use in one.uses:
            left = use.limit - self.used(use.budget, use.period) + freed.get((use.budget, use.period), 0.0)
            if use.amount > left + 1e-9 * max(1.0, abs(use.limit)):
                return False
        decision = one.decision
        self.write(decision)
        if one.replaces is not None:
            self._release(one.replaces, one.at)
        state: ChoiceState = "hold" if one.contact is None else "reserved"
        choice = Choice(decision.id, one.at, one.question, state, one.at, one.contact)
        self._choices[decision.id] = one.who[0], choice, one.uses
        self._take(one.uses, decision.at, 1)
        self._touch(one.who[0])
        if one.key is not None:
            self._keys[one.key] = decision.id
        return True

    def revise(self, of: str, contact: Contact | None, record: Decision, *, who: Sequence[int], expected: int) -> bool:
        with self._lock:
            if self._version(who) != expected or not self._is_reserved(of):
                return False
            if contact is None:
                self._release(of, record.at)
            else:
                whose, choice, uses = self._choices[of]
                self._choices[of] = whose, replace(choice, contact=contact, changed=record.at), uses
            self.write(record)
            self._touch(who[0])
            return True

    def _is_reserved(self, decision_id: str | None) -> bool:
        return decision_id in self._choices and self._choices[decision_id][1].state == "reserved"

    def _held(self, decision_id: str | None) -> tuple[Use, ...]:
        """What a contact that still holds its place took of budgets."""
        return self._choices[str(decision_id)][2] if self._is_reserved(decision_id) else ()

    def _release(self, decision_id: str, at: int) -> None:
        if self._is_reserved(decision_id):
            whose, choice, uses = self._choices[decision_id]
            self._choices[decision_id] = whose, replace(choice, state="released", changed=at), uses
            self._take(uses, 0, -1)

    def _take(self, uses: Sequence[Use], at: int, sign: int) -> None:
        for use in uses:
            before, since = self._budgets.get((use.budget, use.period), (0.0, at))
            self._budgets[use.budget, use.period] = before + sign * use.amount, max(since, at)

    def _touch(self, who: int) -> None:
        self._versions[who] = self._versions.get(who, 0) + 1

    def choice(self, decision_id: str) -> Choice | None:
        with self._lock:
            return self._choices[decision_id][1] if decision_id in self._choices else None

    def by_key(self, key: int) -> str | None:
        with self._lock:
            return self._keys.get(key)

    def used(self, budget: str, period: str) -> float:
        with self._lock:
            return self._budgets.get((budget, period), (0.0, 0))[0]

    def read(self, decision_id: str) -> Decision | Literal["erased"] | None:
        with self._lock:
            if decision_id in self._decisions:
                return self._decisions[decision_id][1]
            return ERASED if decision_id in self._erased else None

    def ids(self, *, after: int = 0, limit: int = 10_000, actions: bool = False) -> list[tuple[int, str]]:
        with self._lock:
            found = (
                (number, name)
                for name, (number, _) in self._decisions.items()
                if number > after and (not actions or name in self._choices)
            )
            return list(islice(found, limit))

    def keep_text(self, text: str) -> str:
        with self._lock:
            key = hashlib.sha256(text.encode()).hexdigest()
            self._texts[key] = text
            return key

    def text(self, digest: str) -> str | None:
        with self._lock:
            return self._texts.get(digest)

    def bundles(self) -> set[str]:
        with self._lock:
            return {str(decision.model["bundle"]) for _, decision in self._decisions.values()}

    def erase(
        self, *, customer_ids: Sequence[str], anonymous_ids: Sequence[str], session_ids: Sequence[str] = ()
    ) -> int:
        with self._lock:
            found = {
                decision.id: decision.at
                for _, decision in self._decisions.values()
                if decision.customer_id in customer_ids
                or (decision.customer_id is None and decision.anonymous_id in anonymous_ids)
                or (decision.customer_id is decision.anonymous_id is None and decision.session_id in session_ids)
            }
            self._erased |= found
            return self._drop(found)

    def prune(self, before: int) -> int:
        with self._lock:
            self._erased = {decision_id: at for decision_id, at in self._erased.items() if at >= before}
            self._budgets = {key: (used, at) for key, (used, at) in self._budgets.items() if at >= before}
            waiting = {
                name
                for name, (_, choice, _) in self._choices.items()
                if choice.contact is not None and choice.contact.until >= before
            }
            old = {decision.id for _, decision in self._decisions.values() if decision.at < before}
            return self._drop(old - waiting)

    def _drop(self, ids: Collection[str]) -> int:
        for decision_id in ids:
            del self._decisions[decision_id]
            whose, *_ = self._choices.pop(decision_id, (None,))
            if whose is not None:
                self._touch(whose)
        self._keys = {key: name for key, name in self._keys.items() if name not in ids}
        return len(ids)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
