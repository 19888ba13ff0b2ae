"""Into the store and out again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.dataset import Dataset, DatasetError, read_dataset
from features.encode import encode_events
from features.people import identity_digest
from features.store.base import Decision, Event, EventStore, Watermark
from features.store.memory import MemoryDecisions, MemoryEvents
from features.store.sqlite import SqliteEvents
from tests import shops
from training import exporting, importing
from training.exporting import Exported, export_dataset
from training.forgetting import erased_people, without_erased
from training.importing import Imported, import_dataset
from training.loading import load

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TABLES = ("events", "products", "customers")


def silent(step: str, done: int, total: int) -> None: ...


def read(folder: Path) -> Dataset:
    found = read_dataset(folder, now=NOW)
    assert all(report.rejected.empty for report in found.report.values())
    return found


def times(*texts: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(texts, tz="UTC")


@pytest.fixture(params=["memory", "sqlite"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], EventStore]]:
    made: list[MemoryEvents | SqliteEvents] = []

    def make() -> EventStore:
        made.append(
            MemoryEvents() if request.param == "memory" else SqliteEvents(tmp_path / f"home{len(made)}" / "events.db")
        )
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few rows, so that more than one is seen."""
    monkeypatch.setattr(importing, "CHUNK", 3)
    monkeypatch.setattr(exporting, "CHUNK", 2)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Everything a table can hold."""
    folder = tmp_path / "shop"
    folder.mkdir()
    events = pd.DataFrame(
        {
            "event": ["view", "view", "view", "purchase", "refund", "asked a question", "identify", "page", "deliver"],
            "timestamp": times(*[f"2026-01-0{day}T10:00:00.123456" for day in (1, 1, 1, 2, 3, 4, 5, 6, 7)]),
            "known_at": times(*[f"2026-01-1{day}T10:00:00" for day in (1, 1, 1, 2, 0, 4, 5, 6, 7)]),
            "customer_id": ["c1", "c1", "c1", "c1", None, "ü/'\"", "c2", None, None],
            "anonymous_id": [None, None, None, None, None, None, "v 😀", "v 😀", None],
            "session_id": ["s", "s", "s", None, None, None, None, "t", None],
            "product_id": ["p1", "p1", "p2", "p1", None, "only in events", None, None, None],
            "order_id": [None, None, None, "o", "o", None, None, None, "o"],
            "quantity": [1, 1, 1, 2.5, None, 1, 1, 1, 1],
            "price": [None, None, None, 9.99, None, None, None, None, None],
            "currency": [None, None, None, "EUR", None, None, None, None, None],
            "channel": ["web", "web", None, None, None, None, None, "email", None],
            "event_id": [None, None, "e3", "e4", None, None, None, "e8", None],
            "placement": ["trending", "trending", None, None, None, None, None, None, None],
            "decision_id": ["d", "d", None, None, None, None, None, None, None],
        }
    )
    products = pd.DataFrame(
        {
            "product_id": ["p1", "p2", "p3"],
            "title": ["One", None, "Three"],
            "price": [1.5, None, 3.0],
            "availability": ["in_stock", "preorder", None],
            "available_from": [pd.Timestamp("2026-03-01T00:00:00.5Z"), pd.NaT, pd.NaT],
            "organic": [True, None, False],
            "weight": [0.1, 2.0, None],
            "skin_type": [["dry", "oily"], None, []],
            "code": ["007", None, "x"],
        }
    )
    customers = pd.DataFrame(
        {
            "customer_id": ["c1", "c2", "never seen"],
            "timezone": ["Europe/Berlin", None, "Asia/Kolkata"],
            "consents": [["email"], [], ["sms", "email"]],
            "age": [40.0, None, 30.0],
            "vip": [True, False, None],
        }
    )
    events.to_parquet(folder / "events.parquet")
    products.to_parquet(folder / "products.parquet")
    customers.to_parquet(folder / "customers.parquet")
    return folder


def sorted_table(table: pd.DataFrame, also: list[str]) -> pd.DataFrame:
    """Rows and columns in an order of their own; lists as tuples, so that they can be compared."""
    lists = [name for name in table.columns if table[name].dtype == object]
    plain = table.assign(**{name: table[name].map(lambda cell: str(cell or [])) for name in lists})
    return plain.sort_values([*also], ignore_index=True)[sorted(plain.columns)]


def assert_same(found: Dataset, expected: Dataset) -> None:
    for name in TABLES:
        key = ["timestamp", "known_at", "event", "product_id", "event_id"] if name == "events" else [f"{name[:-1]}_id"]
        left, right = (sorted_table(getattr(one, name), key) for one in (found, expected))
        pd.testing.assert_frame_equal(left, right, check_dtype=True)


@pytest.mark.usefixtures("small_steps")
def test_what_goes_in_comes_out(shop: Path, tmp_path: Path, new_store: Callable[[], EventStore]) -> None:
    expected = read(shop)
    store = new_store()
    done = import_dataset(expected, store, at=NOW, report=silent)
    assert done == Imported(events=9, duplicates=0, customers=3, products=3)
    assert export_dataset(store, MemoryDecisions(), tmp_path / "out", silent) == Exported(
        events=9, customers=4, products=3
    )
    found = read(tmp_path / "out")
    # Customers of events have a row too; of those nothing is known, and no list is an empty one.
    assert found.customers is not None
    assert found.customers.set_index("customer_id").loc["ü/'\"", "consents"] is None
    known = found.customers[found.customers["customer_id"] != "ü/'\""].reset_index(drop=True)
    assert_same(Dataset(**{**vars(found), "customers": known}), expected)
    # And once more: from the export into another shop.
    other = new_store()
    import_dataset(found, other, at=NOW, report=silent)
    export_dataset(other, MemoryDecisions(), tmp_path / "again", silent)
    left = [read(tmp_path / "again"), found]
    for one in left:
        assert one.customers is not None
        one.customers["consents"] = [cell or [] for cell in one.customers["consents"]]
    assert_same(*left)


def test_importing_twice_changes_nothing(shop: Path, new_store: Callable[[], EventStore]) -> None:
    store = new_store()
    import_dataset(read(shop), store, at=NOW, report=silent)
    before = store.watermark()
    later = datetime(2026, 7, 1, tzinfo=UTC)
    assert import_dataset(read(shop), store, at=later, report=silent) == Imported(0, 9, 0, 0)
    assert store.watermark() == before


def test_what_changed_is_imported(shop: Path, new_store: Callable[[], EventStore]) -> None:
    store = new_store()
    import_dataset(read(shop), store, at=NOW, report=silent)
    for age, later in ((41.0, 0), (40.0, 0), (42.0, 1), (40.0, 2)):  # there and back again, also as of one moment
        customers = pd.read_parquet(shop / "customers.parquet")
        customers.loc[customers["customer_id"] == "c1", "age"] = age
        customers.to_parquet(shop / "customers.parquet")
        products = pd.read_parquet(shop / "products.parquet")
        products.loc[products["product_id"] == "p2", "price"] = age
        products.to_parquet(shop / "products.parquet")
        done = import_dataset(read(shop), store, at=NOW.replace(day=1 + later), report=silent)
        assert done == Imported(events=0, duplicates=9, customers=1, products=1)
        assert store.traits(store.person(customer_id="c1"))["age"] == age


def answer_live(store: EventStore, at: datetime) -> dict[str, Any]:
    """What a shop is told while it is open: c1 unsubscribes, p1 costs more and is sold out, p2 goes."""
    micros = round(at.timestamp() * 1e6)
    store.append([Event("unsubscribe", micros, micros, customer_id="c1", channel="email")])
    p1 = store.product("p1")
    assert p1 is not None
    assert p1.attributes is not None
    store.put_products([("p1", p1.attributes | {"price": 9.0, "availability": "out_of_stock"}), ("p2", None)], micros)
    return said_of(store)


def said_of(store: EventStore) -> dict[str, Any]:
    return {
        "mark": store.watermark(),
        "c1": store.traits(store.person(customer_id="c1")),
        "products": [store.product(name) for name in ("p1", "p2", "p3")],
    }


def test_importing_again_undoes_nothing_that_was_said_live(shop: Path, new_store: Callable[[], EventStore]) -> None:
    store = new_store()
    at = importing.moment_of(read(shop), shop, now=NOW)
    import_dataset(read(shop), store, at=at, report=silent)
    assert store.traits(store.person(customer_id="c1"))["consents"] == ["email"]
    live = answer_live(store, NOW)
    assert live["c1"]["consents"] == []
    # The very same files, and a newer copy of them with the same rows.
    for again in (at, datetime(2026, 7, 1, tzinfo=UTC), at):
        assert import_dataset(read(shop), store, at=again, report=silent) == Imported(0, 9, 0, 0)
        assert said_of(store) == live


def test_what_a_newer_table_says_anew_counts(shop: Path, new_store: Callable[[], EventStore]) -> None:
    store = new_store()
    import_dataset(read(shop), store, at=datetime(2026, 5, 1, tzinfo=UTC), report=silent)
    answer_live(store, NOW)
    dataset = read(shop)
    assert dataset.products is not None
    assert dataset.customers is not None
    dataset.products["price"] += 1.0  # p2 has none
    dataset.products.loc[dataset.products["product_id"] == "p2", "price"] = 4.0
    dataset.customers["consents"] = [["sms"], *dataset.customers["consents"][1:]]
    before = said_of(store)
    # As of a moment before the live changes: only p3, of which nothing was said since.
    done = import_dataset(dataset, store, at=datetime(2026, 5, 2, tzinfo=UTC), report=silent)
    assert done == Imported(0, 9, 1, 1)
    assert said_of(store)["products"][:2] == before["products"][:2]
    assert store.traits(store.person(customer_id="c1"))["consents"] == ["sms"]  # email was unsubscribed later
    # As of a later one: whatever differs from what was imported last.
    done = import_dataset(dataset, store, at=datetime(2026, 7, 1, tzinfo=UTC), report=silent)
    assert done == Imported(0, 9, 0, 2)
    prices = [one.attributes["price"] for name in ("p1", "p2", "p3") if (one := store.product(name)) and one.attributes]
    assert prices == [2.5, 4.0, 4.0]
    # An older table than was imported last has nothing to say.
    assert import_dataset(read(shop), store, at=datetime(2026, 4, 1, tzinfo=UTC), report=silent).customers == 0


def test_tables_speak_as_of_the_newest_event(shop: Path) -> None:
    dataset = read(shop)
    assert importing.moment_of(dataset, shop, now=NOW) == datetime(2026, 1, 17, 10, tzinfo=UTC)
    (shop / "events.parquet").unlink()
    for number, name in enumerate(("products", "customers"), start=1):
        os.utime(shop / f"{name}.parquet", (number, number))
    assert importing.moment_of(read(shop), shop, now=NOW) == datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert importing.moment_of(read(shop), shop, now=datetime(1970, 1, 1, tzinfo=UTC)).second == 0


def test_events_go_in_as_they_became_known(shop: Path, new_store: Callable[[], EventStore]) -> None:
    store = new_store()
    import_dataset(read(shop), store, at=NOW, report=silent)
    known = [one.known for _, one in store.rows()]
    assert known == sorted(known)
    assert store.person(anonymous_id="v 😀").customer_id == "c2"  # the identify event of the history links


def test_the_order_of_rows_does_not_matter(shop: Path, new_store: Callable[[], EventStore]) -> None:
    stores = [new_store(), new_store()]
    dataset = read(shop)
    assert dataset.events is not None
    mixed = dataset.events.sample(frac=1, random_state=1).reset_index(drop=True)
    for store, events in zip(stores, (dataset.events, mixed), strict=True):
        import_dataset(Dataset(**{**vars(dataset), "events": events}), store, at=NOW, report=silent)
    assert stores[0].rows() == stores[1].rows()


def test_a_live_shop_comes_out_as_training_data(tmp_path: Path, new_store: Callable[[], EventStore]) -> None:
    store = new_store()
    micros = int(NOW.timestamp() * 1e6) - 10**10
    said = {"timezone": "Mars/Olympus", "reachable": ["email"], "address": {"city": "Ulm"}, "n": 1}
    odd = {"n": "many", "customer_id": "x"}
    known = micros + 5
    store.append(
        [
            Event("view", micros, known, anonymous_id="v", product_id="p1", more={"url": "x"}),
            Event("identify", micros + 1, known, customer_id="c", anonymous_id="v", more={"traits": said}),
            Event("identify", micros + 2, known, customer_id="d", more={"traits": odd}),
            Event("purchase", micros + 3, known, customer_id="d", product_id="p2", order_id="o"),
            Event("view", micros + 3, known, customer_id="erased", product_id="p2"),
        ]
    )
    store.put_products(
        [("p1", {"title": "One", "price": 1}), ("p2", {"title": "Two"}), ("p3", {"title": "Gone"})], at=1
    )
    store.put_products([("p3", None), ("p1", {"title": "One", "price": 2})], at=2)
    store.erase(customer_id="erased", at=3)
    assert export_dataset(store, MemoryDecisions(), tmp_path / "out", silent) == Exported(
        events=4, customers=2, products=2
    )
    found = read(tmp_path / "out")
    assert found.events is not None
    assert found.products is not None
    assert found.customers is not None
    assert found.events["event"].tolist() == ["view", "identify", "identify", "purchase"]
    assert (found.events["known_at"] - found.events["timestamp"]).dt.microseconds.tolist() == [5, 4, 3, 2]
    prices = dict(zip(found.products["product_id"], found.products["price"].fillna(-1), strict=True))
    assert prices == {"p1": 2.0, "p2": -1}
    assert list(found.customers.columns) == ["customer_id", "reachable", "address", "n"]
    assert found.customers["address"].tolist()[0] == '{"city":"Ulm"}'
    assert found.customers["n"].tolist() == ["1", "many"]
    assert found.customers["reachable"].tolist() == [["email"], None]
    assert len(encode_events(found.events, found.products, found.customers)) == 4


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="is not empty"):
        export_dataset(MemoryEvents(), MemoryDecisions(), out, silent)
    assert [one.name for one in tmp_path.rglob("*")] == ["out", "notes.txt"]


def test_an_empty_shop(tmp_path: Path, new_store: Callable[[], EventStore]) -> None:
    (tmp_path / "out").mkdir()
    assert export_dataset(new_store(), MemoryDecisions(), tmp_path / "out", silent) == Exported(0, 0, 0)
    found = read(tmp_path / "out")
    assert import_dataset(found, new_store(), at=NOW, report=silent) == Imported(0, 0, 0, 0)


def test_who_is_erased_meanwhile_is_in_no_export(tmp_path: Path) -> None:
    store = MemoryEvents()
    store.append([Event("view", 1, 1, customer_id="c")])

    def erase(step: str, done: int, total: int) -> None:
        store.erase(customer_id="c", at=2)

    with pytest.raises(DatasetError, match="export it again"):
        export_dataset(store, MemoryDecisions(), tmp_path / "out", erase)
    assert list(tmp_path.iterdir()) == []


# Rows of erased people


def micros(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value // 1000


def test_rows_of_erased_people_are_left_out(shop: Path) -> None:
    dataset = read(shop)
    erased = {
        identity_digest("customer", "c1"): micros("2026-02-01"),
        identity_digest("visitor", "v 😀"): micros("2026-02-01"),
        identity_digest("visitor", "c2"): micros("2026-02-01"),  # who is not the customer of that id
        identity_digest("order", "o"): 0,
    }
    kept, left_out = without_erased(dataset, erased)
    assert kept.events is not None
    assert kept.customers is not None
    # c1 with the row of customers, and the visitor as long as no customer is named
    assert left_out == 4 + 1 + 1
    assert kept.events["event"].tolist() == ["refund", "asked a question", "identify", "deliver"]
    assert kept.customers["customer_id"].tolist() == ["c2", "never seen"]
    assert without_erased(dataset, {}) == (dataset, 0)


def test_who_came_back_is_kept_from_then_on(shop: Path) -> None:
    kept, left_out = without_erased(read(shop), {identity_digest("customer", "c1"): micros("2026-01-01T12:00:00")})
    assert kept.events is not None
    assert kept.customers is not None
    assert left_out == 3
    assert kept.events["event"].tolist()[0] == "purchase"
    assert "c1" in set(kept.customers["customer_id"])


def test_training_does_not_see_erased_people(tmp_path: Path) -> None:
    events, products = shops.planted_tastes()
    folder = shops.write(tmp_path / "shop", events=events, products=products)
    home = tmp_path / "home"
    assert erased_people(home) == {}
    assert not home.exists()
    store = SqliteEvents(home / "events.db")
    store.erase(customer_id="c007", at=micros("2030-01-01"))
    store.close()
    whole = load(folder, now=NOW, rejected=None)
    shop = load(folder, now=NOW, rejected=None, erased=erased_people(home))
    assert whole.forgotten == 0
    assert shop.forgotten == int((events["customer_id"] == "c007").sum()) > 0
    assert "c007" not in set(shop.log.people)
    assert len(shop.log.people) == len(whole.log.people) - 1


# The commands


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    from training.cli import main

    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, captured.out, captured.err


def test_the_commands(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    assert run(capsys, "export", "--out", tmp_path / "x")[0] == 1
    pd.DataFrame({"customer_id": ["c1"], "opened_at": times("2026-01-01")}).to_parquet(shop / "opens.parquet")
    (shop / "events.parquet").rename(shop / "good.parquet")
    events = pd.read_parquet(shop / "good.parquet")
    (shop / "good.parquet").unlink()
    events.loc[0, "quantity"] = -1
    events.to_parquet(shop / "events.parquet")
    code, out, err = run(capsys, "import", shop)
    assert code == 0, err
    assert "9 events, 3 customers and 3 products" in out
    assert "1 bad rows were set aside" in err
    assert "1 of the events are what messages and opens tell" in err
    code, out, err = run(capsys, "import", shop, "--json")
    assert '"duplicates": 9' in out
    code, out, err = run(capsys, "export", "--out", tmp_path / "x", "--json")
    assert code == 0, err
    assert '"events": 9' in out
    assert sorted(one.name for one in (tmp_path / "x").iterdir()) == [
        "customers.parquet",
        "events.parquet",
        "products.parquet",
    ]
    assert run(capsys, "export", "--out", tmp_path / "x")[0] == 1


def test_impressions_tell_where_a_product_stood_and_how_likely_that_was(tmp_path: Path) -> None:
    store, decisions = MemoryEvents(), MemoryDecisions()
    items = [{"id": "a", "rank": 1, "propensity": 0.75}, {"id": "b", "rank": 2, "propensity": 0.5}]
    blocks = [{"placement": "best_sellers", "items": items}, {"placement": "trending", "items": items[:1]}]
    made = Decision("d", 1, "recommendations", "c", None, {}, None, Watermark(0, 0, 0), {}, {"blocks": blocks})
    decisions.write(made)
    told = [
        ("impression", "b", "best_sellers", "d"),
        ("click", "b", None, "d"),  # it stands in one block only
        ("click", "a", None, "d"),  # of which block is not told
        ("click", "z", "best_sellers", "d"),
        ("click", "b", "best_sellers", "unknown"),
        ("view", "b", None, None),
    ]
    store.append(
        [
            Event(name, n, n, customer_id="c", product_id=product, placement=placement, decision_id=decision)
            for n, (name, product, placement, decision) in enumerate(told, start=1)
        ]
    )
    export_dataset(store, decisions, tmp_path / "out", silent)
    found = pd.read_parquet(tmp_path / "out" / "events.parquet")
    assert found["rank"].tolist()[:2] == [2, 2]
    assert found["propensity"].tolist()[:2] == [0.5, 0.5]
    assert found[["rank", "propensity"]][2:].isna().all().all()
