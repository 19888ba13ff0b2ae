"""Several processes on one store, and what is left of those that are killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from features.store.sqlite import SqliteDecisions, SqliteEvents
from tests.features.store.contract import decision, event

#: Appends batches until it is killed, and tells the ids of a batch once they are acknowledged.
WRITER = """
import itertools, sys
from pathlib import Path
from features.store.base import Event
from features.store.sqlite import SqliteEvents

store = SqliteEvents(Path(sys.argv[1]))
for number in itertools.count():
    ids = [f"{sys.argv[2]}/{number}/{k}" for k in range(number % 7 + 1)]
    store.append([Event("view", number, number, anonymous_id=sys.argv[2], product_id=i, event_id=i) for i in ids])
    print(*ids, flush=True)
"""


def test_what_was_acknowledged_survives_the_death_of_its_writer(tmp_path: Path) -> None:
    file, rng = tmp_path / "events.db", random.Random(0)  # noqa: S311
    acknowledged: list[str] = []
    for life in range(4):
        writers = [
            subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", WRITER, str(file), f"{life}-{which}"], stdout=subprocess.PIPE, text=True
            )
            for which in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            acknowledged += writer.stdout.readline().split()  # it has begun
        time.sleep(rng.random() / 3)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            told = writer.communicate()[0].splitlines(keepends=True)
            acknowledged += [one for line in told if line.endswith("\n") for one in line.split()]
    store = SqliteEvents(file)
    rows = store.rows(limit=10**9)
    there = [one.event_id for _, one in rows]
    assert len(acknowledged) > 20
    assert len(set(there)) == len(there)
    assert set(acknowledged) <= set(there)
    assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
    assert store.watermark().seq == len(rows)
    # What says the same is a duplicate, also of what was written but not acknowledged.
    assert not any(store.append([one for _, one in rows]).accepted)
    store.close()


def _append(file: Path, name: str, batches: int) -> None:
    store = SqliteEvents(file)
    for number in range(batches):
        shared = event("view", number, anonymous_id="everybody", product_id=f"p{number}", event_id=f"{number}")
        store.append([shared, event("view", number, anonymous_id=name, product_id=f"p{number}")])
        store.put_products([(f"p{number}", {"by": name})], at=number)
    store.close()


def test_several_processes_number_alike(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append, args=(file, f"v{which}", 30)) for which in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    store = SqliteEvents(file)
    assert store.watermark().seq == 30 + 3 * 30  # one of each shared event, all of the others
    assert sorted(store.product_ids()) == sorted(f"p{number}" for number in range(30))
    for name, most in (("everybody", 30), *((f"v{which}", 30) for which in range(3))):
        person = store.person(anonymous_id=name)
        assert len(list(store.events_of(person))) == most
        assert len(person.spans) == 1
    changes = [one.change for one in store.product_changes()]
    assert changes == list(range(1, len(changes) + 1))
    store.close()


def _decide(file: Path, name: str) -> None:
    store = SqliteDecisions(file)
    for number in range(200):
        store.write(decision(f"{name}/{number}"))
        if number % 50 == 0:
            store.flush()
    store.close()


def test_no_decision_of_several_processes_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "decisions.db"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_decide, args=(file, str(which))) for which in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    store = SqliteDecisions(file)
    assert {identifier for _, identifier in store.ids()} == {f"{p}/{number}" for p in "01" for number in range(200)}
    store.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of Python 3.12: other tests left threads
def test_a_forked_process_opens_its_own_files(tmp_path: Path) -> None:
    store = SqliteEvents(tmp_path / "events.db")
    store.append([event("view", 1, anonymous_id="parent")])
    child = os.fork()
    if child == 0:
        try:
            store.append([event("view", 2, anonymous_id="child")])
            store.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.append([event("view", 3, anonymous_id="parent")])
    assert [one.anonymous_id for _, one in store.rows()] == ["parent", "child", "parent"]
    store.close()
