"""What can be done: hold, or an action on a channel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: The action of doing nothing.
HOLD = "hold"

#: Between the name of an action and that of the offer it makes, in a label.
OFFER = ":"


def label(action: str, offer: str | None = None) -> str:
    """How an action, with the offer it makes, is called in models and logs.

    >>> label("first_order_offer", "discount_10")
    'first_order_offer:discount_10'
    """
    return action if offer is None else f"{action}{OFFER}{offer}"


def split_label(text: str) -> tuple[str, str | None]:
    """The action and the offer of a label.

    >>> split_label("survey")
    ('survey', None)
    """
    action, colon, offer = text.partition(OFFER)
    return action, offer if colon else None


@dataclass(frozen=True)
class Arms:
    """Arm 0 is hold; every other arm is an action, with the offer it makes, on a channel.

    Attributes:
        actions: labels of the actions other than hold, K of them.
        channels: C names.
        action: int32[A], place in ``actions``, -1 for hold.
        channel: int32[A], place in ``channels``, -1 for hold and where the channel is part of the action.
    """

    actions: tuple[str, ...]
    channels: tuple[str, ...]
    action: NDArray[np.int32]
    channel: NDArray[np.int32]
    _places: dict[tuple[str, str | None], int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places = {self.pair(arm): arm for arm in range(len(self))}
        object.__setattr__(self, "_places", places)

    def __len__(self) -> int:
        return len(self.action)

    @staticmethod
    def of(pairs: Iterable[tuple[str, str | None]]) -> Arms:
        """Arms for distinct (label, channel) pairs other than hold, actions and channels in order of first mention."""
        wanted = list(dict.fromkeys(pair for pair in pairs if pair[0] != HOLD))
        actions = list(dict.fromkeys(action for action, _ in wanted))
        channels = list(dict.fromkeys(channel for _, channel in wanted if channel is not None))
        return Arms(
            tuple(actions),
            tuple(channels),
            np.array([-1, *(actions.index(action) for action, _ in wanted)], dtype=np.int32),
            np.array(
                [-1, *(-1 if channel is None else channels.index(channel) for _, channel in wanted)], dtype=np.int32
            ),
        )

    def pair(self, arm: int) -> tuple[str, str | None]:
        """Label and channel of an arm."""
        action, channel = int(self.action[arm]), int(self.channel[arm])
        return self.actions[action] if action >= 0 else HOLD, self.channels[channel] if channel >= 0 else None

    def find(self, action: str, channel: str | None) -> int:
        """The arm of a label and a channel; -1 if there is none. Hold is found whatever channel it names."""
        return 0 if action == HOLD else self._places.get((action, channel), -1)
