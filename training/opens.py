"""When people opened what was sent to them: the moments, each once, by the person's own clock."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.dataset import Dataset
from features.events import MINUTE
from nba.encoding import hour_cells
from nba.values import DAY_HOURS
from training.split import EvaluationError

#: Opens of one person that follow on each other within so long (µs) are one: a mail looked at again.
APART = 30 * MINUTE


@dataclass(frozen=True)
class Opens:
    """n opens, ascending by (person, time).

    Attributes:
        person: int64[n], code of the person, in the order of their ids.
        time: int64[n], microseconds since 1970 UTC.
        hour: int64[n], of the day, by the person's clock at that moment.
        source: the table they are from, as ``opens`` or ``messages.opened_at``.
        merged: how many opens followed on another one too closely to count.
    """

    person: NDArray[np.int64]
    time: NDArray[np.int64]
    hour: NDArray[np.int64]
    source: str
    merged: int

    def __len__(self) -> int:
        return len(self.person)


def opens_of(dataset: Dataset) -> Opens:
    """The opens of a dataset: of table opens, else of messages (but for opens by machines), else open events.

    Clocks are those of ``customers.timezone``, UTC where that is not known.

    Raises:
        EvaluationError: there are none.
    """
    source, found = _found(dataset)
    customers = dataset.customers
    names = np.sort(found["customer_id"].unique().astype(str))
    person = pd.Index(names).get_indexer(pd.Index(found["customer_id"])).astype(np.int64)
    time = found["at"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64)
    order = np.lexsort((time, person))
    person, time = person[order], time[order]
    first = np.ones(len(person), dtype=np.bool_)
    first[1:] = (np.diff(person) != 0) | (np.diff(time) > APART)
    person, time = person[first], time[first]
    known: dict[str, str] = {}
    if customers is not None and "timezone" in customers:
        said = customers[customers["timezone"].notna()]
        known = dict(zip(said["customer_id"], said["timezone"], strict=True))
    zones = [known.get(name) for name in names.tolist()]
    hour = hour_cells(time, [zones[code] for code in person.tolist()]) % DAY_HOURS
    return Opens(person, time, hour, source, int((~first).sum()))


def in_zone(dataset: Dataset, zone: str) -> Dataset:
    """The same dataset with everybody in one time zone, for hours alone: what else is known of customers is left out.

    Args:
        dataset: not changed.
        zone: IANA name.
    """
    tables = (dataset.customers, dataset.opens, dataset.messages, dataset.events)
    named = pd.concat([table["customer_id"] for table in tables if table is not None]).dropna().drop_duplicates()
    zones = pd.Series([zone] * len(named), dtype="str")
    return replace(dataset, customers=pd.DataFrame({"customer_id": named.reset_index(drop=True), "timezone": zones}))


def _found(dataset: Dataset) -> tuple[str, pd.DataFrame]:
    """Where opens are, and which: customer_id, at."""
    if dataset.opens is not None and len(dataset.opens):
        opens = dataset.opens
        return "opens", pd.DataFrame({"customer_id": opens["customer_id"], "at": opens["opened_at"]})
    if dataset.messages is not None:
        machine = dataset.messages["machine_opened"].fillna(False).to_numpy(dtype=bool)
        opened = dataset.messages[dataset.messages["opened_at"].notna() & ~machine]
        if len(opened):
            frame = pd.DataFrame({"customer_id": opened["customer_id"], "at": opened["opened_at"]})
            return "messages.opened_at", frame
    if dataset.events is not None:
        opened = dataset.events[(dataset.events["event"] == "open") & dataset.events["customer_id"].notna()]
        if len(opened):
            frame = pd.DataFrame({"customer_id": opened["customer_id"], "at": opened["timestamp"]})
            return "events", frame
    raise EvaluationError("nobody opened anything: there is no table opens, no messages.opened_at and no open event")
