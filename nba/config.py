"""The configuration of decisions: actions, channels, and how often people may be contacted.

A shop edits one TOML file, which is laid over ``defaults.toml``; docs/actions.md goes through it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator, model_validator

from features.config import Config, fault, laid_over
from features.filters import FilterError, evaluate
from nba.arms import HOLD, OFFER, Arms, label, split_label
from nba.columns import AttributeKind
from nba.known import SEGMENTS, STAGE, possible
from nba.learning import LearningConfig
from nba.segments import SegmentsConfig
from nba.stages import StagesConfig

#: From this hour of the customer's own day, to before that one; the same twice: never.
QuietHours = tuple[Annotated[int, Field(ge=0, le=23)], Annotated[int, Field(ge=0, le=24)]]

Expression = str
"""A boolean expression of docs/filters.md over what is known of a customer (`nba.known`)."""


class PolicyConfig(Config):
    """How one of several possible actions is chosen."""

    exploration: float = Field(0.04, ge=0, lt=1)
    """Share of decisions that are drawn evenly from all that is possible, hold included, to learn from."""
    holdout: float = Field(0.03, ge=0, lt=1)
    """Share of customers who are never contacted, always the same ones: what all contacts together are worth."""
    window_hours: int = Field(24, ge=1)
    """Within a window of this length a customer who is asked about again gets the same draw."""
    horizon_hours: int = Field(72, ge=0, le=336)
    """Contacts are planned this far ahead where a request does not say."""
    salt: str = "segue"
    """Draws are hashes of it: another salt makes another holdout and other draws."""
    coupons: int | None = Field(None, ge=0)
    """A customer is given at most this many coupons in ``coupon_days``; absent: any number."""
    coupon_days: float = Field(90, gt=0)
    """Days that ``coupons`` counts in."""


class CapsConfig(Config):
    """How many contacts a customer may have."""

    per_day: int | None = Field(None, ge=0)
    """In any 24 hours; absent: any number."""
    per_week: int | None = Field(None, ge=0)
    """In any 7 × 24 hours; absent: any number."""


class ContactConfig(CapsConfig):
    """What holds for all channels together."""

    quiet_hours: QuietHours = (0, 0)
    """No contact from the first to before the second hour of the customer's own day. ``[0, 0]``: no quiet hours."""


class ChannelConfig(CapsConfig):
    """A way to reach people."""

    cost: float = Field(0.0, ge=0)
    """Of one contact."""
    quiet_hours: QuietHours | None = None
    """Instead of those of ``contact``. ``[0, 0]``: none."""
    requires: Expression | None = None
    """Only customers of whom this holds. ``context_page is not null``: only while a page asks."""
    consent: bool = True
    """People must have agreed to it, and be reachable on it. A banner on the page that they look at needs neither."""
    immediate: bool = False
    """A contact happens now, on the page that asks, or not at all; it has no time of sending."""
    counts: bool = True
    """Its contacts count towards the caps of ``contact``, and are kept to them."""


class OfferConfig(Config):
    """One step of an offer that can go less or more deep."""

    name: str = Field(min_length=1)
    """As it stands in answers and logs."""
    discount: float = Field(0.0, ge=0, lt=1)
    """Share of the order that is given."""
    cost: float = Field(0.0, ge=0)
    """Of giving it, such as shipping."""
    coupon: bool | None = None
    """It counts as a coupon; absent: if it has a discount."""


class WindowConfig(Config):
    """When an action makes sense: a while after something happened, or before something is expected."""

    since: str | None = None
    """The moment lies as many days back as this column says."""
    until: str | None = None
    """The moment lies as many days ahead as this column says."""
    from_hours: float | None = None
    """Not earlier than this many hours after the moment; negative: before it."""
    to_hours: float | None = None
    """Not later than this many hours after the moment; negative: before it."""

    @model_validator(mode="after")
    def _one_moment(self) -> WindowConfig:
        if (self.since is None) == (self.until is None):
            raise ValueError("name one of since (days back) and until (days ahead)")
        if self.from_hours is not None and self.to_hours is not None and self.from_hours > self.to_hours:
            raise ValueError("from_hours lies after to_hours")
        return self


class ActionConfig(Config):
    """What a message is about."""

    eligible: Expression | None = None
    """For whom; absent: for everybody."""
    channels: tuple[str, ...] = ()
    """On which channels; empty: the channel is part of the action."""
    value: float = 0.0
    """Margin that an attended contact is thought to add, before there are data to say better."""
    cost: float = Field(0.0, ge=0)
    """Of one contact, beside that of the channel and of the offer."""
    cooldown_hours: float = Field(0.0, ge=0)
    """Hours between two contacts of this action, whatever the channel and the offer."""
    window: WindowConfig | None = None
    """When."""
    fades_hours: float | None = Field(None, gt=0)
    """What it adds halves in this many hours, from the first moment its window allows; absent: it keeps."""
    on_page: bool = False
    """Only now, on the page that asks."""
    escalate: tuple[str, ...] = ()
    """Channels in order: the first that reaches the customer, and each next one only if the one before was ignored."""
    escalate_hours: float = Field(24.0, ge=0)
    """So long a contact is given before the next channel is tried."""
    offers: tuple[OfferConfig, ...] = ()
    """Variants, from the least to the deepest. Each is a choice of its own, in logs and models ``ACTION:OFFER``."""
    offers_deepen: bool = True
    """A deeper offer moves people at least as much as a lesser one. False: the offers are variants without order."""
    coupon: bool = False
    """The action counts as a coupon though it has no offers."""
    placement: str | None = None
    """The list of products that fills the message."""
    count: int = Field(4, ge=1)
    """How many products."""
    anchors: Literal["none", "cart", "last_order", "last_viewed"] = "none"
    """What the products should go with."""

    @model_validator(mode="after")
    def _steps_exist(self) -> ActionConfig:
        for channel in self.escalate:
            if channel not in self.channels:
                raise ValueError(f"escalate names {channel!r}, which is not among the channels")
        if self.escalate and (self.window is None or self.window.since is None):
            raise ValueError("escalate needs window.since: what happened, and is to be followed up")
        names = [offer.name for offer in self.offers]
        if len(set(names)) < len(names) or len(set(self.channels)) < len(self.channels):
            raise ValueError("a channel or an offer is named twice")
        return self

    @property
    def are_coupons(self) -> list[bool]:
        """Whether each of `labels` counts as a coupon."""
        return [
            self.coupon or (offer.discount > 0 if offer.coupon is None else offer.coupon) for offer in self.offers
        ] or [self.coupon]

    def labels(self, name: str) -> list[str]:
        """Labels of the action, one an offer."""
        return [label(name, offer.name) for offer in self.offers] or [name]


class BudgetConfig(Config):
    """What all contacts of some kind may cost together, or how many there may be."""

    amount: float = Field(ge=0)
    """At most."""
    per: Literal["day", "week", "run"] = "day"
    """For how long: a UTC day, a week from Monday, or one batch of decisions."""
    over: Literal["cost", "contacts"] = "cost"
    """What is summed up: what contacts cost, or their number."""
    channels: tuple[str, ...] = ()
    """Of these channels; empty: all."""
    actions: tuple[str, ...] = ()
    """Of these actions; empty: all."""
    exploration_share: float = Field(0.05, ge=0, le=1)
    """Share that is kept for decisions that are drawn to learn from."""


class JourneyConfig(Config):
    """Some of the actions, under a name that requests can give."""

    actions: tuple[str, ...]
    """Actions."""


class NbaConfig(Config):
    """Everything that decisions depend on, beside the model."""

    policy: PolicyConfig = PolicyConfig()
    """How to choose."""
    contact: ContactConfig = ContactConfig()
    """Caps and quiet hours over all channels."""
    channels: dict[str, ChannelConfig] = Field(default_factory=dict)
    """Channels by name."""
    actions: dict[str, ActionConfig]
    """Actions by name."""
    attributes: dict[str, AttributeKind] = Field(default_factory=dict)
    """What expressions may name beside the state: columns of customers, and what requests say (``context_NAME``)."""
    stages: StagesConfig = StagesConfig()
    """Where in their life with the shop customers are."""
    segments: SegmentsConfig = SegmentsConfig()
    """What they do."""
    budgets: dict[str, BudgetConfig] = Field(default_factory=dict)
    """Budgets by name."""
    journeys: dict[str, JourneyConfig] = Field(default_factory=dict)
    """Journeys by name."""
    learning: LearningConfig = LearningConfig()
    """How the model is learned."""

    @field_validator("actions")
    @classmethod
    def _names_are_plain(cls, actions: dict[str, ActionConfig]) -> dict[str, ActionConfig]:
        for name in actions:
            if name == HOLD or not name or OFFER in name or "@" in name:
                raise ValueError(f"no action can be called {name!r}: hold, ':' and '@' have a meaning of their own")
        return actions

    @model_validator(mode="after")
    def _names_exist(self) -> NbaConfig:
        for name, action in self.actions.items():
            _known(action.channels, self.channels, f"actions.{name}.channels")
        for name, budget in self.budgets.items():
            _known(budget.channels, self.channels, f"budgets.{name}.channels")
            _known(budget.actions, self.actions, f"budgets.{name}.actions")
        for name, journey in self.journeys.items():
            _known(journey.actions, self.actions, f"journeys.{name}.actions")
        return self

    @model_validator(mode="after")
    def _expressions_hold(self) -> NbaConfig:
        known = possible(self.attributes)
        self.stages.check({name: column for name, column in known.items() if name not in (STAGE, SEGMENTS)})
        self.segments.check({name: column for name, column in known.items() if name != SEGMENTS})
        asked = [(f"actions.{name}.eligible", action.eligible) for name, action in self.actions.items()]
        asked += [(f"channels.{name}.requires", channel.requires) for name, channel in self.channels.items()]
        for name, action in self.actions.items():
            if action.window is not None:
                column = action.window.since or action.window.until
                asked.append((f"actions.{name}.window", f'"{column}" > 0'))
        for field, expression in asked:
            try:
                if expression is not None:
                    evaluate(expression, known, 0, category_column=None)
            except FilterError as error:
                raise ValueError(f"{field}: {error.message}") from None
        return self

    @cached_property
    def menus(self) -> dict[Any, Any]:
        """Where `nba.menu` keeps what it derives from this configuration."""
        return {}

    @property
    def arms(self) -> Arms:
        """Everything there is to choose from: hold, and each action and offer on each of its channels."""
        return Arms.of(
            (text, channel)
            for name, action in self.actions.items()
            for text in action.labels(name)
            for channel in action.channels or (None,)
        )

    def contact_costs(self, arms: Arms) -> NDArray[np.float64]:
        """What a contact costs, float64[A]: its channel, action and offer; 0 for hold and for what is not configured.

        Discounts are not in it: what they cost depends on the order.
        """
        cost = np.zeros(len(arms))
        for arm, (text, channel) in enumerate(map(arms.pair, range(len(arms)))):
            name, offer = split_label(text)
            action = self.actions.get(name)
            if action is not None:
                cost[arm] += action.cost + sum(one.cost for one in action.offers if one.name == offer)
            if channel in self.channels:
                cost[arm] += self.channels[channel].cost
        return cost

    @staticmethod
    def default(changes: Mapping[str, Any] | None = None) -> NbaConfig:
        """The defaults, with ``changes`` (nested tables, as in a TOML file) laid over them; tables are merged.

        Raises:
            ConfigError: naming the first field at fault.
        """
        text = resources.files("nba").joinpath("defaults.toml").read_text(encoding="utf-8")
        return NbaConfig.of(laid_over(tomllib.loads(text), changes or {}))

    @staticmethod
    def of(tables: Mapping[str, Any]) -> NbaConfig:
        """From nested tables that hold everything, as ``model_dump`` writes them.

        Raises:
            ConfigError: naming the first field at fault.
        """
        try:
            return NbaConfig.model_validate(tables)
        except ValidationError as error:
            raise fault(error) from None

    @staticmethod
    def of_log(arms: Arms, changes: Mapping[str, Any] | None = None) -> NbaConfig:
        """The actions, offers and channels of a log, open to everybody: no caps, cooldowns, quiet hours, nor a price of
        attention.

        Args:
            arms: what was chosen from.
            changes: laid over that, as in `default`.

        Raises:
            ConfigError: ``changes`` are at fault.
        """
        actions: dict[str, dict[str, Any]] = {}
        for text, channel in map(arms.pair, range(1, len(arms))):
            name, offer = split_label(text)
            action = actions.setdefault(name, {"channels": [], "offers": [], "offers_deepen": False})
            if channel is not None and channel not in action["channels"]:
                action["channels"].append(channel)
            if offer is not None and {"name": offer} not in action["offers"]:
                action["offers"].append({"name": offer})
        base = {
            "actions": actions,
            "channels": {channel: {} for channel in arms.channels},
            "learning": {"attention": False},
        }
        return NbaConfig.of(laid_over(base, changes or {}))


def _known(names: tuple[str, ...], there: Mapping[str, object], field: str) -> None:
    for name in names:
        if name not in there:
            raise ValueError(f"{field} names {name!r}; there are: {', '.join(sorted(there)) or 'none'}")
