"""Contacts that decisions reserve: what every store of decisions does, and what several processes make of it."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.people import identity_digest
from features.store import reserving
from features.store.base import (
    Choice,
    Contact,
    Decision,
    DecisionStore,
    Event,
    Reservation,
    Standing,
    StoreError,
    Use,
)
from features.store.event_tables import UPGRADES
from features.store.memory import MemoryDecisions
from features.store.sqlite import SqliteDecisions, SqliteEvents
from tests.features.store.contract import decision

ANNA, VISITOR = identity_digest("customer", "anna"), identity_digest("visitor", "v")
MAIL = Contact("survey", "email", send_at=100, until=160)
PUSH = Contact("survey", "web_push", send_at=110, until=170)


def reservation(identifier: str, contact: Contact | None = MAIL, *, expected: int = 0, **parts: Any) -> Reservation:
    at = parts.pop("at", 1)
    who = parts.pop("who", (ANNA,))
    made = replace(decision(identifier, at=at, customer_id=parts.pop("customer_id", "anna")), kind="action")
    return Reservation(made, who, expected, parts.pop("question", 7), contact, at=at, **parts)


def money(amount: float, limit: float = 10.0, period: str = "today") -> tuple[Use, ...]:
    return (Use("mail", period, amount, limit),)


def record(of: str, *, at: int = 50) -> Decision:
    return replace(decision(f"release of {of}", at=at, customer_id="anna"), kind="release")


class ReservationContract:
    """A store of decisions; the fixture is an empty one."""

    def test_nobody_was_decided_for(self, store: DecisionStore) -> None:
        assert store.standing([ANNA, VISITOR], since=0) == Standing(0, ())
        assert store.choice("d") is None
        assert store.by_key(1) is None
        assert store.used("mail", "today") == 0
        assert store.reserve([]) == []

    def test_a_decision_comes_with_its_contact(self, store: DecisionStore) -> None:
        asked = reservation("d", at=5)
        assert store.reserve([asked]) == [True]
        assert store.read("d") == asked.decision
        assert store.choice("d") == Choice("d", 5, 7, "reserved", 5, MAIL)
        assert store.standing([ANNA], since=0) == Standing(1, (Choice("d", 5, 7, "reserved", 5, MAIL),))
        assert store.standing([VISITOR], since=0) == Standing(0, ())

    def test_a_hold_is_a_choice_without_contact(self, store: DecisionStore) -> None:
        assert store.reserve([reservation("d", None)]) == [True]
        assert store.choice("d") == Choice("d", 1, 7, "hold", 1, None)

    def test_of_two_who_saw_the_same_the_first_is_kept(self, store: DecisionStore) -> None:
        assert store.reserve([reservation("first")]) == [True]
        assert store.reserve([reservation("second")]) == [False]
        assert store.read("second") is None
        assert store.choice("second") is None
        assert store.reserve([reservation("second", expected=1)]) == [True]

    def test_others_are_no_hindrance(self, store: DecisionStore) -> None:
        other = reservation("d2", who=(identity_digest("customer", "ben"),), customer_id="ben")
        assert store.reserve([reservation("d1"), other]) == [True, True]

    def test_within_a_batch_the_first_is_kept(self, store: DecisionStore) -> None:
        asked = [reservation("d1"), reservation("d2"), reservation("d3", expected=1)]
        assert store.reserve(asked) == [True, False, True]
        assert [one.decision_id for one in store.standing([ANNA], since=0).choices] == ["d1", "d3"]

    def test_what_a_visitor_was_promised_counts_for_the_customer(self, store: DecisionStore) -> None:
        store.reserve([reservation("d1", who=(VISITOR,))])
        assert store.standing([ANNA, VISITOR], since=0).version == 1
        assert store.reserve([reservation("d2", who=(ANNA, VISITOR))]) == [False]
        assert store.reserve([reservation("d2", who=(ANNA, VISITOR), expected=1)]) == [True]
        standing = store.standing([ANNA, VISITOR], since=0)
        assert (standing.version, [one.decision_id for one in standing.choices]) == (2, ["d1", "d2"])

    def test_standing_tells_what_is_new_and_what_still_counts(self, store: DecisionStore) -> None:
        store.reserve([reservation("old hold", None, at=1), reservation("waiting", MAIL, expected=1, at=2)])
        store.reserve([reservation("lapsed", Contact("a", None, 3, 63), expected=2, at=3)])
        store.reserve([reservation("new hold", None, expected=3, at=120)])
        found = store.standing([ANNA], since=120)
        assert (found.version, [one.decision_id for one in found.choices]) == (4, ["waiting", "new hold"])

    def test_a_later_decision_takes_the_place_of_an_earlier_one(self, store: DecisionStore) -> None:
        store.reserve([reservation("d1", uses=money(8))])
        later = reservation("d2", PUSH, expected=1, at=9, replaces="d1", uses=money(9))
        assert store.reserve([later]) == [True]
        assert store.choice("d1") == Choice("d1", 1, 7, "released", 9, MAIL)
        assert store.used("mail", "today") == 9

    def test_a_budget_is_never_exceeded(self, store: DecisionStore) -> None:
        assert store.reserve([reservation("d1", uses=money(6))]) == [True]
        assert store.reserve([reservation("d2", expected=1, uses=money(4.5))]) == [False]
        assert store.standing([ANNA], since=0).version == 1
        assert store.reserve([reservation("d2", expected=1, uses=money(4))]) == [True]
        assert store.used("mail", "today") == 10
        assert store.reserve([reservation("d3", expected=2, uses=money(1, period="tomorrow"))]) == [True]
        assert store.reserve([reservation("d4", expected=3, uses=(*money(1, period="tomorrow"), *money(1)))]) == [False]
        assert store.used("mail", "tomorrow") == 1

    def test_ten_tenths_are_one(self, store: DecisionStore) -> None:
        found = [store.reserve([reservation(str(n), expected=n, uses=money(0.1, limit=1))])[0] for n in range(11)]
        assert found == [True] * 10 + [False]

    def test_giving_up_a_contact(self, store: DecisionStore) -> None:
        store.reserve([reservation("d", uses=money(8))])
        assert not store.revise("d", None, record("d"), who=[ANNA], expected=0)
        assert store.read("release of d") is None
        assert store.revise("d", None, record("d", at=50), who=[ANNA], expected=1)
        assert store.choice("d") == Choice("d", 1, 7, "released", 50, MAIL)
        assert store.read("release of d") == record("d", at=50)
        assert store.used("mail", "today") == 0
        assert store.standing([ANNA], since=0).version == 2
        assert not store.revise("d", None, record("d", at=51), who=[ANNA], expected=2), "it was given up before"
        assert store.used("mail", "today") == 0

    def test_another_contact_in_its_place(self, store: DecisionStore) -> None:
        store.reserve([reservation("d", uses=money(8))])
        assert store.revise("d", PUSH, record("d", at=50), who=[ANNA], expected=1)
        assert store.choice("d") == Choice("d", 1, 7, "reserved", 50, PUSH)
        assert store.used("mail", "today") == 8

    def test_what_was_never_reserved_cannot_be_given_up(self, store: DecisionStore) -> None:
        store.reserve([reservation("hold", None)])
        assert not store.revise("hold", None, record("hold"), who=[ANNA], expected=1)
        assert not store.revise("nothing", PUSH, record("nothing"), who=[ANNA], expected=1)
        assert store.standing([ANNA], since=0).version == 1

    def test_a_key_leads_to_the_last_decision_made_with_it(self, store: DecisionStore) -> None:
        store.reserve([reservation("d1", key=-5)])
        assert store.by_key(-5) == "d1"
        store.reserve([reservation("d2", key=-5, expected=1)])
        assert store.by_key(-5) == "d2"
        assert store.by_key(5) is None

    def test_one_id_is_one_decision(self, store: DecisionStore) -> None:
        store.reserve([reservation("d")])
        with pytest.raises(StoreError, match="already"):
            store.reserve([reservation("e", expected=1), reservation("d", expected=2)])
        assert store.read("e") is None
        assert store.standing([ANNA], since=0).version == 1

    def test_decisions_on_actions_are_told_apart(self, store: DecisionStore) -> None:
        store.reserve([reservation("d1"), reservation("d2", None, expected=1)])
        store.write(decision("list"))
        store.revise("d1", None, record("d1"), who=[ANNA], expected=2)
        assert [name for _, name in store.ids(actions=True)] == ["d1", "d2"]
        assert [name for _, name in store.ids(actions=True, after=store.ids()[0][0], limit=1)] == ["d2"]
        assert len(store.ids()) == 4

    def test_erasing_a_person(self, store: DecisionStore) -> None:
        store.reserve([reservation("d", key=3, uses=money(4))])
        expected = store.standing([ANNA], since=0).version
        store.revise("d", PUSH, record("d"), who=[ANNA], expected=expected)
        expected = store.standing([ANNA], since=0).version
        assert store.erase(customer_ids=["anna"], anonymous_ids=[]) == 2
        assert store.standing([ANNA], since=0).choices == ()
        assert store.choice("d") is None
        assert store.by_key(3) is None
        assert store.used("mail", "today") == 4, "it may have been spent"
        assert store.reserve([reservation("late", expected=expected)]) == [False], "decided before the erasing"

    def test_pruning_keeps_what_is_still_to_be_sent(self, store: DecisionStore) -> None:
        store.reserve([reservation("hold", None, key=1), reservation("mail", MAIL, expected=1, uses=money(1), key=2)])
        assert store.prune(160) == 1
        assert store.choice("mail") is not None
        assert (store.by_key(1), store.by_key(2)) == (None, "mail")
        assert store.prune(161) == 1
        assert store.choice("mail") is None
        assert store.by_key(2) is None
        assert store.used("mail", "today") == 0, "nobody asks for that day again"


class TestMemory(ReservationContract):
    @pytest.fixture
    def store(self) -> MemoryDecisions:
        return MemoryDecisions()


class TestSqlite(ReservationContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteDecisions]:
        store = SqliteDecisions(tmp_path / "decisions.db")
        yield store
        store.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "give up", "exchange", "erase", "prune"]),
        st.integers(0, 2),  # whose
        st.integers(0, 2),  # how far behind the version seen is
        st.sampled_from([0.0, 0.3, 0.7, 1.0]),  # of a budget
        st.sampled_from([None, MAIL, PUSH]),
        st.integers(0, 8),  # an earlier decision
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_sqlite_says_what_memory_says(steps: Sequence[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("home") / "decisions.db"
    stores: list[MemoryDecisions | SqliteDecisions] = [MemoryDecisions(), SqliteDecisions(file), SqliteDecisions(file)]
    for number, (what, whose, behind, amount, contact, earlier) in enumerate(steps, start=1):
        who, name = (identity_digest("customer", str(whose)),), str(whose)
        said = []
        for store in (stores[0], stores[1 + number % 2]):
            expected = max(0, store.standing(who, since=0).version - behind // 2)
            at = number * 20
            if what == "reserve":
                one = reservation(
                    f"d{number}", contact, expected=expected, who=who, customer_id=name, at=at,
                    uses=money(amount, limit=2) if contact and amount else (), key=earlier,
                    replaces=f"d{earlier}" if earlier else None,
                )  # fmt: skip
                said.append(store.reserve([one]))
            elif what in ("give up", "exchange"):
                of = f"d{earlier}"
                made = replace(decision(f"r{number}", at=at, customer_id=name), kind="release")
                given_up = None if what == "give up" else PUSH
                said.append([store.revise(of, given_up, made, who=who, expected=expected)])
            elif what == "erase":
                store.erase(customer_ids=[name], anonymous_ids=[])
            else:
                store.prune(at - 100)
        assert said[:1] == said[1:]
        told = [_told(store) for store in stores]
        assert told[0] == told[1] == told[2]
        assert told[0][1] <= 2 + 1e-9
    for store in stores:
        store.close()


def _told(store: DecisionStore) -> tuple[object, float, object]:
    everybody = [identity_digest("customer", str(number)) for number in range(3)]
    choices = store.standing(everybody, since=0).choices
    return choices, store.used("mail", "today"), [store.by_key(key) for key in range(9)]


def _race(file: Path, name: str, tries: int) -> None:
    """Decide for everybody until nothing may be decided any more: a cap of one contact, and a budget of 30."""
    store = SqliteDecisions(file)
    for number in range(tries):
        who = (number % 20,)
        while True:
            standing = store.standing(who, since=0)
            contact = None if any(one.contact for one in standing.choices) else MAIL
            used = store.used("mail", "today")
            uses = money(2, limit=30) if contact else ()
            if contact and used + 2 > 30:
                contact, uses = None, ()
            made = reservation(f"{name}/{number}", contact, expected=standing.version, who=who, uses=uses)
            try:
                kept = store.reserve([made])
            except StoreError:  # the other process kept the file for too long
                continue
            if kept == [True]:
                break
    store.close()


def test_two_processes_cannot_both_use_the_last_place(tmp_path: Path) -> None:
    file = tmp_path / "decisions.db"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_race, args=(file, str(which), 60)) for which in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    store = SqliteDecisions(file)
    assert len(store.ids()) == 120, "every decision is kept once"
    contacts = [sum(one.contact is not None for one in store.standing([who], since=0).choices) for who in range(20)]
    assert max(contacts) == 1
    assert sum(contacts) == 15
    assert store.used("mail", "today") == 30
    store.close()


def _made_by_version_1(file: Path, added: Sequence[str]) -> None:
    """Take from a new file what the second version added."""
    connection = sqlite3.connect(file, isolation_level=None)
    for statement in reversed(added):
        kind, name = statement.split()[1:3]
        connection.execute(f"DROP {kind} {name.partition('(')[0]}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()


def test_a_file_of_the_first_version_is_brought_up(tmp_path: Path) -> None:
    decisions, events = tmp_path / "decisions.db", tmp_path / "events.db"
    store, log = SqliteDecisions(decisions), SqliteEvents(events)
    store.write(decision("list"))
    log.append([Event("send", 1, 1, customer_id="anna")])
    store.close()
    log.close()
    _made_by_version_1(decisions, reserving.SCHEMA)
    _made_by_version_1(events, UPGRADES[1])
    store, log = SqliteDecisions(decisions), SqliteEvents(events)
    assert store.read("list") == decision("list")
    assert store.reserve([reservation("d")]) == [True]
    assert [event.time for _, event in log.messages_of(log.person(customer_id="anna"))] == [1]
    store.close()
    log.close()
