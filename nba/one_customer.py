"""Customers of a live shop as crowds: from the log of events, and from what was decided for them before."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.contract import EVENT_NAMES
from features.events import DAY
from features.people import digest, identity_digest
from features.slots import ACTIVITY
from features.states import States
from features.store.base import LATEST, Contact, Event, EventStore, Json, Person, Purchase
from features.store.traits import traits_of
from nba.arms import label
from nba.columns import AttributeKind
from nba.crowd import Contacts, Crowd, Floats
from nba.scores import ScoreModels
from nba.tastes import NEWEST, Bought
from nba.traits import trait_columns

#: Contacts older than this are forgotten: no cap and no cooldown reaches further back.
REMEMBERED = 400 * DAY

#: What an imported message brought, where no event of the visit itself names it.
VISIT = "visit"


@dataclass(frozen=True)
class Who:
    """Whom a question is about: a customer, or a visitor."""

    customer_id: str | None = None
    anonymous_id: str | None = None

    @property
    def name(self) -> str:
        """The best name there is."""
        return self.customer_id or self.anonymous_id or ""


@dataclass(frozen=True)
class Sent:
    """A message that went out. answered: it was clicked, or brought the customer to the shop."""

    time: int
    channel: str | None
    decision_id: str | None
    action: str | None
    answered: bool


@dataclass(frozen=True)
class Seen:
    """What the log says of one person.

    Attributes:
        who: as asked.
        at: the moment, microseconds UTC.
        past: it lies behind, and only what was known then counts.
        seq: the log was read up to here.
        person: whose events.
        digests: of their identities, as `features.store.base.Reservation` has them.
        traits: what was told of them.
        state: float64[F].
        sent: what went out to them.
        bought: what they bought; None where nobody asks.
    """

    who: Who
    at: int
    past: bool
    seq: int
    person: Person
    digests: tuple[int, ...]
    traits: Json
    state: Floats
    sent: tuple[Sent, ...]
    bought: tuple[Purchase, ...] | None = None


class Customers:
    """Looks people up. Holds no state of its own.

    Args:
        events: the live log.
        states: folds them.
    """

    def __init__(self, events: EventStore, states: States) -> None:
        self._events = events
        self._states = states
        self.names = states.customers.names

    def look(self, who: Who, at: int, *, past: bool, upto: int, tastes: bool = False) -> Seen:
        """One person as known at a moment, from the log up to a sequence number.

        Args:
            who: the customer, else the visitor.
            at: the moment.
            past: only what was known before ``at`` counts; otherwise all that the log says.
            upto: sequence number.
            tastes: look what they bought, too.
        """
        events = self._events
        person = events.person(customer_id=who.customer_id, anonymous_id=who.anonymous_id, upto=upto)
        before = at if past else LATEST
        state = self._states.person_state(person, before, upto=upto)
        traits = self._traits(person, before)
        zone = traits.get("timezone")
        moment = at if past or state.newest <= at else int(state.newest)
        read = self._states.customers.read(state, moment, zone if isinstance(zone, str) else None)
        return Seen(
            who=who,
            at=at,
            past=past,
            seq=upto,
            person=person,
            digests=digests_of(person),
            traits=traits,
            state=np.fromiter(read.values(), dtype=np.float64, count=len(read)),
            sent=sent_to(events.messages_of(person, since=at - REMEMBERED, upto=upto, known_before=before)),
            bought=tuple(events.bought(person, upto=upto, known_before=before, newest=NEWEST)) if tastes else None,
        )

    def _traits(self, person: Person, before: int) -> Json:
        if before == LATEST:
            return self._events.traits(person)
        told = (event for _, event in self._events.events_of(person))
        return traits_of(event for event in told if max(event.time, event.known) < before)


def digests_of(person: Person) -> tuple[int, ...]:
    """The identities of a person, the one they are known by first."""
    visitors = [identity_digest("visitor", name) for name in person.anonymous_ids]
    return tuple(
        visitors if person.customer_id is None else [identity_digest("customer", person.customer_id), *visitors]
    )


def sent_to(messages: Sequence[tuple[int, Event]]) -> tuple[Sent, ...]:
    """The messages among `EventStore.messages_of`, by time."""
    answered = {event.decision_id for _, event in messages if _is_answer(event)}
    found = [
        Sent(
            event.time,
            event.channel,
            event.decision_id,
            _action(event.more or {}),
            event.decision_id is not None and event.decision_id in answered,
        )
        for _, event in messages
        if event.event == "send"
    ]
    return tuple(sorted(found, key=lambda sent: sent.time))


def _is_answer(event: Event) -> bool:
    return event.event == VISIT or EVENT_NAMES.get(event.event) in ACTIVITY


def _action(more: Json) -> str | None:
    """The label that a send event gives its action, if it does."""
    action, offer = more.get("action"), more.get("offer")
    if not isinstance(action, str):
        return None
    return label(action, offer) if isinstance(offer, str) else action


def crowd_of(
    seen: Sequence[Seen],
    contacts: Sequence[Sequence[Sent]],
    names: tuple[str, ...],
    channels: Sequence[str],
    attributes: Mapping[str, AttributeKind],
    scores: ScoreModels | None,
    only: Container[str] | None = None,
) -> Crowd:
    """n people as a crowd.

    Args:
        seen: what the log says of each.
        contacts: of each, sent or reserved, with their actions where they are known.
        names: of state features.
        channels: to be told of.
        attributes: declared ones, with what they hold; others are taken for what they are.
        scores: models of scores, or None.
        only: names of the scores that are wanted; None: all.
    """
    crowd = Crowd(
        ids=[one.who.name if one.person.customer_id is None else one.person.customer_id for one in seen],
        at=np.array([one.at for one in seen], dtype=np.int64),
        names=names,
        state=np.stack([one.state for one in seen]),
        attributes=trait_columns([one.traits for one in seen], attributes),
        zones=[_zone(one.traits) for one in seen],
        channels=tuple(channels),
        consented=_allowed([one.traits for one in seen], "consents", channels),
        reachable=_allowed([one.traits for one in seen], "reachable", channels),
        contacts=_contacts(contacts),
    )
    if scores is None:
        return crowd
    bought = _bought([one.bought for one in seen])
    return replace(crowd, attributes={**crowd.attributes, **scores.score(crowd, bought, only=only)})


def _bought(lines: Sequence[tuple[Purchase, ...] | None]) -> Bought | None:
    """Purchase lines of everybody; None if of somebody nobody knows."""
    known = [mine for mine in lines if mine is not None]
    if len(known) < len(lines):
        return None
    flat = [line for mine in known for line in mine]
    return Bought(
        np.cumsum([0, *map(len, known)], dtype=np.int64),
        np.array([line.time for line in flat], dtype=np.int64),
        np.array([0 if line.product_id is None else digest(line.product_id) for line in flat], dtype=np.int64),
        np.array([np.nan if line.price is None else line.price for line in flat], dtype=np.float64),
    )


def reserved(contact: Contact) -> Sent:
    """A contact that is still to be sent, as one that was: for caps they are the same."""
    return Sent(contact.send_at, contact.channel, None, contact.action, answered=False)


def _zone(traits: Json) -> str | None:
    zone = traits.get("timezone")
    return zone if isinstance(zone, str) else None


def _allowed(traits: Sequence[Json], name: str, channels: Sequence[str]) -> NDArray[np.bool_]:
    """bool[n, C]. Nothing told: every channel; told and null: none."""
    table = np.ones((len(traits), len(channels)), dtype=np.bool_)
    for row, told in enumerate(traits):
        if name in told:
            listed = told[name]
            table[row] = [isinstance(listed, list) and channel in listed for channel in channels]
    return table


def _contacts(contacts: Sequence[Sequence[Sent]]) -> Contacts:
    rows = [sent for mine in contacts for sent in sorted(mine, key=lambda sent: sent.time)]
    if not rows:
        return Contacts.none(len(contacts))
    actions = list(dict.fromkeys(sent.action for sent in rows if sent.action is not None))
    channels = list(dict.fromkeys(sent.channel for sent in rows if sent.channel is not None))
    action = {name: code for code, name in enumerate(actions)}
    channel = {name: code for code, name in enumerate(channels)}
    return Contacts(
        start=np.cumsum([0, *map(len, contacts)], dtype=np.int64),
        time=np.array([sent.time for sent in rows], dtype=np.int64),
        action=np.array([-1 if sent.action is None else action[sent.action] for sent in rows], dtype=np.int32),
        channel=np.array([-1 if sent.channel is None else channel[sent.channel] for sent in rows], dtype=np.int32),
        answered=np.array([sent.answered for sent in rows], dtype=np.bool_),
        actions=tuple(actions),
        channels=tuple(channels),
    )
