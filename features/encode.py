"""Tables of the contract to arrays: the event log in canonical order, and the catalogue beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import Catalogue, Column, Flag, Number, Tags, Text, Time
from features.contract import EVENT_NAMES
from features.events import MINUTE, EventLog, Kind
from features.people import order_name, session_name, visitor_name
from features.refunds import reverse_purchases
from features.vocabulary import Vocabulary

SESSION_GAP = 30 * MINUTE
NULL_TIME = np.iinfo(np.int64).min

Codes = NDArray[np.int32]


def encode_events(
    events: pd.DataFrame | None, products: pd.DataFrame | None = None, customers: pd.DataFrame | None = None
) -> EventLog:
    """The event log of a dataset. It depends on what the rows say, not on their order.

    Canonical order is by time, person, kind, product, order id, quantity, price, known time and session id. Of events
    with the same event_id the first in canonical order stays.

    - A person is the customer, else the visitor, else the session, else the order an event names; `features.people`
      says how persons are called. A refund or delivery that names only an order belongs to whoever bought that order.
    - Purchases make orders: those of one person and order_id, without order_id those of one person and moment. A refund
      has the number of the order it names, -1 if nobody bought it or it names none.
    - Sessions are those of one person and session_id; events without session_id are cut where a person does nothing for
      more than 30 minutes. Orders and sessions are numbered as they first appear in canonical order.
    - `features.refunds.reverse_purchases` says what a refund takes back.

    Args:
        events: the table as `features.dataset.read_dataset` cleans it; optional columns may be absent, None is an empty
            table.
        products: its product ids join ``products`` of the log.
        customers: its customer ids join ``people`` of the log.
    """
    frame = events if events is not None else _no_events()
    kind = _kinds(frame["event"])
    order_code, _ = _ranked(frame, "order_id")
    session_code, _ = _ranked(frame, "session_id")
    product_code, product_ids = _ranked(frame, "product_id")
    catalogue_ids = [] if products is None else products["product_id"].tolist()
    known_products = Vocabulary([*product_ids, *catalogue_ids])
    people, anonymous, person = _persons(frame, kind, order_code, customers)
    product = _recoded(product_code, known_products.codes(product_ids))
    time = _micros(frame["timestamp"])
    known = np.maximum(time, _micros(frame["known_at"])) if "known_at" in frame else time
    price = _floats(frame, "price")
    # What a refund does not say is kept as NaN until it is known what it took back.
    quantity = np.where(np.isnan(amount := _floats(frame, "quantity")) & (kind != Kind.REFUND), 1.0, amount)
    rows = np.lexsort((session_code, known, price, quantity, order_code, product, kind, person, time))
    rows = rows[_first_of_each(frame, rows)]
    time, known, kind, person, product = time[rows], known[rows], kind[rows], person[rows], product[rows]
    order = _orders(time, kind, person, order_code[rows])
    reversed_at, quantities = reverse_purchases(
        known=known,
        kind=kind,
        person=person,
        product=product,
        order=order,
        names_order=order_code[rows] >= 0,
        quantity=quantity[rows],
    )
    return EventLog(
        people=people,
        anonymous=anonymous,
        products=known_products,
        time=time,
        known=known,
        kind=kind,
        person=person,
        product=product,
        order=order,
        session=_sessions(time, person, session_code[rows]),
        quantity=quantities.astype(np.float32),
        price=price[rows],
        reversed_at=reversed_at,
    )


def encode_catalogue(products: pd.DataFrame | None, log: EventLog) -> Catalogue:
    """The catalogue whose rows are ``log.products``: every product of the table or of an event.

    The dtype of a column, as `features.dataset.read_dataset` cleans it, says what it becomes: str `Text`, numbers
    `Number`, boolean `Flag`, datetime `Time`, object (lists) `Tags`.

    Args:
        products: the table, or None: then there are no columns.
        log: made with the same products.
    """
    if products is None:
        return Catalogue(log.products, {})
    # Where row p of the catalogue stands in the table; -1 for a product seen only in events.
    places = np.full(len(log.products), -1, dtype=np.int64)
    places[log.products.codes(products["product_id"])] = np.arange(len(products))
    columns = {str(name): encode_column(products[name], places) for name in products.columns if name != "product_id"}
    return Catalogue(log.products, columns)


def encode_column(values: pd.Series[Any], places: NDArray[np.int64]) -> Column:
    """A column of a table, by its dtype; row i of it is that of ``values[places[i]]``, null where the place is -1."""
    there = places >= 0
    if pd.api.types.is_bool_dtype(values.dtype):
        flags = values.astype("Int8").fillna(-1).to_numpy(dtype=np.int8)
        return Flag(_placed(flags, places, np.int8(-1)))
    if pd.api.types.is_numeric_dtype(values.dtype):
        return Number(_placed(values.to_numpy(dtype=np.float64, na_value=np.nan), places, np.nan))
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return Time(_placed(_micros(values), places, NULL_TIME))
    if isinstance(values.dtype, pd.StringDtype):
        codes, ids = _ranked_values(values)
        return Text(_placed(codes, places, np.int32(-1)), Vocabulary(ids))
    held = values.tolist()
    lists = [held[place] or [] if is_there else [] for place, is_there in zip(places, there, strict=True)]
    vocabulary = Vocabulary(tag for tags in lists for tag in tags)
    indptr = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum([len(tags) for tags in lists], out=indptr[1:])
    return Tags(indptr, vocabulary.codes(tag for tags in lists for tag in tags), vocabulary)


def _placed(values: NDArray[Any], places: NDArray[np.int64], null: Any) -> NDArray[Any]:
    placed = np.full(len(places), null, dtype=values.dtype)
    there = places >= 0
    placed[there] = values[places[there]]
    return placed


def _no_events() -> pd.DataFrame:
    return pd.DataFrame({"event": pd.Series(dtype="str"), "timestamp": pd.Series(dtype="datetime64[us, UTC]")})


def _kinds(names: pd.Series[Any]) -> NDArray[np.int8]:
    codes, distinct = pd.factorize(names)
    kinds = np.array([EVENT_NAMES.get(name, Kind.CUSTOM) for name in distinct] + [Kind.CUSTOM], dtype=np.int8)
    return kinds[codes]


def _ranked(frame: pd.DataFrame, column: str) -> tuple[Codes, list[str]]:
    """Codes of a text column in the order of its distinct values, -1 for null or where the column is absent."""
    if column not in frame:
        return np.full(len(frame), -1, dtype=np.int32), []
    return _ranked_values(frame[column])


def _ranked_values(values: pd.Series[Any]) -> tuple[Codes, list[str]]:
    codes, distinct = pd.factorize(values)
    ids: list[str] = distinct.tolist()
    ascending = sorted(ids)  # by code point, as in Vocabulary
    place = {identifier: rank for rank, identifier in enumerate(ascending)}
    return _recoded(codes, np.array([place[identifier] for identifier in ids], dtype=np.int32)), ascending


def _recoded(codes: NDArray[Any], new: Codes) -> Codes:
    """Codes by another numbering; -1 stays."""
    renumbered: Codes = np.append(new, np.int32(-1))[codes]
    return renumbered


def _micros(times: pd.Series[Any]) -> NDArray[np.int64]:
    """Microseconds since 1970 UTC, int64; the least integer for null."""
    naive = times.dt.tz_convert("UTC").dt.tz_localize(None)
    moments: NDArray[np.int64] = naive.to_numpy("datetime64[us]").view(np.int64)
    return moments


def _floats(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    if column not in frame:
        return np.full(len(frame), np.nan)
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)


def _persons(
    frame: pd.DataFrame, kind: NDArray[np.int8], order_code: Codes, customers: pd.DataFrame | None
) -> tuple[Vocabulary, NDArray[np.bool_], Codes]:
    """The people of a dataset, which of them are not customers, and who did each event."""
    person, names = _ranked(frame, "customer_id")
    listed = set(names) if customers is None else {*names, *customers["customer_id"]}
    for column, name in (("anonymous_id", visitor_name), ("session_id", session_name), ("order_id", order_name)):
        if (person >= 0).all():
            break
        if column == "order_id":
            person = _with_owners(person, kind, order_code)
        codes, ids = _ranked(frame, column)
        person = np.where((person < 0) & (codes >= 0), codes + np.int32(len(names)), person)
        names = names + [name(identifier, listed.__contains__) for identifier in ids]
    people = Vocabulary([*listed, *(names[number] for number in np.unique(person[person >= 0]))])
    anonymous = np.array([name not in listed for name in people], dtype=bool)
    return people, anonymous, _recoded(person, people.codes(names))


def _with_owners(person: Codes, kind: NDArray[np.int8], order_code: Codes) -> Codes:
    """``person``, with refunds and deliveries that name only an order given to the one person who bought it."""
    bought = np.flatnonzero((kind == Kind.PURCHASE) & (person >= 0) & (order_code >= 0))
    first = np.full(order_code.max(initial=-1) + 1, np.iinfo(np.int32).max, dtype=np.int32)
    last = np.full(len(first), -1, dtype=np.int32)
    np.minimum.at(first, order_code[bought], person[bought])
    np.maximum.at(last, order_code[bought], person[bought])
    owner = _recoded(order_code, np.where(first == last, first, np.int32(-1)))
    return np.where((person < 0) & np.isin(kind, (Kind.REFUND, Kind.DELIVER)), owner, person)


def _first_of_each(frame: pd.DataFrame, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mask over ``rows``: events that are not a later copy of one with the same event_id."""
    if "event_id" not in frame:
        return np.ones(len(rows), dtype=bool)
    codes = pd.Series(pd.factorize(frame["event_id"])[0][rows])
    first: NDArray[np.bool_] = (~codes.duplicated() | (codes < 0)).to_numpy()
    return first


def _orders(time: NDArray[np.int64], kind: NDArray[np.int8], person: Codes, order_code: Codes) -> Codes:
    """The number of the order of each purchase and of each refund that names one, else -1."""
    named = order_code >= 0
    moment = np.cumsum(np.diff(time, prepend=time[:1]) > 0)
    owner = person.astype(np.int64)
    key = np.where(named, owner * (order_code.max(initial=0) + 1) + order_code, -1 - owner * (len(time) + 1) - moment)
    order = np.full(len(time), -1, dtype=np.int32)
    purchase, refund = kind == Kind.PURCHASE, (kind == Kind.REFUND) & named
    order[purchase], keys = pd.factorize(key[purchase])
    order[refund] = pd.Index(keys).get_indexer(key[refund])
    return order


def _sessions(time: NDArray[np.int64], person: Codes, session_code: Codes) -> Codes:
    """The number of the session of each event."""
    key = person.astype(np.int64) * (session_code.max(initial=0) + 1) + session_code
    unnamed = np.flatnonzero(session_code < 0)
    unnamed = unnamed[np.argsort(person[unnamed], kind="stable")]
    starts = (np.diff(person[unnamed], prepend=-1) != 0) | (np.diff(time[unnamed], prepend=0) > SESSION_GAP)
    key[unnamed] = -1 - np.cumsum(starts)
    session: Codes = pd.factorize(key)[0].astype(np.int32)
    return session
