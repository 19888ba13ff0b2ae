"""What a learned list has to beat: plain counts, and one nearest-neighbour method from the literature.

Each baseline is fitted on an event log and gives lists for the same queries, with the same exclusions, as the
recommender beside which it is shown. Equal scores go by popularity, equal popularity by product id. Products without a
score follow in the same order, so a list is shorter than asked only where the catalogue is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from features.events import INTEREST, MINUTE, EventLog, Kind
from features.histories import Histories, Ragged, gather
from recommender.answers import Lists
from recommender.filled import filled_lists, first_of_each
from recommender.queries import Queries

SESSION_GAP = 30 * MINUTE


class Baseline(Protocol):
    """Something that gives lists, as `recommender.engine.Recommender.lists` does for one placement."""

    def lists(self, queries: Queries, count: int, exclude: Ragged | None = None) -> Lists:
        """The best ``count`` products of each question, less ``exclude``, the anchors and what is not allowed."""
        ...


@dataclass(frozen=True)
class Popularity:
    """Products by how many target events they have; also what every other baseline falls back to.

    counts: int64[products], target events (purchases where there are any, else views).
    """

    counts: NDArray[np.int64]

    @staticmethod
    def fit(log: EventLog) -> Popularity:
        """Count the target events of each product."""
        return Popularity(np.bincount(log.product[log.targets()], minlength=len(log.products)))

    def score(self, queries: Queries) -> csr_array:
        """Nothing of its own: the fallback is the list."""
        nothing = np.zeros(0, dtype=np.int64)
        shape = (len(queries), len(self.counts))
        return csr_array((np.zeros(0, dtype=np.float32), (nothing, nothing)), shape=shape)

    def lists(self, queries: Queries, count: int, exclude: Ragged | None = None) -> Lists:
        """See `Baseline`."""
        return filled_lists(self, self.counts, queries, count, exclude)


@dataclass(frozen=True)
class LastItemTransitions:
    """How often a product came next after the one the shopper looked at last.

    counts: float32 of shape (products, products), counts[a, b] = times b was the next other product after a in the
    events of one person (`INTEREST`, repeats of a product in a row counted once).
    """

    counts: csr_array
    popularity: Popularity

    @staticmethod
    def fit(log: EventLog) -> LastItemTransitions:
        """Count pairs of consecutive distinct products over all people."""
        histories = Histories.of(log)
        person = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
        before, after = histories.product[:-1], histories.product[1:]
        pairs = (person[:-1] == person[1:]) & (before != after)
        return LastItemTransitions(_counted(before[pairs], after[pairs], len(log.products)), Popularity.fit(log))

    def score(self, queries: Queries) -> csr_array:
        """Rows of the last products, float32 of shape (queries, products); empty rows for people nobody has seen."""
        ends = queries.history.indptr[1:]
        seen = ends > queries.history.indptr[:-1]
        last = queries.history.product[ends[seen] - 1]
        rows = np.flatnonzero(seen)
        pick = csr_array((np.ones(len(rows), np.float32), (rows, last)), shape=(len(queries), self.counts.shape[0]))
        return csr_array(pick @ self.counts)

    def lists(self, queries: Queries, count: int, exclude: Ragged | None = None) -> Lists:
        """See `Baseline`."""
        return filled_lists(self, self.popularity.counts, queries, count, exclude)


@dataclass(frozen=True)
class PersonalTop:
    """What this shopper bought most often, then what everybody buys.

    kind: what is counted: purchases where the log has any, else views.
    """

    kind: Kind
    popularity: Popularity

    @staticmethod
    def fit(log: EventLog) -> PersonalTop:
        """Only the fallback is fitted; a shopper's counts are in the query."""
        return PersonalTop(Kind.PURCHASE if log.of_kind(Kind.PURCHASE).any() else Kind.VIEW, Popularity.fit(log))

    def score(self, queries: Queries) -> csr_array:
        """Counts of target events in each history, float32 of shape (queries, products)."""
        history = queries.history
        counted = history.kind == self.kind
        rows = np.repeat(np.arange(len(queries)), np.diff(history.indptr))[counted]
        ones = np.ones(len(rows), dtype=np.float32)
        return csr_array((ones, (rows, history.product[counted])), shape=(len(queries), len(self.popularity.counts)))

    def lists(self, queries: Queries, count: int, exclude: Ragged | None = None) -> Lists:
        """See `Baseline`."""
        return filled_lists(self, self.popularity.counts, queries, count, exclude)


@dataclass(frozen=True)
class Cooccurrence:
    """How many orders hold a product together with the anchors (summed over them).

    orders: float32 of shape (orders, products), 1 where the order holds the product; by_product: its transpose. They
    are multiplied for the anchors asked for only, so memory does not grow with the square of the catalogue.
    """

    orders: csr_array
    by_product: csr_array
    popularity: Popularity

    @staticmethod
    def fit(log: EventLog) -> Cooccurrence:
        """Collect the distinct products of each order."""
        lines = log.of_kind(Kind.PURCHASE) & (log.order >= 0)
        orders = _incidence(log.order[lines], log.product[lines], len(log.products))
        return Cooccurrence(orders, csr_array(orders.T), Popularity.fit(log))

    def score(self, queries: Queries) -> csr_array:
        """Counts for the anchors, float32 of shape (queries, products); empty rows without anchors."""
        anchors = queries.anchors
        ones = np.ones(len(anchors.values), dtype=np.float32)
        asked = csr_array((ones, anchors.values, anchors.indptr), shape=(len(queries), len(self.popularity.counts)))
        return csr_array((asked @ self.by_product) @ self.orders)

    def lists(self, queries: Queries, count: int, exclude: Ragged | None = None) -> Lists:
        """See `Baseline`."""
        return filled_lists(self, self.popularity.counts, queries, count, exclude)


@dataclass(frozen=True)
class VSkNN:
    """Session neighbours, V-SkNN: what was in past sessions like the current one.

    The current session s is the end of the history, back to the first gap of 30 minutes. The product at place i of its
    |s| distinct products (placed by their last occurrence) weighs i / |s|; a past session's similarity is the sum over
    the products it shares. Of the ``sample`` most recent sessions that share any, the ``neighbours`` most similar ones
    vote: score(p) = Σ similarity · 1 / (1 + steps back to the newest shared product).
    Source: Ludewig & Jannach, Evaluation of session-based recommendation algorithms, UMUAI 28 (2018), section 3.2, with
    linear weights and the reciprocal decay of the authors' code, without IDF weighting.

    sessions: float32 of shape (past sessions, products), oldest first; by_product: the rows of each product's most
    recent sessions, newest first, as far as the sample can reach.
    """

    sessions: csr_array
    by_product: Ragged
    popularity: Popularity
    neighbours: int = 100
    sample: int = 1_000

    @staticmethod
    def fit(log: EventLog, *, neighbours: int = 100, sample: int = 1_000) -> VSkNN:
        """Collect the distinct products of each session, sessions ordered by (last event, number)."""
        rows = np.flatnonzero(log.of_kind(*INTEREST))
        names, number = np.unique(log.session[rows], return_inverse=True)
        ended = np.zeros(len(names), dtype=np.int64)
        np.maximum.at(ended, number, log.time[rows])
        age = np.empty(len(names), dtype=np.int64)
        age[np.lexsort((names, ended))] = np.arange(len(names))
        sessions = _incidence(age[number], log.product[rows], len(log.products))
        holders = csr_array(sessions.T)
        holders.sort_indices()
        # The newest `sample` of a union lie among the newest `sample` of each part, so older ones are never needed.
        kept = np.minimum(np.diff(holders.indptr), sample)
        indptr = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        entries = np.repeat(holders.indptr[1:] - 1 + indptr[:-1], kept) - np.arange(indptr[-1])
        recent = Ragged(indptr, holders.indices[entries].astype(np.int32))
        return VSkNN(sessions, recent, Popularity.fit(log), neighbours, sample)

    def score(self, queries: Queries) -> csr_array:
        """Votes of the neighbours, float32 of shape (queries, products)."""
        row, product, place, length = _current_session(queries.history)
        indptr, entries = gather(self.by_product.indptr, product.astype(np.int64))
        repeats = np.diff(indptr)
        session = self.by_product.values[entries].astype(np.int64)
        shared_row, shared_place = np.repeat(row, repeats), np.repeat(place, repeats)
        weight = np.repeat(place / length, repeats)
        decay = 1 / (1 + np.repeat(length, repeats) - shared_place)

        # One entry a (question, past session): similarities add up, the newest shared product sets the decay.
        # Past sessions of a question stand newest first.
        key = shared_row * self.sessions.shape[0] + (self.sessions.shape[0] - 1 - session)
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        asker, session = shared_row[order[starts]], session[order[starts]]
        similarity, newest = np.add.reduceat(weight[order], starts), np.maximum.reduceat(decay[order], starts)

        recent = first_of_each(asker, np.arange(len(asker)), self.sample)
        closest = recent[np.lexsort((-similarity[recent], asker[recent]))]
        voters = first_of_each(asker, closest, self.neighbours)
        votes = csr_array(
            ((similarity * newest)[voters].astype(np.float32), (asker[voters], session[voters])),
            shape=(len(queries), self.sessions.shape[0]),
        )
        return csr_array(votes @ self.sessions)

    def lists(self, queries: Queries, count: int, exclude: Ragged | None = None) -> Lists:
        """See `Baseline`."""
        return filled_lists(self, self.popularity.counts, queries, count, exclude)


def _counted(left: NDArray[np.int32], right: NDArray[np.int32], products: int) -> csr_array:
    """How often each pair occurs, float32 of shape (products, products)."""
    return csr_array((np.ones(len(left), dtype=np.float32), (left, right)), shape=(products, products))


def _incidence(group: NDArray[np.int32] | NDArray[np.int64], product: NDArray[np.int32], products: int) -> csr_array:
    """1 where a group (order, session) holds a product, float32 of shape (groups, products), in the order of groups."""
    names, number = np.unique(group, return_inverse=True)
    pair = np.unique(number.astype(np.int64) * products + product)
    row, column = np.divmod(pair, max(products, 1))
    return csr_array((np.ones(len(pair), dtype=np.float32), (row, column)), shape=(len(names), products))


def _current_session(
    history: Histories,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct products of each history's last session: row, product, place from 1 by last occurrence, how many."""
    row = np.repeat(np.arange(len(history)), np.diff(history.indptr))
    starts = np.ones(len(row), dtype=bool)
    starts[1:] = (row[1:] != row[:-1]) | (np.diff(history.time) > SESSION_GAP)
    number = np.cumsum(starts)
    last = number[history.indptr[1:][row] - 1] == number
    row, product = row[last], history.product[last]
    # np.unique keeps first occurrences, so it looks at the entries newest first.
    width = int(product.max(initial=0)) + 1
    _, newest = np.unique((row * width + product)[::-1], return_index=True)
    kept = np.sort(len(row) - 1 - newest)
    row, product = row[kept], product[kept]
    place = np.arange(len(row)) - np.searchsorted(row, row) + 1
    length = np.searchsorted(row, row, side="right") - np.searchsorted(row, row)
    return row, product, place, length
