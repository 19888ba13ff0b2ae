"""Rows to fit and judge scores on: what was known of a customer at a moment, and what they did in a time after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import Catalogue, Text
from features.events import DAY, EventLog, Kind
from features.people import digest
from nba.crowd import Crowd, rows_of
from nba.scores import YEAR, ScoreRows, ScoresConfig
from nba.tastes import NEWEST, Bought, Tastes, fit_tastes
from training.bg_nbd import Purchases
from training.crowds import People, crowd_at

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Rows to fit on, at most.
MOST = 200_000

#: Moments that rows are made at, at most, and how far back the first of them lies, in days.
MOMENTS, FARTHEST = 16, 540


@dataclass(frozen=True)
class Future:
    """What m customers bought in some days from a moment on, as far as it was known at a later moment.

    Attributes:
        orders: float64[m], orders begun then, less those wholly refunded; NaN where the time is not over.
        value: float64[m], what they paid, refunded lines left out; NaN also where no price at all is known.
    """

    orders: Floats
    value: Floats


def score_rows(
    people: People,
    log: EventLog,
    until: int,
    config: ScoresConfig,
    *,
    most: int = MOST,
    seed: int = 0,
    cache_folder: Path | None = None,
) -> ScoreRows | None:
    """Rows to fit on, from what was known before a moment.

    Moments are evenly spaced, from a window after the first event to a window before ``until``, so every row has a
    window after it. Labels over longer times are NaN where these were not over.

    Args:
        people, log: of one dataset.
        until: microseconds UTC.
        config: what is scored.
        most: rows at most, drawn evenly from all.
        seed: for the draw.
        cache_folder: where compiled code is kept.

    Returns:
        None if the log is too short, or if nobody had done anything.
    """
    window = round(config.window_days * DAY)
    before = np.flatnonzero(log.known < until)
    if not len(before):
        return None
    first, last = max(int(log.time[before].min()) + window, until - FARTHEST * DAY), until - window
    if last < first:
        return None
    cuts = np.unique(np.linspace(first, last, max(1, min(MOMENTS, int((last - first) // (window // 2)) + 1))))
    crowd = customers_at(people, log, cuts.astype(np.int64), most=most, seed=seed, cache_folder=cache_folder)
    if not len(crowd):
        return None
    person = codes_of(log, crowd)
    near = future(log, person, crowd.at, config.window_days, until=until)
    year_days = min(YEAR, max(float(until - cuts[len(cuts) // 3]) / DAY, config.window_days))
    waited = until - crowd.at >= config.churn_days * DAY
    return ScoreRows(
        crowd=crowd,
        orders=near.orders,
        value=near.value,
        orders_churn=future(log, person, crowd.at, config.churn_days, until=until).orders,
        value_year=future(log, person, crowd.at, year_days, until=until).value,
        next_order=np.where(waited, days_to_order(log, person, crowd.at, until=until), np.nan),
        year_days=year_days,
    )


def customers_at(
    people: People,
    log: EventLog,
    cuts: Ints,
    *,
    most: int | None = None,
    seed: int = 0,
    cache_folder: Path | None = None,
) -> Crowd:
    """Every customer who had done something by some moments, as known then; one row a customer and moment.

    Args:
        people, log: of one dataset.
        cuts: moments, microseconds UTC.
        most: rows at most, drawn evenly from all; None: any number.
        seed: for the draw.
        cache_folder: where compiled code is kept.
    """
    first = np.full(len(log.people), np.iinfo(np.int64).max)
    np.minimum.at(first, log.person, log.known)
    customer = np.flatnonzero(~log.anonymous)
    row = [(customer[first[customer] < cut], cut) for cut in cuts.tolist()]
    who = np.concatenate([found for found, _ in row] or [np.zeros(0, dtype=np.int64)])
    at = np.concatenate([np.full(len(found), cut) for found, cut in row] or [np.zeros(0)]).astype(np.int64)
    if most is not None and len(who) > most:
        kept = np.sort(np.random.default_rng(seed).choice(len(who), most, replace=False))
        who, at = who[kept], at[kept]
    ids = pd.Series([log.people[int(code)] for code in who], dtype="str")
    crowd = crowd_at(people, ids, at, cache_folder=cache_folder)
    active = ~np.isnan(crowd.state[:, crowd.names.index("known_for")])
    return crowd if active.all() else rows_of(crowd, np.flatnonzero(active))


def future(log: EventLog, person: Ints, at: Ints, days: float, *, until: int) -> Future:
    """What people bought after moments.

    Args:
        log: the whole log.
        person: int64[m], codes in ``log.people``.
        at: int64[m], microseconds UTC: from here, included.
        days: so long.
        until: what became known at this moment or later does not count, nor does a time that ends after it.
    """
    lines = _Lines.of(log, until)
    end = at + round(days * DAY)
    low, high = lines.before(person, at), lines.before(person, end)
    orders, value = (np.append(0.0, np.cumsum(column)) for column in (lines.begins, lines.paid))
    over = end <= until
    return Future(
        np.where(over, orders[high] - orders[low], np.nan),
        np.where(over & lines.priced, value[high] - value[low], np.nan),
    )


def days_to_order(log: EventLog, person: Ints, at: Ints, *, until: int) -> Floats:
    """Days to the next order after moments, float64[m]; infinite if none was known before ``until``."""
    lines = _Lines.of(log, until)
    starts = np.flatnonzero(lines.begins)
    following = np.append(starts, len(lines.row))[np.searchsorted(starts, lines.before(person, at))]
    row = np.append(lines.row, -1)[following]
    there = (row >= 0) & (np.append(log.person, -1)[row] == person)
    return np.where(there, (np.append(log.time, 0)[row] - at) / DAY, np.inf)


def tastes_of(log: EventLog, catalogue: Catalogue, until: int) -> Tastes:
    """Tastes fitted on what was known before a moment."""
    brand = catalogue.columns.get("brand")
    brands = {}
    if isinstance(brand, Text):
        held = zip(catalogue.ids, brand.codes.tolist(), strict=True)
        brands = {digest(product_id): code for product_id, code in held if code >= 0}
    return fit_tastes(bought_at(log, np.arange(len(log.people)), until), brands)


def bought_at(log: EventLog, person: Ints, at: int) -> Bought:
    """What people had bought by a moment, refunded lines left out.

    Args:
        log: the whole log.
        person: int64[n], codes in ``log.people``, ascending or not, each once.
        at: microseconds UTC.
    """
    lines = _Lines.of(log.known_before(at), at)
    past = lines.log
    n = len(past)
    low, high = (np.searchsorted(lines.key, (person + more) * (n + 1)) for more in (0, 1))
    low = np.maximum(low, high - NEWEST)
    count = high - low
    start = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    row = lines.row[np.repeat(low - start[:-1], count) + np.arange(start[-1])]
    keys = np.array([*(digest(product_id) for product_id in past.products), 0], dtype=np.int64)  # 0: no product
    return Bought(start, past.time[row], keys[past.product[row]], past.price[row])


def codes_of(log: EventLog, crowd: Crowd) -> Ints:
    """The places of the customers of a crowd in ``log.people``, int64[n]."""
    return log.people.codes(crowd.ids).astype(np.int64)


def purchases_at(log: EventLog, person: Ints, cut: int) -> tuple[Purchases, NDArray[np.bool_]]:
    """Number, times and mean value of the orders that people had made by a moment, and who had made any, bool[n].

    Args:
        log: the whole log.
        person: int64[n], codes in ``log.people``.
        cut: microseconds UTC.
    """
    past = log.known_before(cut)
    bought = past.take(past.kind == Kind.PURCHASE)
    order, first = np.unique(bought.order, return_index=True)
    paid = np.bincount(
        np.searchsorted(order, bought.order), np.nan_to_num(bought.price) * bought.quantity, minlength=len(order)
    )
    owner, time = bought.person[first], bought.time[first]
    size = len(log.people)
    count = np.bincount(owner, minlength=size)
    begin, last = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
    np.minimum.at(begin, owner, time)
    np.maximum.at(last, owner, time)
    known = count[person] > 0
    who = person[known]
    return Purchases(
        repeats=(count[who] - 1).astype(np.float64),
        last=(last[who] - begin[who]) / DAY,
        age=(cut - begin[who]) / DAY,
        mean=np.bincount(owner, paid, minlength=size)[who] / count[who],
    ), known


@dataclass(frozen=True)
class _Lines:
    """Purchase lines by person and time: ``row`` in ``log``, what is paid, and whether an order begins with it."""

    log: EventLog
    row: Ints
    key: Ints
    begins: NDArray[np.bool_]
    paid: Floats
    priced: bool

    @staticmethod
    def of(log: EventLog, until: int) -> _Lines:
        """The lines known before a moment and not refunded by then."""
        row = np.flatnonzero((log.kind == Kind.PURCHASE) & (log.known < until) & (log.reversed_at >= until))
        key = log.person[row].astype(np.int64) * (len(log) + 1) + row  # the log is in the order of time
        by_person = np.argsort(key)
        row, key = row[by_person], key[by_person]
        begins = np.zeros(len(row), dtype=np.bool_)
        begins[np.unique(log.order[row], return_index=True)[1]] = True
        price = log.price[row]
        priced = bool((~np.isnan(price)).any())
        return _Lines(log, row, key, begins, np.nan_to_num(price) * log.quantity[row], priced)

    def before(self, person: Ints, at: Ints) -> Ints:
        """The place after the last line of each person before a moment."""
        place: Ints = np.searchsorted(self.key, person * (len(self.log) + 1) + np.searchsorted(self.log.time, at))
        return place
