"""The two stores of a live shop, as protocols: the event log with all that follows from it, and the log of decisions.

`features.store.memory` and `features.store.sqlite` implement them; `tests.features.store.contract` says what both must
do. Times are microseconds since 1970 UTC.

The event log is the truth. Every accepted event has a sequence number; whatever else a store keeps (numbers of persons
and products, checkpoints of states) follows from the log up to some sequence number, so "as of sequence s" can be asked
of it long after.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Json = dict[str, Any]
Identity = Literal["customer", "visitor", "session", "order"]
Entity = Literal["person", "product"]

LATEST = np.iinfo(np.int64).max  # "as of now"


class StoreError(Exception):
    """A store that cannot be used: damaged, of another version, or out of disk; the message says which and the cure."""


class Event(NamedTuple):
    """One event as a row of the dataset contract. Strings are as they were sent.

    A named tuple, since events are made by the hundred thousand: a frozen dataclass takes ten times as long to make.

    Attributes:
        event: name by the contract, or any other.
        time: when it happened; never after ``known``.
        known: when the shop learned of it.
        quantity: None where a refund says none; else 1 unless said otherwise.
        event_id: two events of one event_id are one event. None: never a duplicate.
        more: what the contract has no column for, JSON-ready. ``more["traits"]`` of an identify event are what is
            known of the person from then on: ``timezone``, ``consents``, ``reachable``, and attributes.
    """

    event: str
    time: int
    known: int
    customer_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None
    product_id: str | None = None
    order_id: str | None = None
    quantity: float | None = 1.0
    price: float | None = None
    currency: str | None = None
    channel: str | None = None
    event_id: str | None = None
    placement: str | None = None
    decision_id: str | None = None
    more: Json | None = None


@dataclass(frozen=True)
class Appended:
    """accepted: one for each event, False for a duplicate. seq: the newest sequence number afterwards."""

    accepted: list[bool]
    seq: int


@dataclass(frozen=True)
class Person:
    """Who somebody is, as of a sequence number.

    Attributes:
        customer_id: None for a visitor.
        anonymous_ids: the visitors whose events are this person's: linked by an identify event, or the one asked for.
        session_id: for whoever is neither.
        spans: whose events are this person's: (number of an identity, first sequence number, last sequence number),
            both inclusive. Empty for somebody nobody has seen.
    """

    customer_id: str | None
    anonymous_ids: tuple[str, ...]
    session_id: str | None
    spans: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Erased:
    """Whom an erasing forgot.

    Attributes:
        customer_id: None for a visitor.
        anonymous_ids: see `Person`.
        session_ids: see `EventStore.sessions_of`.
    """

    customer_id: str | None
    anonymous_ids: tuple[str, ...]
    session_ids: tuple[str, ...]


@dataclass(frozen=True)
class Tail:
    """The part of a person's log that lists are made from, oldest first by (time, sequence number).

    Rows are events about a product of the kinds of `features.events.INTEREST`, removals from the cart and impressions.
    Purchases taken back by a refund are left out.

    Attributes:
        product: int64[n], product numbers of the store.
        kind: int8[n], `features.events.Kind`.
        time: int64[n].
        returned: (product number, time of the refund) of refunds whose purchase is not in this tail: it is older.
    """

    product: NDArray[np.int64]
    kind: NDArray[np.int8]
    time: NDArray[np.int64]
    returned: tuple[tuple[int, int], ...] = ()


class Purchase(NamedTuple):
    """A purchase line that was not taken back. price: of a piece, as paid."""

    time: int
    product_id: str | None
    price: float | None


@dataclass(frozen=True)
class Traffic:
    """Events about products in the order of the log, nobody named.

    seq, product (numbers), time, known: int64[n]; kind: int8[n].
    """

    seq: NDArray[np.int64]
    product: NDArray[np.int64]
    kind: NDArray[np.int8]
    time: NDArray[np.int64]
    known: NDArray[np.int64]


@dataclass(frozen=True)
class ProductChange:
    """The whole of what is known of a product from a change on; None: it left the catalogue. ``change`` counts up.

    ``at``: as of when it was said, see `EventStore.put_products`.
    """

    change: int
    product_id: str
    attributes: Json | None
    at: int = 0


@dataclass(frozen=True)
class Watermark:
    """What has been seen of a live shop: newest sequence number, newest product change, number of products."""

    seq: int
    change: int
    products: int


class EventStore(Protocol):
    """The event log of a shop. Every call may be made from any thread; several processes may share one store."""

    def append(self, events: Sequence[Event]) -> Appended:
        """Put events into the log, in one transaction that is on disk (fsync) when this returns.

        A later event with an event_id that is there already, or earlier in ``events``, is a duplicate and dropped. An
        identify event that names a customer and a visitor links them: the visitor's events, earlier and later ones, are
        the customer's, until the visitor is linked to another customer; from then on later ones are that customer's.
        A refund, delivery or purchase that names nobody but an order belongs to whoever bought that order, also where
        the purchase comes later.

        Raises:
            StoreError: nothing was written.
        """
        ...

    def watermark(self) -> Watermark:
        """How far the shop is. Cheap: asked at every request."""
        ...

    def first_known_from(self, known: int) -> int:
        """The first event known at ``known`` or later; past the newest if there is none.

        Every event below it was known before; ones behind it may have been known before too. May read the whole log.
        """
        ...

    # One person

    def person(
        self,
        *,
        customer_id: str | None = None,
        anonymous_id: str | None = None,
        session_id: str | None = None,
        upto: int = LATEST,
    ) -> Person:
        """Whoever is named best: the customer, else the visitor (or the customer linked to it), else the session."""
        ...

    def tail(
        self,
        person: Person,
        *,
        first: int = 0,
        upto: int = LATEST,
        known_from: int = 0,
        known_before: int = LATEST,
        newest: int = 1000,
    ) -> Tail:
        """What a person did, sequence numbers ``first`` to ``upto`` that were known at ``known_from`` or later.

        What became known at ``known_before`` or later is as if it had not happened, refunds too.

        ``newest``: at most so many rows, the newest by (time, sequence number) among the last that came.
        """
        ...

    def events_of(self, person: Person, *, first: int = 0, upto: int = LATEST) -> Iterator[tuple[int, Event]]:
        """Everything a person did, with its sequence number, ascending."""
        ...

    def messages_of(
        self, person: Person, *, since: int = 0, upto: int = LATEST, known_before: int = LATEST
    ) -> list[tuple[int, Event]]:
        """What was sent to a person, and what they did that names the decision of it, ascending by sequence number.

        Send events of time ``since`` or later, and events of any other name but open and impression that name a
        decision. Only what was known before ``known_before`` (and happened before it).
        """
        ...

    def bought(
        self, person: Person, *, upto: int = LATEST, known_before: int = LATEST, newest: int = 200
    ) -> list[Purchase]:
        """The newest purchase lines of a person, ascending by (time, sequence number); those taken back left out.

        What became known at ``known_before`` or later is as if it had not happened, refunds too.
        """
        ...

    def newest_time(self, person: Person, event: str, *, channel: str | None = None, first: int = 0) -> int | None:
        """The latest time of a person's events of one name, sequence numbers ``first`` and later; None if none is.

        Args:
            channel: only events of this channel. None: of any, or none.
        """
        ...

    def sessions_of(self, person: Person) -> tuple[str, ...]:
        """Ids of the sessions that a person's events name, and their own if they are one; ascending. Reads them all."""
        ...

    def traits(self, person: Person) -> Json:
        """What identify events said of a person; of each trait what was said last by (time, event_id).

        Subscribe and unsubscribe events with a channel change ``consents`` if they are later than the list itself.
        """
        ...

    # Products

    def product_ids(self, first: int = 0, upto: int = LATEST) -> list[str]:
        """Ids of products number ``first`` to ``upto`` (exclusive). Numbers count from 0 in order of first mention."""
        ...

    def put_products(self, products: Sequence[tuple[str, Json | None]], at: int) -> int:
        """Replace what is known of products (None: they left the catalogue), on disk when this returns.

        Returns:
            The number of the last change.
        """
        ...

    def product_changes(self, after: int = 0, upto: int = LATEST) -> list[ProductChange]:
        """Changes ``after`` (exclusive) to ``upto`` (inclusive), in order."""
        ...

    def product(self, product_id: str) -> ProductChange | None:
        """The newest change of a product; None if there never was one."""
        ...

    def traffic(self, after: int = 0, upto: int = LATEST, limit: int = 50_000) -> Traffic:
        """The first ``limit`` events that name a product with sequence numbers ``after`` (exclusive) to ``upto``."""
        ...

    def events_about(self, product: int, *, first: int = 0, upto: int = LATEST) -> Iterator[tuple[int, Event]]:
        """Everything that happened to a product (by number), with its sequence number, ascending."""
        ...

    # States: caches of the log

    def checkpoints(self, entity: Entity, numbers: Sequence[int], fingerprint: str) -> dict[int, tuple[int, bytes]]:
        """Of identities or products by number: a state, and the sequence number up to which it was folded."""
        ...

    def save_checkpoints(
        self, entity: Entity, fingerprint: str, states: Sequence[tuple[int, int, bytes]], *, erasures: int
    ) -> None:
        """Keep (number, sequence number, state). Need not be on disk at once: what is lost is folded anew.

        Nothing is kept if somebody was erased since ``erasures`` was asked for, which is to be before the first event
        or checkpoint is read: the states may hold what is forgotten.
        """
        ...

    def erasures(self) -> int:
        """How often somebody was erased whom the store knew."""
        ...

    def drop_checkpoints(self, *, but: str) -> None:
        """Forget the states of every other fingerprint."""
        ...

    # The whole

    def rows(self, after: int = 0, limit: int = 50_000) -> list[tuple[int, Event]]:
        """The first ``limit`` events after a sequence number, with theirs; none of erased people."""
        ...

    def everyone(self) -> Iterator[tuple[Person, Json]]:
        """Every customer with their traits, ascending by id."""
        ...

    def erase(self, *, customer_id: str | None = None, anonymous_id: str | None = None, at: int) -> Erased | None:
        """Forget a person and all visitors linked to them; None if nobody knows them, who are noted all the same.

        Sessions that their events name go too, and orders unless somebody else bought them. A visitor or order that is
        somebody else's at another time stays theirs, until all whose it was are erased and no event of its own is left.

        Their events, traits, checkpoints and ids go from every file of the store. What stays is that something happened
        to a product at some moment, which nobody did, so that `traffic` says what it said. Their digests are noted,
        those of shared visitors and orders too: what files hold of these is partly the erased person's.
        """
        ...

    def erased(self) -> dict[int, int]:
        """`features.people.identity_digest` of erased customers, visitors, sessions and orders -> when they were."""
        ...

    def erased_at(self, kind: Identity, identifier: str) -> int:
        """When a customer, visitor, session or order was last erased; 0 if never."""
        ...

    def setting(self, name: str, value: str) -> str:
        """The value that was first given to a name: ``value`` if this is the first time. On disk when this returns."""
        ...

    def close(self) -> None:
        """Let go of files. Idempotent."""
        ...


@dataclass(frozen=True)
class Decision:
    """One answer of the service, and all that it takes to make it again.

    Attributes:
        id: decision_id of the answer.
        at: when it was made (the clock), not the moment it answers for.
        kind: "recommendations", "action", or "release": what became of an action just before it was sent.
        customer_id, anonymous_id: whom it was for, as asked.
        model: name, version and bundle (a folder name below the bundles of SEGUE_HOME) of what answered.
        rules: digest of the rules in force, see `DecisionStore.keep_text`.
        watermark: how far the shop was known.
        request: the request as it was understood, JSON-ready; ``at`` filled in.
        answer: what was answered, compact, JSON-ready.
        digest: SHA-256, hexadecimal, of the answer's bytes without decision_id and took_ms.
        session_id: whom it was for, as asked, where that names neither customer nor visitor.
    """

    id: str
    at: int
    kind: str
    customer_id: str | None
    anonymous_id: str | None
    model: Json
    rules: str | None
    watermark: Watermark
    request: Json
    answer: Json = field(default_factory=dict)
    digest: str = ""
    session_id: str | None = None


@dataclass(frozen=True)
class Contact:
    """A message that is to be sent.

    Attributes:
        action: its label (`nba.arms.label`).
        channel: None where the action has none.
        send_at: when.
        until: it counts as a contact until then, unless a send event reports it: then that event counts.
    """

    action: str
    channel: str | None
    send_at: int
    until: int


@dataclass(frozen=True)
class Use:
    """What a contact takes of a budget. ``period``: the day, week or run that ``limit`` is for."""

    budget: str
    period: str
    amount: float
    limit: float


@dataclass(frozen=True)
class Reservation:
    """A decision on the next action, and what is to be true when it is written.

    Attributes:
        decision: what is kept.
        who: `features.people.identity_digest` of a person's identities; first the one that the decision is kept under.
        expected: `Standing.version` of them when it was decided.
        question: a number for what was asked, the same for the same question.
        contact: what it sends; None: it holds.
        at: the moment it was decided for, which may lie before that of its writing.
        uses: what the contact takes of budgets.
        replaces: the decision whose contact, if it still holds a place, is given up for this one.
        key: digest of the caller's Idempotency-Key.
    """

    decision: Decision
    who: tuple[int, ...]
    expected: int
    question: int
    contact: Contact | None
    at: int
    uses: tuple[Use, ...] = ()
    replaces: str | None = None
    key: int | None = None


#: hold: nothing to send. reserved: the contact counts. released: it was given up, or replaced by a later decision.
ChoiceState = Literal["hold", "reserved", "released"]


@dataclass(frozen=True)
class Choice:
    """What a decision on the next action chose. ``at``, ``changed``: the moments of decision and last change."""

    decision_id: str
    at: int
    question: int
    state: ChoiceState
    changed: int
    contact: Contact | None


@dataclass(frozen=True)
class Standing:
    """What was decided for a person. ``version`` goes up with every decision and every release."""

    version: int
    choices: tuple[Choice, ...]


ERASED: Final = "erased"


class DecisionStore(Protocol):
    """The log of decisions. Calls may be made from any thread and several processes."""

    def write(self, *decisions: Decision) -> None:
        """Keep decisions: they survive the death of the process at once, and that of the machine within a second.

        Raises:
            StoreError: none of them was kept.
        """
        ...

    def standing(self, who: Sequence[int], *, since: int) -> Standing:
        """What was decided for a person's identities (digests) since a moment, or still is to be sent, in order."""
        ...

    def reserve(self, reservations: Sequence[Reservation]) -> list[bool]:
        """Keep decisions with the contacts they reserve, in one transaction.

        Of each: False, and nothing of it is kept, if something was decided for the person since ``expected`` was read
        (also by an earlier one of ``reservations``), or a budget has no place left. Otherwise as `write`.

        Raises:
            StoreError: none could be kept.
        """
        ...

    def revise(self, of: str, contact: Contact | None, record: Decision, *, who: Sequence[int], expected: int) -> bool:
        """Give up the contact of a decision (None) or put another in its place, and keep the record of that.

        What a contact that is given up took of budgets is free again; another one takes the same.

        Args:
            of: the decision.
            contact: what is sent instead.
            record: kept as `write` does; its ``at`` is when this happened.
            who, expected: as in `Reservation`.

        Returns:
            False, and nothing is kept, if something was decided for the person meanwhile, or the contact was given up.
        """
        ...

    def choice(self, decision_id: str) -> Choice | None:
        """What a decision chose; None if it is not kept, or no decision on the next action."""
        ...

    def by_key(self, key: int) -> str | None:
        """The decision last reserved with a digest of an Idempotency-Key."""
        ...

    def used(self, budget: str, period: str) -> float:
        """What contacts have taken of a budget."""
        ...

    def read(self, decision_id: str) -> Decision | Literal["erased"] | None:
        """A decision, `ERASED`, or None if there never was one of that id (or it was pruned)."""
        ...

    def ids(self, *, after: int = 0, limit: int = 10_000, actions: bool = False) -> list[tuple[int, str]]:
        """(number, id) of the decisions numbered above ``after``, in the order they were written.

        ``actions``: only those on the next action.
        """
        ...

    def keep_text(self, text: str) -> str:
        """Keep a text (the rules in force) under its SHA-256, which is returned. Kept once."""
        ...

    def text(self, digest: str) -> str | None:
        """The text of a digest."""
        ...

    def bundles(self) -> set[str]:
        """``model["bundle"]`` of every decision that is kept."""
        ...

    def erase(
        self, *, customer_ids: Sequence[str], anonymous_ids: Sequence[str], session_ids: Sequence[str] = ()
    ) -> int:
        """Forget all decisions for these people; their ids answer `ERASED`. Returns how many.

        Of a visitor those that were asked for without a customer, of a session those without either: others are theirs.
        """
        ...

    def prune(self, before: int) -> int:
        """Forget decisions made before a moment, and contacts that no longer count. Returns how many decisions."""
        ...

    def flush(self) -> None:
        """Everything written is on disk (fsync) when this returns."""
        ...

    def close(self) -> None:
        """Let go of files. Idempotent."""
        ...
