"""A dataset into the store of the live shop: its history, products and customers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from features.contract import EVENT_NAMES
from features.dataset import Dataset
from features.events import SECOND, Kind
from features.store.base import Event, EventStore, Json
from training.evaluate import Report
from training.message_events import told_by_messages, told_by_opens

#: Rows in one transaction.
CHUNK = 10_000

#: What the event_id of the identify event begins with that stands for a row of customers, and that of an event which
#: had none. An export writes neither.
CUSTOMER_ROW, NO_ID = "import:customer:", "import:event:"

_COLUMNS = (
    "event", "timestamp", "known_at", "customer_id", "anonymous_id", "session_id", "product_id", "order_id", "quantity",
    "price", "currency", "channel", "event_id", "placement", "decision_id",
)  # fmt: skip

_DTYPES = {"quantity": "float64", "price": "float64", "more": "object"}


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        events: new to the store; of them ``told`` are what messages and opens tell.
        duplicates: events that were there.
        customers: new or changed.
        products: changed.
    """

    events: int
    duplicates: int
    customers: int
    products: int
    told: int = 0


def moment_of(dataset: Dataset, folder: Path, *, now: datetime) -> datetime:
    """As of when the tables of products and customers speak, which say no time of their own; never after ``now``.

    The newest moment at which an event became known, and without events when the newest file was written: the same
    files speak as of the same moment whenever they are imported.

    Args:
        dataset: as read, with the rows of erased people.
        folder: it was read from.
        now: with a time zone.
    """
    if dataset.events is not None and len(dataset.events):
        newest: datetime = dataset.events["known_at"].max().to_pydatetime()
    else:
        files = [folder / file for table in dataset.report.values() for file in table.files]
        newest = datetime.fromtimestamp(max(file.stat().st_mtime for file in files), UTC)
    return min(newest, now)


def import_dataset(dataset: Dataset, store: EventStore, *, at: datetime, report: Report) -> Imported:
    """Put the events, products and customers of a dataset into a store. What is there already changes nothing.

    Events go in as they became known, those of one moment in canonical order; one without event_id gets one made of
    what it says, and equal rows are numbered. Customers become identify events and products become product changes,
    both as of ``at``: what the live shop said later stays. A row that says what it said in the last import says nothing
    new, also where the live shop has said otherwise since. Messages and opens become events
    (`training.message_events`).

    Args:
        dataset: as read.
        store: the shop.
        at: see `moment_of`; with a time zone.
        report: told of the progress.
    """
    micros = round(at.timestamp() * SECOND)
    products = _import_products(dataset.products, store, micros, report)
    rows = _CustomerRows(store) if dataset.customers is not None else None
    events, duplicates = _import_events(dataset.events, "events", store, report)
    told, known = _import_events(_told(dataset), "messages", store, report)
    customers = 0 if rows is None else _import_customers(dataset.customers, rows, store, micros, report)
    return Imported(events + told, duplicates + known, customers, products, told)


def _told(dataset: Dataset) -> pd.DataFrame | None:
    """What messages and opens tell, with all columns of events."""
    parts = []
    if dataset.messages is not None:
        parts.append(told_by_messages(dataset.messages, dataset.events))
    if dataset.opens is not None:
        parts.append(told_by_opens(dataset.opens))
    parts = [part for part in parts if len(part)]
    if not parts:
        return None
    told = pd.concat(parts, ignore_index=True)
    absent: dict[str, pd.Series[Any]] = {
        name: pd.Series(1.0 if name == "quantity" else None, index=told.index, dtype=_DTYPES.get(name, "str"))
        for name in (*_COLUMNS, "more")
        if name not in told
    }
    return told.assign(**absent)


def _import_products(table: pd.DataFrame | None, store: EventStore, at: int, report: Report) -> int:
    if table is None:
        return 0
    before = last = store.watermark().change
    imported = _imported_products(store, _moments_of_imports(store, at))
    for rows in _chunks(table, "products", report):
        said: list[tuple[str, Json | None]] = []
        for row in _records(rows):
            product_id = row.pop("product_id")
            attributes = {name: value for name, value in row.items() if value is not None}
            newest = store.product(product_id)
            put_since = newest is not None and newest.at > at
            if not put_since and imported.get(product_id) != _digest(attributes):
                said.append((product_id, attributes))
        last = store.put_products(said, at)
    return last - before


def _moments_of_imports(store: EventStore, at: int) -> set[int]:
    """As of when products were imported before, by which changes that came from a table are known; and ``at``.

    Kept as numbered settings, which are never changed: the list ends where ``at`` stands.
    """
    moments: set[int] = set()
    while at not in moments:
        moments.add(int(store.setting(f"products imported {len(moments)}", str(at))))
    return moments


def _imported_products(store: EventStore, moments: set[int]) -> dict[str, bytes]:
    """Digests of the newest attributes of products that came from a table."""
    end = store.watermark().change
    return {
        change.product_id: _digest(change.attributes)
        for start in range(0, end, CHUNK)
        for change in store.product_changes(start, min(start + CHUNK, end))
        if change.at in moments and change.attributes is not None
    }


class _CustomerRows:
    """What the tables of customers that were imported before said, from the log."""

    def __init__(self, store: EventStore) -> None:
        self._rows: dict[str, tuple[int, int, bytes]] = {}  # customer -> (how many, as of when, what) of the newest
        after = 0
        while entries := store.rows(after):
            for _, event in entries:
                if event.customer_id is not None and is_customer_row(event):
                    self._note(event.customer_id, event.time, (event.more or {}).get("traits") or {})
            after = entries[-1][0]

    def event(self, customer_id: str, traits: Json, at: int) -> Event | None:
        """What a row says as of a moment; None if it says nothing new, or a newer table was imported."""
        count, newest, said = self._rows.get(customer_id, (0, 0, b""))
        if count and (newest > at or said == _digest(traits)):
            return None
        # Of two rows as of one moment the later import wins, since of events of one time the greater id does.
        event_id = f"{CUSTOMER_ROW}{customer_id}:{count:06}:{_digest(traits).hex()}"
        return Event("identify", at, at, customer_id=customer_id, event_id=event_id, more={"traits": traits})

    def _note(self, customer_id: str, at: int, traits: Json) -> None:
        count, newest, said = self._rows.get(customer_id, (0, 0, b""))
        if at >= newest:
            newest, said = at, _digest(traits)
        self._rows[customer_id] = count + 1, newest, said


def is_customer_row(event: Event) -> bool:
    """Whether an event stands for a row of an imported table of customers."""
    return event.event == "identify" and (event.event_id or "").startswith(CUSTOMER_ROW)


def _import_customers(
    table: pd.DataFrame | None, before: _CustomerRows, store: EventStore, at: int, report: Report
) -> int:
    new = 0
    for rows in _chunks(table, "customers", report):
        events = []
        for row in _records(rows):
            customer_id = row.pop("customer_id")
            # A null list is an empty one; of anything else null says nothing.
            listed = {name: row.pop(name) or [] for name in ("consents", "reachable") if name in row}
            traits = {name: value for name, value in row.items() if value is not None} | listed
            events.append(before.event(customer_id, traits, at))
        new += sum(store.append([event for event in events if event is not None]).accepted)
    return new


def _digest(said: Json) -> bytes:
    return hashlib.blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=8).digest()


def _import_events(table: pd.DataFrame | None, name: str, store: EventStore, report: Report) -> tuple[int, int]:
    if table is None:
        return 0, 0
    table = _in_order(table)
    numbers = _numbers_among_equals(table)
    accepted = 0
    for rows in _chunks(table, name, report):
        more = _cells(rows["more"]) if "more" in rows else [None] * len(rows)
        events = [_event(*said) for said in zip(_rows(rows), numbers[rows.index], more, strict=True)]
        accepted += sum(store.append(events).accepted)
    return accepted, len(table) - accepted


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """By known_at, and then the order of an event log: (time, person, kind, product, order …)."""
    kind = table["event"].map(EVENT_NAMES).fillna(Kind.CUSTOM).astype("int8")
    person = ["customer_id", "anonymous_id", "session_id"]
    keys = [
        "known_at",
        "timestamp",
        *person,
        "kind",
        "event",
        "product_id",
        "order_id",
        "quantity",
        "price",
        "event_id",
    ]
    return table.assign(kind=kind).sort_values(keys, kind="stable", ignore_index=True)


def _numbers_among_equals(table: pd.DataFrame) -> NDArray[np.int64]:
    """Of each row how many rows before it are equal to it, int64[rows]."""
    digests = [digest for rows in _chunks(table, "", None) for digest in map(_content, _rows(rows))]
    return np.asarray(pd.Series(digests, dtype="str").groupby(digests, sort=False).cumcount(), dtype=np.int64)


def _content(row: tuple[Any, ...]) -> str:
    return hashlib.blake2b(orjson.dumps(row), digest_size=16).hexdigest()


def _event(row: tuple[Any, ...], number: int, more: Json | None) -> Event:
    name, time, known, customer, anonymous, session, product, order, quantity, price = row[:10]
    currency, channel, event_id, placement, decision = row[10:]
    return Event(
        name,
        time,
        known,
        customer_id=customer,
        anonymous_id=anonymous,
        session_id=session,
        product_id=product,
        order_id=order,
        quantity=quantity,
        price=price,
        currency=currency,
        channel=channel,
        event_id=event_id if event_id is not None else f"{NO_ID}{_content(row)}:{number}",
        placement=placement,
        decision_id=decision,
        more=more,
    )


def _chunks(table: pd.DataFrame | None, name: str, report: Report | None) -> Iterator[pd.DataFrame]:
    if table is not None:
        for start in range(0, len(table), CHUNK):
            yield table.iloc[start : start + CHUNK]
            if report is not None:
                report(name, min(start + CHUNK, len(table)), len(table))


def _rows(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Events as tuples, times in microseconds."""
    micros = {name: table[name].dt.as_unit("us").astype("int64") for name in ("timestamp", "known_at")}
    return zip(*(_cells(micros.get(name, table[name])) for name in _COLUMNS), strict=True)


def _records(table: pd.DataFrame) -> Iterator[Json]:
    """Rows as JSON-ready objects."""
    names = [str(name) for name in table.columns]
    columns = (_cells(table[name]) for name in table.columns)
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def _cells(column: pd.Series[Any]) -> list[Any]:
    """JSON-ready values, None for null; times as RFC 3339."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return [None if pd.isna(time) else time.isoformat().replace("+00:00", "Z") for time in column]
    cells: list[Any] = column.astype(object).where(column.notna(), None).tolist()
    return cells
