"""The dataset contract as data: which tables there are, which columns they have, and what a cell may hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from features.events import Kind


class Form(Enum):
    """What a column holds, and the pandas dtype it has after reading."""

    ID = auto()  # str; integers become strings
    TEXT = auto()  # str
    NUMBER = auto()  # float64, NaN for null
    TIME = auto()  # datetime64[us, UTC], NaT for null
    FLAG = auto()  # boolean (nullable)
    TAGS = auto()  # object: a list of str, None for null


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: as in the file.
        form: what it holds.
        required: the table is at fault without the column, a row is bad without a value.
        past: a time that cannot lie in the future.
        low: the least number allowed; ``above_low`` leaves out the bound itself.
        high: the greatest number allowed.
        values: the only texts allowed; empty: any.
    """

    name: str
    form: Form
    required: bool = False
    past: bool = False
    low: float | None = None
    above_low: bool = False
    high: float | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table. ``attributes``: columns not listed are attributes; elsewhere they are ignored.

    ``key``: the column that names a row; of rows with the same key the last one counts.
    """

    name: str
    columns: tuple[Column, ...]
    attributes: bool = False
    key: str | None = None


def _ids(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, Form.ID) for name in names)


def _moments(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, Form.TIME, past=True) for name in names)


def _probability(name: str) -> Column:
    return Column(name, Form.NUMBER, low=0.0, above_low=True, high=1.0)


IN_STOCK, OUT_OF_STOCK, PREORDER = "in_stock", "out_of_stock", "preorder"

#: Columns that say who an event is about, the best one first.
PERSON_COLUMNS = ("customer_id", "anonymous_id", "session_id", "order_id")

EVENTS = Table(
    "events",
    (
        Column("event", Form.TEXT, required=True),
        Column("timestamp", Form.TIME, required=True, past=True),
        *_ids("customer_id", "anonymous_id", "session_id", "product_id", "order_id"),
        Column("quantity", Form.NUMBER, low=0.0),
        Column("price", Form.NUMBER, low=0.0),
        Column("currency", Form.TEXT),
        Column("channel", Form.TEXT),
        *_ids("event_id"),
        *_moments("known_at"),
        Column("placement", Form.TEXT),
        *_ids("decision_id"),
    ),
)

PRODUCTS = Table(
    "products",
    (
        Column("product_id", Form.ID, required=True),
        Column("title", Form.TEXT),
        Column("category", Form.TEXT),
        Column("brand", Form.TEXT),
        Column("price", Form.NUMBER, low=0.0),
        Column("sale_price", Form.NUMBER, low=0.0),
        Column("margin", Form.NUMBER),
        Column("currency", Form.TEXT),
        Column("availability", Form.TEXT, values=(IN_STOCK, OUT_OF_STOCK, PREORDER)),
        Column("image_link", Form.TEXT),
        Column("item_group_id", Form.ID),
        Column("available_from", Form.TIME),
    ),
    attributes=True,
    key="product_id",
)

CUSTOMERS = Table(
    "customers",
    (
        Column("customer_id", Form.ID, required=True),
        Column("timezone", Form.TEXT),
        Column("consents", Form.TAGS),
        Column("reachable", Form.TAGS),
    ),
    attributes=True,
    key="customer_id",
)

MESSAGES = Table(
    "messages",
    (
        Column("message_id", Form.ID, required=True),
        Column("customer_id", Form.ID, required=True),
        Column("action", Form.TEXT, required=True),
        Column("sent_at", Form.TIME, required=True, past=True),
        *_moments("decided_at", "cancelled_at"),
        Column("channel", Form.TEXT),
        Column("offer", Form.TEXT),
        Column("eligible", Form.TAGS),
        *_ids("decision_id"),
        Column("policy", Form.TEXT),
        _probability("propensity"),
        _probability("send_at_propensity"),
        Column("cost", Form.NUMBER),
        *_moments("known_at", "delivered_at", "bounced_at", "opened_at"),
        Column("machine_opened", Form.FLAG),
        *_moments("clicked_at", "visited_at", "converted_at", "unsubscribed_at", "complained_at"),
        Column("value", Form.NUMBER),
        *_moments("observed_until"),
    ),
)

OPENS = Table(
    "opens",
    (
        Column("customer_id", Form.ID, required=True),
        Column("opened_at", Form.TIME, required=True, past=True),
        Column("channel", Form.TEXT),
    ),
)

TABLES = (EVENTS, PRODUCTS, CUSTOMERS, MESSAGES, OPENS)

#: Event names of the contract; any other name is a custom event.
EVENT_NAMES: dict[str, Kind] = {kind.name.lower(): kind for kind in Kind if kind is not Kind.CUSTOM}
