"""Reading a dataset folder: forms, types, bad rows, faults."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from features.dataset import Dataset, DatasetError, read_dataset

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def read(folder: Path, rejected: Path | None = None) -> Dataset:
    return read_dataset(folder, now=NOW, rejected=rejected)


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return folder


def table(found: pd.DataFrame | None) -> pd.DataFrame:
    assert found is not None
    return found


def faults(data: Dataset, name: str) -> list[tuple[str, int, str, str]]:
    rows = data.report[name].rejected
    return list(zip(rows["file"], rows["row"].astype(int), rows["column"], rows["reason"], strict=True))


ROWS: list[dict[str, Any]] = [
    {"event": "view", "timestamp": "2026-01-01T10:00:00Z", "customer_id": "1", "product_id": "a/b"},
    {
        "event": "purchase",
        "timestamp": "2026-01-02T12:30:00+02:00",
        "customer_id": "1",
        "product_id": '"q"',
        "price": 2.5,
    },
    {"event": "story_seen", "timestamp": "2026-01-03", "customer_id": "💄", "product_id": None},
]


def as_parquet(folder: Path) -> None:
    pd.DataFrame(ROWS).to_parquet(folder / "events.parquet")


def as_csv(folder: Path) -> None:
    pd.DataFrame(ROWS).to_csv(folder / "events.csv", index=False)


def as_jsonl(folder: Path) -> None:
    write(folder, "events.jsonl", *(json.dumps(row) for row in ROWS))


def as_parts(folder: Path) -> None:
    (folder / "events" / "day=2").mkdir(parents=True)
    pd.DataFrame(ROWS[:2]).to_parquet(folder / "events" / "0.parquet")
    pd.DataFrame(ROWS[2:]).to_parquet(folder / "events" / "day=2" / "0.parquet")
    (folder / "events" / "_SUCCESS").touch()


@pytest.mark.parametrize("form", [as_parquet, as_csv, as_jsonl, as_parts])
def test_every_form_says_the_same(form: Any, tmp_path: Path) -> None:
    form(tmp_path)
    events = table(read(tmp_path).events)
    assert events["timestamp"].dtype == "datetime64[us, UTC]"
    assert [moment.isoformat() for moment in events["timestamp"]] == [
        "2026-01-01T10:00:00+00:00",
        "2026-01-02T10:30:00+00:00",
        "2026-01-03T00:00:00+00:00",
    ]
    assert events["customer_id"].tolist() == ["1", "1", "💄"]
    assert events["product_id"].tolist()[:2] == ["a/b", '"q"']
    assert events["product_id"].isna().tolist() == [False, False, True]
    assert events["event"].tolist() == ["view", "purchase", "story_seen"]
    assert events["quantity"].tolist() == [1.0, 1.0, 1.0]
    assert events["price"].isna().tolist() == [True, False, True]
    assert events["known_at"].tolist() == events["timestamp"].tolist()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array([1, None, 2**62 + 1]), ["1", None, str(2**62 + 1)]),
        (pa.array([1.0, None, 7e8]), ["1", None, "700000000"]),
        (pa.array(["007", "", "1.0"]), ["007", None, "1.0"]),
        (pa.array(["a", None, "b"]).dictionary_encode(), ["a", None, "b"]),
        (pa.array([1, 2, None], pa.decimal128(20, 0)), ["1", "2", None]),
        (pa.array([bytes(15) + b"A", None, None], pa.uuid()), ["00000000-0000-0000-0000-000000000041", None, None]),
        (pa.array([b"a", None, None]), ["a", None, None]),
    ],
    ids=["integers", "floats", "text", "dictionary", "decimals", "uuid", "bytes"],
)
def test_ids_become_text(cells: pa.Array, expected: list[str | None], tmp_path: Path) -> None:
    rows = {"event": ["view"] * 3, "timestamp": ["2026-01-01"] * 3, "customer_id": ["c"] * 3, "product_id": cells}
    parquet.write_table(pa.table(rows), tmp_path / "events.parquet")
    products = table(read(tmp_path).events)["product_id"]
    assert [None if pd.isna(value) else value for value in products] == expected


def test_ids_of_parts_that_differ_in_type_agree(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    for name, customers in (("0", pa.array([1, 2])), ("1", pa.array(["1", "x"]))):
        rows = pa.table({"event": ["view"] * 2, "timestamp": ["2026-01-01"] * 2, "customer_id": customers})
        parquet.write_table(rows, tmp_path / "events" / f"{name}.parquet")
    assert table(read(tmp_path).events)["customer_id"].tolist() == ["1", "2", "1", "x"]


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([1_767_225_600_000_000_000], pa.timestamp("ns")),
        pa.array([1_767_225_600], pa.timestamp("s", "Europe/Paris")),
        pa.array([20454], pa.date32()),
        pa.array(["2026-01-01 00:00:00"]),
        pa.array(["2025-12-31T19:00:00.000-05:00"]),
        pa.array(["20260101T000000Z"]),
        pa.array(["2026-01-01 00:00:00 UTC"]),
    ],
    ids=str,
)
def test_times_in_any_writing(cells: pa.Array, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"customer_id": ["c"], "opened_at": cells}), tmp_path / "opens.parquet")
    opens = table(read(tmp_path).opens)
    assert opens["opened_at"].dtype == "datetime64[us, UTC]"
    assert opens["opened_at"].tolist() == [pd.Timestamp("2026-01-01", tz="UTC")]


BAD_EVENTS = [
    ("view,yesterday,c,,,", "timestamp", "not an ISO 8601 time"),
    ("view,now,c,,,", "timestamp", "not an ISO 8601 time"),
    ("view,1767225600,c,,,", "timestamp", "not an ISO 8601 time"),
    ("view,2026-13-01,c,,,", "timestamp", "not an ISO 8601 time"),
    ("view,,c,,,", "timestamp", "missing"),
    (",2026-01-01,c,,,", "event", "missing"),
    ("view,2026-06-02,c,,,", "timestamp", "in the future"),
    ("view,2026-01-01,,,,", "customer_id", "names nobody: no customer, visitor, session or order"),
    ("view,2026-01-01,c,-1,,", "quantity", "negative"),
    ("view,2026-01-01,c,two,,", "quantity", "not a number"),
    ("view,2026-01-01,c,1,-0.5,", "price", "negative"),
    ("view,2026-01-01,c,1,inf,", "price", "not a number"),
    ("view,2026-01-01,c,1,1,2027-01-01", "known_at", "in the future"),
    ("view,2026-01-01,c", "", "3 fields, not 6"),
]


@pytest.mark.parametrize(("line", "column", "reason"), BAD_EVENTS)
def test_a_bad_row_is_set_aside(line: str, column: str, reason: str, tmp_path: Path) -> None:
    good = "view,2026-01-01,c,1,1,"
    data = write(
        tmp_path / "data", "events.csv", "event,timestamp,customer_id,quantity,price,known_at", good, line, good
    )
    found = read(data, tmp_path / "aside")
    assert faults(found, "events") == [("events.csv", 3, column, reason)]
    assert len(table(found.events)) == 2
    assert (found.report["events"].read, found.report["events"].rows) == (3, 2)
    with (tmp_path / "aside" / "events.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["row"], row["column"], row["reason"]) for row in rows] == [
        ("events.csv", "3", column, reason)
    ]
    kept = rows[0]["original"]
    assert (
        kept == line if column == "" else [cell for cell in line.split(",") if cell] == list(json.loads(kept).values())
    )


def test_many_bad_rows_are_told_by_line_whatever_stands_between(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_bytes(
        b'\xef\xbb\xbfproduct_id,title,price\r\n1,"two\r\nlines",1\r\n\r\n2,x,abc\r\n3,"a ""b"", c",3\r\n,y,1\r\n'
    )
    data = read(tmp_path)
    assert faults(data, "products") == [
        ("products.csv", 5, "price", "not a number"),
        ("products.csv", 7, "product_id", "null id"),
    ]
    assert table(data.products)["title"].tolist() == ["two\r\nlines", 'a "b", c']


def test_bad_rows_of_parquet_parts_are_told_by_row(tmp_path: Path) -> None:
    (tmp_path / "customers").mkdir()
    pd.DataFrame({"customer_id": ["a", "b"]}).to_parquet(tmp_path / "customers" / "0.parquet")
    pd.DataFrame({"customer_id": ["c", None]}).to_parquet(tmp_path / "customers" / "1.parquet")
    data = read(tmp_path)
    assert faults(data, "customers") == [("customers/1.parquet", 2, "customer_id", "null id")]
    assert data.report["customers"].files == ("customers/0.parquet", "customers/1.parquet")


def test_bad_lines_of_json_lines(tmp_path: Path) -> None:
    write(
        tmp_path,
        "products.jsonl",
        '\ufeff{"product_id": 1, "price": "abc"}',
        "",
        '{"product_id": 2, "price": 1',
        "[3]",
        '{"product_id": 4, "price": 4, "available_from": "2030-01-01"}',
        '{"product_id": 5.5}',
        '{"price": 6}',
        '{"product_id": 7, "price": {"amount": 1}}',
    )
    data = read(tmp_path, tmp_path.parent / "aside")
    assert faults(data, "products") == [
        ("products.jsonl", 1, "price", "not a number"),
        ("products.jsonl", 3, "", "not JSON"),
        ("products.jsonl", 4, "", "not a JSON object"),
        (
            "products.jsonl",
            6,
            "product_id",
            "a number with decimals or more than fifteen digits is no id; write it as text",
        ),
        ("products.jsonl", 7, "product_id", "null id"),
        ("products.jsonl", 8, "price", "not a number"),
    ]
    assert table(data.products)["product_id"].tolist() == ["4"]


@pytest.mark.parametrize(
    ("column", "cells", "reason"),
    [
        (
            "product_id",
            pa.array([1.5]),
            "a number with decimals or more than fifteen digits is no id; write it as text",
        ),
        ("product_id", pa.array([["a"]]), "not an id"),
        ("price", pa.array([True]), "not a number"),
        ("price", pa.array([float("inf")]), "not a number"),
        ("sale_price", pa.array([-1]), "negative"),
        ("available_from", pa.array([1_767_225_600]), "a number is no time; write it as ISO 8601"),
        ("availability", pa.array(["sold"]), "none of in_stock, out_of_stock, preorder"),
        ("title", pa.array([["a"]]), "not a text"),
    ],
    ids=str,
)
def test_a_cell_of_the_wrong_type_makes_its_row_bad(column: str, cells: pa.Array, reason: str, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"product_id": pa.array(["p"]), column: cells}), tmp_path / "products.parquet")
    assert faults(read(tmp_path), "products") == [("products.parquet", 1, column, reason)]


def test_rows_of_other_tables_are_checked_too(tmp_path: Path) -> None:
    write(tmp_path, "customers.csv", "customer_id,timezone,consents", "a,Europe/Rome,[]", "b,Rome,", "c,,email")
    write(
        tmp_path,
        "messages.csv",
        "message_id,customer_id,action,sent_at,propensity,machine_opened",
        "1,a,hold,2026-01-01,0.5,true",
        "2,a,hold,2026-01-01,0,false",
        "3,a,hold,2026-01-01,1.5,",
        "4,a,hold,2026-01-01,,perhaps",
        "5,,hold,2026-01-01,,",
        "6,a,hold,2026-01-01,,",
    )
    data = read(tmp_path)
    assert [fault[1:] for fault in faults(data, "customers")] == [
        (3, "timezone", "not an IANA time zone"),
        (4, "consents", "not a JSON array of texts"),
    ]
    assert [fault[1:] for fault in faults(data, "messages")] == [
        (3, "propensity", "not above 0"),
        (4, "propensity", "above 1"),
        (5, "machine_opened", "neither true nor false"),
        (6, "customer_id", "null id"),
    ]
    messages = table(data.messages)
    assert messages["propensity"].tolist() == [0.5, 1.0]
    assert messages["send_at_propensity"].tolist() == [1.0, 1.0]
    assert messages["decided_at"].tolist() == messages["sent_at"].tolist()
    assert messages["machine_opened"].dtype == "boolean"


def test_attributes_of_csv_are_inferred_by_column(tmp_path: Path) -> None:
    write(
        tmp_path,
        "products.csv",
        "product_id,vegan,rating,code,ean,tags,mixed,nothing",
        '1,true,4.5,007,4006381333931,"[""dry"",""oily""]",1,',
        "2,FALSE,-1e2,12,4006381333932,[],x,",
        "3,,,,,,,",
    )
    products = table(read(tmp_path).products)
    assert products["vegan"].dtype == "boolean"
    assert products["vegan"].tolist()[:2] == [True, False]
    assert products["rating"].tolist()[:2] == [4.5, -100.0]
    assert products["code"].tolist()[:2] == ["007", "12"]
    assert products["ean"].tolist()[:2] == [4006381333931.0, 4006381333932.0]
    assert products["tags"].tolist() == [["dry", "oily"], [], None]
    assert products["mixed"].tolist()[:2] == ["1", "x"]
    assert products["nothing"].isna().all()


def test_attributes_of_typed_files_keep_their_type(tmp_path: Path) -> None:
    write(
        tmp_path,
        "products.jsonl",
        '{"product_id": 1, "code": "12", "spf": 30, "vegan": true, "skin": ["dry"], "odd": 1, "nested": {"a": 1}}',
        '{"product_id": 2, "code": "13", "spf": 15.5, "vegan": false, "skin": null, "odd": "x", "nested": {"a": 2}}',
    )
    data = read(tmp_path)
    products = table(data.products)
    assert products["code"].tolist() == ["12", "13"]
    assert products["spf"].tolist() == [30.0, 15.5]
    assert products["vegan"].tolist() == [True, False]
    assert products["skin"].tolist() == [["dry"], None]
    assert products["odd"].tolist() == ["1", "x"]
    assert data.report["products"].ignored == ("nested",)


def test_unknown_columns_of_events_are_ignored_and_named(tmp_path: Path) -> None:
    write(tmp_path, "events.csv", "event,timestamp,customer_id,weather", "view,2026-01-01,c,rain")
    data = read(tmp_path)
    assert data.report["events"].ignored == ("weather",)
    assert "weather" not in table(data.events).columns


def test_an_absent_column_of_customers_stays_absent(tmp_path: Path) -> None:
    write(tmp_path, "customers.csv", "customer_id,consents", 'a,"[""email""]"', "b,")
    customers = table(read(tmp_path).customers)
    assert customers.columns.tolist() == ["customer_id", "consents"]
    assert customers["consents"].tolist() == [["email"], None]


def test_of_rows_with_one_id_the_last_counts(tmp_path: Path) -> None:
    write(tmp_path, "products.csv", "product_id,title", "1,old", "2,x", "1,new")
    data = read(tmp_path)
    assert table(data.products)["title"].tolist() == ["x", "new"]
    assert data.report["products"].duplicates == 1
    assert data.report["products"].rejected.empty


def test_nothing_is_known_before_it_happened(tmp_path: Path) -> None:
    write(
        tmp_path,
        "events.csv",
        "event,timestamp,customer_id,known_at,quantity",
        "view,2026-01-02,c,2026-01-01,",
        "refund,2026-01-02,c,2026-01-03,",
    )
    events = table(read(tmp_path).events)
    assert [moment.day for moment in events["known_at"]] == [2, 3]
    np.testing.assert_array_equal(events["quantity"], [1.0, np.nan])  # a refund without quantity: all of it


@pytest.mark.parametrize("name", ["events.csv", "events.jsonl", "events.parquet"])
def test_an_empty_shop_is_ordinary(name: str, tmp_path: Path) -> None:
    columns = pd.DataFrame({"event": [], "timestamp": [], "customer_id": []})
    match Path(name).suffix:
        case ".csv":
            columns.to_csv(tmp_path / name, index=False)
        case ".jsonl":
            (tmp_path / name).touch()
        case _:
            columns.to_parquet(tmp_path / name)
    data = read(tmp_path, tmp_path.parent / "aside")
    events = table(data.events)
    assert len(events) == 0
    assert events["timestamp"].dtype == "datetime64[us, UTC]"
    assert (data.report["events"].read, data.products) == (0, None)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"events.csv": "event,timestamp,customer_id\n", "events.jsonl": ""},
            "events.csv and events.jsonl are two forms",
        ),
        ({"events.csv": "event,customer_id\nview,c\n"}, "events.csv has no column timestamp"),
        (
            {"events.csv": "event,timestamp,customer_id\n", "products.csv": "title\nx\n"},
            "products.csv has no column product_id",
        ),
        ({"events.csv": ""}, "events.csv has no header"),
        ({"customers.csv": 'customer_id,name\na,"x\nb,y\n'}, "customers.csv opens a quote in line 2"),
        ({"events.csv": "event,event\n"}, "events.csv has two columns 'event'"),
        ({"events.parquet": "event"}, "events.parquet cannot be read"),
        ({"products.jsonl": '{"title": "x"}\n'}, "products.jsonl has no column product_id"),
        ({"README.txt": "x", "truth/x.csv": "x"}, "holds no table"),
        ({"events/x.csv": "x"}, "events/ holds no Parquet part"),
        ({"events.parquet/_SUCCESS": ""}, "events.parquet/ holds no Parquet part"),
    ],
)
def test_the_fault_of_a_table_is_one_line(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError) as fault:
        read(tmp_path)
    assert message in str(fault.value)
    assert len(str(fault.value).splitlines()) == 1


def test_a_header_without_a_line_break_is_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("customer_id,age", encoding="utf-8")
    assert table(read(tmp_path).customers).columns.tolist() == ["customer_id", "age"]


def test_a_cell_may_be_large_and_hold_quotes(tmp_path: Path) -> None:
    story = "once\n" * 100_000
    write(tmp_path, "products.csv", "product_id,title,size", f'1,"{story}",5" tube', "2,x")
    data = read(tmp_path)
    assert table(data.products)["title"].tolist() == [story]
    assert table(data.products)["size"].tolist() == ['5" tube']
    assert faults(data, "products") == [("products.csv", 100_003, "", "2 fields, not 3")]


@pytest.mark.parametrize("head", [b"\xff\xfe", b"event,timestamp,customer_id\nview,2026-01-01,caf\xe9\n"])
def test_bytes_that_are_not_utf8_are_a_fault(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_bytes(head)
    with pytest.raises(DatasetError, match=r"events\.csv"):
        read(tmp_path)


def test_a_missing_folder_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a folder"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize("inside", [".", "rejected", "events/../x"])
def test_rejected_rows_never_land_in_the_dataset(inside: str, tmp_path: Path) -> None:
    as_csv(tmp_path)
    with pytest.raises(DatasetError, match="inside the dataset"):
        read(tmp_path, tmp_path / inside)


def test_a_clean_run_takes_away_what_was_set_aside_before(tmp_path: Path) -> None:
    data, aside = tmp_path / "data", tmp_path / "aside"
    write(data, "customers.csv", "customer_id,timezone", ",UTC")
    read(data, aside)
    assert (aside / "customers.csv").exists()
    write(data, "customers.csv", "customer_id,timezone", "a,UTC")
    read(data, aside)
    assert not (aside / "customers.csv").exists()


def test_now_needs_a_time_zone(tmp_path: Path) -> None:
    as_csv(tmp_path)
    with pytest.raises(ValueError, match="time zone"):
        read_dataset(tmp_path, now=datetime(2026, 6, 1))  # noqa: DTZ001  # the naive time is the point


def test_the_fingerprint_follows_contents_not_times(tmp_path: Path) -> None:
    prints = []
    for name, line in (("a", "x,UTC"), ("b", "x,UTC"), ("c", "y,UTC")):
        write(tmp_path / name, "customers.csv", "customer_id,timezone", line)
        prints.append(read(tmp_path / name).fingerprint)
    assert prints[0] == prints[1] != prints[2]
    assert len(prints[0]) == 64
