"""Why an arm was not to be chosen. Stages go by Pega's names for the steps of engagement policies."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

Stage = Literal["eligibility", "applicability", "suitability", "contact_policy"]

#: What a reason is about: it is told once an action, once a channel, or for each pair of them.
About = Literal["action", "channel", "both"]


class Code(IntEnum):
    """The first reason, in this order, for which an arm is excluded; OPEN: it is not."""

    OPEN = 0
    NOT_ASKED = 1
    CHANNEL_NOT_ASKED = 2
    NOT_IN_CATALOGUE = 3
    NOT_OFFERED = 4
    NOT_ELIGIBLE = 5
    NO_CONSENT = 6
    NOT_REACHABLE = 7
    CHANNEL_NOT_APPLICABLE = 8
    TOO_COSTLY = 9
    TOO_MANY_COUPONS = 10
    ANSWERED = 11
    NOT_ITS_TURN = 12
    OUTSIDE_WINDOW = 13
    COOLDOWN = 14
    QUIET_HOURS = 15
    CONTACT_CAP = 16
    CHANNEL_CAP = 17
    TOO_LITTLE_VALUE = 18

    @property
    def stage(self) -> Stage:
        """At which step it fell out."""
        return _ABOUT[self][0]

    @property
    def about(self) -> About:
        """What it is about."""
        return _ABOUT[self][1]

    @property
    def text(self) -> str:
        """As answers have it."""
        return self.name.lower()


_ABOUT: dict[Code, tuple[Stage, About]] = {
    Code.NOT_ASKED: ("applicability", "action"),
    Code.CHANNEL_NOT_ASKED: ("applicability", "channel"),
    Code.NOT_IN_CATALOGUE: ("eligibility", "both"),
    Code.NOT_OFFERED: ("eligibility", "both"),
    Code.NOT_ELIGIBLE: ("eligibility", "action"),
    Code.NO_CONSENT: ("eligibility", "channel"),
    Code.NOT_REACHABLE: ("eligibility", "channel"),
    Code.CHANNEL_NOT_APPLICABLE: ("applicability", "channel"),
    Code.TOO_COSTLY: ("suitability", "both"),
    Code.TOO_MANY_COUPONS: ("suitability", "both"),
    Code.ANSWERED: ("suitability", "action"),
    Code.NOT_ITS_TURN: ("suitability", "both"),
    Code.OUTSIDE_WINDOW: ("applicability", "both"),
    Code.COOLDOWN: ("contact_policy", "action"),
    Code.QUIET_HOURS: ("contact_policy", "channel"),
    Code.CONTACT_CAP: ("contact_policy", "channel"),
    Code.CHANNEL_CAP: ("contact_policy", "channel"),
    Code.TOO_LITTLE_VALUE: ("suitability", "both"),
}
