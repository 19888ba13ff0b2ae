"""The log of the live shop as a dataset, so that what was served becomes training data."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from features.contract import CUSTOMERS, EVENTS, PRODUCTS, Form, Table
from features.events import SECOND
from features.files import DatasetError, text_of
from features.store.base import ERASED, DecisionStore, Event, EventStore, Json
from training.arrow_types import ARROW_TYPES
from training.evaluate import Report
from training.importing import NO_ID, is_customer_row
from training.message_log import write_messages

#: Rows in memory at a time.
CHUNK = 50_000


@dataclass(frozen=True)
class Exported:
    """How many rows each table has."""

    events: int
    customers: int
    products: int
    messages: int = 0


def export_dataset(
    store: EventStore, decisions: DecisionStore, out: Path, report: Report, *, now: datetime | None = None
) -> Exported:
    """Write the shop as a dataset: ``events.parquet``, ``customers.parquet`` and ``products.parquet``.

    Decisions on the next action, if there are any, become ``messages.parquet`` (`training.message_log`).

    Events up to now, and beside those that name a decision and a product of its answer (impressions, clicks …) at which
    ``rank`` it stood there and with which ``propensity``; customers with the traits known of them, and ``consents`` or
    ``reachable`` only if those are known of anybody; the products of the catalogue as they are now. None of erased
    people.

    Args:
        store: the shop.
        decisions: its log of decisions.
        out: the folder; not there, or empty. Appears when all is written.
        report: told of the progress.
        now: with a time zone; None: no messages.

    Raises:
        DatasetError: the folder is not empty, or somebody was erased meanwhile.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} is not empty; name a folder that is not there yet")
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        erased = store.erased()
        events = _write_events(store, _Shown(decisions), unfinished / "events.parquet", report)
        customers = _write_customers(store, unfinished / "customers.parquet", report)
        products = _write_products(store, unfinished / "products.parquet", report)
        messages = 0
        if now is not None and decisions.ids(limit=1, actions=True):
            micros = round(now.timestamp() * SECOND)
            messages = write_messages(store, decisions, unfinished / "messages.parquet", now=micros, report=report)
        if store.erased() != erased:
            raise DatasetError("somebody was erased while the log was written; export it again")
        unfinished.chmod(0o755)
        unfinished.replace(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Exported(events, customers, products, messages)


class _Shown:
    """Where products stood in the answers of decisions, and with which probability."""

    def __init__(self, decisions: DecisionStore) -> None:
        self._decisions = decisions
        self._read = lru_cache(maxsize=10_000)(self._items)

    def of(self, event: Event) -> Json:
        """``rank`` and ``propensity`` of the product of an event in the answer it came from; empty if unknown."""
        if event.decision_id is None or event.product_id is None:
            return {}
        items = self._read(event.decision_id)
        placements = [event.placement] if event.placement is not None else {placement for placement, _ in items}
        found = [
            items[placement, event.product_id] for placement in placements if (placement, event.product_id) in items
        ]
        return found[0] if len(found) == 1 else {}

    def _items(self, decision_id: str) -> dict[tuple[str, str], Json]:
        decision = self._decisions.read(decision_id)
        if decision is None or decision == ERASED:
            return {}
        return {
            (block["placement"], item["id"]): {"rank": item["rank"], "propensity": item["propensity"]}
            for block in decision.answer.get("blocks", ())
            for item in block["items"]
        }


def _write_events(store: EventStore, shown: _Shown, file: Path, report: Report) -> int:
    end, after, written = store.watermark().seq, 0, 0
    columns = [(column.name, ARROW_TYPES[column.form]) for column in EVENTS.columns]
    schema = pa.schema([*columns, ("rank", pa.int32()), ("propensity", pa.float64())])
    with pq.ParquetWriter(file, schema) as writer:
        while after < end and (rows := store.rows(after, CHUNK)):
            found = [
                _event_row(event) | shown.of(event) for seq, event in rows if seq <= end and not is_customer_row(event)
            ]
            writer.write_table(pa.Table.from_pylist(found, schema))
            written += len(found)
            after = rows[-1][0]
            report("events", min(after, end), end)
    return written


def _event_row(event: Event) -> Json:
    given = {column.name: getattr(event, column.name, None) for column in EVENTS.columns}
    made_up = (event.event_id or "").startswith(NO_ID)
    return {
        **given,
        "timestamp": event.time,
        "known_at": event.known,
        "event_id": None if made_up else event.event_id,
    }


def _write_customers(store: EventStore, file: Path, report: Report) -> int:
    zones = available_timezones()

    def rows() -> Iterator[Json]:
        for number, (person, traits) in enumerate(store.everyone(), start=1):
            if traits.get("timezone") not in zones:
                traits.pop("timezone", None)
            yield {**traits, "customer_id": person.customer_id}
            if number % CHUNK == 0:
                report("customers", number, number)

    # Both passes are to see the same customers.
    with tempfile.TemporaryFile(dir=file.parent) as lines:
        lines.writelines(orjson.dumps(row) + b"\n" for row in rows())

        def again() -> Iterator[Json]:
            lines.seek(0)
            return map(orjson.loads, lines)

        return _write_table(CUSTOMERS, again, file)


def _write_products(store: EventStore, file: Path, report: Report) -> int:
    end = store.watermark().change
    last: dict[str, int] = {}
    for start in range(0, end, CHUNK):
        last |= {one.product_id: one.change for one in store.product_changes(start, min(start + CHUNK, end))}
        report("products", min(start + CHUNK, end), end)

    def rows() -> Iterator[Json]:
        for start in range(0, end, CHUNK):
            for one in store.product_changes(start, min(start + CHUNK, end)):
                if last[one.product_id] == one.change and one.attributes is not None:
                    yield {**one.attributes, "product_id": one.product_id}

    return _write_table(PRODUCTS, rows, file)


def _write_table(table: Table, rows: Callable[[], Iterable[Json]], file: Path) -> int:
    """Write rows of a table with attributes, read twice: for the columns there are, and to write them."""
    forms = _forms(table, rows())
    schema = pa.schema([(name, ARROW_TYPES[form]) for name, form in forms.items()])
    written = 0
    with pq.ParquetWriter(file, schema) as writer:
        left = iter(rows())
        while chunk := list(islice(left, CHUNK)):
            cells = {name: [_cell(row.get(name), form) for row in chunk] for name, form in forms.items()}
            writer.write_table(pa.table(cells, schema))
            written += len(chunk)
    return written


def _forms(table: Table, rows: Iterable[Json]) -> dict[str, Form]:
    """The columns that any row has: those of the contract first, then attributes by name."""
    contract = {column.name: column.form for column in table.columns}
    found: dict[str, set[Form]] = {column.name: set() for column in table.columns if column.required}
    for row in rows:
        for name, value in row.items():
            if value is not None:
                found.setdefault(name, set()).add(_form_of(value))
    known = {name: form for name, form in contract.items() if name in found}
    others = {name: found[name] for name in sorted(found.keys() - contract.keys())}
    return known | {name: next(iter(forms)) if len(forms) == 1 else Form.TEXT for name, forms in others.items()}


def _form_of(value: object) -> Form:
    if isinstance(value, bool):
        return Form.FLAG
    if isinstance(value, int | float):
        return Form.NUMBER
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return Form.TAGS
    return Form.TEXT


def _cell(value: Any, form: Form) -> Any:
    """A value as its column holds it; None where it cannot."""
    match form:
        case Form.NUMBER:
            return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case Form.TAGS:
            return [text_of(entry) for entry in value if entry is not None] if isinstance(value, list) else None
        case Form.FLAG:
            return value
        case Form.TIME:
            return _moment(value)
        case _:
            return text_of(value)


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
