"""What a dataset holds and what reading it set aside: the answer of ``segue validate``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from features.catalogue import Catalogue
from features.dataset import Dataset, TableReport
from features.events import NEVER, SECOND, EventLog, Kind


def profile(log: EventLog, catalogue: Catalogue, dataset: Dataset) -> dict[str, Any]:
    """Counts and shares, ready for JSON.

    Args:
        log, catalogue: encoded from ``dataset``.

    Returns:
        ``tables``: for each table its files, rows read and kept, duplicates, ignored columns, and ``rejected``: for
        each column and reason how many rows, and the first one as file and row. ``events``: rows, duplicates (copies of
        an event_id), span (RFC 3339, null without events), event mix by name, shares of events without a product and,
        where there is a products table, of those with a product that it lacks (null where there is nothing to take a
        share of). Then customers, visitors (people who are not customers), products (of them ``event_only``), orders,
        mean_order_lines, refunds and purchase lines refunded, and the fingerprint.
    """
    purchases = log.kind == Kind.PURCHASE
    ordered = log.order[purchases]
    orders = int(ordered.max(initial=-1)) + 1
    described = _described(log, dataset)
    with_product = log.product >= 0
    return {
        "tables": {name: _table(report) for name, report in dataset.report.items()},
        "events": {
            "rows": len(log),
            "duplicates": (0 if dataset.events is None else len(dataset.events)) - len(log),
            "span": [_moment(log.time[0]), _moment(log.time[-1])] if len(log) else None,
            "mix": {} if dataset.events is None else _counts(dataset.events["event"]),
            "share_without_product": _share(~with_product),
            "share_unknown_product": None
            if dataset.products is None
            else _share(~described[log.product[with_product]]),
        },
        "customers": int((~log.anonymous).sum()),
        "visitors": int(log.anonymous.sum()),
        "products": {"rows": len(catalogue), "event_only": int((~described).sum())},
        "orders": orders,
        "mean_order_lines": len(ordered) / orders if orders else None,
        "refunds": int((log.kind == Kind.REFUND).sum()),
        "refunded_lines": int((log.reversed_at[purchases] != NEVER).sum()),
        "fingerprint": dataset.fingerprint,
    }


def render(found: dict[str, Any]) -> RenderableType:
    """A profile as tables for a terminal."""
    tables = Table("table", "read", "kept", "set aside", "duplicates", "files", title="Tables")
    for name, table in found["tables"].items():
        files = table["files"][0] if len(table["files"]) == 1 else f"{len(table['files'])} files"
        aside = sum(fault["rows"] for fault in table["rejected"])
        tables.add_row(
            name, *(f"{count:,}" for count in (table["read"], table["rows"], aside, table["duplicates"])), files
        )
    events = found["events"]
    facts = Table(show_header=False, title="Shop")
    for name, value in (
        ("customers", f"{found['customers']:,}"),
        ("visitors", f"{found['visitors']:,}"),
        ("products", f"{found['products']['rows']:,} ({found['products']['event_only']:,} known from events only)"),
        ("orders", f"{found['orders']:,}"),
        ("lines an order", _decimal(found["mean_order_lines"])),
        ("refunds", f"{found['refunds']:,} ({found['refunded_lines']:,} purchase lines reversed)"),
        ("events", f"{events['rows']:,} ({events['duplicates']:,} copies left out)"),
        ("span", " to ".join(events["span"]) if events["span"] else "no events"),
        ("events without product", _percent(events["share_without_product"])),
        ("unknown products", f"{_percent(events['share_unknown_product'])} of events with a product"),
    ):
        facts.add_row(name, value)
    parts: list[RenderableType] = [tables, facts]
    if events["mix"]:
        mix = Table("event", "rows", "share", title="Event mix")
        total = sum(events["mix"].values())
        for name, rows in events["mix"].items():
            mix.add_row(escape(name), f"{rows:,}", _percent(rows / total))
        parts.append(mix)
    faults = [(name, fault) for name, table in found["tables"].items() for fault in table["rejected"]]
    if faults:
        aside = Table("table", "column", "reason", "rows", "first", title="Rows set aside")
        for name, fault in faults:
            aside.add_row(
                name, fault["column"], fault["reason"], f"{fault['rows']:,}", f"{fault['file']}:{fault['row']}"
            )
        parts.append(aside)
    return Group(*parts)


def _described(log: EventLog, dataset: Dataset) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Mask, bool[products]: those that the products table has."""
    described = np.zeros(len(log.products), dtype=bool)
    if dataset.products is not None:
        described[log.products.codes(dataset.products["product_id"])] = True
    return described


def _table(report: TableReport) -> dict[str, Any]:
    faults = report.rejected.groupby(["column", "reason"], sort=False)
    return {
        "files": list(report.files),
        "read": report.read,
        "rows": report.rows,
        "duplicates": report.duplicates,
        "ignored": list(report.ignored),
        "rejected": [
            {
                "column": column,
                "reason": reason,
                "rows": len(rows),
                "file": rows["file"].iloc[0],
                "row": int(rows["row"].iloc[0]),
            }
            for (column, reason), rows in faults
        ],
    }


def _counts(names: pd.Series[Any]) -> dict[str, int]:
    counts = names.value_counts()
    return {str(name): int(rows) for name, rows in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))}


def _share(mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float | None:
    return float(mask.mean()) if len(mask) else None


def _moment(micros: np.int64) -> str:
    return datetime.fromtimestamp(int(micros) // SECOND, UTC).isoformat().replace("+00:00", "Z")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
