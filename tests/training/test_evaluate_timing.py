from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from features.dataset import Dataset, read_dataset
from nba.arms import Arms
from nba.crowd import Contacts, Crowd
from nba.logged import Logged
from nba.timing import ACTIVE, ATTENDED
from tests import shops
from training.cli import main
from training.evaluate_send_hours import evaluate_send_hours
from training.evaluate_timing import (
    METRICS,
    alpha_of,
    counts_of,
    evaluate_timing,
    global_hour,
    held_out,
    judged,
    personal_histogram,
)
from training.opens import Opens, in_zone, opens_of
from training.split import EvaluationError
from training.timing_table import render

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def dataset(folder: Path, **tables: pd.DataFrame) -> Dataset:
    return read_dataset(shops.write(folder / "shop", **tables), now=NOW)


def opened(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["customer_id", "opened_at"])


def hours(dataset: Dataset) -> list[tuple[int, int]]:
    """(person, hour of the day) of each open."""
    found = opens_of(dataset)
    return list(zip(found.person.tolist(), found.hour.tolist(), strict=True))


# Opens


def test_opens_within_half_an_hour_count_once(tmp_path: Path) -> None:
    table = opened(
        ("b", "2026-01-05T10:00:00Z"),
        ("a", "2026-01-05T10:00:00Z"),
        ("a", "2026-01-05T10:30:00Z"),  # still the same look
        ("a", "2026-01-05T11:00:00Z"),  # … and this one, which follows on it
        ("a", "2026-01-05T11:30:01Z"),
        ("b", "2026-01-06T10:00:00Z"),
    )
    found = opens_of(dataset(tmp_path, opens=table))
    assert (found.person.tolist(), found.hour.tolist()) == ([0, 0, 1, 1], [10, 11, 10, 10])
    assert (found.source, found.merged) == ("opens", 2)


def test_hours_are_those_of_each_ones_clock(tmp_path: Path) -> None:
    customers = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c"],
            "timezone": ["America/Sao_Paulo", None, "Asia/Kolkata"],
            "vip": [True, False, True],
        }
    )
    table = opened(*[(name, "2026-01-05T01:40:00Z") for name in ("a", "b", "c", "d")])
    shop = dataset(tmp_path, opens=table, customers=customers)
    assert hours(shop) == [(0, 22), (1, 1), (2, 7), (3, 1)]
    assert hours(in_zone(shop, "Pacific/Kiritimati")) == [(person, 15) for person in range(4)]
    assert hours(in_zone(dataset(tmp_path / "bare", opens=table), "Asia/Kathmandu"))[0] == (0, 7)


def test_the_days_of_23_and_25_hours(tmp_path: Path) -> None:
    # Berlin: 29 March 2026 has no 2 o'clock, 25 October has two.
    times = ["2026-03-29T00:59:00Z", "2026-03-29T01:30:00Z", "2026-10-25T00:10:00Z", "2026-10-25T01:10:00Z"]
    table = opened(*[(f"p{place}", time) for place, time in enumerate(times)])
    found = hours(in_zone(dataset(tmp_path, opens=table), "Europe/Berlin"))
    assert [hour for _, hour in found] == [1, 3, 2, 2]


def test_where_opens_are_looked_for(tmp_path: Path) -> None:
    messages = pd.DataFrame(
        {
            "message_id": ["1", "2", "3"],
            "customer_id": ["a", "a", "b"],
            "action": "hello",
            "sent_at": "2026-01-05T08:00:00Z",
            "opened_at": ["2026-01-05T09:00:00Z", "2026-01-05T12:00:00Z", None],
            "machine_opened": [False, True, None],
        }
    )
    events = pd.DataFrame(
        {
            "event": ["open", "machine_open", "open", "view"],
            "timestamp": [f"2026-01-05T{hour}:00:00Z" for hour in (15, 16, 17, 18)],
            "customer_id": ["a", "a", None, "a"],
            "anonymous_id": [None, None, "v", None],
        }
    )
    assert hours(dataset(tmp_path / "1", messages=messages, events=events)) == [(0, 9)]
    assert hours(dataset(tmp_path / "2", messages=messages[2:], events=events)) == [(0, 15)]
    with pytest.raises(EvaluationError, match="nobody opened anything"):
        opens_of(dataset(tmp_path / "3", events=events[3:]))


# The evaluation


def made(hour: list[list[int]]) -> Opens:
    """One person a row, who opens once a day."""
    person = np.repeat(np.arange(len(hour)), [len(row) for row in hour])
    day = np.concatenate([np.arange(len(row)) for row in hour])
    at = np.concatenate([np.array(row, dtype=np.int64) for row in hour])
    return Opens(person, (day * 24 + at) * 3_600_000_000, at, "opens", 0)


@pytest.mark.parametrize("holdout", ["random", "last"])
def test_a_fifth_of_those_with_five_is_held_out(holdout: Any) -> None:
    numbers = [1, 4, 5, 7, 8, 12, 40]
    opens = made([[9] * number for number in numbers])
    held = held_out(opens, holdout, np.random.default_rng(0))
    assert np.bincount(opens.person, held).tolist() == [0, 0, 1, 1, 2, 2, 8]
    last = held[-8:].all() and held[4 + 1 + 5 - 1]
    assert last == (holdout == "last")


def test_metrics_by_hand() -> None:
    shares = np.zeros((4, 24))
    shares[0, :3] = 0.5, 0.3, 0.2
    shares[1, :3] = 0.5, 0.3, 0.2
    shares[2, :5] = 0.2
    shares[3] = 1 / 24
    found = judged(shares, np.array([0, 1, 4, 23]))
    assert found[:, 0] == pytest.approx([1, 0, 1 / 5, 1 / 24])
    assert found[:, 1] == pytest.approx([1, 1, 3 / 5, 3 / 24])
    assert found[:, 2] == pytest.approx(-np.log([0.5, 0.3, 0.2, 1 / 24]))


def test_the_baselines_by_hand() -> None:
    kept = np.zeros((2, 24), dtype=np.int64)
    kept[0, 5], kept[1, 6] = 3, 1
    assert global_hour(kept)[:, [5, 6, 7]] == pytest.approx(np.array([[4, 2, 1], [4, 2, 1]]) / 28)
    assert personal_histogram(kept, 24.0)[0, [5, 6]] == pytest.approx([4 / 27, 1 / 27])
    alike, mixed = np.zeros((2, 50, 24), dtype=np.int64)
    alike[:, 9] = 10  # whoever has opened at nine does it again
    mixed[:, :10] = 1  # whoever has opened at an hour never does it again
    assert alpha_of(alike) < 5
    assert alpha_of(mixed) > 1_000


def test_people_with_hours_of_their_own_are_known_better_than_by_either_baseline() -> None:
    rng = np.random.default_rng(0)
    favourite = rng.integers(24, size=300)
    opens = made([((hour + rng.integers(-1, 2, size=12)) % 24).tolist() for hour in favourite] + [[3], [4]])
    found = evaluate_timing(opens)
    assert found["split"] == "random"
    assert (found["customers"], found["items"], found["skipped"]) == (300, 600, 2)
    assert list(found["metrics"]) == list(METRICS)
    assert found["metrics"]["log_loss"] < 1.9  # three hours, not known at first: no less than ln 3
    assert found["difference"]["log_loss"]["ci"][1] < 0
    assert found["difference"]["hit@3"]["ci"][0] > 0
    for metric, difference in found["difference"].items():
        rivals = {name: baseline["metrics"][metric] for name, baseline in found["baselines"].items()}
        best = (min if metric == "log_loss" else max)(rivals.values())
        assert difference["value"] == pytest.approx(found["metrics"][metric] - best)
        assert rivals[difference["against"]] == best
        low, high = found["ci"][metric]
        assert low < found["metrics"][metric] < high
    assert found["opens"] == {"source": "opens", "fitted": 12 * 300 + 2 - 600, "merged": 0}
    again = evaluate_timing(opens)
    assert again["metrics"] == found["metrics"]
    assert evaluate_timing(opens, seed=1)["metrics"] != found["metrics"]


def test_what_is_held_out_is_not_fitted_on() -> None:
    opens = made([[9] * 5, [9] * 4])
    held = held_out(opens, "last", np.random.default_rng(0))
    assert counts_of(opens, ~held, 2)[:, 9].tolist() == [4, 4]
    # The last open of each person is at an hour in which nobody ever opened before.
    strange = made([[9, 9, 9, 9, 21] for _ in range(40)])
    found = evaluate_timing(strange, holdout="last")
    assert found["metrics"]["hit@1"] == 0.0
    assert found["metrics"]["log_loss"] > np.log(24)


def test_nobody_opens_often_enough() -> None:
    with pytest.raises(EvaluationError, match="nobody opened 5 times"):
        evaluate_timing(made([[9] * 4, [10] * 4]))


# Send hours


def sent_log(people: int = 500, each: int = 12, *, own: bool, seed: int = 0) -> Logged:
    """Contacts at hours drawn evenly: those at a person's favourite hour are attended by half, others by a twentieth.

    Half of the people have ten o'clock, the others the hours after. ``own`` false: all have ten.
    """
    rng = np.random.default_rng(seed)
    others = np.where(np.arange(people) % 2 == 0, 10, rng.integers(11, 24, size=people))
    favourite = others if own else np.full(people, 10)
    customer = np.repeat(np.arange(people), each)
    hour = rng.integers(24, size=people * each)
    came = rng.random(people * each) < np.where(hour == favourite[customer], 0.5, 0.05)
    active = np.zeros((people, 24))
    active[np.arange(people), favourite] = 20.0
    n = people * each
    no = np.zeros(n, dtype=np.bool_)
    allowed = np.ones((n, 1), dtype=np.bool_)
    names = tuple(f"{slot}_{hour:02}" for slot in (ACTIVE, ATTENDED) for hour in range(24))
    crowd = Crowd(
        ids=[f"c{number}" for number in customer],
        at=np.zeros(n, dtype=np.int64),
        names=names,
        state=np.concatenate([active[customer], np.zeros((n, 24))], axis=1),
        attributes={},
        zones=[None] * n,
        channels=("email",),
        consented=allowed,
        reachable=allowed,
        contacts=Contacts.none(n),
    )
    return Logged(
        arms=Arms.of([("hello", "email")]),
        crowd=crowd,
        customer=customer.astype(np.int32),
        arm=np.ones(n, dtype=np.int32),
        cell=(hour + 24 * (rng.random(n) < 2 / 7)).astype(np.int16),
        propensity=np.ones(n),
        hour_propensity=np.full(n, 1 / 24),
        eligible=np.ones((n, 2), dtype=np.bool_),
        value=np.zeros(n),
        cost=np.zeros(n),
        opened=no,
        clicked=came,
        visited=no,
        converted=no,
        unsubscribed=no,
        complained=no,
    )


def test_the_learned_hour_brings_what_it_truly_brings() -> None:
    found = evaluate_send_hours(sent_log(own=True))
    assert found is not None
    # Everybody at their own hour: a half attend. Everybody at ten, where half of them have theirs: 0.5/2 + 0.05/2.
    for policy, truth in (("learned", 0.5), ("global_hour", 0.275)):
        low, high = found[policy]["ci"]
        assert low < truth < high, policy
        assert found[policy]["effective_sample_size"] == pytest.approx(500 * 12 / 24, rel=0.25)
    assert found["difference"]["value"] == pytest.approx(
        found["learned"]["attended"] - found["global_hour"]["attended"]
    )
    assert found["difference"]["ci"][0] > 0.1
    assert found["channels"]["email"]["difference"] == found["difference"]
    assert found["logged"]["attended"] == pytest.approx(0.05 + 0.45 / 24, abs=0.01)


def test_where_all_have_one_hour_learning_it_for_each_brings_nothing() -> None:
    found = evaluate_send_hours(sent_log(own=False))
    assert found is not None
    assert found["difference"]["value"] == pytest.approx(0.0, abs=0.05)
    assert found["global_hour"]["attended"] == pytest.approx(0.5, abs=0.1)


def test_hours_that_were_not_drawn_say_nothing() -> None:
    log = sent_log(20, 5, own=True)
    fixed = Logged(**{**vars(log), "hour_propensity": np.ones(len(log))})
    assert evaluate_send_hours(fixed) is None


# The command


@pytest.fixture
def quiet_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_uri: str) -> Path:
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def messages_with_hours(people: int = 40, each: int = 12) -> pd.DataFrame:
    """E-mails at 24 hours in turn; each person opens and clicks within the hour around their own one only."""
    rows = []
    for person in range(people):
        for number in range(each):
            hour = (5 * number + person) % 24
            sent = shops.START + pd.Timedelta(days=8 * number, hours=hour)
            near = abs(hour - (8 if person % 2 else 18)) <= 4
            rows.append((f"m{person}-{number}", f"c{person}", sent, sent + pd.Timedelta(minutes=20) if near else None))
    table = pd.DataFrame(rows, columns=["message_id", "customer_id", "sent_at", "opened_at"])
    return table.assign(action="hello", channel="email", clicked_at=table["opened_at"], send_at_propensity=1 / 24)


def test_the_command(quiet_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = shops.write(quiet_home / "shop", messages=messages_with_hours())
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "timing", str(shop), "--json"])
    out = capsys.readouterr().out
    assert left.value.code == 0
    found = json.loads(out)
    assert found["opens"]["source"] == "messages.opened_at"
    assert found["customers"] == 20
    assert set(found["difference"]) == set(METRICS)
    assert found["send_hours"]["rows"] == 40 * 12
    assert found["run"]
    page = io.StringIO()
    Console(width=160, file=page).print(*render(found))
    for word in ("log_loss", "personal_histogram", "learned hour", "email"):
        assert word in page.getvalue()


def test_the_command_in_another_zone(quiet_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    days = [f"2026-01-{day:02}T10:00:00Z" for day in range(1, 7)]
    shop = shops.write(quiet_home / "shop", opens=opened(*[("a", day) for day in days], ("b", "2026-01-05T10:00:00Z")))
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "timing", str(shop), "--timezone", "Asia/Tokyo", "--holdout", "last"])
    told = capsys.readouterr().out
    assert left.value.code == 0
    assert "last opens held out" in told
    assert "1 customers, 1 opens held out, 1 skipped" in told


def test_wrong_usage(quiet_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = shops.write(quiet_home / "shop", opens=opened(("a", "2026-01-05T10:00:00Z")))
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "timing", str(shop), "--timezone", "Mars/Olympus"])
    assert left.value.code == 2
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "timing", str(shop)])
    assert left.value.code == 1
    assert "nobody opened 5 times" in capsys.readouterr().err
