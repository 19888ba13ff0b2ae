"""Customers of a dataset as they were known at given moments: the crowd that decisions are made from.

Messages become events (`training.message_events`), as they do when they are imported into a live shop, so a state
counts them whichever way they came.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import Column
from features.contract import CUSTOMERS
from features.dataset import Dataset
from features.encode import encode_column
from features.events import DAY
from features.fold import Fold
from features.slots import CUSTOMER
from nba.arms import HOLD, label
from nba.crowd import Contacts, Crowd, Ints
from training.ledger import Ledger, ledger_of
from training.message_events import told_by_messages
from training.replay import Moments, moments_of, person_shards, run

#: Contacts older than this are forgotten: no cap and no cooldown reaches further back.
REMEMBERED = 400 * DAY

#: … and of somebody with more of them only so many, the newest: rows of one customer all hold theirs.
NEWEST = 500

#: Rows folded at once.
PART = 50_000


@dataclass(frozen=True)
class People:
    """Everything of a dataset that crowds are made from: fold it once, ask for many moments.

    Attributes:
        ledger: the events of the shop and of its messages.
        customers: the table, or None.
        channels: every channel that somebody consents to, is reachable on, or was contacted on.
        sent: contacts, ascending by (customer, time): customer_id, time (µs), known (µs: when the shop learned of it),
            action (its label, or null), channel (or null), answered (µs: when it was clicked or brought a visit; the
            largest integer for never).
    """

    ledger: Ledger
    customers: pd.DataFrame | None
    channels: tuple[str, ...]
    sent: pd.DataFrame


def people_of(dataset: Dataset) -> People:
    """The people of a dataset."""
    events = with_messages(dataset.events, dataset.messages)
    sent = _sent(dataset.events, dataset.messages)
    said: set[str] = set(sent["channel"].dropna())
    for column in ("consents", "reachable"):
        if dataset.customers is not None and column in dataset.customers:
            said.update(channel for channels in dataset.customers[column].dropna() for channel in channels)
    return People(ledger_of(events), dataset.customers, tuple(sorted(said)), sent)


def crowd_at(people: People, ids: pd.Series[Any], at: Ints, *, cache_folder: Path | None = None) -> Crowd:
    """Customers as known at moments of their own.

    Args:
        people: of the dataset.
        ids: customer ids, n of them; a customer may stand there several times, one nobody has seen is ordinary.
        at: int64[n], microseconds UTC.
        cache_folder: where compiled code is kept.
    """
    ids = ids.reset_index(drop=True)
    customers = people.customers
    place = np.full(len(ids), -1, dtype=np.int64)
    if customers is not None:
        place = pd.Index(customers["customer_id"]).get_indexer(pd.Index(ids)).astype(np.int64)
    zones: list[str | None] = [None] * len(ids)
    if customers is not None and "timezone" in customers:
        known = [*customers["timezone"].astype(object).where(customers["timezone"].notna(), None), None]
        zones = [known[row] for row in place.tolist()]
    frame = pd.DataFrame({"customer_id": ids, "at": at})
    by_id = {identifier: zone for identifier, zone in zip(ids, zones, strict=True) if zone is not None}
    moments = moments_of(people.ledger, frame, by_id)
    fold = Fold(CUSTOMER)
    return Crowd(
        ids=ids.tolist(),
        at=at,
        names=fold.names,
        state=_states(people.ledger, moments, fold, cache_folder),
        attributes=_attributes(customers, place),
        zones=zones,
        channels=people.channels,
        consented=_allowed(customers, "consents", place, people.channels),
        reachable=_allowed(customers, "reachable", place, people.channels),
        contacts=_contacts(people, ids, at),
    )


def with_messages(events: pd.DataFrame | None, messages: pd.DataFrame | None) -> pd.DataFrame:
    """The events of a shop, and what its messages say happened, each once."""
    told = [] if messages is None else [told_by_messages(messages, events).drop(columns="more")]
    parts = [part for part in ([] if events is None else [events]) + told if len(part)]
    if parts:
        return pd.concat(parts, ignore_index=True)
    return pd.DataFrame(
        {
            "event": pd.Series(dtype="str"),
            "timestamp": pd.Series(dtype="datetime64[us, UTC]"),
            "customer_id": pd.Series(dtype="str"),
        }
    )


def _sent(events: pd.DataFrame | None, messages: pd.DataFrame | None) -> pd.DataFrame:
    parts = []
    if messages is not None:
        rows = messages[(messages["action"] != HOLD) & messages["cancelled_at"].isna()]
        answered = np.fmin(_micros(rows["clicked_at"]), _micros(rows["visited_at"]))
        actions = [label(a, None if pd.isna(o) else o) for a, o in zip(rows["action"], rows["offer"], strict=True)]
        parts.append(
            pd.DataFrame(
                {
                    "customer_id": rows["customer_id"],
                    "time": _micros(rows["sent_at"]),
                    "known": _micros(rows["known_at"]),
                    "action": pd.Series(actions, index=rows.index, dtype="str"),
                    "channel": rows["channel"],
                    "answered": answered,
                    "decision_id": rows["decision_id"],
                }
            )
        )
    if events is not None:
        rows = events[(events["event"] == "send") & events["customer_id"].notna()]
        if messages is not None and len(rows):
            rows = rows[~rows["decision_id"].isin(set(messages["decision_id"].dropna()))]
        parts.append(
            pd.DataFrame(
                {
                    "customer_id": rows["customer_id"],
                    "time": _micros(rows["timestamp"]),
                    "known": _micros(rows["known_at"]),
                    "action": pd.Series(None, index=rows.index, dtype="str"),
                    "channel": rows["channel"],
                    "answered": np.full(len(rows), np.iinfo(np.int64).max),
                    "decision_id": rows["decision_id"],
                }
            )
        )
    columns = ["customer_id", "time", "known", "action", "channel", "answered"]
    filled = [part for part in parts if len(part)]
    if not filled:
        texts = ("customer_id", "action", "channel")
        return pd.DataFrame({name: pd.Series(dtype="str" if name in texts else "int64") for name in columns})
    return pd.concat(filled)[columns].sort_values(["customer_id", "time"], kind="stable", ignore_index=True)


def _states(ledger: Ledger, moments: Moments, fold: Fold, cache_folder: Path | None) -> NDArray[np.float64]:
    values = np.empty((len(moments), len(fold.names)))
    for shard in person_shards(ledger, moments, fold, rows=PART):
        run(shard, fold, values, cache_folder=cache_folder, by_row=True)
    return values


def _attributes(customers: pd.DataFrame | None, place: Ints) -> dict[str, Column]:
    if customers is None:
        return {}
    known = {column.name for column in CUSTOMERS.columns}
    return {str(name): encode_column(customers[name], place) for name in customers.columns if name not in known}


def _allowed(customers: pd.DataFrame | None, column: str, place: Ints, channels: tuple[str, ...]) -> NDArray[np.bool_]:
    """bool[n, C]. Column absent, or somebody without a row: every channel; present and null: none."""
    if customers is None or column not in customers:
        return np.ones((len(place), len(channels)), dtype=np.bool_)
    number = {channel: at for at, channel in enumerate(channels)}
    table = np.zeros((len(customers) + 1, len(channels)), dtype=np.bool_)
    table[-1] = True
    for row, said in enumerate(customers[column]):
        if isinstance(said, list | np.ndarray):
            table[row, [number[one] for one in said]] = True
    return table[place]


def _contacts(people: People, ids: pd.Series[Any], at: Ints) -> Contacts:
    """The contacts of each row that happened before its moment and were known by then."""
    sent = people.sent
    if sent.empty:
        return Contacts.none(len(ids))
    codes, customers = pd.factorize(sent["customer_id"])  # in order of the rows
    where = customers.get_indexer(pd.Index(ids))
    time = sent["time"].to_numpy()
    moments = np.unique(time)
    place = codes * (len(moments) + 1) + np.searchsorted(moments, time)  # ascending, as (customer, time) is
    low, high = (
        np.searchsorted(place, where * (len(moments) + 1) + np.searchsorted(moments, bound))
        for bound in (at - REMEMBERED, at)
    )
    low = np.maximum(low, high - NEWEST)
    count = np.where(where >= 0, high - low, 0)
    owner = np.repeat(np.arange(len(ids)), count)
    row = np.repeat(low, count) + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    kept = sent["known"].to_numpy()[row] < at[owner]
    owner, row = owner[kept], row[kept]
    action, actions = pd.factorize(sent["action"])
    channel, channels = pd.factorize(sent["channel"])
    return Contacts(
        start=np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(ids)))]).astype(np.int64),
        time=time[row],
        action=action[row].astype(np.int32),
        channel=channel[row].astype(np.int32),
        answered=sent["answered"].to_numpy()[row] < at[owner],
        actions=tuple(actions),
        channels=tuple(channels),
    )


def _micros(times: pd.Series[Any]) -> Ints:
    """Microseconds since 1970 UTC, int64; the largest integer for null."""
    naive = times.dt.tz_convert("UTC").dt.tz_localize(None)
    moments: Ints = naive.to_numpy("datetime64[us]").view(np.int64)
    return np.where(times.isna().to_numpy(), np.iinfo(np.int64).max, moments)
