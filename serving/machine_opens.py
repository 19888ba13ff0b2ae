"""Opens of e-mails that no human did: mail privacy proxies and scanners fetch pictures by themselves.

They are kept apart, as custom events named `MACHINE_OPEN`, so that nothing learns from them when people read. An open
is a machine's if its provider says so, or if it comes within seconds of the delivery to the same person.
"""

from __future__ import annotations

from collections.abc import Sequence

from features.events import SECOND
from features.store.base import Event, EventStore, Json

MACHINE_OPEN = "machine_open"
DELIVERED = "email_delivered"

#: Opened sooner than a person can.
AT_ONCE = 5 * SECOND

#: Deliveries are looked for among so many events of the whole shop: enough for more than the seconds above.
_NEWEST = 100_000

#: Properties by which they are flagged: SendGrid's sg_machine_open, machine_open of Braze and Klaviyo, Mailgun's bot
#: ("apple", "gmail", "generic" or empty), AhaSend's is_bot, and other spellings.
_FLAGS = (
    "machine_open",
    "sg_machine_open",
    "is_machine_open",
    "is_machine",
    "machineOpen",
    "isMachineOpen",
    "isMachine",
    "apple_privacy_open",
    "prefetched",
    "is_prefetched",
    "bot",
    "is_bot",
)
_NO = frozenset({"", "false", "0", "no", "none", "unknown"})


def by_machine(properties: Json) -> bool:
    """Whether the provider says that a machine opened it."""
    return any(_is_set(properties[flag]) for flag in _FLAGS if flag in properties)


def _is_set(value: object) -> bool:
    return value.lower() not in _NO if isinstance(value, str) else value is True or value == 1


def told_apart(events: Sequence[Event], store: EventStore) -> list[Event]:
    """The same events, opens of e-mails that follow their delivery at once made `MACHINE_OPEN`.

    The delivery may be among the events, or in the store: there the newest one counts, asked for once a person.
    """
    if not any(_is_open(event) for event in events):
        return list(events)
    delivered: dict[str, list[int]] = {}
    for event in events:
        if event.event == DELIVERED:
            for name in _names(event):
                delivered.setdefault(name, []).append(event.time)
    first = max(0, store.watermark().seq - _NEWEST)
    newest: dict[tuple[str | None, ...], int | None] = {}
    found = []
    for event in events:
        if _is_open(event):
            who = event.customer_id, event.anonymous_id, event.session_id
            if who not in newest:
                newest[who] = _newest_delivery(event, store, first)
            here = [time for name in _names(event) for time in delivered.get(name, ())]
            if any(_at_once(event, time) for time in (*here, newest[who])):
                event = event._replace(event=MACHINE_OPEN)
        found.append(event)
    return found


def _is_open(event: Event) -> bool:
    return event.event == "open" and event.channel == "email"


def _at_once(event: Event, delivery: int | None) -> bool:
    return delivery is not None and 0 <= event.time - delivery <= AT_ONCE


def _newest_delivery(event: Event, store: EventStore, first: int) -> int | None:
    person = store.person(customer_id=event.customer_id, anonymous_id=event.anonymous_id, session_id=event.session_id)
    return store.newest_time(person, DELIVERED, first=first)


def _names(event: Event) -> list[str]:
    names = []
    if event.customer_id is not None:
        names.append("customer:" + event.customer_id)
    if event.anonymous_id is not None:
        names.append("visitor:" + event.anonymous_id)
    return names
