"""Rows of people who were erased from the live shop, left out of a dataset that still holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.dataset import Dataset
from features.people import identity_digest
from features.store.base import Identity
from features.store.sqlite import SqliteEvents

#: For each table with people the time of a row; a row of later than the erasing is of somebody who came back.
_TIMES = {"events": "timestamp", "messages": "sent_at", "opens": "opened_at"}

#: What the columns that say whose a row is name; the best first.
_KINDS: Final[dict[str, Identity]] = {
    "customer_id": "customer",
    "anonymous_id": "visitor",
    "session_id": "session",
    "order_id": "order",
}


def erased_people(home: Path) -> dict[int, int]:
    """`identity_digest` of everybody erased from the shop in SEGUE_HOME, and when; none if there is no shop.

    Raises:
        features.store.base.StoreError: the store cannot be read.
    """
    file = home / "events.db"
    if not file.exists():
        return {}
    store = SqliteEvents(file)
    try:
        return store.erased()
    finally:
        store.close()


def without_erased(dataset: Dataset, erased: Mapping[int, int]) -> tuple[Dataset, int]:
    """The dataset without the rows of erased people, and how many those are.

    Rows of after somebody was erased stay: they came back. So does their row of the table of customers.

    Args:
        erased: see `features.store.base.EventStore.erased`.
    """
    if not erased:
        return dataset, 0
    kept: dict[str, Any] = {}
    for name, time in _TIMES.items():
        table: pd.DataFrame | None = getattr(dataset, name)
        if table is not None:
            rows = _erased_at(table, erased) > _micros(table[time])
            kept[name] = table[~rows].reset_index(drop=True)
    if dataset.customers is not None:
        back = {identifier for table in kept.values() for identifier in table["customer_id"].dropna()}
        gone = dataset.customers["customer_id"].map(
            lambda name: identity_digest("customer", name) in erased and name not in back
        )
        kept["customers"] = dataset.customers[~gone.astype(bool)].reset_index(drop=True)
    left_out = sum(len(getattr(dataset, name)) - len(table) for name, table in kept.items())
    return replace(dataset, **kept), left_out


def _erased_at(table: pd.DataFrame, erased: Mapping[int, int]) -> NDArray[np.int64]:
    """When the person of each row was erased, int64[rows] microseconds; the least integer where they were not."""
    never = np.iinfo(np.int64).min
    found = np.full(len(table), never, dtype=np.int64)
    unnamed = np.ones(len(table), dtype=bool)
    for column, kind in _KINDS.items():
        if column in table:
            codes, ids = pd.factorize(table[column])
            at = np.array([erased.get(identity_digest(kind, one), never) for one in ids] + [never], dtype=np.int64)
            found[unnamed] = at[codes[unnamed]]
            unnamed &= codes < 0
    return found


def _micros(times: pd.Series[Any]) -> NDArray[np.int64]:
    moments: NDArray[np.int64] = times.dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64)
    return moments
