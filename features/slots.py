"""What the state of a customer or a product holds: a declared list of slots.

A slot says which events move it and how. `features.fold` turns a declaration into cells and operations. Every slot here
commutes: whatever order the same events come in, it reads the same. To add a feature, add a line to `CUSTOMER` or
`PRODUCT`; the fingerprint changes with it, and ``segue rebuild`` folds the log anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Literal

from features.events import Kind

#: Raise it whenever `features.fold` computes something else from the same declaration.
VERSION = 1

#: What moves a slot: kinds of the contract, or names of custom events.
On = Kind | str | tuple[Kind | str, ...]

#: What an event adds: its quantity, or quantity × price as paid; None: one.
Value = Literal["quantity", "amount"] | None

#: Channels that the default declarations tell apart.
CHANNELS = ("email", "sms", "whatsapp", "web_push", "app_push", "on_site", "ads")

#: The custom event of a message that was reported as unwanted.
COMPLAINT = "complained"

#: What people do of their own accord.
ACTIVITY = (
    Kind.PAGE,
    Kind.SEARCH,
    Kind.CLICK,
    Kind.VIEW,
    Kind.VIDEO_VIEW,
    Kind.WISHLIST,
    Kind.CART,
    Kind.REMOVE_FROM_CART,
    Kind.PURCHASE,
)


def days(number: float) -> timedelta:
    """A half-life."""
    return timedelta(days=number)


@dataclass(frozen=True)
class Slot:
    """One line of a declaration. ``channel``: only events of that channel."""

    name: str
    on: On
    channel: str | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the numbers that are read from it."""
        return (self.name,)

    @property
    def events(self) -> tuple[Kind | str, ...]:
        """``on`` as a tuple."""
        return self.on if isinstance(self.on, tuple) else (self.on,)


@dataclass(frozen=True)
class Decayed(Slot):
    """Exponentially decayed sum: x(t) = Σ v_i · 2^(−(t − t_i) / half_life).

    Unit: that of ``value``. ``less`` is a kind of event that counts negative, at its own time. A refund says by itself
    what it takes back: one piece if it gives no quantity, an amount of 0 if it gives no price.
    """

    half_life: timedelta = timedelta(days=30)
    value: Value = None
    less: Kind | None = None


@dataclass(frozen=True)
class Count(Slot):
    """Plain sum over all time; otherwise as `Decayed`."""

    value: Value = None
    less: Kind | None = None


@dataclass(frozen=True)
class Since(Slot):
    """Days since the last event; NaN before the first."""


@dataclass(frozen=True)
class First(Slot):
    """Days since the first event; NaN before it."""


@dataclass(frozen=True)
class LastPrice(Slot):
    """Unit price of the last event that says one, the highest of them if they are of one moment; NaN before it."""


@dataclass(frozen=True)
class Occasions(Slot):
    """The ``newest`` distinct moments of an event: the lines of one order, which have one time, are one occasion.

    Reads three numbers: NAME, how many (at most ``newest``); NAME_mean_gap, (last − first) / (n − 1) of these, in days;
    NAME_last_gap, days between the last two. Gaps are NaN below two occasions.
    """

    newest: int = 32

    @property
    def features(self) -> tuple[str, ...]:
        """Number, mean gap, last gap."""
        return self.name, f"{self.name}_mean_gap", f"{self.name}_last_gap"


@dataclass(frozen=True)
class HourOfWeek(Slot):
    """Decayed counts of 168 hours of the week (UTC, from Monday 0:00), read in the person's time zone.

    The zone's offset at the moment of reading moves the cells; where it is no whole hour, a cell is shared between two
    hours. Reads six shares: NAME_night (0 to 6 o'clock), _morning (6 to 12), _afternoon (12 to 18), _evening (18 to
    24), _weekend, and _this_hour: the hour of the day at which it is read. NaN where nothing has happened, or so long
    ago that less than 1e-9 is left. `features.fold.Fold.hours` gives all 168.
    """

    half_life: timedelta = timedelta(days=90)

    @property
    def features(self) -> tuple[str, ...]:
        """Six shares."""
        return tuple(
            f"{self.name}_{part}" for part in ("night", "morning", "afternoon", "evening", "weekend", "this_hour")
        )


@dataclass(frozen=True)
class HoursOfDay(Slot):
    """Decayed counts of the 24 hours of the day (UTC), read in the person's time zone.

    The zone's offset at the moment of reading moves the cells, as in `HourOfWeek`. Reads 24 counts, NAME_00 to NAME_23,
    decayed to the moment of reading; 0 where nothing has happened. Counts and not shares, so that whoever reads them
    knows how much they tell.
    """

    half_life: timedelta = timedelta(days=90)

    @property
    def features(self) -> tuple[str, ...]:
        """24 counts, from midnight."""
        return tuple(f"{self.name}_{hour:02}" for hour in range(24))


@dataclass(frozen=True)
class Newest(Slot):
    """The ``newest`` events that name a product, by (time, kind, product key), with these three.

    A product key is `features.people.digest` of the product id, so a state depends on no numbering; category and brand
    follow from joining keys with a catalogue. Reads no number: `features.fold.Fold.newest` gives the events.
    """

    newest: int = 20

    @property
    def features(self) -> tuple[str, ...]:
        """None."""
        return ()


@dataclass(frozen=True)
class Ratio:
    """One feature divided by another; NaN where the divisor is below 0.001, of which nothing can be told.

    ``part`` and ``whole`` are names of `Decayed` or `Count` slots further up; nothing may count negative in ``whole``.
    """

    name: str
    part: str
    whole: str

    @property
    def features(self) -> tuple[str, ...]:
        """Its name."""
        return (self.name,)


@dataclass(frozen=True)
class Declaration:
    """A list of slots.

    Raises:
        ValueError: a name stands for two things, a number is not positive, or a ratio cannot be formed.
    """

    slots: tuple[Slot | Ratio, ...]

    def __post_init__(self) -> None:
        seen: dict[str, Slot | Ratio] = {}
        for slot in self.slots:
            for name in {slot.name, *slot.features}:
                if name in seen:
                    raise ValueError(f"two slots are called {name}; give one of them another name")
            match slot:
                case Decayed(half_life=half_life) | HourOfWeek(half_life=half_life) | HoursOfDay(half_life=half_life):
                    if half_life <= timedelta(0):
                        raise ValueError(f"{slot.name}: half_life must be above 0")
                case Occasions(newest=newest) | Newest(newest=newest):
                    if newest < 2:
                        raise ValueError(f"{slot.name}: newest must be 2 or more")
                case Ratio(part=part, whole=whole):
                    below = seen.get(whole)
                    if not isinstance(below, Decayed | Count) or below.less is not None:
                        raise ValueError(f"{slot.name}: {whole} is no count that only grows, above this line")
                    if not isinstance(seen.get(part), Decayed | Count):
                        raise ValueError(f"{slot.name}: {part} is no count above this line")
            seen |= dict.fromkeys({slot.name, *slot.features}, slot)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Names of all numbers that are read, in order."""
        return tuple(name for slot in self.slots for name in slot.features)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, hexadecimal, of the declaration and of `VERSION`."""
        return hashlib.sha256(f"{VERSION} {self!r}".encode()).hexdigest()


def fading(
    name: str,
    on: On,
    *half_lives: int,
    value: Value = None,
    channel: str | None = None,
    less: Kind | None = None,
) -> tuple[Decayed, ...]:
    """A `Decayed` slot for each half-life in days: ``views_1d``, ``views_7d`` …"""
    return tuple(
        Decayed(f"{name}_{number}d", on, channel, half_life=days(number), value=value, less=less)
        for number in half_lives
    )


CUSTOMER = Declaration(
    (
        # How much of everything, lately and in the long run.
        *fading("views", Kind.VIEW, 1, 7, 30, 90, 365),
        *fading("carts", Kind.CART, 1, 7, 30, 90, 365),
        *fading("removals", Kind.REMOVE_FROM_CART, 1, 7, 30),
        *fading("purchases", Kind.PURCHASE, 1, 7, 30, 90, 365, less=Kind.REFUND),
        *fading("revenue", Kind.PURCHASE, 1, 7, 30, 90, 365, value="amount", less=Kind.REFUND),
        *fading("refunds", Kind.REFUND, 90, 365),
        *fading("searches", Kind.SEARCH, 1, 7, 30),
        *fading("pages", Kind.PAGE, 1, 7, 30),
        *fading("videos", Kind.VIDEO_VIEW, 7, 30),
        *fading("wishes", Kind.WISHLIST, 7, 30, 90),
        *fading("impressions", Kind.IMPRESSION, 1, 7, 30),
        *fading("clicks", Kind.CLICK, 1, 7, 30, 90),
        *fading("sends", Kind.SEND, 1, 7, 30, 90),
        *fading("opens", Kind.OPEN, 1, 7, 30, 90),
        *fading("unsubscribes", Kind.UNSUBSCRIBE, 30, 365),
        *fading("complaints", COMPLAINT, 365),
        Count("views_ever", Kind.VIEW),
        Count("purchases_ever", Kind.PURCHASE, less=Kind.REFUND),
        Count("revenue_ever", Kind.PURCHASE, value="amount", less=Kind.REFUND),
        # Channel by channel. An open by a machine is the custom event machine_open and counts nowhere.
        *(slot for channel in CHANNELS for slot in fading(f"{channel}_sends", Kind.SEND, 30, channel=channel)),
        *(slot for channel in CHANNELS for slot in fading(f"{channel}_opens", Kind.OPEN, 30, channel=channel)),
        *(slot for channel in CHANNELS for slot in fading(f"{channel}_clicks", Kind.CLICK, 30, channel=channel)),
        *(Since(f"since_{channel}_send", Kind.SEND, channel) for channel in CHANNELS),
        *(Since(f"since_{channel}_answer", (Kind.OPEN, Kind.CLICK), channel) for channel in CHANNELS),
        # When.
        First("known_for", ACTIVITY),
        Since("since_activity", ACTIVITY),
        Since("since_view", Kind.VIEW),
        Since("since_cart", Kind.CART),
        Since("since_search", Kind.SEARCH),
        Since("since_video", Kind.VIDEO_VIEW),
        First("since_first_purchase", Kind.PURCHASE),
        Since("since_purchase", Kind.PURCHASE),
        Since("since_refund", Kind.REFUND),
        Since("since_delivery", Kind.DELIVER),
        Since("since_click", Kind.CLICK),
        Since("since_send", Kind.SEND),
        Since("since_open", Kind.OPEN),
        Since("since_signup_started", Kind.SIGNUP_STARTED),
        Since("since_signup", Kind.SIGNUP),
        Since("since_subscribe", Kind.SUBSCRIBE),
        Since("since_unsubscribe", Kind.UNSUBSCRIBE),
        Since("since_complaint", COMPLAINT),
        Since("since_app_install", Kind.APP_INSTALL),
        Occasions("orders", Kind.PURCHASE, newest=32),
        HourOfWeek("active", ACTIVITY, half_life=days(90)),
        HourOfWeek("opening", Kind.OPEN, half_life=days(90)),
        HoursOfDay("active_hours", ACTIVITY, half_life=days(90)),
        HoursOfDay("attended_hours", (Kind.OPEN, Kind.CLICK), half_life=days(90)),
        # How.
        LastPrice("last_price", Kind.PURCHASE),
        Ratio("purchases_per_view", "purchases_90d", "views_90d"),
        Ratio("opens_per_send", "opens_90d", "sends_90d"),
        # What.
        Newest("viewed", Kind.VIEW, newest=20),
        Newest("carted", Kind.CART, newest=10),
        Newest("removed", Kind.REMOVE_FROM_CART, newest=10),
        Newest("bought", Kind.PURCHASE, newest=50),
    )
)

PRODUCT = Declaration(
    (
        *fading("impressions", Kind.IMPRESSION, 1, 7, 30),
        *fading("clicks", Kind.CLICK, 1, 7, 30),
        *fading("views", Kind.VIEW, 1, 7, 30, 90),
        *fading("carts", Kind.CART, 1, 7, 30, 90),
        *fading("wishes", Kind.WISHLIST, 7, 30),
        *fading("removals", Kind.REMOVE_FROM_CART, 7, 30),
        *fading("purchases", Kind.PURCHASE, 1, 7, 30, 90, 365, less=Kind.REFUND),
        *fading("units", Kind.PURCHASE, 30, 365, value="quantity", less=Kind.REFUND),
        *fading("revenue", Kind.PURCHASE, 1, 7, 30, 90, 365, value="amount", less=Kind.REFUND),
        *fading("refunds", Kind.REFUND, 30, 365),
        Count("purchases_ever", Kind.PURCHASE, less=Kind.REFUND),
        First("known_for", ACTIVITY),
        Since("since_view", Kind.VIEW),
        Since("since_purchase", Kind.PURCHASE),
        LastPrice("last_price", Kind.PURCHASE),
        Ratio("purchases_per_view", "purchases_30d", "views_30d"),
        Ratio("carts_per_view", "carts_30d", "views_30d"),
        Ratio("clicks_per_impression", "clicks_7d", "impressions_7d"),
    )
)
