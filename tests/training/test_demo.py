from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.encode import encode_catalogue, encode_events
from tests import shops
from training.commands.demo import prepare
from training.demo import (
    VISITOR,
    DemoState,
    Samples,
    add_visit,
    lines_to_paste,
    made_from,
    read_state,
    samples,
    write_state,
)
from training.loading import load
from training.service import ServiceError, check_port, running, wait_until_ready
from training.terminal import Terminal
from training.tracking import Tracking, open_tracking

STATE = DemoState("abc", 3, 1, Samples("p'1", "p&2", "c/3"), "2018-01-01T00:00:00+00:00")


@pytest.fixture
def tracking(mlflow_uri: str) -> Tracking:
    return open_tracking(mlflow_uri)


@pytest.fixture
def written() -> list[Path]:
    return []


@pytest.fixture
def write_data(written: list[Path]) -> Callable[[Path], None]:
    """Writes planted tastes, two purchases an order, and keeps count."""

    def write(folder: Path) -> None:
        events, products = shops.planted_tastes(order_size=2)
        shops.write(folder, events=events, products=products)
        written.append(folder)

    return write


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


#: As much of curl as the lines need, for machines that have none.
CURL = """#!{python}
import sys, urllib.request
silent, address, *body = sys.argv[1:]
data = body[1].encode() if body else None
with urllib.request.urlopen(address, data=data, timeout=30) as answer:
    sys.stdout.buffer.write(answer.read())
"""


def pasted(line: str, folder: Path) -> Any:
    """What a shell answers to a line. ``folder`` gets the curl it finds first."""
    curl = folder / "curl"
    curl.write_text(CURL.format(python=sys.executable), encoding="utf-8")
    curl.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    arguments = ["/bin/sh", "-c", line]
    shell = subprocess.run(arguments, capture_output=True, check=True, timeout=60, env=environment)  # noqa: S603
    return json.loads(shell.stdout)


def test_a_second_run_makes_nothing_anew(
    tracking: Tracking, tmp_path: Path, write_data: Callable[[Path], None], written: list[Path]
) -> None:
    terminal = Terminal(json=True)
    first = prepare(terminal, tracking, tmp_path / "demo", 0, write_data)
    champion = tracking.champion("recommender")
    assert champion is not None
    assert champion.version == first.version
    assert prepare(terminal, tracking, tmp_path / "demo", 0, write_data) == first
    assert (len(written), len(tracking.versions())) == (1, 2)


def test_another_seed_trains_again(
    tracking: Tracking, tmp_path: Path, write_data: Callable[[Path], None], written: list[Path]
) -> None:
    terminal = Terminal(json=True)
    first = prepare(terminal, tracking, tmp_path / "demo", 0, write_data)
    second = prepare(terminal, tracking, tmp_path / "demo", 1, write_data)
    assert (first.version, second.version, len(written)) == (1, 2, 2)


def test_that_the_demo_takes_the_place_of_another_champion_is_told(
    tracking: Tracking, tmp_path: Path, write_data: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(json=True)
    prepare(terminal, tracking, tmp_path / "demo", 0, write_data)
    state = (tmp_path / "demo" / "state.json").read_text()
    prepare(terminal, tracking, tmp_path / "demo", 1, write_data)
    (tmp_path / "demo" / "state.json").write_text(state)
    capsys.readouterr()
    prepare(terminal, tracking, tmp_path / "demo", 0, write_data)
    assert "champion of recommender was version 2; the demo's version 1 is champion again" in capsys.readouterr().err


def test_what_a_model_is_made_from_is_code_data_configuration_and_place(tmp_path: Path) -> None:
    code, data = tmp_path / "features", tmp_path / "data"
    code.mkdir()
    data.mkdir()
    (code / "a.py").write_text("1")
    (data / "events.csv").write_text("event,timestamp\n")
    seen = {made_from(tmp_path, data, "{}", "sqlite:///a")}
    assert made_from(tmp_path, data, "{}", "sqlite:///a") in seen
    seen |= {made_from(tmp_path, data, "{1}", "sqlite:///a"), made_from(tmp_path, data, "{}", "sqlite:///b")}
    (code / "a.py").write_text("2")
    seen.add(made_from(tmp_path, data, "{}", "sqlite:///a"))
    (data / "events.csv").write_text("event,timestamp\nview,2026-01-01\n")
    seen.add(made_from(tmp_path, data, "{}", "sqlite:///a"))
    assert len(seen) == 5


def test_state_reads_as_it_was_written(tmp_path: Path) -> None:
    write_state(tmp_path / "demo" / "state.json", STATE)
    assert read_state(tmp_path / "demo" / "state.json") == STATE


@pytest.mark.parametrize("text", ["", "[]", '{"made_from": "abc"}', '{"made_from": "a", "version": 1, "samples": {}}'])
def test_a_state_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert read_state(tmp_path / "state.json") is None
    assert read_state(tmp_path / "nowhere.json") is None


def test_samples_were_bought_together() -> None:
    log = encode_events(shops.companions())
    found = samples(log, encode_catalogue(None, log), int(log.known.max()) + 1)
    assert {found.product, found.beside} in ({"shampoo", "conditioner"}, {"brush", "paste"})
    assert found.customer in log.people


def test_lines_are_safe_to_paste() -> None:
    for _, line in lines_to_paste("http://127.0.0.1:8000", STATE.samples):
        quoted = line.split("'")[1::2]
        assert len(quoted) == line.count("'") / 2
        assert all(" " not in part or part.startswith('{"event"') for part in quoted)
        assert "p&2" not in line


def test_a_taken_port_is_told_before_anything_is_done() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        with pytest.raises(ServiceError, match=f"port {port} is taken"):
            check_port(port)
    check_port(port)


def test_the_service_answers_every_line_and_stops(small_bundle: Path, tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = ["-m", "serving", "--port", str(port), "--bundle", str(small_bundle)]
    with running(arguments, SEGUE_HOME=str(tmp_path / "home")) as child:
        wait_until_ready(address, child, seconds=60)
        told = {what: pasted(line, tmp_path) for what, line in lines_to_paste(address, Samples("p001", "p004", "c001"))}
    *lists, event, seen, decision = told
    for what in lists:
        assert told[what]["blocks"][0]["items"] or "buy again" in what or "made-up visit" in what
    assert told[event]["accepted"] == 1
    assert [item["id"] for item in told[seen]["blocks"][0]["items"]] == ["p001"]
    assert told[decision]["anonymous_id"] == "me"
    assert child.poll() is not None
    check_port(port)


def test_a_service_that_ends_before_it_is_ready_is_an_error() -> None:
    with (
        pytest.raises(ServiceError, match="status 3"),
        running(["-c", "import sys; sys.exit(3)"]) as child,
    ):
        wait_until_ready(f"http://127.0.0.1:{free_port()}", child, seconds=30)


def test_a_service_that_is_never_ready_is_stopped() -> None:
    with (
        pytest.raises(ServiceError, match="not ready after"),
        running(["-c", "import time; time.sleep(60)"]) as child,
    ):
        wait_until_ready(f"http://127.0.0.1:{free_port()}", child, seconds=0.5)
    assert child.returncode is not None


def test_the_made_up_visit_stands_beside_the_orders(tmp_path: Path) -> None:
    rows = [
        {"event": "purchase", "timestamp": f"2026-01-{day:02}", "customer_id": "a", "product_id": f"p{day % 8}"}
        for day in range(1, 29)
    ]
    events = pd.DataFrame(rows)
    events["timestamp"] = pd.to_datetime(events["timestamp"], utc=True)
    events.to_parquet(tmp_path / "events.parquet")
    add_visit(tmp_path)
    log = load(tmp_path, now=datetime(2026, 2, 1, tzinfo=UTC), rejected=None).log
    visitor = log.people.code(VISITOR)
    assert log.anonymous[visitor]
    assert (log.person == visitor).sum() == 6
    assert len(log) == 28 + 6
    assert log.time[log.person == visitor].max() < log.time.max()
