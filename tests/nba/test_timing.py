from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.fold import Fold
from features.slots import CUSTOMER
from nba.arms import Arms
from nba.crowd import Contacts, Crowd
from nba.hours import HourShares, flat
from nba.logged import Logged
from nba.timing import ACTIVE, ATTENDED, OFTEN, HourModel, hours_of, indifferent
from nba.timing_fit import LARGEST, ContactHours, attended, contacts_of, fit_hours

Floats = NDArray[np.float64]
CHANNELS = ("email", "sms")
HOURS = np.arange(24)


def apart(hour: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hours between each hour of the day and those of some people, int64[n, 24]."""
    found = np.abs(HOURS - hour[:, None])
    around: NDArray[np.int64] = np.minimum(found, 24 - found)
    return around


def contacts(
    people: int,
    each: int,
    *,
    own: float,
    evening: float = 0.0,
    seed: int = 0,
    known: float = 15.0,
    weekend: float = 1.0,
) -> tuple[ContactHours, Floats]:
    """A log with hours drawn evenly, and the true lift of each hour for each person, float64[people, 24].

    Everybody attends more around 19 o'clock by ``evening``; each person has a favourite hour, near which they attend
    more by ``own`` and do everything else too: about ``known`` things. 5% of e-mails and 10% of messages are attended.
    ``weekend``: by how much more the curve of weekends rises than that of workdays.
    """
    rng = np.random.default_rng(seed)
    favourite = rng.integers(24, size=people)
    habit = np.exp(-0.5 * (apart(favourite) / 2.0) ** 2)
    curve = 1.0 + evening * np.exp(-0.5 * (apart(np.array([19])) / 2.0) ** 2)
    lift = curve * (1.0 + own * habit)
    lift /= lift.mean(axis=1, keepdims=True)
    done = rng.poisson(known, people)
    day = (0.1 + habit) / (0.1 + habit).sum(axis=1, keepdims=True)
    active = np.stack([rng.multinomial(n, shares) for n, shares in zip(done, day, strict=True)]).astype(float)
    customer = np.repeat(np.arange(people), each)
    channel = rng.integers(2, size=len(customer)).astype(np.int32)
    free = rng.random(len(customer)) < 2 / 7
    hour = rng.integers(24, size=len(customer))
    chance = np.array([0.05, 0.1])[channel] * lift[customer, hour] * np.where(free, weekend, 1.0)
    came = rng.random(len(customer)) < chance
    before = np.zeros((len(customer), 24))
    for row in range(len(customer)):
        if row and customer[row] == customer[row - 1]:
            before[row] = before[row - 1]
            before[row, hour[row - 1]] += came[row - 1]
    log = ContactHours(
        channel=channel,
        cell=(free * 24 + hour).astype(np.int16),
        attended=came,
        expected=np.array([0.05, 0.1])[channel],
        weight=np.ones(len(customer)),
        customer=customer.astype(np.int32),
        active=active[customer],
        attended_at=before,
    )
    return log, lift


def lifts(model: HourModel, log: ContactHours) -> Floats:
    """What a model says of each person's e-mails on workdays, from their last contact: float64[people, 24]."""
    last = np.flatnonzero(np.diff(log.customer, append=-1))
    return model.lift_of(log.active[last], log.attended_at[last])[:, 0, :24].astype(np.float64)


# The model


def test_the_lift_by_hand() -> None:
    curve = np.ones((2, 48))
    curve[0, 12] = curve[0, 36] = 2.0
    curve /= (curve @ OFTEN)[:, None]
    habit = HourShares(np.full((1, 24), 1 / 24), np.ones(1), 0.0, 24.0)
    counts = np.zeros((1, 24))
    counts[0, 9] = 24.0  # shares: 25/48 at nine o'clock, 1/48 at any other hour; over 1/24: 12.5 and 0.5
    none = np.zeros((1, 24))
    model = HourModel(("email",), curve, habit, flat(), (1.0, 0.0))
    [found] = model.lift_of(counts, none)
    assert found.shape == (2, 48)
    assert found[0, 9] / found[0, 10] == pytest.approx(25.0)
    assert found[0, 12] / found[0, 10] == pytest.approx(2.0)
    assert found[0, 33] == found[0, 9], "habits are those of any day"
    assert found[1, 9] / found[1, 12] == pytest.approx(25.0)
    [root] = replace(model, powers=(0.5, 0.0)).lift_of(counts, none)
    assert root[0, 9] / root[0, 10] == pytest.approx(5.0)
    [both] = replace(model, attended=habit, powers=(0.5, 0.5)).lift_of(counts, counts)
    assert both == pytest.approx(found, rel=1e-5)


def test_a_mean_lift_is_one_with_workdays_counting_five_and_weekends_two() -> None:
    assert OFTEN.sum() == pytest.approx(1.0)
    assert OFTEN[24:].sum() == pytest.approx(2 / 7)


counts = st.lists(st.lists(st.floats(0, 1e3), min_size=24, max_size=24), min_size=1, max_size=3)


@settings(max_examples=50, deadline=None)
@given(counts, counts, st.tuples(st.floats(0, 3), st.floats(0, 3)), st.integers(0, 99))
def test_lifts_are_of_mean_one_whoever_it_is(
    active: list[list[float]], answered: list[list[float]], powers: tuple[float, float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    curve = rng.gamma(2.0, size=(3, 48))
    kinds = rng.dirichlet(np.ones(24) * 3, size=2) + 1e-6
    kinds /= kinds.sum(axis=1, keepdims=True)
    shares = HourShares(kinds, np.array([0.3, 0.7]), 1.0, 10.0)
    model = HourModel(CHANNELS, curve / (curve @ OFTEN)[:, None], shares, shares, powers)
    n = min(len(active), len(answered))
    one, two = np.array(active)[:n], np.array(answered)[:n]
    found = model.lift_of(one, two)
    assert found.dtype == np.float32
    assert found.shape == (n, 3, 48)
    assert (found >= 0).all()
    assert found @ OFTEN == pytest.approx(1.0, rel=1e-4)
    loaded = HourModel.from_arrays(model.to_arrays(), CHANNELS)
    assert np.array_equal(loaded.lift_of(one, two), found)
    for row in range(n):
        assert model.lift_of(one[row : row + 1], two[row : row + 1])[0] == pytest.approx(found[row], rel=1e-4)


def test_a_crowd_is_read_by_the_names_of_its_state() -> None:
    names = Fold(CUSTOMER).names
    state = np.zeros((2, len(names)))
    state[1, names.index(f"{ACTIVE}_09")] = 3.0
    state[0, names.index(f"{ATTENDED}_23")] = 2.0
    crowd = crowd_of(state, names)
    assert hours_of(crowd, ACTIVE)[1].tolist() == [3.0 * (hour == 9) for hour in range(24)]
    assert hours_of(crowd, ATTENDED)[0].tolist() == [2.0 * (hour == 23) for hour in range(24)]
    log, _ = contacts(300, 10, own=4.0)
    model = fit_hours(log, CHANNELS)
    assert model.lift(crowd)[1].argmax(axis=1).tolist() == [9, 9, 9]
    nothing = crowd_of(np.zeros((2, 1)), ("views_ever",))
    assert hours_of(nothing, ACTIVE).tolist() == np.zeros((2, 24)).tolist()


def crowd_of(state: Floats, names: tuple[str, ...]) -> Crowd:
    n = len(state)
    allowed = np.ones((n, len(CHANNELS)), dtype=np.bool_)
    return Crowd(
        ids=[f"c{number}" for number in range(n)],
        at=np.zeros(n, dtype=np.int64),
        names=names,
        state=state,
        attributes={},
        zones=[None] * n,
        channels=CHANNELS,
        consented=allowed,
        reachable=allowed,
        contacts=Contacts.none(n),
    )


# Learning it


def test_without_contacts_every_hour_is_the_same() -> None:
    log, _ = contacts(50, 4, own=2.0)
    nobody = replace(log, attended=np.zeros(len(log), dtype=np.bool_))
    for model in (indifferent(CHANNELS), fit_hours(nobody, CHANNELS), fit_hours(log.take(np.arange(0)), CHANNELS)):
        assert model.lift_of(log.active[:1], log.attended_at[:1]) == pytest.approx(1.0)


def test_everybodys_hour_is_found_and_nobody_gets_one_of_their_own() -> None:
    log, lift = contacts(600, 20, own=0.0, evening=3.0)
    model = fit_hours(log, CHANNELS)
    found = lifts(model, log)
    assert abs(int(found.mean(axis=0).argmax()) - 19) <= 1
    assert np.corrcoef(found.mean(axis=0), lift[0])[0, 1] > 0.95
    # Where hours of activity say nothing of answers, they move nobody far from everybody's curve.
    assert np.log(found / found.mean(axis=0)).std() < 0.1


def test_where_nothing_differs_the_curve_stays_flat() -> None:
    log, _ = contacts(600, 20, own=0.0)
    assert np.abs(np.log(fit_hours(log, CHANNELS).curve)).max() < 0.25


def test_each_persons_own_hour_beats_everybodys_for_people_never_seen() -> None:
    log, _ = contacts(800, 15, own=4.0, evening=1.0)
    model = fit_hours(log, CHANNELS)
    assert model.powers[0] > 0.2
    new, lift = contacts(400, 1, own=4.0, evening=1.0, seed=1)
    found = lifts(model, new)
    everyone = np.arange(len(lift))
    own, best = lift[everyone, found.argmax(axis=1)].mean(), lift.max(axis=1).mean()
    everybodys = lift[:, lift.mean(axis=0).argmax()].mean()
    assert own > everybodys + 0.6 * (best - everybodys)


def test_what_was_attended_tells_where_nothing_else_is_known() -> None:
    log, _ = contacts(500, 40, own=6.0, known=0.0)
    model = fit_hours(log, CHANNELS)
    assert model.powers[0] == 0.0
    assert model.powers[1] > 0.2
    found = lifts(model, log)
    nobody = model.lift_of(np.zeros((1, 24)), np.zeros((1, 24)))[0, 0, :24]
    assert nobody.max() / nobody.min() < 1.5, "who has answered nothing has everybody's curve"
    _, lift = contacts(500, 40, own=6.0, known=0.0)
    assert np.mean([np.corrcoef(one, other)[0, 1] for one, other in zip(found, lift, strict=True)]) > 0.4


def test_rising_with_the_weekend_is_no_lift_of_an_hour() -> None:
    log, _ = contacts(600, 20, own=0.0, weekend=2.0)
    curve = fit_hours(log, CHANNELS).curve
    assert (curve[:, 24:].mean(axis=1) / curve[:, :24].mean(axis=1)) == pytest.approx(2.0, rel=0.2)
    assert curve @ OFTEN == pytest.approx(1.0)


def test_a_channel_with_few_contacts_has_the_curve_of_all() -> None:
    log, _ = contacts(600, 20, own=0.0, evening=3.0)
    few = log.take((log.channel == 0) | (np.cumsum(log.channel == 1) <= 30))
    curve = fit_hours(few, CHANNELS).curve
    assert np.corrcoef(curve[1, :24], curve[0, :24])[0, 1] > 0.9


def test_weights_undo_a_habit_of_the_sender() -> None:
    log, _ = contacts(900, 20, own=0.0)
    keen = log.customer % 2 == 0  # attend four times as much, which nothing tells, and get most mails at ten o'clock
    rng = np.random.default_rng(0)
    favoured = log.cell % 24 == 10
    sent = keen & favoured | (rng.random(len(log)) < 0.1)
    came = rng.random(len(log)) < np.where(keen, 0.4, 0.1)
    skewed = replace(log, attended=came, expected=np.full(len(log), 0.25)).take(sent)
    weight = np.where((keen & favoured)[sent], 1.0, 10.0)
    naive, weighted = (fit_hours(replace(skewed, weight=w), CHANNELS).curve for w in (np.ones(len(weight)), weight))
    assert naive[0, 10] > 1.2
    assert weighted[0, 10] < 1.1


# From a log of decisions


def test_contacts_of_a_log() -> None:
    arms = Arms.of([("hello", "email"), ("hello", "sms")])
    names = (f"{ACTIVE}_00", *(f"{ACTIVE}_{hour:02}" for hour in range(1, 24)))
    state = np.arange(5.0)[:, None] * np.ones(24)
    no = np.zeros(5, dtype=np.bool_)
    log = Logged(
        arms=arms,
        crowd=crowd_of(state, names),
        customer=np.array([0, 1, 2, 3, 4], dtype=np.int32),
        arm=np.array([0, 1, 2, 1, 2], dtype=np.int32),
        cell=np.array([-1, 9, 33, 10, 11], dtype=np.int16),
        propensity=np.ones(5),
        hour_propensity=np.array([1.0, 0.5, 0.5, 0.5, 0.001]),
        eligible=np.ones((5, 3), dtype=np.bool_),
        value=np.zeros(5),
        cost=np.zeros(5),
        opened=np.array([False, True, True, False, True]),
        clicked=no,
        visited=np.array([True, False, False, True, False]),
        converted=no,
        unsubscribed=no,
        complained=no,
    )
    # Who was left alone visited too, so visits are no answer; nobody clicked.
    assert attended(log).tolist() == [False, True, True, False, True]
    # Where contacts bring visits, an open alone is nothing, but on a channel of which only opens are known.
    log = replace(log, visited=np.array([False, False, False, True, False]))
    assert attended(log).tolist() == [False, False, True, True, True]
    came = attended(replace(log, clicked=np.array([False, True, False, False, False])))
    assert came.tolist() == [False, True, True, False, True]
    found = contacts_of(log, came, np.full(5, 0.2))
    assert found.channel.tolist() == [0, 1, 0, 1]
    assert found.cell.tolist() == [9, 33, 10, 11]
    assert found.attended.tolist() == came[1:].tolist()
    assert found.weight.tolist() == [2.0, 2.0, 2.0, 2.0 * LARGEST]
    assert found.active[:, 5].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert found.attended_at.sum() == 0.0
