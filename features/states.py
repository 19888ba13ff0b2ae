"""The state of a customer or product of a live shop, read from the event log through checkpoints.

Nothing is kept up to date: a read takes the newest checkpoint of each identity of a person, folds the few events after
it, and adds the states up. Checkpoints are caches of the log, written when a read had much to fold and by ``segue
rebuild``; a checkpoint of another declaration is never looked at. So taking events in costs nothing for state, and what
a crash loses is folded again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from threading import Lock

from features.fold import Fold, State
from features.slots import CUSTOMER, PRODUCT, Declaration
from features.store.base import LATEST, Entity, Event, EventStore, Person

#: A read that folded more events than this leaves a checkpoint.
LONG_TAIL = 64


class States:
    """Reads states. Any thread may use it: what it remembers of people's states follows from the log.

    Args:
        store: the log, and checkpoints.
        customers, products: the declarations.
        remembered: of so many people the last state is kept in memory, some 10 KB each, so that only what came since is
            folded.

    Attributes:
        customers, products: the folds of the two declarations.
        fingerprint: that of both together; checkpoints are kept under it.
    """

    def __init__(
        self,
        store: EventStore,
        customers: Declaration = CUSTOMER,
        products: Declaration = PRODUCT,
        *,
        remembered: int = 0,
    ) -> None:
        self._store = store
        self._remembered = _Remembered(remembered)
        self.customers = Fold(customers)
        self.products = Fold(products)
        both = f"{customers.fingerprint} {products.fingerprint}"
        self.fingerprint = hashlib.sha256(both.encode()).hexdigest()

    def person(self, person: Person, at: int, *, upto: int = LATEST, zone: str | None = None) -> dict[str, float]:
        """Features of a person at a moment: what was known before ``at`` and has a sequence number up to ``upto``.

        Args:
            person: as of ``upto``, so that nobody linked later counts.
            at: microseconds since 1970 UTC.
            upto: a sequence number.
            zone: IANA name of the person's time zone; None: UTC.
        """
        return self.customers.read(self.person_state(person, at, upto=upto), at, zone)

    def product(self, number: int, at: int, *, upto: int = LATEST) -> dict[str, float]:
        """Features of a product, by its number in the store, at a moment; arguments as in `person`."""
        return self.products.read(self.product_state(number, at, upto=upto), at)

    def person_state(self, person: Person, at: int = LATEST, *, upto: int = LATEST) -> State:
        """The state itself, for `Fold.newest` and `Fold.hours`."""
        erasures = self._store.erasures()
        whole_spans = sorted({number for number, first, _ in person.spans if first == 0})
        before = self._remembered.of(whole_spans, upto, erasures)
        kept = self._checkpoints("person", [number for number in whole_spans if number not in before])
        whole: State | None = None
        for number, first, last in person.spans:

            def events(begin: int, end: int, number: int = number) -> Iterator[tuple[int, Event]]:
                one = replace(person, spans=((number, begin, end),))
                return self._store.events_of(one, first=begin, upto=end)

            last = min(last, upto)
            if first <= last:
                checkpoint = (before.get(number) or self._loaded(kept.get(number))) if first == 0 else None
                state, folded, newest = self._folded(self.customers, events, first, last, at, checkpoint)
                if first == 0 and newest is not None:
                    self._remembered.keep(number, newest, state, erasures)
                    if folded > LONG_TAIL:
                        self._save("person", self.customers, number, newest, state, erasures)
                whole = state if whole is None else self.customers.merge(whole, state)
        return self.customers.empty() if whole is None else whole

    def product_state(self, number: int, at: int = LATEST, *, upto: int = LATEST) -> State:
        """The state itself."""
        erasures = self._store.erasures()

        def events(begin: int, end: int) -> Iterator[tuple[int, Event]]:
            return self._store.events_about(number, first=begin, upto=end)

        checkpoint = self._loaded(self._checkpoints("product", [number]).get(number), self.products)
        state, folded, newest = self._folded(self.products, events, 0, upto, at, checkpoint)
        if newest is not None and folded > LONG_TAIL:
            self._save("product", self.products, number, newest, state, erasures)
        return state

    def rebuild(self, progress: Callable[[str, int, int], None] = lambda step, done, total: None) -> tuple[int, int]:
        """Bring the checkpoints of this declaration up to now, then drop those of any other.

        Leaves one for every customer and product with more than `LONG_TAIL` events since their last.

        A service of another version goes on with its own until the end. Visitors linked to nobody are folded when they
        come back.

        Args:
            progress: told the step, how many are done, and how many there are.

        Returns:
            How many customers and how many products were folded.
        """
        customers = 0
        for person, _ in self._store.everyone():
            self.person_state(person)
            customers += 1
            progress("customers", customers, customers)
        products = self._store.watermark().products
        for number in range(products):
            self.product_state(number)
            progress("products", number + 1, products)
        self._store.drop_checkpoints(but=self.fingerprint)
        return customers, products

    def _folded(
        self,
        fold: Fold,
        events: Callable[[int, int], Iterator[tuple[int, Event]]],
        first: int,
        last: int,
        at: int,
        checkpoint: tuple[int, State] | None,
    ) -> tuple[State, int, int | None]:
        """The state of a span, how many events were folded, and up to where it holds; None if not all of them count."""
        state = fold.empty()
        newest = None
        if checkpoint is not None and checkpoint[0] <= last and checkpoint[1].newest < at:
            # Else it knows of something that was not known then.
            newest, state = checkpoint
            first = newest + 1
        folded, whole = 0, True
        for seq, event in events(first, last):
            if max(event.known, event.time) < at:
                fold.update(state, event)
                folded, newest = folded + 1, seq
            else:
                whole = False
        return state, folded, newest if whole else None

    def _loaded(self, checkpoint: tuple[int, bytes] | None, fold: Fold | None = None) -> tuple[int, State] | None:
        return None if checkpoint is None else (checkpoint[0], (fold or self.customers).load(checkpoint[1]))

    def _checkpoints(self, entity: Entity, numbers: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        return self._store.checkpoints(entity, numbers, self.fingerprint) if numbers else {}

    def _save(self, entity: Entity, fold: Fold, number: int, seq: int, state: State, erasures: int) -> None:
        self._store.save_checkpoints(entity, self.fingerprint, [(number, seq, fold.dump(state))], erasures=erasures)


class _Remembered:
    """The last states of people by number, copied on their way in and out; all forgotten when somebody is erased."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._states: OrderedDict[int, tuple[int, State]] = OrderedDict()
        self._erasures = -1
        self._lock = Lock()

    def of(self, numbers: Sequence[int], upto: int, erasures: int) -> dict[int, tuple[int, State]]:
        """States folded up to a sequence number that is not above ``upto``."""
        if not self._most:
            return {}
        with self._lock:
            if erasures != self._erasures:
                self._states.clear()
                self._erasures = erasures
            found = {number: self._states[number] for number in numbers if number in self._states}
            for number in found:
                self._states.move_to_end(number)
        return {number: (seq, _copy(state)) for number, (seq, state) in found.items() if seq <= upto}

    def keep(self, number: int, seq: int, state: State, erasures: int) -> None:
        """Remember a state, unless a newer one is, or somebody was erased since the log was read."""
        if not self._most:
            return
        with self._lock:
            before = self._states.get(number)
            if erasures == self._erasures and (before is None or before[0] < seq):
                self._states[number] = seq, _copy(state)
                if len(self._states) > self._most:
                    self._states.popitem(last=False)


def _copy(state: State) -> State:
    return State(state.numbers.copy(), state.keys.copy())
