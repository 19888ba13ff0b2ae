"""What the simulated shop is made of: every number of its equations. They stand in ``parameters.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from importlib import resources
from typing import Any

from pydantic import Field, ValidationError

from features.config import Config, ConfigError

#: A bump of a curve over the hours of a day: (hour, width in hours, weight).
Bump = tuple[float, float, float]


class Trait(Config):
    """A hidden trait: each person is of one class of it."""

    share: dict[str, float]
    """Share of each class at equal attributes."""
    leaning: dict[str, dict[str, dict[str, float]]] = Field(default_factory=dict)
    """Attribute → value → class → what it adds to the log odds of the class."""


class ResponseClass(Config):
    """How one type of person responds to contact."""

    buy: float
    """Chance of an order in the outcome window if nothing is sent, at an average moment."""
    persuaded: float
    """Share of an action's potency that works."""
    lured: float
    """Share of an offer's lure that works."""
    annoyed: float
    """Share of an action's annoyance that works."""


class PriceClass(Config):
    """How prices move a person."""

    lured: float
    """Share of an offer's lure that works."""


class ActivityClass(Config):
    """How much a person does of their own accord."""

    sessions: float
    """Mean number of visits a round."""
    buying: float
    """Factor of the chance of an order."""
    browse: float
    """Chance to have looked at something just before a decision."""
    cart: float
    """Chance to have left a cart just before a decision."""
    signup: float
    """Chance to have left the sign-up page just before a decision."""


class RhythmClass(Config):
    """The hours a person keeps, by their own clock."""

    bumps: tuple[Bump, ...]
    """Where their activity lies."""
    floor: float
    """Weight of an even share of all hours."""
    later: float
    """Hours by which they look at their messages later than others."""


class PatienceClass(Config):
    """How contacts tire a person."""

    tires: float
    """What each contact of late takes off the log of the chance to attend the next."""


class Taste(Config):
    """What people look at."""

    own_share: float
    """Chance that a product is of the category of their taste; else it is of any, by size."""


class ChannelParameters(Config):
    """One channel."""

    cost: float
    """Of a contact."""
    hours: tuple[Bump, ...]
    """When people look at it."""
    floor: float
    """Weight of an even share of all hours."""
    own: float
    """Power of a person's own hours in it."""
    unsubscribe: float
    """Chance to unsubscribe at the first contact for long."""
    complaint: float
    """Chance to complain, likewise."""
    consent: float
    """Share of people who consent, at an average habit."""
    reachable: float
    """Share of people who can be reached."""
    unread_open: float
    """Chance that a contact which is not attended is opened."""


class ConsentParameters(Config):
    """Consent, and how it is lost."""

    odds_per_doubling: float
    """Factor of the odds to consent for each doubling of the chance to attend over the average habit's."""
    unsubscribe_per_contact: float
    """What each contact of late adds to the factor of unsubscribing and complaining."""
    annoyed_unsubscribe: float
    """Factor of unsubscribing and complaining of those whom contact annoys."""
    machine_open: dict[str, float]
    """Device → share of e-mails that a machine opens."""


class ActionParameters(Config):
    """One action."""

    channels: tuple[str, ...]
    """Where it can be sent."""
    notice: float
    """Factor of the chance to be attended."""
    potency: float
    """By which share an attended contact raises the chance of an order of somebody persuadable."""
    annoys: float
    """By which share an attended contact lowers it for a sleeping dog."""
    offers: tuple[str, ...] = ()
    """The offers it can make; none: it makes no offer."""


class OfferParameters(Config):
    """One offer."""

    lure: float
    """By which share it raises the chance of an order when attended."""
    share: float
    """Of the revenue of the order that is given away."""
    fixed: float
    """Money that is given away with the order."""


class Moment(Config):
    """Factors of the chance of an order that everybody can see."""

    nothing: float
    """Nothing happened just before the decision."""
    browse: float
    """They had looked at something."""
    cart: float
    """They had left a cart."""
    signup: float
    """They had left the sign-up page."""
    never_bought: float
    """No order ever."""
    due: float
    """The last order runs out about now."""
    lapsed: float
    """The last order is long ago."""


class Stages(Config):
    """When actions make sense. Days."""

    due_from: float
    """Since the last order: it begins to run out."""
    due_until: float
    """Since the last order: it has run out."""
    lapsed_from: float
    """Since the last order: the customer is at risk."""
    cross_sell_until: float
    """Since the delivery of the first order."""
    referral_until: float
    """Since a delivery."""
    event_every: int
    """There is an event near a time zone's people in one of so many rounds."""


class Guests(Config):
    """People without an account."""

    share: float
    """Of all, at the start."""


class CatalogueParameters(Config):
    """The products."""

    products: int
    """How many."""
    brands: int
    """How many."""
    price_median: float
    """Median of the log-normal prices."""
    price_spread: float
    """Standard deviation of the log of prices."""
    margin_low: float
    """Least share of the price that is margin."""
    margin_high: float
    """Greatest share."""
    popularity: float
    """Power of the law by which products of a category sell: weight 1 / rank^popularity."""
    views_more: float
    """A visit looks at one product and a Poisson number of more, with this mean."""
    lines: tuple[float, ...]
    """Chances that an order has one, two … lines."""


class Rules(Config):
    """How the shop decides when it does not explore: rules as marketing tools have them."""

    order: tuple[str, ...]
    """The first of these that a customer is eligible for."""
    offer: str
    """The offer it makes with an action that makes one."""
    channels: tuple[str, ...]
    """The first of these, unless the customer's own history says better."""
    least_messages: int
    """Messages on each of two channels from which the better click rate decides."""
    hour: int
    """Hour of the customer's day to send at, unless their clicks say better."""
    least_clicks: int
    """Clicks from which the hour of most of them decides."""


class ShopParameters(Config):
    """Every number of the simulated shop."""

    start: date
    """First day, 0:00 UTC."""
    period_days: int
    """From one decision on a customer to the next, give or take half a day; 10 or more, so no two windows meet."""
    warm_up_rounds: int
    """Rounds before the log begins, in which nobody is contacted."""
    quiet_from: int
    """Hour of the customer's day from which nothing is sent."""
    quiet_until: int
    """Hour of the customer's day until which nothing is sent."""
    half_life_days: float
    """In which a contact is half forgotten."""
    unattended_share: float
    """Share of the effect on the chance of an order that a contact has which is not attended."""
    zones: dict[str, float]
    """Time zone → share of people."""
    attributes: dict[str, dict[str, float]]
    """Attribute → value → share of people."""
    traits: dict[str, Trait]
    """The hidden traits: response, price, activity, habit, rhythm, patience, taste."""
    response: dict[str, ResponseClass]
    """Classes of the trait response."""
    price: dict[str, PriceClass]
    """Classes of the trait price."""
    activity: dict[str, ActivityClass]
    """Classes of the trait activity."""
    habit: dict[str, dict[str, float]]
    """Classes of the trait habit: channel → chance to attend."""
    rhythm: dict[str, RhythmClass]
    """Classes of the trait rhythm."""
    patience: dict[str, PatienceClass]
    """Classes of the trait patience."""
    taste: Taste
    """What taste does; its classes are the categories of the catalogue."""
    channels: dict[str, ChannelParameters]
    """The channels."""
    consents: ConsentParameters
    """Consent, and how it is lost."""
    actions: dict[str, ActionParameters]
    """The actions; hold is always there."""
    appeal: dict[str, dict[str, dict[str, float]]]
    """Action → attribute → value → factor of its potency."""
    offers: dict[str, OfferParameters]
    """The offers, the least deep first."""
    moment: Moment
    """What everybody can see of the chance of an order."""
    stages: Stages
    """When actions make sense."""
    signups: dict[str, float]
    """Action → chance that an attended contact makes them sign up, subscribe or install."""
    guests: Guests
    """People without an account."""
    catalogue: CatalogueParameters
    """The products."""
    rules: Rules
    """How the shop decides when it does not explore."""

    @staticmethod
    def default(changes: Mapping[str, Any] | None = None) -> ShopParameters:
        """The shop as it ships, with ``changes`` laid over it: whole top-level fields, as in the TOML file.

        Raises:
            ConfigError: naming the first field at fault.
        """
        text = resources.files("nba.simulation").joinpath("parameters.toml").read_text(encoding="utf-8")
        try:
            return ShopParameters.model_validate({**tomllib.loads(text), **(changes or {})})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "parameters"
            raise ConfigError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
