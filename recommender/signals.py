"""What the ranker knows of a candidate: one definition, for training and for serving.

A signal is a number about (shopper, product, moment). All of them follow from what the sources proposed, from the
shopper's history up to the moment of the question, and from what was known of products when the sources were fitted,
so a row for training holds what a request at that moment would have seen. NaN: not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.catalogue import CATEGORY_SEPARATOR, Catalogue, Text
from features.events import DAY, HOUR, MINUTE, NEVER, EventLog, Kind
from features.histories import rows_of
from features.past import target_events
from features.vocabulary import Vocabulary
from recommender.opinions import opinions, standings, votes_of_step
from recommender.queries import Queries
from recommender.sources.base import Source
from recommender.sources.neighbours import NeighbourSource
from recommender.sources.ranking import RankingSource
from recommender.sources.scores import Proposals, Scores, distinct

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Column = NDArray[Any]

#: What a shopper did within so long before the question belongs to their visit.
VISIT = 30 * MINUTE

#: Steps of the history, the newest (that of the anchors, if there are any), that some sources speak of one by one.
STEPS = 3

#: Weight of a step of the history relative to the next newer one, in affinities and in decayed counts of purchases.
_TASTE, _HABIT = 0.8, 0.7

#: What is told of a source: its score as a share of the best among the candidates, the rank among them, and as it is.
_TOLD = ("share", "rank", "score")
_ATTRIBUTES = ("category", "department", "brand")
_GROUPS = ("category", "brand")


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

    def cells(self, name: str, row: Ints, product: NDArray[np.int32]) -> Ints:
        """Where an attribute of products stands in a table of questions × `widths`; first in each row is none."""
        group: NDArray[np.int32] = getattr(self, name)[product]
        return row * self.widths[name] + group + 1

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
    """Names of all signals. Arguments as of `table`."""
    return _plan(tuple(asked), _rankings(sources, asked), tuple(newest), None).names


def _rankings(sources: Mapping[str, Source], asked: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in asked if isinstance(sources[name], RankingSource))


class Steps(NamedTuple):
    """What shoppers did and the products of the page: parallel entries, and what is told of each candidate.

    row: the question; product; weights: float64 each, of a step, decayed, and 1 for what is of this visit; totals: the
    sum of each over the question of each candidate.
    """

    row: Ints
    product: NDArray[np.int32]
    weights: Sequence[NDArray[np.float64]]
    totals: Sequence[NDArray[np.float64]]


@dataclass(frozen=True)
class Candidates:
    """What signals are about.

    Attributes:
        queries: n questions.
        chosen: candidates of each, and what they reached in the blend.
        facts: of products.
        said: float32[sources, candidates], what sources that are no rankings say.
    """

    queries: Queries
    chosen: Scores
    facts: Facts
    said: Floats

    @property
    def product(self) -> NDArray[np.int32]:
        """The product of each candidate."""
        return self.chosen.product

    @cached_property
    def row(self) -> Ints:
        """The question of each candidate."""
        return rows_of(self.chosen.indptr)

    @cached_property
    def key(self) -> Ints:
        """Question · products + product of each candidate."""
        return self.row * len(self.facts.first) + self.product

    @cached_property
    def steps(self) -> Steps:
        """What shoppers did, and the products of the page."""
        queries, history = self.queries, self.queries.history
        row, product = history.row, history.product
        taste = np.power(_TASTE, history.steps_back + 1.0)
        visit = (history.time > queries.at[row] - VISIT).astype(np.float64)
        if len(queries.anchors.values):
            anchors = np.ones(len(queries.anchors.values))
            row = np.concatenate([row, rows_of(queries.anchors.indptr)])
            product = np.concatenate([product, queries.anchors.values])
            taste, visit = np.concatenate([taste, anchors]), np.concatenate([visit, anchors])
        totals = [np.maximum(np.bincount(row, weight, len(queries)), 1e-12)[self.row] for weight in (taste, visit)]
        return Steps(row, product, (taste, visit), totals)


Tell = Callable[[Candidates], list[Column]]


class _Plan(NamedTuple):
    """Which columns a table has, and what must be asked for those that matter.

    names: of all columns; rankings: of sources, each with its first column; voters: the other sources that are asked,
    each with −1 for the whole profile or the number of a step; whole: how many of them, the first, speak of the whole;
    first: the first column of each voter; families: the first column of each, and what tells it.
    """

    names: tuple[str, ...]
    rankings: list[tuple[str, int]]
    voters: list[tuple[str, int]]
    whole: int
    first: Ints
    families: list[tuple[int, Tell]]


@lru_cache(maxsize=64)
def _plan(
    asked: tuple[str, ...], rankings: tuple[str, ...], newest: tuple[str, ...], wanted: frozenset[str] | None
) -> _Plan:
    columns: list[str] = []
    ranked: list[tuple[str, int]] = []
    voters: list[tuple[str, int]] = []
    first: list[int] = []
    families: list[tuple[int, Tell]] = []

    def matter(added: Sequence[str]) -> bool:
        columns.extend(added)
        return wanted is None or not wanted.isdisjoint(added)

    every = wanted is None or "proposed_by" in wanted
    for name in asked:
        place = len(columns)
        if name in rankings:
            if matter([f"{name}_{kind}" for kind in ("score", "rank")]):
                ranked.append((name, place))
        elif matter([f"{name}_{kind}" for kind in _TOLD]) or every:
            voters.append((name, -1))
            first.append(place)
    whole = len(voters)
    for name in newest:
        for step in range(STEPS):
            place = len(columns)
            if matter([f"{name}_step_{step}_{kind}" for kind in _TOLD]):
                voters.append((name, step))
                first.append(place)
    for family, tell in _FAMILIES.items():
        place = len(columns)
        if matter(family):
            families.append((place, tell))
    return _Plan(tuple(columns), ranked, voters, whole, np.array(first, dtype=np.int64), families)


def table(
    queries: Queries,
    chosen: Scores,
    proposed: Proposals,
    sources: Mapping[str, Source],
    asked: Sequence[str],
    newest: Sequence[str],
    facts: Facts,
    wanted: frozenset[str] | None = None,
) -> Floats:
    """Signals of candidates, float32[candidates, len(names)].

    Args:
        queries: n questions.
        chosen: the candidates to be ranked, and what they reached in the blend.
        proposed: what some sources say; the others are asked.
        sources: all of them, by name.
        asked: names of sources, in the order of columns.
        newest: names of tables of neighbours that speak of each of the newest steps, too.
        facts: of products.
        wanted: names of the signals that matter, None: all. Columns of others may hold 0.
    """
    plan = _plan(tuple(asked), _rankings(sources, asked), tuple(newest), wanted)
    table = np.zeros((len(plan.names), len(chosen.product)), dtype=np.float32)
    for name, place in plan.rankings:
        source = sources[name]
        assert isinstance(source, RankingSource)  # noqa: S101  # by `_rankings`
        table[place], table[place + 1] = source.scores[chosen.product], source.places[chosen.product]
    scores = _said(queries, chosen, proposed, sources, plan.voters, len(facts.first))
    table[plan.first], table[plan.first + 1] = standings(scores, chosen.indptr)
    table[plan.first + 2] = scores
    candidates = Candidates(queries, chosen, facts, scores[: plan.whole])
    for place, tell in plan.families:
        for column, told in enumerate(tell(candidates), start=place):
            table[column] = told
    return table.T


def _said(
    queries: Queries,
    chosen: Scores,
    proposed: Proposals,
    sources: Mapping[str, Source],
    voters: Sequence[tuple[str, int]],
    n: int,
) -> Floats:
    """What voters (`_Plan`) say of candidates, float32[voters, candidates], 0 where they do not propose them."""
    known, votes = [], []
    for place, (name, step) in enumerate(voters):
        source = sources[name]
        if step >= 0:
            assert isinstance(source, NeighbourSource)  # noqa: S101  # by the check of the configuration
            votes.append(votes_of_step(source, queries, step))
        elif name in proposed.names:
            known.append(place)
        else:
            votes.append(source.votes(queries))
    scores = np.empty((len(voters), len(chosen.product)), dtype=np.float32)
    asked = np.ones(len(voters), dtype=np.bool_)
    asked[known] = False
    scores[known] = proposed.told([voters[place][0] for place in known], chosen, n)
    scores[asked] = opinions(votes, chosen, n)
    return scores


def _seen(the: Candidates) -> list[Column]:
    """How often the shopper looked at the candidate, when last, and whether it is in the cart."""
    queries, n = the.queries, len(the.facts.first)
    looked = queries.history.looked_at
    pairs, place = distinct(looked.row * n + looked.product, len(queries) * n)
    _, last = _ends(place, len(pairs))
    hours = (queries.at[pairs // n] - looked.time[last]) / HOUR
    seen = [np.bincount(place, minlength=len(pairs)), hours, looked.kind[last] == Kind.CART]
    return _looked_up(the.key, pairs, seen, [0, np.nan, 0])


def _had(the: Candidates) -> list[Column]:
    """How often, how regularly and when last the shopper bought the candidate."""
    queries, n = the.queries, len(the.facts.first)
    bought = queries.history.bought
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
    return _looked_up(the.key, pairs, had, [0, 0, 0, *[np.nan] * 5])


def _ends(place: NDArray[np.integer], n: int) -> tuple[Ints, Ints]:
    """The first and the last entry of each of n places, all of which have entries."""
    first, last = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    entry = np.arange(len(place))
    last[place] = entry  # written last stays
    first[place[::-1]] = entry[::-1]
    return first, last


def _looked_up(key: Ints, known: Ints, told: Sequence[Column], otherwise: Sequence[float]) -> list[Column]:
    """What is told of known keys, ascending, for each key of candidates, and something else for any other."""
    if not len(known):
        return [np.full(len(key), value) for value in otherwise]
    place = np.minimum(known.searchsorted(key), len(known) - 1)
    return list(np.where(known[place] == key, np.array(told)[:, place], np.array(otherwise)[:, None]))


def _orders(queries: Queries) -> Ints:
    """Orders of each shopper, int64[n]."""
    bought = queries.history.bought
    if not len(bought.product):
        return np.zeros(len(queries), dtype=np.int64)
    oldest = np.minimum(bought.indptr[:-1], len(bought.product) - 1)
    return np.where(bought.indptr[1:] > bought.indptr[:-1], bought.moments_back[oldest] + 1, 0)


def _days(at: Ints, then: Ints) -> NDArray[np.float64]:
    """Days since a moment, NaN where it is `NEVER`."""
    return np.where(then == NEVER, np.nan, (at - then) / DAY)


def _age(the: Candidates) -> list[Column]:
    """Days since the first event of the candidate, NaN where there was none."""
    return [_days(the.queries.at[the.row], the.facts.first[the.product])]


def _prices(the: Candidates) -> list[Column]:
    """The logarithm of the price, and how far it lies above the shopper's usual."""
    history, n = the.queries.history, len(the.queries)
    price = the.facts.price[history.product]
    known = ~np.isnan(price)
    count = np.bincount(history.row[known], minlength=n)
    total = np.bincount(history.row[known], weights=price[known], minlength=n)
    usual = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    theirs = the.facts.price[the.product]
    return [theirs, theirs - usual[the.row]]


def _affinity(name: str, the: Candidates) -> list[Column]:
    """Share of the shopper's steps, decayed, that were about the candidate's category, department or brand; and of the
    events of this visit."""
    steps, facts = the.steps, the.facts
    about, asked = facts.cells(name, steps.row, steps.product), facts.cells(name, the.row, the.product)
    found: list[Column] = []
    for weight, total in zip(steps.weights, steps.totals, strict=True):
        told = np.bincount(about, weight, len(the.queries) * facts.widths[name])
        told = told.astype(np.float64, copy=False)  # without events they are whole numbers
        told[:: facts.widths[name]] = np.nan
        found.append(told[asked] / total)
    return found


def _standing(the: Candidates) -> list[Column]:
    return list(the.facts.standing[the.product].T)


def _groups_bought(name: str, the: Candidates) -> list[Column]:
    """How many products of the candidate's category or brand the shopper bought, and days since the last."""
    bought, facts = the.queries.history.bought, the.facts
    about, asked = facts.cells(name, bought.row, bought.product), facts.cells(name, the.row, the.product)
    count = np.bincount(about, minlength=len(the.queries) * facts.widths[name])
    last = np.full(len(count), NEVER, dtype=np.int64)
    last[about] = bought.time  # written last stays
    count[:: facts.widths[name]], last[:: facts.widths[name]] = 0, NEVER
    return [count[asked], _days(the.queries.at[the.row], last[asked])]


def _orders_made(the: Candidates) -> list[Column]:
    return [_orders(the.queries)[the.row]]


def _events(the: Candidates) -> list[Column]:
    return [np.diff(the.queries.history.indptr)[the.row]]


def _days_since_event(the: Candidates) -> list[Column]:
    history = the.queries.history
    return [_since_last(history.indptr, history.time, the.queries.at)[the.row]]


def _days_since_order(the: Candidates) -> list[Column]:
    bought = the.queries.history.bought
    return [_since_last(bought.indptr, bought.time, the.queries.at)[the.row]]


def _visit_events(the: Candidates) -> list[Column]:
    history, at = the.queries.history, the.queries.at
    recent = history.time > at[history.row] - VISIT
    return [np.bincount(history.row[recent], minlength=len(at))[the.row]]


def _clock(the: Candidates) -> list[Column]:
    """Hour and weekday of UTC."""
    at = the.queries.at
    return [(at // HOUR % 24)[the.row], ((at // DAY + 3) % 7)[the.row]]  # 1970 began on a Thursday; 0 is Monday


def _since_last(indptr: Ints, time: Ints, at: Ints) -> NDArray[np.floating]:
    """Days since the last event of each row, NaN where there is none."""
    if not len(time):
        return np.full(len(at), np.nan)
    last = time[np.maximum(indptr[1:] - 1, 0)]
    return np.where(indptr[1:] > indptr[:-1], (at - last) / DAY, np.nan)


#: Signals that ask no source, by what tells them, in the order of columns.
_FAMILIES: dict[tuple[str, ...], Tell] = {
    ("blend_share",): lambda the: [the.chosen.shares],
    ("blend_rank",): lambda the: [the.chosen.ranks],
    ("proposed_by",): lambda the: [np.count_nonzero(the.said, axis=0)],
    ("times_seen", "hours_since_seen", "in_cart"): _seen,
    (
        *("times_bought", "share_of_orders", "decayed_orders", "orders_since_bought", "days_since_bought"),
        *("mean_days_between", "phase", "phase_in_orders"),
    ): _had,
    ("age_days",): _age,
    ("price", "price_ratio"): _prices,
    **{(f"{name}_affinity", f"{name}_in_visit"): partial(_affinity, name) for name in _ATTRIBUTES},
    tuple(f"{name}_{kind}" for name in _GROUPS for kind in ("popularity", "loyalty", "share_of")): _standing,
    **{(f"{name}_bought", f"{name}_days_since_bought"): partial(_groups_bought, name) for name in _GROUPS},
    ("events",): _events,
    ("orders",): _orders_made,
    ("days_since_event",): _days_since_event,
    ("days_since_order",): _days_since_order,
    ("visit_events",): _visit_events,
    ("hour", "weekday"): _clock,
}
