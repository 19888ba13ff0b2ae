"""What an event is: the names of the contract and the log as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from features.vocabulary import Vocabulary

MICROSECOND = 1
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NEVER = np.iinfo(np.int64).max  # a time that does not come


class Kind(IntEnum):
    """Event names of the dataset contract; any other name is CUSTOM.

    The order breaks ties in time: at one timestamp a view comes before a cart before a purchase.
    """

    CUSTOM = 0
    IMPRESSION = 1
    PAGE = 2
    SEARCH = 3
    CLICK = 4
    VIEW = 5
    VIDEO_VIEW = 6
    WISHLIST = 7
    CART = 8
    REMOVE_FROM_CART = 9
    PURCHASE = 10
    REFUND = 11
    IDENTIFY = 12
    SIGNUP_STARTED = 13
    SIGNUP = 14
    SUBSCRIBE = 15
    UNSUBSCRIBE = 16
    APP_INSTALL = 17
    DELIVER = 18
    SEND = 19
    OPEN = 20


#: What tells of a taste for a product. The others (impressions, refunds, sends …) do not.
INTEREST = (Kind.CLICK, Kind.VIEW, Kind.VIDEO_VIEW, Kind.WISHLIST, Kind.CART, Kind.PURCHASE)


#: What does not say that somebody took up what a decision offered, though it names that decision.
NO_ANSWER = (Kind.IMPRESSION, Kind.SEND, Kind.OPEN)


@dataclass(frozen=True)
class EventLog:
    """The events of a shop as parallel arrays of length n, in canonical order.

    Canonical order is (time, person, kind, product, order, …): it depends on what the rows say, never on the order they
    came in. A person is the customer, else the visitor, else the session, else the order an event names.

    Attributes:
        people: ids of persons; ``anonymous`` marks those that are not customers.
        products: ids of every product of the catalogue or of an event.
        time: int64, microseconds since 1970 UTC: when it happened.
        known: int64, microseconds: when the shop learned of it; never before ``time``.
        kind: int8, a `Kind`.
        person: int32, code in ``people``.
        product: int32, code in ``products``, -1 where the event has none.
        order: int32, number of the order of a purchase or refund, else -1. Orders are numbered by (first time, person).
        session: int32, number of the session: by session_id, else cut at gaps of 30 minutes.
        quantity: float32.
        price: float64, unit price as paid, NaN if unknown.
        reversed_at: int64, microseconds: when a refund of this purchase line became known, `NEVER` if none.
    """

    people: Vocabulary
    anonymous: NDArray[np.bool_]
    products: Vocabulary
    time: NDArray[np.int64]
    known: NDArray[np.int64]
    kind: NDArray[np.int8]
    person: NDArray[np.int32]
    product: NDArray[np.int32]
    order: NDArray[np.int32]
    session: NDArray[np.int32]
    quantity: NDArray[np.float32]
    price: NDArray[np.float64]
    reversed_at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> EventLog:
        """The log of some rows (a mask, or ascending row numbers); vocabularies stay as they are."""
        shared = ("people", "anonymous", "products")
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in shared})

    def known_before(self, at: int) -> EventLog:
        """What the shop knew just before ``at`` (µs): events known by then, less purchases refunded by then."""
        return self.take((self.known < at) & (self.time < at) & (self.reversed_at >= at))

    def of_kind(self, *kinds: Kind) -> NDArray[np.bool_]:
        """Mask, bool[n]: events of these kinds that name a product."""
        return np.isin(self.kind, np.array(kinds, dtype=np.int8)) & (self.product >= 0)

    def targets(self) -> NDArray[np.bool_]:
        """Mask, bool[n] of the target events: purchases of a product where there are any, else views."""
        purchases = self.of_kind(Kind.PURCHASE)
        return purchases if purchases.any() else self.of_kind(Kind.VIEW)
