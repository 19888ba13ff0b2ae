"""No decision breaks a promise: random catalogues, customers, clocks and questions against a check in plain Python.

The check shares nothing with the code but the configuration: it goes through contacts one by one, reads clocks with
zoneinfo and knows no arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import Number
from nba.asked import Asked, Constraints
from nba.choose import NEVER, ON_PAGE
from nba.config import ActionConfig, CapsConfig, NbaConfig
from nba.crowd import Crowd, rows_of
from nba.decide import Decided, decide
from tests.nba.simple_models import TableModel, contacts_of, crowd_of, moment

HOUR = 3_600_000_000
DAY = 24 * HOUR
WEEK = 7 * DAY

CHANNELS = ("email", "web_push", "sms", "on_site")
ACTIONS = ("remind", "offer", "invite", "ask")
ZONES = (
    None,
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "nowhere",
)
#: Two of the clocks go forward or back within days of each.
MOMENTS = (
    "2026-03-28 22:40",
    "2026-10-24 21:15",
    "2026-03-07 23:59",
    "2026-10-31 12:00",
    "2026-04-04 06:30",
    "2026-06-15 08:00",
)

Contact = tuple[int, str | None, str | None, bool]


@dataclass(frozen=True)
class Customer:
    at: int
    zone: str | None
    days: float
    points: float
    consented: frozenset[str]
    reachable: frozenset[str]
    contacts: tuple[Contact, ...]


@st.composite
def catalogues(draw: st.DrawFn) -> NbaConfig:
    cap = st.sampled_from([2, None, 3, 1, 2, None, 4, None, 0])  # in Hypothesis the first is the simplest
    hour = st.sampled_from([21, 8, 8, 0, 13, 23])

    def caps() -> dict[str, Any]:
        return {name: value for name in ("per_day", "per_week") if (value := draw(cap)) is not None}

    channels: dict[str, Any] = {}
    for name in CHANNELS:
        channels[name] = {**caps(), "cost": draw(st.sampled_from([0.0, 0.01, 0.1])), "counts": draw(st.booleans())}
        if draw(st.booleans()):
            channels[name]["quiet_hours"] = [draw(hour), draw(hour)]
        if draw(st.integers(0, 7)) == 7:
            channels[name]["requires"] = "points > 2"
    channels["on_site"] |= {"immediate": True, "consent": False}
    actions: dict[str, Any] = {}
    for name in ACTIONS:
        on = draw(st.lists(st.sampled_from(CHANNELS), min_size=2, unique=True))
        action: dict[str, Any] = {"channels": on, "cooldown_hours": draw(st.sampled_from([0, 5, 24, 100, 400]))}
        if draw(st.booleans()):
            action["eligible"] = f"points >= {draw(st.integers(0, 3))}"
        if draw(st.booleans()):
            first, last = sorted([draw(st.integers(-60, 60)), draw(st.integers(-60, 120))])
            action["window"] = {
                draw(st.sampled_from(["since", "until"])): "days",
                "from_hours": first,
                "to_hours": last,
            }
            if "since" in action["window"] and draw(st.booleans()):
                action |= {"escalate": draw(st.permutations(on)), "escalate_hours": draw(st.sampled_from([0, 3, 30]))}
        if draw(st.integers(0, 4)) == 4:
            action["fades_hours"] = 10
        if draw(st.integers(0, 7)) == 7:
            action["on_page"] = True
        if name == "offer" or draw(st.integers(0, 2)) == 0:
            action["offers"] = [{"name": "small", "cost": 0.05}, {"name": "large", "discount": 0.1, "cost": 0.2}]
        actions[name] = action
    policy = {"exploration": draw(st.sampled_from([0.0, 0.3, 0.9])), "holdout": draw(st.sampled_from([0.0, 0.1]))}
    if draw(st.booleans()):
        policy |= {"coupons": draw(st.integers(0, 2)), "coupon_days": 3}
    return NbaConfig.of(
        {
            "policy": {**policy, "window_hours": draw(st.sampled_from([1, 24]))},
            "contact": {**caps(), "quiet_hours": [draw(hour), draw(hour)]},
            "channels": channels,
            "actions": actions,
            "attributes": {"days": "number", "points": "number"},
            "journeys": {"some": {"actions": ["remind", "ask"]}},
        }
    )


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    middle = moment("2026-03-29 12:00")
    return Asked(
        horizon_hours=draw(st.sampled_from([72, 30, 72, 1, 0])),
        actions=draw(st.sampled_from([None, None, None, ("remind", "offer"), ("invite", "offer:small")])),
        channels=draw(st.sampled_from([None, None, None, ("email", "on_site")])),
        journey=draw(st.sampled_from([None, None, None, "some"])),
        constraints=Constraints(
            max_cost=draw(st.sampled_from([None, None, None, 0.1])),
            min_incremental_value=draw(st.sampled_from([None, None, None, 0.05])),
            not_before=draw(st.sampled_from([None, None, None, middle])),
            not_after=draw(st.sampled_from([None, None, None, middle + 200 * DAY])),
        ),
        explore=draw(st.booleans()),
    )


def people(config: NbaConfig, n: int, seed: int) -> list[Customer]:
    chance = Random(seed)  # noqa: S311  # nothing is to be kept secret
    labels = [text for name, action in config.actions.items() for text in action.labels(name)]
    found = []
    for _ in range(n):
        at = moment(chance.choice(MOMENTS)) + chance.randrange(3 * DAY)
        if chance.random() < 0.3:
            at = at // HOUR * HOUR
        contacts: list[Contact] = []
        for _ in range(chance.randrange(7)):
            # Some exactly a day or a week from a slot, some planned for later.
            exact = at // HOUR * HOUR + chance.randrange(-200, 80) * HOUR
            time = (
                exact
                if chance.random() < 0.5
                else at - chance.choice([chance.randrange(-3 * DAY, 9 * DAY), chance.randrange(2 * DAY)])
            )
            label = None if chance.random() < 0.1 else chance.choice([*labels, "of another tool"])
            channel = None if chance.random() < 0.1 else chance.choice([*CHANNELS, "fax"])
            contacts.append((time, label, channel, chance.random() < 0.15))
        found.append(
            Customer(
                at=at,
                zone=chance.choice(ZONES),
                days=float("nan") if chance.random() < 0.15 else chance.uniform(-1, 4),
                points=float("nan") if chance.random() < 0.1 else float(chance.randrange(6)),
                consented=frozenset(name for name in CHANNELS if chance.random() < 0.9),
                reachable=frozenset(name for name in CHANNELS if chance.random() < 0.9),
                contacts=tuple(sorted(contacts, key=lambda one: one[0])),
            )
        )
    return found


def as_crowd(customers: list[Customer]) -> Crowd:
    return crowd_of(
        [one.at for one in customers],
        channels=CHANNELS,
        attributes={
            "days": Number(np.array([one.days for one in customers])),
            "points": Number(np.array([one.points for one in customers])),
        },
        zones=[one.zone for one in customers],
        consented=[[name in one.consented for name in CHANNELS] for one in customers],
        reachable=[[name in one.reachable for name in CHANNELS] for one in customers],
        contacts=contacts_of([list(one.contacts) for one in customers]),
    )


class Promises:
    """What may be done for one customer, by looking at everything one after the other."""

    def __init__(self, config: NbaConfig, asked: Asked, customer: Customer) -> None:
        self.config, self.asked, self.customer = config, asked, customer

    def slots(self) -> list[int]:
        at, ahead = self.customer.at, self.asked.horizon_hours
        assert ahead is not None
        return [at, *(at // HOUR * HOUR + step * HOUR for step in range(1, ahead + 1))]

    def whether(self, label: str, channel: str) -> bool:
        """Whether an arm may be chosen, whatever the hour."""
        name = label.split(":")[0]
        action, how, asked, who = self.config.actions[name], self.config.channels[channel], self.asked, self.customer
        if asked.actions is not None and name not in asked.actions and label not in asked.actions:
            return False
        if asked.channels is not None and channel not in asked.channels:
            return False
        if asked.journey is not None and name not in self.config.journeys[asked.journey].actions:
            return False
        if action.eligible is not None and not who.points >= float(action.eligible.split()[-1]):
            return False
        if how.consent and (channel not in who.consented or channel not in who.reachable):
            return False
        if how.requires is not None and not who.points > 2:
            return False
        limit = asked.constraints.max_cost
        if limit is not None and self.cost(label, channel) > limit:
            return False
        coupons = self.config.policy.coupons
        if coupons is not None and label.endswith(":large"):
            given = [text for time, text, _, _ in who.contacts if time > who.at - 3 * DAY]
            if sum(text is not None and text.endswith(":large") for text in given) >= coupons:
                return False
        return True

    def cost(self, label: str, channel: str) -> float:
        offer = label.partition(":")[2]
        return self.config.channels[channel].cost + {"": 0.0, "small": 0.05, "large": 0.2}[offer]

    def follows(self, label: str, channel: str, time: int) -> bool:
        """Whether it is this channel's turn."""
        name = label.split(":")[0]
        action = self.config.actions[name]
        if not action.escalate:
            return True
        began = self.moment(action)
        if began is None:
            return False
        steps = [one for one in self.customer.contacts if self.is_of(one, name) and one[0] > began]
        if any(answered for *_, answered in steps):
            return False
        if any(time < at + action.escalate_hours * HOUR for at, *_ in steps):
            return False
        if channel not in action.escalate:
            return True
        used = [action.escalate.index(on) for _, _, on, _ in steps if on in action.escalate]
        ahead = [
            on
            for on in action.escalate[max(used, default=-1) + 1 :]
            if any(self.whether(text, on) for text in action.labels(name))
        ]
        return bool(ahead) and ahead[0] == channel

    @staticmethod
    def is_of(contact: Contact, name: str) -> bool:
        return contact[1] is not None and contact[1].split(":")[0] == name

    def moment(self, action: ActionConfig) -> int | None:
        assert action.window is not None
        days = self.customer.days
        if days != days:
            return None
        return self.customer.at + round(days * DAY) * (1 if action.window.since is None else -1)

    def when(self, label: str, channel: str, time: int) -> bool:
        """Whether an arm may be made at a time."""
        name = label.split(":")[0]
        action, how, who = self.config.actions[name], self.config.channels[channel], self.customer
        limits = self.asked.constraints
        if limits.not_before is not None and time < limits.not_before:
            return False
        if limits.not_after is not None and time > limits.not_after:
            return False
        if (how.immediate or action.on_page) and time != who.at:
            return False
        if action.window is not None:
            origin = self.moment(action)
            assert action.window.from_hours is not None
            assert action.window.to_hours is not None
            if origin is None:
                return False
            if not origin + action.window.from_hours * HOUR <= time <= origin + action.window.to_hours * HOUR:
                return False
        quiet = how.quiet_hours or self.config.contact.quiet_hours
        if self.hour(time) in hours_from_to(*quiet):
            return False
        for contact in who.contacts:
            own_step = bool(action.escalate) and contact[0] > (self.moment(action) or 0)
            if self.is_of(contact, name) and not own_step and abs(time - contact[0]) < action.cooldown_hours * HOUR:
                return False
        counting = [at for at, _, on, _ in who.contacts if on not in CHANNELS or self.config.channels[on].counts]
        if how.counts and not keeps(self.config.contact, counting, time):
            return False
        return keeps(how, [at for at, _, on, _ in who.contacts if on == channel], time)

    def hour(self, time: int) -> int:
        zone = UTC if self.customer.zone in (None, "nowhere") else ZoneInfo(str(self.customer.zone))
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).astimezone(zone).hour

    def open_slots(self, label: str, channel: str) -> list[int]:
        if not self.whether(label, channel):
            return []
        return [
            place
            for place, time in enumerate(self.slots())
            if self.when(label, channel, time) and self.follows(label, channel, time)
        ]


def hours_from_to(first: int, last: int) -> set[int]:
    found = set()
    hour = first
    while hour != last % 24:
        found.add(hour)
        hour = (hour + 1) % 24
    return found


def keeps(caps: CapsConfig, others: list[int], time: int) -> bool:
    """Whether no stretch of a day or a week with the time in it holds more contacts than the cap."""
    for cap, length in ((caps.per_day, DAY), (caps.per_week, WEEK)):
        if cap is None:
            continue
        for start in (*others, time):
            if start <= time < start + length:
                inside = sum(start <= other < start + length for other in others)
                if inside + 1 > cap:
                    return False
    return True


def broken(config: NbaConfig, asked: Asked, customer: Customer, decided: Decided, row: int) -> str | None:
    """The promise that a decision breaks."""
    chosen = decided.chosen
    label, channel = decided.weighed.menu.arms.pair(int(chosen.arm[row]))
    if label == "hold":
        return None if chosen.send_at[row] == NEVER and channel is None else "hold sends nothing"
    assert channel is not None
    promises = Promises(config, asked, customer)
    place, time = int(chosen.slot[row]), int(chosen.send_at[row])
    here = config.channels[channel].immediate or config.actions[label.split(":")[0]].on_page
    if time != (ON_PAGE if here else promises.slots()[place]):
        return "another time than that of its slot"
    if not promises.whether(label, channel):
        return "eligibility, consent or the question"
    time = promises.slots()[place]
    if not promises.when(label, channel, time):
        return "window, quiet hours, cooldown or caps"
    if not promises.follows(label, channel, time):
        return "escalation"
    return None


@settings(max_examples=100, deadline=None)
@given(config=catalogues(), asked=questions(), seed=st.integers(0, 2**32 - 1))
def test_no_decision_breaks_a_promise(config: NbaConfig, asked: Asked, seed: int) -> None:
    customers = people(config, 1_000, seed)
    model = TableModel.random(config, [f"c{row}" for row in range(len(customers))], seed)
    decided = decide(asked, as_crowd(customers), model, config)
    for row, customer in enumerate(customers):
        assert broken(config, asked, customer, decided, row) is None, (row, customer)


@settings(max_examples=50, deadline=None)
@given(config=catalogues(), asked=questions(), seed=st.integers(0, 2**32 - 1))
def test_nothing_that_is_possible_is_left_out_and_the_best_is_chosen(
    config: NbaConfig, asked: Asked, seed: int
) -> None:
    customers = people(config, 8, seed)
    asked = replace(asked, horizon_hours=min(asked.horizon_hours or 0, 30))
    crowd = as_crowd(customers)
    model = TableModel.random(config, crowd.ids, seed)
    decided = decide(asked, crowd, model, config)
    weighed, arms = decided.weighed, config.arms
    for row, customer in enumerate(customers):
        promises = Promises(config, asked, customer)
        worth = {0: 0.0}
        for arm in range(1, len(arms)):
            label, channel = arms.pair(arm)
            assert channel is not None
            slots = promises.open_slots(label, channel)
            action = config.actions[label.split(":")[0]]
            values = [value_at(config, model, promises, row, arm, slot, action) for slot in slots]
            chances = [chance_at(config, model, promises, row, arm, slot, action) for slot in slots]
            best = values[int(np.argmax(chances))] if slots else None
            least = asked.constraints.min_incremental_value
            if best is not None and (least is None or best >= least):
                worth[arm] = best
        open_arms = set(np.flatnonzero(weighed.codes[row] == 0).tolist())
        assert open_arms == set(worth), (row, customer)
        assert weighed.value[row, list(worth)] == pytest.approx(list(worth.values()), abs=1e-5)
        assert worth[int(decided.chosen.greedy[row])] == pytest.approx(max(worth.values()), abs=1e-5)


def chance_at(
    config: NbaConfig, model: TableModel, promises: Promises, row: int, arm: int, slot: int, action: ActionConfig
) -> float:
    """The chance of a contact to be attended, times what waiting leaves of it."""
    time, channel = promises.slots()[slot], int(config.arms.channel[arm])
    zone = promises.customer.zone
    clock = UTC if zone in (None, "nowhere") else ZoneInfo(str(zone))
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).astimezone(clock)
    lift = model.table.lift[row, channel, 24 * (local.weekday() >= 5) + local.hour]
    left = 1.0
    if action.fades_hours is not None:
        start = promises.customer.at
        if action.window is not None and action.window.from_hours is not None:
            origin = promises.moment(action)
            assert origin is not None
            start = max(start, origin + round(action.window.from_hours * HOUR))
        left = 0.5 ** (max(time - start, 0) / HOUR / action.fades_hours)
    return float(model.table.attend[row, channel] * lift * left)


def value_at(
    config: NbaConfig, model: TableModel, promises: Promises, row: int, arm: int, slot: int, action: ActionConfig
) -> float:
    label, channel = config.arms.pair(arm)
    assert channel is not None
    gain = model.table.gain[row, config.arms.action[arm]]
    if label.endswith(":large"):
        gain = max(gain, model.table.gain[row, config.arms.actions.index(label.replace("large", "small"))])
    chance = chance_at(config, model, promises, row, arm, slot, action)
    lost = model.table.attention[row, config.arms.channel[arm]]
    return float(gain * chance - promises.cost(label, channel) - lost)


@settings(max_examples=15, deadline=None)
@given(config=catalogues(), asked=questions(), seed=st.integers(0, 2**32 - 1))
def test_many_together_get_what_each_would_get_alone_to_the_byte(config: NbaConfig, asked: Asked, seed: int) -> None:
    crowd = as_crowd(people(config, 12, seed))
    model = TableModel.random(config, crowd.ids, seed)
    together = decide(asked, crowd, model, config)
    for row in range(len(crowd)):
        alone = decide(asked, rows_of(crowd, np.array([row])), model, config)
        for name, values in vars(together.chosen).items():
            assert values[row : row + 1].tobytes() == getattr(alone.chosen, name).tobytes(), name
        for name in ("value", "slot", "codes"):
            assert getattr(together.weighed, name)[row].tobytes() == getattr(alone.weighed, name)[0].tobytes(), name
