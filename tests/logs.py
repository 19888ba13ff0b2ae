"""Small shops as event logs and catalogues, for what is fitted on arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.encode import encode_catalogue, encode_events
from features.events import DAY, EventLog
from features.histories import Histories, Ragged
from recommender.queries import Queries
from recommender.sources.base import Source
from recommender.sources.scores import Proposals, Scores

START = pd.Timestamp("2026-01-01", tz="UTC")


def log_of(
    rows: Sequence[tuple[str, float, str, str]], products: pd.DataFrame | None = None
) -> tuple[EventLog, Catalogue]:
    """From (event, day, customer, product); events of one day and customer are one order."""
    events = pd.DataFrame(rows, columns=["event", "day", "customer_id", "product_id"])
    events["timestamp"] = START + pd.to_timedelta(events.pop("day").astype(float), unit="D")
    return encoded(events, products)


def encoded(events: pd.DataFrame, products: pd.DataFrame | None = None) -> tuple[EventLog, Catalogue]:
    """Tables as log and catalogue."""
    log = encode_events(events, products)
    return log, encode_catalogue(products, log)


def day(number: float) -> int:
    """A moment of the shop's calendar, microseconds UTC."""
    return int(START.value // 1000 + number * DAY)


def end_of(log: EventLog) -> int:
    """Just after the last event; the first day of the calendar for an empty log."""
    return int(log.time.max(initial=day(0) - 1)) + 1


def queries_of(log: EventLog, *, people: list[str] | None = None, anchors: list[list[str]] | None = None) -> Queries:
    """One question for each person (or for each row of anchors), at the end of the log."""
    if people is None:
        n = len(anchors or [])
        history = Histories.empty(n)
    else:
        n = len(people)
        history = Histories.of(log).take(np.array([log.people.code(person) for person in people], dtype=np.int64))
    rows = Ragged.of([[log.products.code(name) for name in row] for row in anchors]) if anchors else Ragged.empty(n)
    return Queries(np.full(n, end_of(log)), history, rows)


def scores(source: Source, queries: Queries) -> Scores:
    """What a source proposes, its votes added up."""
    return Proposals.of({"it": source.votes(queries)}, len(queries))["it"]
