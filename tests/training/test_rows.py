from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.events import DAY
from features.fold import Fold
from features.slots import CUSTOMER, PRODUCT
from features.store.base import Event
from features.store.sqlite import SqliteEvents
from training.cli import main
from training.ledger import ledger_of
from training.rows import at_events, write_rows

START = pd.Timestamp("2026-01-05", tz="UTC")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests, since compiling takes seconds."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def compiled(home: Path) -> Path:
    return home / "cache" / "compiled"


def diary(*rows: tuple[str, float, str, str]) -> pd.DataFrame:
    """From (event, day, customer, product)."""
    frame = pd.DataFrame(rows, columns=["event", "day", "customer_id", "product_id"])
    days = pd.to_timedelta(frame.pop("day"), unit="D").astype("timedelta64[us]")
    return frame.assign(timestamp=(START + days).astype("datetime64[us, UTC]"), price=5.0)


EVENTS = diary(
    ("view", 1, "anna", "lip"),
    ("view", 1, "bert", "lip"),
    ("view", 2, "anna", "nail"),
    ("purchase", 3, "anna", "lip"),
    ("view", 4, "bert", "nail"),
    ("purchase", 5, "bert", "lip"),
    ("purchase", 5, "bert", "nail"),
)


def rows_in(folder: Path) -> pd.DataFrame:
    parts = [pd.read_parquet(file) for file in sorted(folder.glob("part-*.parquet"))]
    return pd.concat(parts).sort_values("moment", ignore_index=True)


def written(out: Path, compiled: Path, **more: Any) -> pd.DataFrame:
    write_rows(ledger_of(EVENTS), at_events(EVENTS, "purchase"), out, cache_folder=compiled, **more)
    return rows_in(out)


def test_a_row_joins_what_was_known_of_customer_and_product(tmp_path: Path, compiled: Path) -> None:
    rows = written(tmp_path / "rows", compiled, with_products=True)
    names = [f"customer_{name}" for name in Fold(CUSTOMER).names] + [f"product_{name}" for name in Fold(PRODUCT).names]
    assert list(rows.columns) == ["moment", "at", "customer_id", "product_id", *names]
    assert rows["customer_id"].tolist() == ["anna", "bert", "bert"]
    assert rows["product_id"].tolist() == ["lip", "lip", "nail"]
    assert ((rows["at"] - START) / pd.Timedelta(days=1)).tolist() == [3, 5, 5]
    assert rows["customer_views_ever"].tolist() == [2, 2, 2]
    assert rows["customer_purchases_ever"].tolist() == [0, 0, 0]
    assert rows["customer_since_view"].tolist() == [1, 1, 1]
    assert rows["product_purchases_ever"].tolist() == [0, 1, 0]
    assert rows["product_views_1d"].tolist() == pytest.approx([2 * 0.5**2, 2 * 0.5**4, 0.5**3 + 0.5**1])


def test_small_parts_and_several_processes_change_nothing(tmp_path: Path, compiled: Path) -> None:
    whole = written(tmp_path / "whole", compiled, with_products=True)
    parted = written(tmp_path / "parted", compiled, with_products=True, part=1, processes=2)
    assert len(list((tmp_path / "parted").glob("*.parquet"))) == 2, "a person is in one part"
    pd.testing.assert_frame_equal(whole, parted, check_exact=True)


def test_the_order_of_rows_of_events_changes_nothing(tmp_path: Path, compiled: Path) -> None:
    moments = at_events(EVENTS, "purchase")
    for name, events in (("one", EVENTS), ("other", EVENTS.iloc[::-1])):
        write_rows(ledger_of(events), moments, tmp_path / name, with_products=True, cache_folder=compiled)
    pd.testing.assert_frame_equal(rows_in(tmp_path / "one"), rows_in(tmp_path / "other"))


def test_what_is_there_is_not_written_over(tmp_path: Path, compiled: Path) -> None:
    written(tmp_path / "rows", compiled)
    with pytest.raises(FileExistsError, match="not empty"):
        written(tmp_path / "rows", compiled)


def test_nothing_is_left_beside_the_rows(tmp_path: Path, compiled: Path) -> None:
    written(tmp_path / "rows", compiled, with_products=True)
    assert [file.name for file in tmp_path.iterdir()] == ["rows"]


def test_compiled_code_lies_where_it_was_told_to(tmp_path: Path, compiled: Path) -> None:
    written(tmp_path / "rows", compiled)
    assert list(compiled.rglob("*.nbi"))
    assert not list((Path(__file__).parents[2] / "training").rglob("*.nbi"))


# The commands


@pytest.fixture
def shell(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("SEGUE_HOME", str(home))

    def run(*arguments: object, status: int = 0) -> str:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert left.value.code == status, told.err
        return told.out if status == 0 else told.err

    return run


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    EVENTS.to_parquet(tmp_path / "shop" / "events.parquet")
    customers = {"customer_id": ["anna", "carla"], "timezone": ["Asia/Tokyo", None]}
    pd.DataFrame(customers).to_csv(tmp_path / "shop" / "customers.csv", index=False)
    return tmp_path / "shop"


def test_rows_at_events(shell: Any, shop: Path, tmp_path: Path) -> None:
    told = json.loads(shell("rows", shop, "--out", tmp_path / "rows", "--at-events", "view", "--json"))
    assert told == {"rows": 4, "parts": 1, "events": 7, "out": str(tmp_path / "rows")}
    rows = rows_in(tmp_path / "rows")
    assert rows["customer_views_ever"].tolist() == [0, 0, 1, 1]
    assert "product_views_1d" not in rows
    # Anna's view at midnight was at nine in the morning of her clock.
    assert rows["customer_active_morning"].tolist()[2:] == [1.0, 0.0]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_rows_at_moments(shell: Any, shop: Path, tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame(
        {"at": ["2026-01-07T12:00:00Z", "2026-01-20"], "customer_id": ["anna", None], "product_id": [None, "lip"]}
    )
    file = tmp_path / f"moments{suffix}"
    match suffix:
        case ".csv":
            frame.to_csv(file, index=False)
        case ".jsonl":
            frame.to_json(file, orient="records", lines=True)
        case _:
            frame.to_parquet(file)
    shell("rows", shop, "--out", tmp_path / "rows", "--moments", file, "--products")
    rows = rows_in(tmp_path / "rows")
    assert rows["customer_views_ever"].tolist() == [2, 0]
    assert rows["product_purchases_ever"].tolist() == [0, 2]
    assert math.isnan(rows["customer_since_view"][1])


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("customer_id,when\nanna,2026-01-07\n", "needs a column at"),
        ("at\n2026-01-07\n", "and one of customer_id"),
        ("at,customer_id\nyesterday,anna\n", "row 2 has no moment"),
        ("at,customer_id\n2026-01-07,anna\n,bert\n", "row 3 has no moment"),
    ],
)
def test_moments_that_cannot_be_read(shell: Any, shop: Path, tmp_path: Path, table: str, fault: str) -> None:
    (tmp_path / "moments.csv").write_text(table)
    told = shell("rows", shop, "--out", tmp_path / "rows", "--moments", tmp_path / "moments.csv", status=1)
    assert fault in told
    assert told.count("\n") == 1


def test_events_that_never_happened_are_told(shell: Any, shop: Path, tmp_path: Path) -> None:
    told = shell("rows", shop, "--out", tmp_path / "rows", "--at-events", "nosuch", status=1)
    assert "no event is called nosuch; there are: purchase, view" in told
    assert not (tmp_path / "rows").exists()


def test_moments_and_events_are_one_too_many(shell: Any, shop: Path, tmp_path: Path) -> None:
    shell("rows", shop, "--out", tmp_path / "x", "--moments", "m.csv", "--at-events", "view", status=2)


def test_rebuild(shell: Any, home: Path) -> None:
    (home / "events.db").unlink(missing_ok=True)
    assert "there is no store" in shell("rebuild", status=1)
    store = SqliteEvents(home / "events.db")
    moments = [1_767_571_200_000_000 + number * DAY for number in range(100)]
    store.append([Event("view", at, at, customer_id="anna", product_id="lip") for at in moments])
    store.close()
    told = json.loads(shell("rebuild", "--json"))
    assert (told["customers"], told["products"]) == (1, 1)
    store = SqliteEvents(home / "events.db")
    [(number, _, _)] = store.person(customer_id="anna").spans
    assert store.checkpoints("person", [number], told["fingerprint"])[number][0] == 100
    assert store.checkpoints("product", [0], told["fingerprint"])[0][0] == 100
    store.close()
