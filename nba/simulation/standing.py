"""Where each person stands with the simulated shop: what everybody can see, and what it makes sensible to send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.events import DAY, NEVER
from nba.arms import split_label
from nba.simulation.equations import Equations, Floats, Ints
from nba.simulation.parameters import ShopParameters
from nba.simulation.people import People

Mask = NDArray[np.bool_]

#: What people do just before a decision.
TRIGGERS = ("nothing", "browse", "cart", "signup")
NOTHING, BROWSE, CART, SIGNUP = range(len(TRIGGERS))

#: Visits since the last decision from which somebody is asked to answer a survey.
SURVEY_VISITS = 3


@dataclass
class Standing:
    """N people as the shop knows them; changes as time goes on.

    Attributes:
        orders: int64[N], how many ever.
        ordered, delivered: int64[N], µs of the last order and of its delivery; `NEVER` if there is none.
        visits: int64[N], since the decision before.
        trigger: int64[N], what was done just before this decision, place in `TRIGGERS`.
        member, account: bool[N].
        consented, reachable: bool[N, C].
        contacts: float64[N], contacts of late, as of ``contacted``.
        contacted: int64[N], µs of the last contact.
    """

    orders: Ints
    ordered: Ints
    delivered: Ints
    visits: Ints
    trigger: Ints
    member: Mask
    account: Mask
    consented: Mask
    reachable: Mask
    contacts: Floats
    contacted: Ints

    @staticmethod
    def at_first(people: People, parameters: ShopParameters) -> Standing:
        """Before anything has happened."""
        n = len(people)
        member = list(parameters.attributes["member"]).index("yes")
        return Standing(
            orders=np.zeros(n, dtype=np.int64),
            ordered=np.full(n, NEVER),
            delivered=np.full(n, NEVER),
            visits=np.zeros(n, dtype=np.int64),
            trigger=np.zeros(n, dtype=np.int64),
            member=people.attributes["member"] == member,
            account=people.account.copy(),
            consented=people.consented.copy(),
            reachable=people.reachable.copy(),
            contacts=np.zeros(n),
            contacted=np.zeros(n, dtype=np.int64),
        )

    def fatigue(self, at: Ints, parameters: ShopParameters) -> Floats:
        """float64[N], contacts of late, each half forgotten in every half-life."""
        days = (at - self.contacted) / DAY
        found: Floats = self.contacts * 2.0 ** (-days / parameters.half_life_days)
        return found

    def contact(self, who: Ints, at: Ints, parameters: ShopParameters) -> None:
        """Each of ``who`` is contacted at ``at``, int64[N]."""
        self.contacts[who] = self.fatigue(at, parameters)[who] + 1.0
        self.contacted[who] = at[who]

    def since_order(self, at: Ints) -> Floats:
        """float64[N], days since the last order, infinity if there is none."""
        return np.where(self.orders > 0, (at - self.ordered) / DAY, np.inf)

    def since_delivery(self, at: Ints) -> Floats:
        """float64[N], days since the last delivery, negative while it is on its way, infinity if there is none."""
        return np.where(self.delivered < NEVER, (at - self.delivered) / DAY, np.inf)

    def scale(self, at: Ints, parameters: ShopParameters) -> Floats:
        """float64[N], factor of the chance of an order."""
        moment, stages = parameters.moment, parameters.stages
        since = self.since_order(at)
        due = (since >= stages.due_from) & (since < stages.due_until)
        lapsed = (self.orders > 0) & (since >= stages.lapsed_from)
        trigger = np.array([moment.nothing, moment.browse, moment.cart, moment.signup])[self.trigger]
        factors = [(self.orders == 0, moment.never_bought), (due, moment.due), (lapsed, moment.lapsed)]
        for where, factor in factors:
            trigger = np.where(where, trigger * factor, trigger)
        return trigger

    def eligible(self, at: Ints, people: People, equations: Equations, event: Mask) -> Mask:
        """bool[N, A], what may be sent: the action makes sense, and the channel is consented to and reachable.

        Args:
            at: int64[N], µs.
            people: of whom the device is read.
            equations: for the arms.
            event: bool[N], there is an event near them.
        """
        sensible = self._sensible(at, people, equations, event)
        arms = equations.arms
        actions = np.stack([sensible[split_label(text)[0]] for text in arms.actions], axis=1)
        may = actions[:, arms.action] & (self.consented & self.reachable)[:, arms.channel]
        may[:, 0] = True
        return may

    def _sensible(self, at: Ints, people: People, equations: Equations, event: Mask) -> Mapping[str, Mask]:
        parameters = equations.parameters
        stages, channels = parameters.stages, equations.channels
        since, delivered = self.since_order(at), self.since_delivery(at)
        desktop = people.attributes["device"] == list(parameters.attributes["device"]).index("desktop")
        visited = self.visits > 0
        return {
            "cart_reminder": self.trigger == CART,
            "browse_reminder": self.trigger == BROWSE,
            "replenishment_reminder": (since >= stages.due_from) & (since < stages.due_until),
            "first_order_offer": (self.orders == 0) & (self.trigger != NOTHING),
            "post_purchase_cross_sell": (self.orders == 1) & (delivered >= 0) & (delivered < stages.cross_sell_until),
            "loyalty_signup_reminder": (self.trigger == SIGNUP) & ~self.member,
            "win_back": (self.orders > 0) & (since >= stages.lapsed_from),
            "event_invite": event & ((self.orders == 1) | (self.orders >= 3)),
            "referral_ask": (self.orders >= 2) & (delivered >= 0) & (delivered < stages.referral_until),
            "account_signup": visited & ~self.account,
            "lead_capture": visited & ~self.consented[:, channels.index("web_push")],
            "app_install_banner": visited
            & (self.orders > 0)
            & ~desktop
            & ~self.reachable[:, channels.index("app_push")],
            "survey": self.visits >= SURVEY_VISITS,
        }
