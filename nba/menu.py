"""What a model can choose from, joined with what the configuration says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nba.arms import Arms, split_label
from nba.codes import Code
from nba.config import ActionConfig, ChannelConfig, NbaConfig
from nba.slots import quiet_cells

Codes = NDArray[np.int32]


@dataclass(frozen=True)
class ListedAction:
    """One action with its arms.

    Attributes:
        name: of the action, without offers.
        config: what is said of it.
        arms: int64[a], its arms, all offers and channels.
        channels: int64[c], places of its channels in `Menu.channels`, ascending.
    """

    name: str
    config: ActionConfig
    arms: NDArray[np.int64]
    channels: NDArray[np.int64]


@dataclass(frozen=True)
class Menu:
    """A arms and what is said of them. Arms without a channel have the place C in everything that is by channel.

    Attributes:
        arms: of the model.
        actions: those of the configuration that the model has an arm of.
        channels: C configurations, in the order of ``arms.channels``.
        action: int64[A], place in ``actions``; -1 for hold, and for arms that the configuration does not have.
        channel: int64[A], place of the channel, C for hold and where there is none.
        coupon: bool[A], counts as a coupon.
        coupons: labels of actions that count as coupons.
        quiet: quiet hours (bool[HOUR_CELLS]) and the channels that have them (bool[C + 1]), where there are any.
        families: places in ``arms.actions`` of offers of one action, from the least to the deepest.
    """

    arms: Arms
    actions: tuple[ListedAction, ...]
    channels: tuple[ChannelConfig, ...]
    action: NDArray[np.int64]
    channel: NDArray[np.int64]
    coupon: NDArray[np.bool_]
    coupons: frozenset[str]
    quiet: tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], ...]
    families: tuple[NDArray[np.int64], ...]

    @cached_property
    def on_page(self) -> NDArray[np.bool_]:
        """bool[A], arms that happen now, on the page that asks."""
        actions = np.array([*(action.config.on_page for action in self.actions), False])
        return np.asarray(self.immediate[self.channel] | actions[self.action])

    @cached_property
    def immediate(self) -> NDArray[np.bool_]:
        """bool[C + 1], channels that know only now."""
        return np.array([*(channel.immediate for channel in self.channels), False])

    @cached_property
    def counts(self) -> NDArray[np.bool_]:
        """bool[C + 1], channels whose contacts count towards the caps over all."""
        return np.array([*(channel.counts for channel in self.channels), True])

    @cached_property
    def consent(self) -> NDArray[np.bool_]:
        """bool[C + 1], channels that people must have agreed to."""
        return np.array([*(channel.consent for channel in self.channels), False])

    @cached_property
    def unlisted(self) -> NDArray[np.int8]:
        """int8[A] of `nba.codes.Code`, arms that the configuration does not have."""
        return np.where(self.action < 0, np.int8(Code.NOT_IN_CATALOGUE), np.int8(Code.OPEN))

    @cached_property
    def names(self) -> tuple[dict[str, str | None], ...]:
        """What each arm is called in answers: action, offer where there is one, channel (none for hold)."""
        return tuple(_named(*self.arms.pair(arm)) for arm in range(len(self.arms)))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What each arm is called by the dataset contract: ``label@channel``."""
        pairs = (self.arms.pair(arm) for arm in range(len(self.arms)))
        return tuple(f"{label}@{channel or ''}" for label, channel in pairs)

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each action stands."""
        return {action.name: place for place, action in enumerate(self.actions)}

    def channel_places(self, names: Sequence[str]) -> Codes:
        """Place of each channel name, int32, -1 where the model has none of that name; one place more for code -1."""
        places = {name: place for place, name in enumerate(self.arms.channels)}
        return np.array([*(places.get(name, -1) for name in names), -1], dtype=np.int32)

    def action_places(self, labels: Sequence[str]) -> Codes:
        """Place of the action of each label, int32, -1 where there is none; one place more for code -1."""
        return np.array([*(self.places.get(split_label(text)[0], -1) for text in labels), -1], dtype=np.int32)


def _named(label: str, channel: str | None) -> dict[str, str | None]:
    action, offer = split_label(label)
    return {"action": action, **({} if offer is None else {"offer": offer}), "channel": channel}


def menu_of(config: NbaConfig, arms: Arms) -> Menu:
    """The arms of a model and what a configuration says of them; kept with the configuration, as it costs a while."""
    key = (arms.actions, arms.channels, arms.action.tobytes(), arms.channel.tobytes())
    found = config.menus.get(key)
    if found is None:
        found = config.menus[key] = _menu(config, arms)
    return found


def _menu(config: NbaConfig, arms: Arms) -> Menu:
    place: dict[str, int] = {}
    action = np.full(len(arms), -1, dtype=np.int64)
    coupons = {
        text
        for name, one in config.actions.items()
        for text, coupon in zip(one.labels(name), one.are_coupons, strict=True)
        if coupon
    }
    for arm in range(1, len(arms)):
        text, channel = arms.pair(arm)
        name = split_label(text)[0]
        found = config.actions.get(name)
        if found is None or text not in found.labels(name) or (channel is not None and channel not in found.channels):
            continue
        action[arm] = place.setdefault(name, len(place))
    without = len(arms.channels)
    channel_of = np.where(arms.channel >= 0, arms.channel, without).astype(np.int64)
    listed = []
    for name, number in place.items():
        mine = np.flatnonzero(action == number)
        listed.append(ListedAction(name, config.actions[name], mine, np.unique(channel_of[mine])))
    labels = {text: number for number, text in enumerate(arms.actions)}
    families = [
        np.array([labels[text] for text in one.labels(name) if text in labels], dtype=np.int64)
        for name, one in config.actions.items()
        if len(one.offers) > 1 and one.offers_deepen
    ]
    channels = tuple(config.channels.get(name, ChannelConfig()) for name in arms.channels)
    usual = config.contact.quiet_hours
    hours = [*(one.quiet_hours or usual for one in channels), usual]
    return Menu(
        arms=arms,
        actions=tuple(listed),
        channels=channels,
        action=action,
        channel=channel_of,
        coupon=np.array([arms.pair(arm)[0] in coupons for arm in range(len(arms))]),
        coupons=frozenset(coupons),
        quiet=tuple(
            (quiet_cells(quiet), np.array([one == quiet for one in hours]))
            for quiet in dict.fromkeys(hours)
            if quiet_cells(quiet).any()
        ),
        families=tuple(family for family in families if len(family) > 1),
    )
