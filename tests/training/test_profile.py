"""The figures of a dataset, and how they look in a terminal."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from features.dataset import read_dataset
from features.encode import encode_catalogue, encode_events
from training.profile import profile, render

EVENTS = """\
event,timestamp,customer_id,anonymous_id,order_id,product_id,event_id
purchase,2026-01-01T10:00:00Z,a,,1,p,
purchase,2026-01-01T10:00:00Z,a,,1,q,
purchase,2026-01-02T10:00:00Z,b,,2,q,
view,2026-01-03T10:00:00.5Z,,v,,q,x
view,2026-01-03T10:00:00.5Z,,v,,q,x
page,2026-01-03T10:00:01Z,,v,,,
refund,2026-01-04T10:00:00Z,a,,1,p,
[bold]odd[/bold],2026-01-02T10:00:00Z,b,,,,
view,soon,b,,,p,
view,never,b,,,p,
"""


def found(folder: Path, **files: str) -> dict[str, Any]:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    data = read_dataset(folder, now=datetime(2026, 6, 1, tzinfo=UTC))
    log = encode_events(data.events, data.products, data.customers)
    return profile(log, encode_catalogue(data.products, log), data)


def test_a_profile_counts_what_is_there(tmp_path: Path) -> None:
    figures = found(tmp_path, events=EVENTS, products="product_id\np\np\nr\n", customers="customer_id\nz\n")
    assert len(figures.pop("fingerprint")) == 64
    assert json.loads(json.dumps(figures)) == {
        "tables": {
            "events": {
                "files": ["events.csv"],
                "read": 10,
                "rows": 8,
                "duplicates": 0,
                "ignored": [],
                "rejected": [
                    {
                        "column": "timestamp",
                        "reason": "not an ISO 8601 time",
                        "rows": 2,
                        "file": "events.csv",
                        "row": 10,
                    }
                ],
            },
            "products": {
                "files": ["products.csv"],
                "read": 3,
                "rows": 2,
                "duplicates": 1,
                "ignored": [],
                "rejected": [],
            },
            "customers": {
                "files": ["customers.csv"],
                "read": 1,
                "rows": 1,
                "duplicates": 0,
                "ignored": [],
                "rejected": [],
            },
        },
        "events": {
            "rows": 7,
            "duplicates": 1,
            "span": ["2026-01-01T10:00:00Z", "2026-01-04T10:00:00Z"],
            "mix": {"purchase": 3, "view": 2, "[bold]odd[/bold]": 1, "page": 1, "refund": 1},
            "share_without_product": 2 / 7,
            "share_unknown_product": 3 / 5,
        },
        "customers": 3,
        "visitors": 1,
        "products": {"rows": 3, "event_only": 1},
        "orders": 2,
        "mean_order_lines": 1.5,
        "refunds": 1,
        "refunded_lines": 1,
    }


def test_a_shop_with_nothing_but_customers_has_a_profile(tmp_path: Path) -> None:
    figures = found(tmp_path, customers="customer_id\nz\n")
    assert figures["events"] == {
        "rows": 0,
        "duplicates": 0,
        "span": None,
        "mix": {},
        "share_without_product": None,
        "share_unknown_product": None,
    }
    assert (figures["orders"], figures["mean_order_lines"]) == (0, None)
    assert "no events" in text_of(figures)


def text_of(figures: dict[str, Any]) -> str:
    console = Console(width=120, force_terminal=False)
    with console.capture() as capture:
        console.print(render(figures))
    return capture.get()


def test_a_terminal_shows_names_as_they_are_and_where_the_first_bad_row_stands(tmp_path: Path) -> None:
    text = text_of(found(tmp_path, events=EVENTS))
    assert "[bold]odd[/bold]" in text
    assert "events.csv:10" in text
    assert "2026-01-01T10:00:00Z to 2026-01-04T10:00:00Z" in text
