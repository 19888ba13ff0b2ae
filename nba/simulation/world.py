"""How the simulated shop goes on: what people do of their own accord, and what decisions on them lead to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.events import DAY, HOUR, MICROSECOND, MINUTE, NEVER, SECOND, Kind
from nba.arms import split_label
from nba.simulation.beliefs import Beliefs
from nba.simulation.clock import Clock, weekend
from nba.simulation.equations import Equations, Floats, Ints, Situation
from nba.simulation.journal import Journal
from nba.simulation.logging_policy import Answers, Chosen, Slots, choose
from nba.simulation.people import People, Products, draw
from nba.simulation.standing import BROWSE, CART, SIGNUP, Standing
from nba.values import DAY_HOURS

Mask = NDArray[np.bool_]

#: Days after a decision on which people visit of their own accord; the outcome window is one day longer.
VISIT_DAYS = 6

#: Rounds for which the clocks are looked up at a time.
CLOCK_ROUNDS = 8


class World:
    """The shop as it goes on."""

    def __init__(
        self, equations: Equations, people: People, products: Products, generator: np.random.Generator
    ) -> None:
        parameters = equations.parameters
        self.equations, self.people, self.products, self.draws = equations, people, products, generator
        self.parameters = parameters
        self.all = np.arange(len(people))
        self.standing = Standing.at_first(people, parameters)
        self.answers = Answers.none(len(people), len(equations.channels))
        self.journal = Journal()
        categories = len(equations.trait("taste"))
        self.categories = products.of_category(categories)
        self.beliefs = Beliefs(equations, people, self.categories)
        self.place = people.weights(equations).buying.argmax(axis=1)
        start = datetime.combine(parameters.start, datetime.min.time(), UTC)
        self.start = (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=MICROSECOND)
        self.period = parameters.period_days * DAY
        self.phase = generator.integers(self.period, size=len(people))
        self.clock = Clock.of(tuple(parameters.zones), self.start, self.start)
        self.ordered = 0

    def begin(self, number: int) -> Ints:
        """What happens just before the decisions of a round; int64[N], when they are made."""
        if number % CLOCK_ROUNDS == 0:
            first, last = self.start + number * self.period, self.start + (number + CLOCK_ROUNDS + 3) * self.period
            self.clock = Clock.of(tuple(self.parameters.zones), first - self.period, last)
        decided = self.start + number * self.period + self.phase + self.draws.integers(DAY // 2, size=len(self.all))
        self._trigger(decided)
        return decided

    def hold(self, decided: Ints) -> None:
        """A round in which nobody is asked."""
        nothing = np.zeros(len(self.all), dtype=np.int64)
        situation = self._situation(decided)
        self._buy(decided, situation, nothing - 1, nothing < 0, np.full(len(self.all), NEVER))
        self._visit(decided)

    def decide(self, decided: Ints, asked: int, exploration: float, number: int) -> dict[str, Any]:
        """A round of decisions on the first ``asked`` people: columns of `Decisions`."""
        equations = self.equations
        situation = self._situation(decided)
        event = (number + self.people.zone) % self.parameters.stages.event_every == 0
        eligible = self.standing.eligible(decided, self.people, equations, event)
        eligible[asked:, 1:] = False
        slots = Slots.after(decided, self.people.zone, self.clock, self.parameters)
        chosen = choose(equations, eligible, slots, self.answers, exploration, self.draws)
        ceiling = equations.best(self.beliefs.weights(), situation, eligible, slots.cell, slots.allowed)
        sent = _at(slots, chosen.slot, decided)

        clicked, opened, machine = self._contact(situation, slots, chosen, sent)
        attended = clicked < NEVER
        action = equations.arms.action[chosen.arm].astype(np.int64)
        converted, bought_on, margin, given = self._buy(decided, situation, action, attended, clicked)
        left = self._leave(situation, chosen, sent)
        visited = np.minimum(np.minimum(self._visit(decided), clicked), bought_on)
        self._sign_up(action, attended, clicked)
        columns = {
            "customer": self.all,
            "decided": decided,
            "eligible": eligible,
            "arm": chosen.arm,
            "sent": sent,
            "propensity": chosen.propensity,
            "slot_propensity": chosen.slot_propensity,
            "opened": opened,
            "clicked": clicked,
            "visited": visited,
            "converted": converted,
            "unsubscribed": left[0],
            "complained": left[1],
            "machine_opened": machine,
            "value": margin,
            "cost": equations.cost[chosen.arm] + given,
            "scale": situation.scale,
            "fatigue": situation.fatigue,
            "ceiling_arm": ceiling[0],
            "ceiling_sent": _at(slots, ceiling[1], decided),
            "ceiling_value": ceiling[2],
        }
        return {name: column[:asked] for name, column in columns.items()}

    def _situation(self, decided: Ints) -> Situation:
        standing = self.standing
        return Situation(
            standing.scale(decided, self.parameters), standing.fatigue(decided, self.parameters), self.people.appeal
        )

    def _trigger(self, decided: Ints) -> None:
        """What people do the day before a decision."""
        equations, n = self.equations, len(self.all)
        browse, cart, signup = (equations.activities(name) for name in ("browse", "cart", "signup"))
        kinds = np.stack(
            [np.stack([1 - browse - cart - one, browse, cart, one], axis=1) for one in (signup, 0 * signup)]
        )
        chances = kinds[self.standing.member.astype(np.int64)]  # members have nothing to sign up for
        trigger = draw(chances[self.all, self.place], self.draws)
        self.beliefs.saw_trigger(chances, trigger)
        self.standing.trigger = trigger
        self.standing.visits = self.standing.visits + (trigger > 0)
        yesterday = self.clock.local(self.people.zone, decided) // DAY - 1
        time = self._own_hour(self.all[trigger > 0], yesterday[trigger > 0])
        when = np.zeros(n, dtype=np.int64)
        when[trigger > 0] = time
        looks = np.flatnonzero((trigger == BROWSE) | (trigger == CART))
        last, product = self._look(looks, when[looks])
        carts = trigger[looks] == CART
        self.journal.add(
            Kind.CART,
            looks[carts],
            last[carts] + MINUTE,
            product=product[carts],
            price=self.products.price[product[carts]],
        )
        signs = np.flatnonzero(trigger == SIGNUP)
        self.journal.add(Kind.PAGE, signs, when[signs])
        self.journal.add(Kind.SIGNUP_STARTED, signs, when[signs] + MINUTE)

    def _visit(self, decided: Ints) -> Ints:
        """Visits of people's own accord; int64[N], the first one."""
        number = self.draws.poisson(self.equations.activities("sessions")[self.place])
        self.beliefs.saw_visits(number)
        self.standing.visits = number
        who = np.repeat(self.all, number)
        time = self._own_hour(who, self._day_after(who, decided))
        self._look(who, time)
        first = np.full(len(self.all), NEVER)
        np.minimum.at(first, who, time)
        return first

    def _contact(self, situation: Situation, slots: Slots, chosen: Chosen, sent: Ints) -> tuple[Ints, Ints, Mask]:
        """Whether contacts are attended: when they are clicked and opened, and whether a machine opened them."""
        equations, n = self.equations, len(self.all)
        who = np.flatnonzero(chosen.arm > 0)
        arm = chosen.arm[who]
        action, channel = equations.arms.action[arm].astype(np.int64), equations.arms.channel[arm].astype(np.int64)
        cell = slots.cell[who, chosen.slot[who]]
        fatigue = situation.fatigue[who]
        hidden = {name: classes[who] for name, classes in self.people.hidden.items()}
        attends = self.draws.random(len(who)) < equations.attends(hidden, fatigue, arm, cell)
        self.beliefs.saw_contact(who, action, channel, cell, fatigue, attends)
        later = (self.draws.exponential(30.0, len(who)) * MINUTE).astype(np.int64) + 20 * SECOND
        clicked, opened = np.full(n, NEVER), np.full(n, NEVER)
        clicked[who[attends]] = (sent[who] + np.minimum(later, 6 * HOUR))[attends]

        says = self.parameters
        unread = np.array([says.channels[name].unread_open for name in equations.channels])[channel]
        opens = attends | (self.draws.random(len(who)) < unread)
        opened[who[opens]] = (sent[who] + np.minimum(later, 6 * HOUR) - 10 * SECOND)[opens]
        machines = np.array([says.consents.machine_open[name] for name in says.attributes["device"]])
        machine = np.zeros(n, dtype=np.bool_)
        machine[who] = (channel == equations.channels.index("email")) & (
            self.draws.random(len(who)) < machines[self.people.attributes["device"][who]]
        )
        opened[machine] = sent[machine] + 3 * SECOND

        self.standing.contact(who, sent, says)
        np.add.at(self.answers.sent, (who, channel), 1)
        np.add.at(self.answers.clicked, (who[attends], channel[attends]), 1)
        hours = self.clock.cells(self.people.zone[who[attends]], clicked[who[attends]]) % DAY_HOURS
        np.add.at(self.answers.hours, (who[attends], hours), 1)
        return clicked, opened, machine

    def _buy(
        self, decided: Ints, situation: Situation, action: Ints, attended: Mask, clicked: Ints
    ) -> tuple[Ints, Ints, Floats, Floats]:
        """Orders of the window: when, when the visit began, their margin, and what offers gave away."""
        equations, n = self.equations, len(self.all)
        chances = equations.order_chances(situation, action, attended)
        buys = self.draws.random(n) < chances[self.all, self.place]
        self.beliefs.saw_outcome(self.all, chances, buys)
        came = np.flatnonzero(attended & ~buys)
        self._look(came, clicked[came] + MINUTE)

        begun = np.full(n, NEVER)
        through = np.flatnonzero(attended & buys)
        begun[through] = clicked[through] + MINUTE
        own = np.flatnonzero(~attended & buys)
        begun[own] = self._own_hour(own, self._day_after(own, decided))
        who = np.flatnonzero(buys)
        converted = np.full(n, NEVER)
        converted[who] = begun[who] + self.draws.integers(3, 12, size=len(who)) * MINUTE

        lines = 1 + draw(np.tile(_shares(self.parameters.catalogue.lines), (len(who), 1)), self.draws)
        order = np.repeat(np.arange(len(who)), lines)
        owner = who[order]
        product = self.products.take(self.people.hidden["taste"][owner], self.draws)
        self.beliefs.saw_products(owner, self.products.category[product])
        share, fixed = equations.given
        offered = np.where(attended & (action >= 0), action, -1)
        off = np.where(offered >= 0, share[offered], 0.0)
        price = self.products.price[product]
        self.journal.add(Kind.VIEW, owner, begun[owner], product=product)
        self.journal.add(Kind.CART, owner, converted[owner] - MINUTE, product=product, price=price)
        self.journal.add(
            Kind.PURCHASE,
            owner,
            converted[owner],
            product=product,
            order=self.ordered + order,
            price=np.round(price * (1 - off[owner]), 4),
        )
        revenue = np.bincount(owner, price, n)
        margin: Floats = np.bincount(owner, self.products.margin[product], n).astype(np.float64)
        given = np.where(buys & (offered >= 0), off * revenue + fixed[offered], 0.0)

        delivered = converted[who] + self.draws.integers(2 * DAY, 4 * DAY, size=len(who))
        self.journal.add(Kind.DELIVER, who, delivered, order=self.ordered + np.arange(len(who)))
        self.ordered += len(who)
        self.standing.orders[who] += 1
        self.standing.ordered[who] = converted[who]
        self.standing.delivered[who] = delivered
        return converted, begun, margin, given

    def _leave(self, situation: Situation, chosen: Chosen, sent: Ints) -> tuple[Ints, Ints]:
        """Who unsubscribes, and who complains, after a contact."""
        equations, n = self.equations, len(self.all)
        who = np.flatnonzero(chosen.arm > 0)
        channel = equations.arms.channel[chosen.arm[who]]
        found = []
        for name in ("unsubscribe", "complaint"):
            at_first = np.array([getattr(self.parameters.channels[one], name) for one in equations.channels])[channel]
            chances = equations.farewell_chances(at_first, situation.fatigue[who])
            happens = self.draws.random(len(who)) < chances[np.arange(len(who)), self.place[who]]
            self.beliefs.saw_outcome(who, chances, happens)
            time = np.full(n, NEVER)
            later = (self.draws.exponential(60.0, len(who)) * MINUTE).astype(np.int64) + MINUTE
            time[who[happens]] = (sent[who] + np.minimum(later, 12 * HOUR))[happens]
            found.append(time)
            if name == "unsubscribe":
                self.standing.consented[who[happens], channel[happens]] = False
        return found[0], found[1]

    def _sign_up(self, action: Ints, attended: Mask, clicked: Ints) -> None:
        """What attended contacts lead to besides orders."""
        names = [split_label(text)[0] for text in self.equations.arms.actions]
        chance = np.array([*(self.parameters.signups.get(name, 0.0) for name in names), 0.0])[action]
        signs = attended & (self.draws.random(len(self.all)) < chance)
        channels, standing = self.equations.channels, self.standing
        web_push, app_push = channels.index("web_push"), channels.index("app_push")
        for place, name in enumerate(names):
            who = np.flatnonzero(signs & (action == place))
            time = clicked[who] + 2 * MINUTE
            match name:
                case "loyalty_signup_reminder":
                    standing.member[who] = True
                    self.journal.add(Kind.SIGNUP, who, time)
                case "account_signup":
                    standing.account[who] = True
                    self.journal.add(Kind.SIGNUP, who, time)
                case "lead_capture":
                    standing.consented[who, web_push] = standing.reachable[who, web_push] = True
                    self.journal.add(Kind.SUBSCRIBE, who, time, channel=web_push)
                case "app_install_banner":
                    standing.consented[who, app_push] = standing.reachable[who, app_push] = True
                    self.journal.add(Kind.APP_INSTALL, who, time)

    def _look(self, who: Ints, time: Ints) -> tuple[Ints, Ints]:
        """Visits that look at products: time of the last look and its product, int64[n] each."""
        looks = 1 + np.minimum(self.draws.poisson(self.parameters.catalogue.views_more, len(who)), 5)
        visit = np.repeat(np.arange(len(who)), looks)
        after = np.arange(len(visit)) - np.repeat(looks.cumsum() - looks, looks)
        product = self.products.take(self.people.hidden["taste"][who[visit]], self.draws)
        self.beliefs.saw_products(who[visit], self.products.category[product])
        when = time[visit] + after * 90 * SECOND
        self.journal.add(Kind.VIEW, who[visit], when, product=product)
        last = looks.cumsum() - 1
        return when[last], product[last]

    def _day_after(self, who: Ints, decided: Ints) -> Ints:
        """A day within the outcome window for each of ``who``, as days since 1970 on their clock."""
        today = self.clock.local(self.people.zone[who], decided[who]) // DAY
        return today + self.draws.integers(1, VISIT_DAYS + 1, size=len(who))

    def _own_hour(self, who: Ints, day: Ints) -> Ints:
        """int64[n], µs UTC: a moment of ``day`` at which each of ``who`` shops of their own accord."""
        kind = weekend(day)
        rhythm = self.people.hidden["rhythm"][who]
        hours = self.equations.activity.reshape(-1, 2, DAY_HOURS)[rhythm, kind]
        hour = draw(hours, self.draws)
        self.beliefs.saw_hours(who, kind * DAY_HOURS + hour)
        past = self.draws.integers(45 * MINUTE, size=len(who))  # a visit ends within its hour
        return self.clock.utc(self.people.zone[who], day * DAY + hour * HOUR + past)


def _at(slots: Slots, slot: Ints, decided: Ints) -> Ints:
    """int64[n], when a slot is; for hold when it was decided."""
    return np.where(slot < 0, decided, slots.time[np.arange(len(slot)), slot])


def _shares(chances: tuple[float, ...]) -> Floats:
    found = np.array(chances)
    total: Floats = found / found.sum()
    return total
