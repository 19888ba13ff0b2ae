"""What the ranker knows of a candidate: one definition, for training and for serving.

A signal is a number about (shopper, product, moment). All of them follow from what the sources proposed, from the
shopper's history up to the moment of the question, and from what was known of products when the sources were fitted,
so a row for training holds what a request at that moment would have seen. NaN: not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import CATEGORY_SEPARATOR, Catalogue, Text
from features.events import DAY, HOUR, MINUTE, NEVER, EventLog, Kind
from features.histories import rows_of
from features.past import target_events
from features.vocabulary import Vocabulary
from recommender.opinions import of_profile, of_steps, opinions, standings
from recommender.queries import Queries
from recommender.sources.base import Source
from recommender.sources.neighbours import NeighbourSource
from recommender.sources.ranking import RankingSource
from recommender.sources.scores import Scores, distinct, scores_of

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: What a shopper did within so long before the question belongs to their visit.
VISIT = 30 * MINUTE

#: Steps of the history, the newest (that of the anchors, if there are any), that some sources speak of one by one.
STEPS = 3

#: Weight of a step of the history relative to the next newer one, in affinities and in decayed counts of purchases.
_TASTE, _HABIT = 0.8, 0.7

_OWN = (
    *("times_seen", "hours_since_seen", "in_cart"),
    *("times_bought", "share_of_orders", "decayed_orders", "orders_since_bought", "days_since_bought"),
    *("mean_days_between", "phase", "phase_in_orders"),
)
#: What is told of a source: its score as a share of the best among the candidates, the rank among them, and as it is.
_TOLD = ("share", "rank", "score")
_ATTRIBUTES = ("category", "department", "brand")
_GROUPS = ("category", "brand")
_SHOPPER = ("events", "orders", "days_since_event", "days_since_order", "visit_events", "hour", "weekday")


@dataclass(frozen=True)
class Facts:
    """What is known of products apart from who proposes them.

    Attributes:
        first: int64[products], microseconds UTC of the first event, `NEVER` if there was none.
        price: float32[products], ln(1 + mean price paid), NaN where nobody paid.
        buyers, purchases: float32[products], how many people bought it (or viewed it, where nobody buys), how often.
        category, department, brand: int32[products], -1 where the catalogue does not say; a department is the first
            part of a category's path.
    """

    first: NDArray[np.int64]
    price: Floats
    buyers: Floats
    purchases: Floats
    category: NDArray[np.int32]
    department: NDArray[np.int32]
    brand: NDArray[np.int32]

    @staticmethod
    def of(log: EventLog, catalogue: Catalogue) -> Facts:
        """From a log and the catalogue of its products."""
        n = len(catalogue)
        named = log.product >= 0
        first = np.full(n, NEVER, dtype=np.int64)
        np.minimum.at(first, log.product[named], log.time[named])
        paid = named & (log.kind == Kind.PURCHASE) & (log.price > 0)
        count = np.bincount(log.product[paid], minlength=n)
        total = np.bincount(log.product[paid], weights=np.log1p(log.price[paid]), minlength=n)
        price = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
        rows = np.flatnonzero(target_events(log))
        pairs = np.unique(log.person[rows].astype(np.int64) * n + log.product[rows])
        buyers = np.bincount(pairs % max(n, 1), minlength=n).astype(np.float32)
        purchases = np.bincount(log.product[rows], minlength=n).astype(np.float32)
        return Facts(first, price, buyers, purchases, *_described(catalogue))

    @cached_property
    def standing(self) -> Floats:
        """float32[products, 6]: of the product's category, then of its brand, NaN where it has none: share of the
        shop's buyers, how many times it is bought by one buyer of a product (1: always something else), and the
        product's share of its buyers."""
        found = np.full((len(_GROUPS), 3, len(self.first)), np.nan, dtype=np.float32)
        everybody = max(float(self.buyers.sum()), 1.0)
        for place, name in enumerate(_GROUPS):
            code = getattr(self, name)
            some = np.flatnonzero(code >= 0)
            buyers = np.bincount(code[some], weights=self.buyers[some])[code[some]] if len(some) else 0
            purchases = np.bincount(code[some], weights=self.purchases[some])[code[some]] if len(some) else 0
            found[place, 0, some] = buyers / everybody
            found[place, 1, some] = purchases / np.maximum(buyers, 1)
            found[place, 2, some] = self.buyers[some] / np.maximum(buyers, 1)
        return np.ascontiguousarray(found.reshape(-1, len(self.first)).T)

    @cached_property
    def widths(self) -> dict[str, int]:
        """How many numbers the codes of each attribute take, with that of none."""
        return {name: int(getattr(self, name).max(initial=-1)) + 2 for name in _ATTRIBUTES}

    def over(self, catalogue: Catalogue) -> Facts:
        """The same over a catalogue with more products, as it describes them now."""
        more = (0, len(catalogue) - len(self.first))
        first = np.pad(self.first, more, constant_values=NEVER)
        price, buyers, purchases = np.pad(self.price, more, constant_values=np.nan), self.buyers, self.purchases
        return Facts(first, price, np.pad(buyers, more), np.pad(purchases, more), *_described(catalogue))


def _described(catalogue: Catalogue) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    category, brand = catalogue.text("category"), catalogue.text("brand")
    return category.codes, _departments(category), brand.codes


def _departments(category: Text) -> NDArray[np.int32]:
    heads = [path.partition(CATEGORY_SEPARATOR)[0] for path in category.values]
    of_path = np.append(Vocabulary(dict.fromkeys(heads)).codes(heads), -1)
    return of_path[category.codes].astype(np.int32)


def names(sources: Mapping[str, Source], asked: Sequence[str], newest: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of `table`. Arguments as there."""
    found: list[str] = []
    for name in asked:
        kinds = ("score", "rank") if isinstance(sources[name], RankingSource) else _TOLD
        found += [f"{name}_{kind}" for kind in kinds]
    found += [f"{name}_step_{back}_{kind}" for name in newest for back in range(STEPS) for kind in _TOLD]
    found += ["blend_share", "blend_rank", "proposed_by", *_OWN, "age_days", "price", "price_ratio"]
    found += [f"{name}_{kind}" for name in _ATTRIBUTES for kind in ("affinity", "in_visit")]
    found += [f"{name}_{kind}" for name in _GROUPS for kind in ("popularity", "loyalty", "share_of")]
    found += [f"{name}_{kind}" for name in _GROUPS for kind in ("bought", "days_since_bought")]
    return (*found, *_SHOPPER)


def table(
    queries: Queries,
    chosen: Scores,
    proposed: Mapping[str, Scores],
    sources: Mapping[str, Source],
    asked: Sequence[str],
    newest: Sequence[str],
    facts: Facts,
) -> Floats:
    """Signals of candidates, float32[candidates, len(names)].

    Args:
        queries: n questions.
        chosen: the candidates to be ranked, and what they reached in the blend.
        proposed: what sources said (`Source.score`): those that are neither rankings nor tables of neighbours, and any.
        sources: all of them, by name.
        asked: names of sources, in the order of columns.
        newest: names of tables of neighbours that speak of each of the newest steps, too.
        facts: of products.
    """
    n = len(facts.first)
    row, product = rows_of(chosen.indptr), chosen.product
    key = row * n + product
    scores, steps = _scores(queries, chosen, key, proposed, sources, asked, newest, n)
    share, rank = standings(np.concatenate([scores, steps]), chosen.indptr)
    told = zip(share, rank, (*scores, *steps), strict=True)
    columns: list[NDArray[np.floating]] = []
    for name in asked:
        source = sources[name]
        columns += [source.scores[product], source.places[product]] if isinstance(source, RankingSource) else next(told)
    for triple in told:
        columns += triple
    by = np.count_nonzero(scores, axis=0).astype(np.float32)
    columns += [chosen.value / chosen.best[row], chosen.ranks, by]
    columns += _own(queries, key, n)
    columns += [_days(queries.at[row], facts.first[product])]
    columns += _prices(queries, row, product, facts)
    columns += _affinities(queries, row, product, facts)
    columns += list(facts.standing[product].T)
    columns += _groups_bought(queries, row, product, facts)
    columns += [column[row] for column in _shopper(queries)]
    table = np.concatenate(columns, dtype=np.float32, casting="same_kind")
    return table.reshape(len(columns), len(product)).T


def _scores(
    queries: Queries,
    chosen: Scores,
    key: Ints,
    proposed: Mapping[str, Scores],
    sources: Mapping[str, Source],
    asked: Sequence[str],
    newest: Sequence[str],
    n: int,
) -> tuple[Floats, Floats]:
    """What sources that are no rankings say of candidates, float32[sources, candidates], 0 where they propose them not;
    and what those of ``newest`` say of the steps, float32[newest · `STEPS`, candidates]. Arguments as of `table`."""
    tables = {name: source for name, source in sources.items() if isinstance(source, NeighbourSource)}
    others = [name for name in asked if name in tables and name not in proposed]
    voices = [of_profile(tables[name], queries) for name in others]
    voices += [of_steps(tables[name], queries, STEPS) for name in newest]
    told = opinions(voices, chosen, n)
    known = {name: one[0] for name, one in zip(others, told[: len(others)], strict=True)}
    said = [name for name in asked if not isinstance(sources[name], RankingSource)]
    whole = [name for name in said if name not in known]
    known |= zip(whole, scores_of([proposed[name] for name in whole], key, n), strict=True)
    scores = [known[name] for name in said]
    width = len(chosen.product)
    by_step = [row for one in told[len(others) :] for row in one]
    return np.array(scores, dtype=np.float32).reshape(-1, width), np.array(by_step, dtype=np.float32).reshape(-1, width)


def _days(at: Ints, then: Ints) -> NDArray[np.float64]:
    """Days since a moment, NaN where it is `NEVER`."""
    return np.where(then == NEVER, np.nan, (at - then) / DAY)


def _own(queries: Queries, key: Ints, n: int) -> list[NDArray[np.floating]]:
    """What the shopper did with the candidate (row · products + product) itself (`_OWN`)."""
    looked, bought = queries.history.looked_at, queries.history.bought
    pairs, place = distinct(looked.row * n + looked.product, len(queries) * n)
    _, last = _ends(place, len(pairs))
    hours = (queries.at[pairs // n] - looked.time[last]) / HOUR
    seen = [np.bincount(place, minlength=len(pairs)), hours, looked.kind[last] == Kind.CART]
    found = _looked_up(key, pairs, seen, [0, np.nan, 0])

    back = bought.moments_back
    pairs, place = distinct(bought.row * n + bought.product, len(queries) * n)
    first, last = _ends(place, len(pairs))
    shopper = pairs // n
    count = np.bincount(place, minlength=len(pairs))
    decayed = np.bincount(place, weights=_HABIT**back, minlength=len(pairs))
    days = (queries.at[shopper] - bought.time[last]) / DAY
    gaps = np.maximum(count - 1, 1)
    between = (bought.time[last] - bought.time[first]) / DAY / gaps
    apart = (back[first] - back[last]) / gaps
    again = (count > 1) & (between > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        had = [
            count,
            count / np.maximum(_orders(queries)[shopper], 1),
            decayed,
            back[last],
            days,
            np.where(again, between, np.nan),
            np.where(again, days / between, np.nan),
            np.where(again & (apart > 0), (back[last] + 1) / apart, np.nan),
        ]
    return [*found, *_looked_up(key, pairs, had, [0, 0, 0, *[np.nan] * 5])]


def _ends(place: NDArray[np.integer], n: int) -> tuple[Ints, Ints]:
    """The first and the last entry of each of n places, all of which have entries."""
    first, last = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    entry = np.arange(len(place))
    last[place] = entry  # written last stays
    first[place[::-1]] = entry[::-1]
    return first, last


def _looked_up(
    key: Ints, known: Ints, told: Sequence[NDArray[Any]], otherwise: Sequence[float]
) -> list[NDArray[np.floating]]:
    """What is told of known keys, ascending, for each key of candidates, and something else for any other."""
    if not len(known):
        return [np.full(len(key), value) for value in otherwise]
    where, hit = _find(known, key)
    return list(np.where(hit, np.array(told)[:, where], np.array(otherwise)[:, None]))


def _find(known: NDArray[np.integer], key: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Where keys stand among known ones, ascending, and which of them do."""
    place = np.minimum(known.searchsorted(key), len(known) - 1)
    return place, known[place] == key


def _orders(queries: Queries) -> Ints:
    """Orders of each shopper, int64[n]."""
    bought = queries.history.bought
    if not len(bought.product):
        return np.zeros(len(queries), dtype=np.int64)
    oldest = np.minimum(bought.indptr[:-1], len(bought.product) - 1)
    return np.where(bought.indptr[1:] > bought.indptr[:-1], bought.moments_back[oldest] + 1, 0)


def _prices(queries: Queries, row: Ints, product: NDArray[np.int32], facts: Facts) -> list[NDArray[np.floating]]:
    """The logarithm of the price, and how far it lies above the shopper's usual."""
    history = queries.history
    price = facts.price[history.product]
    known = ~np.isnan(price)
    count = np.bincount(history.row[known], minlength=len(queries))
    total = np.bincount(history.row[known], weights=price[known], minlength=len(queries))
    usual = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    theirs = facts.price[product]
    return [theirs, theirs - usual[row]]


def _affinities(queries: Queries, row: Ints, product: NDArray[np.int32], facts: Facts) -> list[NDArray[np.floating]]:
    """Share of the shopper's steps, decayed, that were about the candidate's category, department and brand; and of
    the events of this visit."""
    history, n = queries.history, len(queries)
    owner = np.concatenate([history.row, rows_of(queries.anchors.indptr)])
    about = np.concatenate([history.product, queries.anchors.values])
    anchors = len(queries.anchors.values)
    taste = np.concatenate([np.power(_TASTE, history.steps_back + 1.0), np.ones(anchors)])
    recent = history.time > queries.at[history.row] - VISIT
    visit = np.concatenate([recent.astype(np.float64), np.ones(anchors)])
    if not len(about):
        return [np.zeros(len(row))] * (2 * len(_ATTRIBUTES))
    totals = [np.maximum(np.bincount(owner, weights=weight, minlength=n), 1e-12)[row] for weight in (taste, visit)]
    found: list[NDArray[np.floating]] = []
    for name in _ATTRIBUTES:
        code, width = getattr(facts, name), facts.widths[name]
        theirs = code[product]
        pairs, place = distinct(owner * width + code[about] + 1, n * width)
        where, hit = _find(pairs, row * width + theirs + 1)
        for weight, total in zip((taste, visit), totals, strict=True):
            share = np.where(hit, np.bincount(place, weights=weight)[where] / total, 0)
            found.append(np.where(theirs >= 0, share, np.nan))
    return found


def _groups_bought(queries: Queries, row: Ints, product: NDArray[np.int32], facts: Facts) -> list[NDArray[np.floating]]:
    """How many products of the candidate's category, and of its brand, the shopper bought, and days since the last."""
    bought = queries.history.bought
    found: list[NDArray[np.floating]] = []
    for name in _GROUPS:
        code, width = getattr(facts, name), facts.widths[name]
        pairs, place = distinct(bought.row * width + code[bought.product] + 1, len(queries) * width)
        _, last = _ends(place, len(pairs))
        days = (queries.at[pairs // width] - bought.time[last]) / DAY
        theirs = code[product]
        key = np.where(theirs >= 0, row * width + theirs + 1, -1)
        found += _looked_up(key, pairs, [np.bincount(place, minlength=len(pairs)), days], [0, np.nan])
    return found


def _shopper(queries: Queries) -> list[NDArray[np.floating]]:
    """What is the same for all candidates of a question (`_SHOPPER`). Hours and weekdays are of UTC."""
    history, at = queries.history, queries.at
    bought = history.bought
    recent = history.time > at[history.row] - VISIT
    return [
        np.diff(history.indptr).astype(np.float32),
        _orders(queries).astype(np.float32),
        _since_last(history.indptr, history.time, at),
        _since_last(bought.indptr, bought.time, at),
        np.bincount(history.row[recent], minlength=len(queries)).astype(np.float32),
        (at // HOUR % 24).astype(np.float32),
        ((at // DAY + 3) % 7).astype(np.float32),  # 1970 began on a Thursday; 0 is Monday
    ]


def _since_last(indptr: Ints, time: Ints, at: Ints) -> NDArray[np.floating]:
    """Days since the last event of each row, NaN where there is none."""
    if not len(time):
        return np.full(len(at), np.nan)
    last = time[np.maximum(indptr[1:] - 1, 0)]
    return np.where(indptr[1:] > indptr[:-1], (at - last) / DAY, np.nan)
