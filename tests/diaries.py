"""Event logs written as lines, for tests whose right answer is worked out by hand."""

from __future__ import annotations

import pandas as pd

from features.encode import encode_events
from features.events import MINUTE, EventLog
from features.histories import Histories, Ragged

START = pd.Timestamp("2026-01-01", tz="UTC")
ZERO = START.value // 1_000  # microseconds


def minute(number: int) -> int:
    """The moment of a line, microseconds since 1970 UTC."""
    return ZERO + number * MINUTE


def diary(text: str, *, products: str = "") -> EventLog:
    """A log of lines ``person minute event product [name=value …]``; ``?`` is a visitor's mark, ``-`` no product.

    Names are columns of the contract; ``known`` is known_at as a minute. ``products`` are ids in the product table.
    """
    rows = []
    for line in filter(None, map(str.strip, text.splitlines())):
        who, when, event, product, *more = line.split()
        row: dict[str, object] = {}
        for part in more:
            name, value = part.split("=")
            row[name] = value
        row["anonymous_id" if who.startswith("?") else "customer_id"] = who.strip("?")
        row |= {"timestamp": START + pd.Timedelta(minutes=int(when)), "event": event}
        row["product_id"] = None if product == "-" else product
        if "known" in row:
            row["known_at"] = START + pd.Timedelta(minutes=int(str(row.pop("known"))))
        rows.append(row)
    frame = pd.DataFrame(rows)
    for column in frame.columns.difference(["timestamp", "known_at"]):
        frame[column] = frame[column].astype("float64" if column in ("quantity", "price") else "str")
    for column in frame.columns.intersection(["timestamp", "known_at"]):
        frame[column] = frame[column].astype("datetime64[us, UTC]")
    if "known_at" in frame:
        frame["known_at"] = frame["known_at"].fillna(frame["timestamp"])
    return encode_events(frame, pd.DataFrame({"product_id": pd.Series(products.split(), dtype="str")}))


def words(log: EventLog, row: Ragged | Histories, place: int) -> str:
    """Product ids of one row, in order, as one string."""
    values = row.values if isinstance(row, Ragged) else row.product
    return " ".join(log.products[int(code)] for code in values[row.indptr[place] : row.indptr[place + 1]])


def lines(log: EventLog) -> list[str]:
    """The events as ``person minute product``, to compare logs with each other and with the page."""
    return [
        f"{log.people[int(person)]} {(int(time) - ZERO) // MINUTE} "
        + (log.products[int(product)] if product >= 0 else "-")
        for person, time, product in zip(log.person, log.time, log.product, strict=True)
    ]
