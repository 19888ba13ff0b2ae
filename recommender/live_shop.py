"""A bundle kept up with its shop: answers from what was trained and from everything that was logged since."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from features.store.base import LATEST, EventStore, Identity, Json, Person, Tail, Watermark
from recommender.answering import Answerer
from recommender.answers import Asked, Block, Shopper
from recommender.engine import Recommender
from recommender.grown import grown
from recommender.rules import Rules, parse_rules
from recommender.shopper_history import LiveRows
from recommender.sources.text import UNREAD, TextConfig
from recommender.trends import Trends

#: Taking product changes in is not for a request to wait for if it took more CPU the last time, or there are many.
_QUICK_SECONDS = 0.1
_MANY_CHANGES = 200


@dataclass(frozen=True)
class Basis:
    """What of the shop an answer was made from; with the bundle and the rules, enough to make it again.

    Attributes:
        seq: sequence number up to which the shopper's events were read.
        trends: sequence number up to which events count in rankings.
        change: product change up to which the catalogue is as it was put.
        products: number of products of the store that have a code.
    """

    seq: int
    trends: int
    change: int
    products: int

    @property
    def watermark(self) -> Watermark:
        """The same without trends."""
        return Watermark(self.seq, self.change, self.products)


@dataclass(frozen=True)
class Answered:
    """Blocks in the order asked for, and what they were made from."""

    blocks: list[Block]
    basis: Basis


@dataclass(frozen=True)
class _View:
    """The shop at one moment. codes: int32[products], the catalogue's code of each product number of the store."""

    answerer: Answerer
    codes: NDArray[np.int32]
    trends: int
    change: int


class LiveShop:
    """One recommender under one set of rules, over one event store. Calls may be made from any thread.

    An event shows in the next answer for who did it, and in rankings after the next `keep_up`. A change of the
    catalogue shows in the next answer too, unless so many products were described anew since training that taking
    changes in takes long: then after the next `keep_up`.

    Args:
        recommender: as read from its bundle.
        rules_text: the merchandiser's rules (`recommender.rules.parse_rules`).
        store: the live log.

    Raises:
        features.config.ConfigError: the rules cannot be read.
        features.store.base.StoreError: the store does not answer.
    """

    def __init__(self, recommender: Recommender, rules_text: str, store: EventStore) -> None:
        self.rules_text = rules_text
        self._base = recommender
        self._rules = parse_rules(rules_text, tuple(recommender.config.placements))
        self._store = store
        self._lock = RLock()
        self._first = store.first_known_from(recommender.at)  # what was known before is in the bundle
        texts = [config for config in recommender.config.sources.values() if isinstance(config, TextConfig)]
        self._unread = UNREAD - {name for config in texts for name in config.columns or ()}
        self._growing_seconds = 0.0  # how long it took the last time
        self._start(recommender)

    def _start(self, recommender: Recommender) -> None:
        self._changes: dict[str, Json | None] = {}
        self._new_ids: list[str] = []
        self._trends = Trends(recommender)
        self._whole = recommender  # with the catalogue as it is, without trends
        answerer = Answerer(recommender, Rules(self._rules, recommender.catalogue, strict=False))
        self._view = _View(answerer, np.zeros(0, dtype=np.int32), self._first - 1, 0)

    @property
    def placements(self) -> Collection[str]:
        """Names of the placements that can be asked for."""
        return tuple(self._base.config.placements)

    def answer(self, asked: Asked, *, draw: str = "", past: bool = False) -> Answered:
        """Answer from all that is known now.

        Args:
            asked: the request.
            draw: a name for the answer, see `Answerer.answer`.
            past: the moment lies behind: of what the shopper did, only what was known before it counts. Who they are,
                rankings and the catalogue are as of now.

        Raises:
            UnknownPlacement: no such placement.
            features.filters.FilterError: a filter that cannot be honoured.
        """
        mark = self._store.watermark()
        view = self._current(mark)
        person, tail = None, _NOTHING
        # Whoever asks may have been the first to name a product: then it matters who they are, too.
        if mark.products > len(view.codes) or view.answerer.is_personal(asked.blocks, explain=asked.explain):
            person, tail = self._looked_up(asked, mark.seq, past=past)
        if len(tail.product) and int(tail.product.max()) >= len(view.codes) and not self._is_slow(mark):
            view = self._grow(mark)  # the shopper was quicker than `keep_up`
        blocks = _blocks(view, asked, self._since(view, person, tail, LATEST), draw)
        return Answered(blocks, Basis(mark.seq, view.trends, view.change, len(view.codes)))

    def answer_as_of(self, basis: Basis, asked: Asked, *, made_at: int, draw: str) -> list[Block]:
        """The blocks of an earlier answer, from what it was made from. Quickest in the order of `Basis.trends`.

        Args:
            basis: as of then.
            asked: the request.
            made_at: when it was answered, microseconds UTC.
            draw: its name.
        """
        with self._lock:
            view = self._view
            wanted = (basis.trends, basis.change, basis.products)
            if (view.trends, view.change, len(view.codes)) != wanted:
                if view.trends > basis.trends or view.change > basis.change or len(view.codes) > basis.products:
                    self._start(self._base)
                self._lay_over(Watermark(basis.seq, basis.change, basis.products))
                self._count(basis.trends)
                view = self._view
        person, tail = self._looked_up(asked, basis.seq, past=asked.at < made_at)
        return _blocks(view, asked, self._since(view, person, tail, made_at), draw)

    def check_rules(self) -> None:
        """Fail if a rule's filter cannot be honoured by the catalogue of now. Later, such a rule means no product.

        Raises:
            features.filters.FilterError: which filter, and why.
        """
        Rules(self._rules, self._whole.catalogue)

    def fallback(self, asked: Asked) -> list[Block]:
        """Blocks from the fallback chain alone: what is left when `answer` fails."""
        return self._view.answerer.fallback(asked.blocks, asked.at)

    def product(self, product_id: str) -> Json | None:
        """What the bundle knows of a product, whatever changed since; None if it does not know it."""
        code = self._base.catalogue.ids.code(product_id)
        return self._base.catalogue.product(code) if code >= 0 else None

    def keep_up(self) -> None:
        """Take in what was logged since the last time: rankings and products."""
        with self._lock:
            mark = self._store.watermark()
            view = self._view
            if (mark.seq, mark.change, mark.products) != (view.trends, view.change, len(view.codes)):
                self._lay_over(mark)
                self._count(mark.seq)

    # The shop at one moment

    def _current(self, mark: Watermark) -> _View:
        view = self._view
        if view.change == mark.change or self._is_slow(mark):
            return view
        return self._grow(mark)

    def _is_slow(self, mark: Watermark) -> bool:
        return self._growing_seconds > _QUICK_SECONDS or mark.change - self._view.change > _MANY_CHANGES

    def _grow(self, mark: Watermark) -> _View:
        with self._lock:
            if self._view.change < mark.change or len(self._view.codes) < mark.products:
                self._lay_over(mark)
            return self._view

    def _lay_over(self, mark: Watermark) -> None:
        """Bring the catalogue up to a watermark."""
        view, store, base = self._view, self._store, self._base
        if view.change == mark.change and len(view.codes) == mark.products:
            return
        begun = time.thread_time()
        alike = True
        for change in store.product_changes(view.change, mark.change):
            before = self._described(change.product_id)
            self._changes[change.product_id] = change.attributes
            alike = alike and self._described(change.product_id) == before
        ids = store.product_ids(len(view.codes), mark.products)
        codes = base.catalogue.ids.codes(ids)
        new = np.flatnonzero(codes < 0)
        codes[new] = len(base.catalogue) + len(self._new_ids) + np.arange(len(new), dtype=np.int32)
        self._new_ids += [ids[place] for place in new.tolist()]
        self._whole = grown(base, self._new_ids, self._changes, like=self._whole if alike else None)
        recommender = self._trends.applied(self._whole)
        answerer = Answerer(recommender, Rules(self._rules, recommender.catalogue, strict=False))
        self._view = _View(answerer, np.concatenate([view.codes, codes]), view.trends, mark.change)
        self._growing_seconds = time.thread_time() - begun

    def _described(self, product_id: str) -> Json:
        """What is said of a product that may be read as text."""
        said = self._changes.get(product_id)
        if said is None:
            said = self.product(product_id) or {}
        return {
            name: value for name, value in said.items() if isinstance(value, str | list) and name not in self._unread
        }

    def _count(self, upto: int) -> None:
        """Bring the rankings up to a sequence number."""
        view = self._view
        if view.trends == upto:
            return
        after = view.trends
        counted = False
        while after < upto:
            traffic = self._store.traffic(after, upto)
            if len(traffic.seq) == 0:
                break
            after = int(traffic.seq[-1])
            fresh = traffic.known >= self._base.at
            if fresh.any():
                self._trends.add(view.codes[traffic.product[fresh]], traffic.kind[fresh], traffic.time[fresh])
                counted = True
        answerer = view.answerer.over(self._trends.applied(self._whole)) if counted else view.answerer
        self._view = _View(answerer, view.codes, upto, view.change)

    # One shopper

    def _looked_up(self, asked: Asked, seq: int, *, past: bool) -> tuple[Person | None, Tail]:
        """Who asks, and what they did that the bundle does not know."""
        shopper = asked.shopper
        if shopper.customer_id is None and shopper.anonymous_id is None and shopper.session_id is None:
            return None, _NOTHING
        person = self._store.person(
            customer_id=shopper.customer_id,
            anonymous_id=shopper.anonymous_id,
            session_id=shopper.session_id,
            upto=seq,
        )
        if not person.spans:
            return person, _NOTHING
        first, known_from = (self._first, self._base.at) if self._trained_on(person) else (0, 0)
        known_before = asked.at if past else LATEST
        return person, self._store.tail(person, first=first, upto=seq, known_from=known_from, known_before=known_before)

    def _trained_on(self, person: Person) -> bool:
        known = self._base.person(Shopper(person.customer_id, None, person.session_id)) >= 0
        return known or any(self._base.person(Shopper(None, name)) >= 0 for name in person.anonymous_ids)

    def _since(self, view: _View, person: Person | None, tail: Tail, made_at: int) -> LiveRows | None:
        if person is None:
            return None
        codes, known = view.codes, tail.product < len(view.codes)
        return LiveRows(
            customer_id=self._remembered("customer", person.customer_id, made_at),
            anonymous_ids=tuple(
                name for name in person.anonymous_ids if self._remembered("visitor", name, made_at) is not None
            ),
            session_id=self._remembered("session", person.session_id, made_at),
            product=codes[tail.product[known]],
            kind=tail.kind[known],
            time=tail.time[known],
            returned=tuple((int(codes[number]), when) for number, when in tail.returned if number < len(codes)),
        )

    def _remembered(self, kind: Identity, name: str | None, made_at: int) -> str | None:
        """The name, unless who had it was erased after the bundle was trained: it would still hold their history."""
        if name is None or not self._base.at < self._store.erased_at(kind, name) <= made_at:
            return name
        return None


def _blocks(view: _View, asked: Asked, since: LiveRows | None, draw: str) -> list[Block]:
    # Who asks is told by `since`, where it matters.
    return view.answerer.answer(_NOBODY, asked.blocks, asked.at, since=since, draw=draw, explain=asked.explain)


_NOBODY = Shopper()
_NOTHING = Tail(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int8), np.zeros(0, dtype=np.int64))
