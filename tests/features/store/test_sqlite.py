from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from features.store import database
from features.store.base import LATEST, Event, EventStore, Json, StoreError, Watermark
from features.store.memory import MemoryEvents
from features.store.sqlite import SqliteDecisions, SqliteEvents
from tests.features.store.contract import DecisionStoreContract, EventStoreContract, decision, event


class TestSqliteEvents(EventStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteEvents]:
        store = SqliteEvents(tmp_path / "home" / "events.db")
        yield store
        store.close()


class TestSqliteDecisions(DecisionStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteDecisions]:
        store = SqliteDecisions(tmp_path / "home" / "decisions.db")
        yield store
        store.close()


def maybe(values: str) -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from(values)


NAMES = [
    "view",
    "cart",
    "purchase",
    "purchase",
    "refund",
    "refund",
    "identify",
    "identify",
    "deliver",
    "subscribe",
    "send",
    "open",
    "click",
    "odd",
]
EVENTS = st.builds(
    Event,
    event=st.sampled_from(NAMES),
    time=st.integers(0, 5),
    known=st.integers(5, 9),
    customer_id=maybe("cd"),
    anonymous_id=maybe("cvw"),
    session_id=maybe("st"),
    order_id=st.sampled_from("op"),
    product_id=maybe("xy"),
    quantity=st.none() | st.sampled_from([1.0, 2.0]),
    price=st.none() | st.just(2.5),
    channel=maybe("ab"),
    decision_id=maybe("d"),
    event_id=maybe("123456789"),
    more=st.none() | st.fixed_dictionaries({"traits": st.dictionaries(st.sampled_from("mn"), st.integers(0, 3))}),
)
LINKS = st.tuples(st.sampled_from("cd"), st.sampled_from("vw"), st.integers(0, 9)).map(
    lambda said: event("identify", said[2], customer_id=said[0], anonymous_id=said[1])
)
WHO = st.fixed_dictionaries(
    {}, optional={"customer_id": st.sampled_from("cde"), "anonymous_id": st.sampled_from("cvw")}
)


def everything(store: EventStore) -> dict[str, Any]:
    """All that can be asked of a store."""
    mark = store.watermark()
    asked: list[dict[str, Any]] = [
        {"customer_id": "c"}, {"customer_id": "d"}, {"anonymous_id": "c"}, {"anonymous_id": "v"},
        {"anonymous_id": "w"}, {"session_id": "s"}, {"session_id": "t"},
    ]  # fmt: skip
    people = [store.person(**who, upto=upto) for who in asked for upto in (mark.seq // 2, mark.seq, 2**63 - 1)]
    tails = [
        store.tail(person, first=first, known_from=known_from, known_before=known_before, newest=newest)
        for person in people
        for first, known_from, known_before, newest in (
            (0, 0, LATEST, 100), (mark.seq // 2, 0, LATEST, 3), (0, 7, LATEST, 100), (1, 6, 8, 100)
        )
    ]  # fmt: skip
    return {
        "mark": mark,
        "rows": store.rows(),
        "some": store.rows(after=1, limit=2),
        "people": people,
        "events": [list(store.events_of(person)) for person in people],
        "middle": [list(store.events_of(person, first=2, upto=4)) for person in people],
        "tails": [(one.product.tolist(), one.kind.tolist(), one.time.tolist(), one.returned) for one in tails],
        "sessions": [store.sessions_of(person) for person in people],
        "traits": [store.traits(person) for person in people],
        "everyone": list(store.everyone()),
        "products": store.product_ids(),
        "changes": store.product_changes(),
        "newest": [store.product(name) for name in "wxyz"],
        "traffic": [column.tolist() for column in vars(store.traffic()).values()],
        "about": [list(store.events_about(product)) for product in range(mark.products)],
        "known": [store.first_known_from(known) for known in range(11)],
        "states": store.checkpoints("person", range(30), "f"),
        "erased": store.erased(),
        "erasures": store.erasures(),
        "erased at": [
            store.erased_at(kind, name) for kind in ("customer", "visitor", "session", "order") for name in "abcdosuvwx"
        ],
        "messages": [
            store.messages_of(person, since=since, upto=upto, known_before=known_before)
            for person in people
            for since, upto, known_before in ((0, LATEST, LATEST), (3, LATEST, 8), (0, 4, LATEST))
        ],
        "bought": [
            store.bought(person, upto=upto, known_before=known_before, newest=newest)
            for person in people
            for upto, known_before, newest in ((LATEST, LATEST, 200), (5, LATEST, 2), (LATEST, 8, 3))
        ],
        "newest times": [
            store.newest_time(person, name, channel=channel, first=first)
            for person in people
            for name in ("view", "refund", "odd")
            for channel in (None, "a")
            for first in (0, 3)
        ],
    }


class SameAsMemory(RuleBasedStateMachine):
    """Whatever is done to both, both say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.sqlite, self.memory = SqliteEvents(self.folder / "events.db"), MemoryEvents()
        self.other = SqliteEvents(self.folder / "events.db")  # as another process would have it
        self.clock = 10

    @rule(events=st.lists(EVENTS | LINKS, max_size=8), by_other=st.booleans())
    def append(self, events: list[Event], by_other: bool) -> None:
        store = self.other if by_other else self.sqlite
        assert store.append(events) == self.memory.append(events)

    @rule(products=st.lists(st.tuples(st.sampled_from("xyz"), st.none() | st.just({"a": 1})), max_size=3))
    def put_products(self, products: list[tuple[str, Json | None]]) -> None:
        assert self.sqlite.put_products(products, self.clock) == self.memory.put_products(products, self.clock)

    @rule(who=WHO.filter(bool), by_other=st.booleans())
    def erase(self, who: dict[str, str], by_other: bool) -> None:
        self.clock += 1
        store = self.other if by_other else self.sqlite
        assert store.erase(**who, at=self.clock) == self.memory.erase(**who, at=self.clock)

    @rule(
        states=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.binary(max_size=2)), max_size=3),
        erasures=st.integers(0, 2),
    )
    def save(self, states: list[tuple[int, int, bytes]], erasures: int) -> None:
        for store in (self.sqlite, self.memory):
            store.save_checkpoints("person", "f", states, erasures=erasures)

    @invariant()
    def both_say_the_same(self) -> None:
        found, expected = everything(self.sqlite), everything(self.memory)
        for name, value in expected.items():
            assert found[name] == value, name

    def teardown(self) -> None:
        self.sqlite.close()
        self.other.close()
        shutil.rmtree(self.folder)


def test_sqlite_says_what_memory_says() -> None:
    run_state_machine_as_test(SameAsMemory, settings=settings(max_examples=25, stateful_step_count=6, deadline=None))


# The file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def test_what_was_written_is_there_when_opened_again(file: Path) -> None:
    store = SqliteEvents(file)
    store.append([event("view", 1, anonymous_id="v", product_id="p", event_id="e")])
    rows = store.rows()
    store.close()
    again = SqliteEvents(file)
    assert again.rows() == rows
    assert again.append([event("view", 1, anonymous_id="v", event_id="e")]).accepted == [False]
    again.close()


def test_another_version_is_refused(file: Path) -> None:
    SqliteEvents(file).close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="format 99, this version of Segue reads format 2; export it"):
        SqliteEvents(file)


def test_a_damaged_file_is_told(file: Path) -> None:
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=r"events\.db: the file is damaged or no store; put a backup"):
        SqliteEvents(file)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written to; check the rights"):
        SqliteEvents(tmp_path / "home" / "events.db")


def test_a_closed_store_says_so(file: Path) -> None:
    store = SqliteEvents(file)
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        store.watermark()


def test_a_full_disk_keeps_what_was_acknowledged(file: Path) -> None:
    def narrow(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA max_page_count = 60")  # SQLite then says what it says of a full disk
        return connection

    store = SqliteEvents(file, connect=narrow)
    accepted = 0

    def fill() -> None:
        nonlocal accepted
        while True:
            text = {"x": "y" * 3000}
            store.append([event("view", 0, anonymous_id=f"v{accepted}", product_id=f"p{accepted}", more=text)])
            accepted += 1

    with pytest.raises(StoreError, match="the disk is full; make room"):
        fill()
    assert store.watermark().seq == accepted == len(store.rows()) > 0
    with pytest.raises(StoreError, match="full"):
        store.append([event("view", 0, anonymous_id="w", product_id="q", more={"x": "y" * 30_000})])
    assert store.person(anonymous_id="w").spans == ()
    store.close()
    # There is room again, and what could not be written left nothing behind in memory or file.
    again = SqliteEvents(file)
    assert again.append([event("view", 0, anonymous_id="w", product_id="q")]).seq == accepted + 1
    assert again.product_ids() == [f"p{number}" for number in range(accepted)] + ["q"]
    again.close()


def test_a_failed_append_numbers_nothing(file: Path) -> None:
    store = SqliteEvents(file)
    store.append([event("view", 1, anonymous_id="v", product_id="p")])
    with pytest.raises(TypeError):
        store.append([event("view", 1, anonymous_id="w", product_id="q", more={"x": object()})])
    store.append([event("view", 2, anonymous_id="x", product_id="r")])
    assert store.product_ids() == ["p", "r"]
    assert store.person(anonymous_id="w").spans == ()
    assert len(list(store.events_of(store.person(anonymous_id="x")))) == 1
    store.close()


def test_threads_write_and_read_at_once(file: Path) -> None:
    store = SqliteEvents(file)

    def work(name: str) -> None:
        for number in range(20):
            store.append([event("view", number, anonymous_id=name, product_id=f"p{number}")])
            assert len(store.tail(store.person(anonymous_id=name)).time) == number + 1

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, [f"v{number}" for number in range(4)]))
    assert store.watermark() == Watermark(80, 0, 20)
    store.close()


def test_long_logs_are_read_in_pages(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.store.sqlite_events.PAGE", 3)
    store, plain = SqliteEvents(file), MemoryEvents()
    for one in (store, plain):
        one.append([event("view", n, anonymous_id="vw"[n % 5 == 0], product_id="p") for n in range(20)])
        one.append([event("identify", 30, customer_id="c", anonymous_id=name) for name in "vw"])
        one.append([event("view", n, customer_id="c", product_id="p") for n in range(7)])
    who = store.person(customer_id="c")
    assert list(store.events_of(who)) == list(plain.events_of(who))
    assert list(store.events_of(who, first=4, upto=20)) == list(plain.events_of(who, first=4, upto=20))
    assert list(store.events_about(0)) == list(plain.events_about(0))
    store.close()


# Erasing


def test_no_byte_of_an_erased_person_is_left(tmp_path: Path) -> None:
    """Most people of a store are erased, one after the other, so that every page is written to again and again."""
    rng = np.random.default_rng(0)
    store, decisions = SqliteEvents(tmp_path / "events.db"), SqliteDecisions(tmp_path / "decisions.db")
    people = [f"{number:03d}" for number in range(150)]
    for turn in range(12):
        batch = []
        for place in rng.permutation(len(people)):
            who = f"-of-{people[place]}-"
            long = {"traits": {"email": f"mail{who}", "story": who * int(rng.integers(1, 900 if turn == 3 else 9))}}
            name = "identify" if turn % 3 == 0 else "purchase"
            batch.append(
                Event(
                    name, turn, turn, customer_id=f"c{who}", anonymous_id=f"v{who}", session_id=f"s{who}{turn}",
                    product_id=f"p{turn}", order_id=f"o{who}{turn}", event_id=f"{rng.integers(1 << 40)}{who}{turn}",
                    decision_id=f"d{who}", placement=f"l{who}", more=long,
                )
            )  # fmt: skip
            batch.append(Event("page", turn, turn, session_id=f"s{who}{turn}"))
            batch.append(Event("deliver", turn, turn, order_id=f"o{who}{turn}"))
            batch.append(Event("view", turn, turn, anonymous_id=f"v{who}", product_id=f"p{turn}"))
            decisions.write(decision(f"{rng.integers(1 << 40)}{turn}", at=turn, customer_id=f"c{who}"))
        store.append(batch)
    whole = store.traffic(limit=10**6)
    decisions.prune(3)
    erased = [people[place] for place in rng.permutation(len(people))[:130]]
    for number in erased:
        gone = store.erase(customer_id=f"c-of-{number}-", at=99)
        assert gone is not None
        decisions.erase(customer_ids=[f"c-of-{number}-"], anonymous_ids=gone.anonymous_ids)
        if number == erased[60]:
            decisions.prune(6)
    files = [one for one in tmp_path.iterdir() if one.is_file()]
    assert {one.name for one in files} >= {"events.db", "events.db-wal", "decisions.db", "decisions.db-wal"}
    content = b"".join(one.read_bytes() for one in files)
    assert [number for number in erased if f"-of-{number}-".encode() in content] == []
    assert all(f"c-of-{number}-".encode() in content for number in set(people) - set(erased))
    after = store.traffic(limit=10**6)
    assert after.product.tolist() == whole.product.tolist()
    assert after.kind.tolist() == whole.kind.tolist()
    assert {one.customer_id for _, one in store.rows() if one.customer_id} == {
        f"c-of-{number}-" for number in set(people) - set(erased)
    }
    store.close()
    decisions.close()


def test_erasing_waits_for_readers(file: Path) -> None:
    """A reader that is in the middle of something holds up the emptying of the WAL, not the erasing."""
    store = SqliteEvents(file)
    store.append([event("view", 1, customer_id="somebody", product_id="p")])
    reader = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchall()
    timer = threading.Timer(0.3, lambda: reader.execute("COMMIT"))
    timer.start()
    store.erase(customer_id="somebody", at=1)
    timer.join()
    content = b"".join(one.read_bytes() for one in file.parent.iterdir())
    assert b"somebody" not in content
    reader.close()
    store.close()


def test_others_write_while_erasing_waits_for_readers(file: Path) -> None:
    store = SqliteEvents(file)
    store.append([event("view", 1, customer_id="somebody", product_id="p")])
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchall()
    erasing = threading.Thread(target=lambda: store.erase(customer_id="somebody", at=1))
    erasing.start()
    while not store.erased():
        time.sleep(0.01)
    slowest = 0.0
    for number in range(20):
        begun = time.monotonic()
        store.append([event("view", number, customer_id="another", product_id="p")])
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.01)
    assert erasing.is_alive()  # it waits all the while
    assert slowest < 15  # seconds; not the thirty that erasing waits
    reader.execute("COMMIT")
    erasing.join()
    assert b"somebody" not in b"".join(one.read_bytes() for one in file.parent.iterdir())
    reader.close()
    store.close()


def test_a_failed_sync_leaves_the_store_usable(tmp_path: Path) -> None:
    file = tmp_path / "decisions.db"
    store = SqliteDecisions(file)
    store.write(decision("d1"))
    with sqlite3.connect(file, isolation_level=None) as connection:
        connection.execute("DROP TABLE synced")
    connection.close()
    with pytest.raises(StoreError, match="no such table: synced"):
        store.flush()
    store.write(decision("d2"))  # the transaction of before is over, and nobody is locked out
    with sqlite3.connect(file, isolation_level=None, timeout=0) as connection:
        connection.execute("CREATE TABLE synced(times INTEGER)")
    connection.close()
    store.flush()
    assert [identifier for _, identifier in store.ids()] == ["d1", "d2"]
    assert store._database.read("PRAGMA synchronous") == [(1,)]  # NORMAL
    store.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_the_wal_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    monkeypatch.setattr(database, "LONG_WAL", 100)
    stores = [SqliteDecisions(tmp_path / "decisions.db") for _ in range(processes)]  # they share no lock
    written, done = count(), threading.Event()

    def write(store: SqliteDecisions) -> None:
        while not done.is_set():
            store.write(decision(str(next(written))))
            time.sleep(0.0002)  # no pause that is long enough to sync in it

    writing = [threading.Thread(target=write, args=(store,)) for store in stores]
    for one in writing:
        one.start()
    for _ in range(40):
        time.sleep(0.02)
        for store in stores:
            store.flush()
    done.set()
    for one in writing:
        one.join()
    pages = (tmp_path / "decisions.db-wal").stat().st_size / 4096
    assert pages < next(written)  # a decision takes some
    for store in stores:
        store.close()


def test_no_byte_is_left_of_a_device_whose_every_user_was_erased(file: Path) -> None:
    store = SqliteEvents(file)
    users = ["first", "second", "third"]
    store.append([event("identify", n, customer_id=user, anonymous_id="shared-v") for n, user in enumerate(users)])
    for left, user in enumerate(users, start=-2):
        content = b"".join(one.read_bytes() for one in file.parent.iterdir())
        assert content.count(b"shared-v") > 0
        store.erase(customer_id=user, at=9)
        assert (store.person(anonymous_id="shared-v").spans == ()) == (left == 0)
    content = b"".join(one.read_bytes() for one in file.parent.iterdir())
    assert b"shared-v" not in content
    store.close()


def test_a_decision_does_not_wait_for_whoever_locks_the_file(tmp_path: Path) -> None:
    file = tmp_path / "decisions.db"
    store = SqliteDecisions(file)
    store.write(decision("before"))
    with closing(sqlite3.connect(file, isolation_level=None)) as backup:
        backup.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with pytest.raises(StoreError, match=r"another process has kept it locked for 0\.2 seconds"):
            store.write(decision("lost"))
        with pytest.raises(StoreError, match="locked"):
            store.flush()
        assert time.monotonic() - begun < 15  # seconds; others wait for thirty, each
        assert store.read("before") == decision("before")

        # Many lists at once do not wait for each other's waiting.
        begun = time.monotonic()
        with ThreadPoolExecutor(150) as pool:
            failures = [pool.submit(store.write, decision(str(n))).exception for n in range(150)]
            assert all(isinstance(failure(), StoreError) for failure in failures)
        assert time.monotonic() - begun < 25  # one after the other they would wait for thirty
        backup.execute("COMMIT")
    store.write(decision("after"))
    store.flush()
    assert [identifier for _, identifier in store.ids()] == ["before", "after"]
    store.close()


def test_another_process_forgets_the_numbers_of_the_erased(file: Path) -> None:
    store, other = SqliteEvents(file), SqliteEvents(file)
    other.append([event("view", 1, customer_id="c")])
    store.erase(customer_id="c", at=2)
    other.append([event("view", 3, customer_id="c")])
    assert [seq for seq, _ in store.events_of(store.person(customer_id="c"))] == [2]
    store.close()
    other.close()
