"""The state of a customer or product of a live shop, read from the event log through checkpoints.

Nothing is kept up to date: a read takes the newest checkpoint of each identity of a person, folds the few events after
it, and adds the states up. Checkpoints are caches of the log, written when a read had much to fold and by ``segue
rebuild``; a checkpoint of another declaration is never looked at. So taking events in costs nothing for state, and what
a crash loses is folded again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from features.fold import Fold, State
from features.slots import CUSTOMER, PRODUCT, Declaration
from features.store.base import LATEST, Entity, Event, EventStore, Person

#: A read that folded more events than this leaves a checkpoint.
LONG_TAIL = 64


class States:
    """Reads states. Holds no state itself, so any thread may use it.

    Attributes:
        customers, products: the folds of the two declarations.
        fingerprint: that of both together; checkpoints are kept under it.
    """

    def __init__(self, store: EventStore, customers: Declaration = CUSTOMER, products: Declaration = PRODUCT) -> None:
        self._store = store
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
        kept = self._checkpoints("person", sorted({number for number, first, _ in person.spans if first == 0}))
        whole = self.customers.empty()
        for number, first, last in person.spans:

            def events(begin: int, end: int, number: int = number) -> Iterator[tuple[int, Event]]:
                one = replace(person, spans=((number, begin, end),))
                return self._store.events_of(one, first=begin, upto=end)

            last = min(last, upto)
            if first <= last:
                checkpoint = kept.get(number) if first == 0 else None
                state, folded = self._folded(self.customers, events, first, last, at, checkpoint)
                if first == 0 and folded is not None:
                    self._save("person", self.customers, number, folded, state, erasures)
                whole = self.customers.merge(whole, state)
        return whole

    def product_state(self, number: int, at: int = LATEST, *, upto: int = LATEST) -> State:
        """The state itself."""
        erasures = self._store.erasures()

        def events(begin: int, end: int) -> Iterator[tuple[int, Event]]:
            return self._store.events_about(number, first=begin, upto=end)

        checkpoint = self._checkpoints("product", [number]).get(number)
        state, folded = self._folded(self.products, events, 0, upto, at, checkpoint)
        if folded is not None:
            self._save("product", self.products, number, folded, state, erasures)
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
        checkpoint: tuple[int, bytes] | None,
    ) -> tuple[State, int | None]:
        """The state of a span, and up to where it is worth keeping, if it is."""
        state = fold.empty()
        if checkpoint is not None and checkpoint[0] <= last:
            kept = fold.load(checkpoint[1])
            if kept.newest < at:  # else it knows of something that was not known then
                state, first = kept, checkpoint[0] + 1
        folded, whole = 0, True
        for seq, event in events(first, last):
            if max(event.known, event.time) < at:
                fold.update(state, event)
                folded, newest = folded + 1, seq
            else:
                whole = False
        return state, newest if whole and folded > LONG_TAIL else None

    def _checkpoints(self, entity: Entity, numbers: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        return self._store.checkpoints(entity, numbers, self.fingerprint) if numbers else {}

    def _save(self, entity: Entity, fold: Fold, number: int, seq: int, state: State, erasures: int) -> None:
        self._store.save_checkpoints(entity, self.fingerprint, [(number, seq, fold.dump(state))], erasures=erasures)
