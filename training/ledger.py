"""The events of a dataset in the order the shop learned of them, and whose each of them is at any moment.

The rules are those of the live store (`features.store.links`): an event belongs to the identity it names best; a
visitor is linked to a customer by an identify event that names both, an order to whoever bought it. The place of an
event in the ledger stands for its sequence number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.fold import Fold
from features.people import digest

Ints = NDArray[np.int64]

#: Columns that name an identity, the best one first, and what kind of identity it is.
IDENTITIES = {"customer_id": "customer", "anonymous_id": "visitor", "session_id": "session", "order_id": "order"}


@dataclass(frozen=True)
class Links:
    """From place ``since`` on, events of ``source`` are those of ``target``. int64[n], by (source, since).

    The first link of a source holds for all before it too, from the moment it is known.
    """

    source: Ints
    target: Ints
    since: Ints


@dataclass(frozen=True)
class Owned:
    """Events and whose they are: event ``row`` belongs to identity ``owner`` as seen from place ``since`` on. int64[n].

    An event of a visitor who is linked later stands here twice: as the visitor's, and from the link on as the
    customer's.
    """

    row: Ints
    owner: Ints
    since: Ints


@dataclass(frozen=True)
class Ledger:
    """n events, ascending by (known, row of the table); later copies of an event_id are left out.

    Attributes:
        time, known: int64[n], microseconds since 1970 UTC; known is never before time.
        event, channel, product: int32[n], places in ``events``, ``channels``, ``products``; -1 for none.
        quantity: float64[n]; 1 where a refund says none.
        price: float64[n], NaN if unknown.
        identity: int64[n], number of the identity that an event names best.
        names: for each kind of identity, its ids and the number of the first of them.
        links: of visitors and orders.
    """

    time: Ints
    known: Ints
    event: NDArray[np.int32]
    channel: NDArray[np.int32]
    product: NDArray[np.int32]
    quantity: NDArray[np.float64]
    price: NDArray[np.float64]
    events: list[str]
    channels: list[str]
    products: list[str]
    identity: Ints
    names: dict[str, tuple[pd.Index[str], int]]
    links: Links

    def __len__(self) -> int:
        return len(self.time)

    def entries(self, fold: Fold) -> Ints:
        """The number by which a fold finds what to do with each event, int64[n]."""
        table = [[fold.entry(event, channel) for channel in (*self.channels, None)] for event in self.events]
        found: Ints = np.array(table, dtype=np.int64).reshape(-1, len(self.channels) + 1)[self.event, self.channel]
        return found

    def keys(self) -> Ints:
        """Product key of each event, int64[n], 0 for none."""
        keys = np.array([*(digest(product_id) for product_id in self.products), 0], dtype=np.int64)
        return keys[self.product]

    def places(self, at: Ints) -> Ints:
        """How many events were known before each of some moments, int64."""
        return np.searchsorted(self.known, at).astype(np.int64)

    def numbers(self, column: str, ids: pd.Series[Any]) -> Ints:
        """Numbers of identities that stand in a column, int64; -1 for null and for those nobody has seen."""
        index, first = self.names[IDENTITIES[column]]
        found = index.get_indexer(pd.Index(ids))
        return np.where((found >= 0) & ids.notna().to_numpy(), found + first, -1)

    def name(self, number: int) -> str:
        """What an identity is called, kind and id."""
        kind, (ids, first) = [(kind, named) for kind, named in self.names.items() if named[1] <= number][-1]
        return f"{kind}:{ids[number - first]}"

    def who(self, numbers: Ints, places: Ints) -> Ints:
        """Who somebody asked for is, as seen from a place: whom they were last linked to before it, else themselves."""
        target, _ = _link_at(self.links, numbers, places - 1)
        return np.where(target >= 0, target, numbers)

    def owned(self) -> Owned:
        """Whose each event is, from when on."""
        rows = np.arange(len(self), dtype=np.int64)
        owner, since = self.identity, rows
        found = []
        while len(rows):
            owner = _settled(self.links, owner, rows)
            found.append((rows, owner, since))
            target, linked = _first_link(self.links, owner)
            later = target >= 0
            rows, owner, since = rows[later], target[later], np.maximum(since, linked)[later]
        columns = [np.concatenate(parts) for parts in zip(*found, strict=True)] if found else [rows, owner, since]
        return Owned(*columns)


def ledger_of(events: pd.DataFrame) -> Ledger:
    """From the table as `features.dataset.read_dataset` cleans it; optional columns may be absent."""
    time = _micros(events["timestamp"])
    known = np.maximum(time, _micros(events["known_at"])) if "known_at" in events else time
    order = np.argsort(known, kind="stable")
    if "event_id" in events:
        ids = events["event_id"].iloc[order]
        order = order[(ids.isna() | ~ids.duplicated()).to_numpy()]
    frame = events.iloc[order]
    event, names = pd.factorize(frame["event"])
    channel, channels = _factorized(frame, "channel")
    product, products = _factorized(frame, "product_id")
    quantity = _floats(frame, "quantity")
    codes, index = {}, {}
    first = 0
    for column, kind in IDENTITIES.items():
        code, ids_of = _factorized(frame, column)
        codes[kind] = np.where(code >= 0, code + first, -1)
        index[kind] = (pd.Index(ids_of, dtype="str"), first)
        first += len(ids_of)
    identity = np.full(len(frame), -1, dtype=np.int64)
    for kind in index:
        identity = np.where(identity < 0, codes[kind], identity)
    return Ledger(
        time=time[order],
        known=known[order],
        event=event.astype(np.int32),
        channel=channel.astype(np.int32),
        product=product.astype(np.int32),
        quantity=np.where(np.isnan(quantity), 1.0, quantity),
        price=_floats(frame, "price"),
        events=names.tolist(),
        channels=channels,
        products=products,
        identity=identity,
        names=index,
        links=_links(
            codes, identity, (frame["event"] == "identify").to_numpy(), (frame["event"] == "purchase").to_numpy()
        ),
    )


def _links(codes: dict[str, Ints], identity: Ints, identify: NDArray[np.bool_], purchase: NDArray[np.bool_]) -> Links:
    visitors = np.flatnonzero(identify & (codes["customer"] >= 0) & (codes["visitor"] >= 0))
    order = codes["order"]
    alone = np.unique(order[(identity == order) & (order >= 0)])  # orders that some event names alone
    buyers = np.flatnonzero(purchase & (identity != order) & np.isin(order, alone))
    source = np.concatenate([codes["visitor"][visitors], order[buyers]])
    target = np.concatenate([codes["customer"][visitors], identity[buyers]])
    since = np.concatenate([visitors, buyers])
    rows = np.lexsort((since, source))
    return Links(source[rows], target[rows], since[rows])


def _link_at(links: Links, sources: Ints, places: Ints) -> tuple[Ints, Ints]:
    """(target, since) of the last link of each source at or before a place; -1 where there is none."""
    if len(links.source) == 0:
        none = np.full(len(sources), -1, dtype=np.int64)
        return none, none
    span = int(max(links.since.max(), places.max(initial=0))) + 2
    found = np.searchsorted(links.source * span + links.since, sources * span + places, side="right") - 1
    there = (found >= 0) & (links.source[found] == sources) & (links.since[found] <= places)
    return np.where(there, links.target[found], -1), np.where(there, links.since[found], -1)


def _first_link(links: Links, sources: Ints) -> tuple[Ints, Ints]:
    """(target, since) of the first link of each source; -1 where there is none."""
    if len(links.source) == 0:
        none = np.full(len(sources), -1, dtype=np.int64)
        return none, none
    found = np.minimum(np.searchsorted(links.source, sources), len(links.source) - 1)
    there = links.source[found] == sources
    return np.where(there, links.target[found], -1), np.where(there, links.since[found], -1)


def _settled(links: Links, owner: Ints, rows: Ints) -> Ints:
    """Owners of events, with every link that held when they came. A chain ends at somebody who is linked to nobody."""
    while True:
        target, _ = _link_at(links, owner, rows)
        if (target < 0).all():
            return owner
        owner = np.where(target >= 0, target, owner)


def _factorized(frame: pd.DataFrame, column: str) -> tuple[Ints, list[str]]:
    """Codes, -1 for null, and the distinct values."""
    if column not in frame:
        return np.full(len(frame), -1, dtype=np.int64), []
    codes, distinct = pd.factorize(frame[column])
    return codes.astype(np.int64), distinct.tolist()


def _micros(times: pd.Series[Any]) -> Ints:
    naive = times.dt.tz_convert("UTC").dt.tz_localize(None)
    moments: Ints = naive.to_numpy("datetime64[us]").view(np.int64)
    return moments


def _floats(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    if column not in frame:
        return np.full(len(frame), np.nan)
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)


def offsets(zones: Sequence[Any], at: Ints) -> NDArray[np.float64]:
    """`features.fold.offset_hours` of many people (their zones, None for UTC) at many moments, float64[n]."""
    codes, distinct = pd.factorize(pd.Series(list(zones), dtype="object"))
    moments = pd.Series(at.view("datetime64[us]")).dt.tz_localize("UTC")
    hours = np.zeros(len(at))
    for code, zone in enumerate(distinct):
        rows = np.flatnonzero(codes == code)
        try:
            local = moments.iloc[rows].dt.tz_convert(zone).dt.tz_localize(None)
        except (KeyError, ValueError, OSError):
            continue  # a zone nobody knows counts as UTC
        hours[rows] = (local.to_numpy("datetime64[us]").view(np.int64) - at[rows]) / 3_600_000_000
    return hours
