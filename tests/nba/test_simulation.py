"""The simulated shop keeps its own rules: propensities, chances, one world. Bounds err once in 10,000."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy import stats

from features.config import ConfigError
from features.dataset import read_dataset
from features.events import DAY, HOUR, NEVER, Kind
from nba.arms import split_label
from nba.simulation.clock import Clock
from nba.simulation.equations import Equations, curve
from nba.simulation.files import write
from nba.simulation.logging_policy import Answers, Slots, choose, ruled_arms, ruled_slots
from nba.simulation.parameters import ShopParameters
from nba.simulation.shop import SimulatedShop, simulate

PARAMETERS = ShopParameters.default()
SIGMAS = 4.5


@pytest.fixture(scope="module")
def shop() -> SimulatedShop:
    return simulate(PARAMETERS, customers=3000, decisions=30_000, seed=11)


def moment(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


# Clocks


@pytest.mark.parametrize(
    ("zone", "at", "hour", "weekend"),
    [
        ("Europe/Berlin", "2025-03-30T00:30+00:00", 1, True),
        ("Europe/Berlin", "2025-03-30T01:30+00:00", 3, True),
        ("Europe/Berlin", "2025-03-31T00:30+00:00", 2, False),
        ("Asia/Kolkata", "2025-03-31T18:20+00:00", 23, False),
        ("America/New_York", "2025-03-10T03:30+00:00", 23, True),
    ],
)
def test_cells_are_by_the_clock_on_the_wall(zone: str, at: str, hour: int, weekend: bool) -> None:
    time = np.array([moment(at)])
    clock = Clock.of((zone,), int(time[0]), int(time[0]))
    [cell] = clock.cells(np.array([0]), time)
    assert (cell % 24, cell // 24) == (hour, int(weekend))
    assert clock.utc(np.array([0]), clock.local(np.array([0]), time)) == time


def test_the_hour_that_spring_skips_is_the_one_after_it() -> None:
    wall = np.array([moment("2025-03-30T02:30+00:00")])
    clock = Clock.of(("Europe/Berlin",), int(wall[0]), int(wall[0]))
    there = clock.utc(np.array([0]), wall)
    assert there == moment("2025-03-30T01:30+00:00"), "3:30 on the wall"


# Curves and parameters


def test_a_curve_is_a_distribution_with_its_peak_where_the_bump_is() -> None:
    made = curve([(7.5, 1.0, 0.5)], floor=0.5, later=0.0)
    assert made.sum() == pytest.approx(1.0)
    assert made.argmax() == 7
    assert made[19] == pytest.approx(0.5 / 24, rel=1e-6)
    late = curve([(7.5, 1.0, 0.5)], floor=0.5, later=20.0)
    assert np.allclose(late, np.roll(made, 20)), "around midnight"


def test_the_best_hour_depends_on_channel_and_rhythm_together(shop: SimulatedShop) -> None:
    lift = shop.equations.lift[:, :, 8:21]
    channels, rhythms = shop.equations.channels, shop.equations.trait("rhythm")
    best = 8 + lift.argmax(axis=2)
    email, push = channels.index("email"), channels.index("app_push")
    everybody = 8 + lift.mean(axis=1).argmax(axis=1)
    assert everybody[email] < 12 < 17 < everybody[push], "e-mail in the morning, pushes in the evening"
    assert len(set(best[email].tolist())) > 1, rhythms
    assert len(set(best[push].tolist())) > 1, rhythms
    logs = np.log(lift.mean(axis=1))  # of channel and hour, without interaction this would be a sum of two effects
    rest = logs - logs.mean(axis=1, keepdims=True) - logs.mean(axis=0) + logs.mean()
    assert np.abs(rest).max() > 0.3


def test_a_chance_above_one_is_refused() -> None:
    for field, change, word in (
        ("response", {"buy": 0.9}, "buy"),
        ("habit", {"email": 0.9}, "notice"),
    ):
        value = PARAMETERS.model_dump()[field]
        value[next(iter(value))] |= change
        with pytest.raises(ConfigError, match=word):
            Equations.of(ShopParameters.default({field: value}), np.ones(6), np.ones(6))


def test_a_misspelt_parameter_is_named() -> None:
    with pytest.raises(ConfigError, match="qiet_from"):
        ShopParameters.default({"qiet_from": 3})


@pytest.mark.parametrize(
    ("change", "numbers", "word"),
    [
        ({"period_days": 7}, {}, "period_days"),
        ({}, {"customers": 0}, "customers"),
        ({}, {"decisions": 0}, "decisions"),
        ({}, {"exploration": 1.5}, "exploration"),
    ],
)
def test_what_makes_no_shop_is_refused(change: dict[str, int], numbers: dict[str, float], word: str) -> None:
    asked = {"customers": 2, "decisions": 2, "exploration": 0.3} | numbers
    with pytest.raises(ConfigError, match=word):
        simulate(ShopParameters.default(change), **asked)  # type: ignore[arg-type]


# The policy of the log


def test_propensities_are_the_true_frequencies(shop: SimulatedShop) -> None:
    """Three moments, decided 60,000 times each: counts of (arm, slot) against the propensities told."""
    equations, times = shop.equations, 60_000
    rules_alone = (shop.decisions.eligible.sum(axis=1) > 6).nonzero()[0][:3]
    for number, row in enumerate(rules_alone.tolist()):
        rows = np.full(times, row)
        slots = Slots.after(
            shop.decisions.decided[rows],
            shop.people.zone[shop.decisions.customer[rows]],
            Clock.of(tuple(PARAMETERS.zones), int(shop.decisions.decided[row]), int(shop.decisions.decided[row])),
            PARAMETERS,
        )
        answers = Answers.none(times, len(equations.channels))
        eligible = shop.decisions.eligible[rows]
        chosen = choose(equations, eligible, slots, answers, 0.3, np.random.default_rng(number))
        both = chosen.propensity * chosen.slot_propensity
        cells = np.stack([chosen.arm, chosen.slot], axis=1)
        kinds, first, counts = np.unique(cells, axis=0, return_index=True, return_counts=True)
        told = both[first]
        assert len(kinds) == 1 + (eligible[0].sum() - 1) * slots.allowed[0].sum(), "all that could be, and no more"
        assert told.sum() == pytest.approx(1.0)
        assert stats.chisquare(counts, told * times).pvalue > 1e-4
        arms, first, counts = np.unique(chosen.arm, return_index=True, return_counts=True)
        assert stats.chisquare(counts, chosen.propensity[first] * times).pvalue > 1e-4
        assert set(arms.tolist()) == set(np.flatnonzero(eligible[0]).tolist())


def test_weighted_by_their_propensities_all_arms_are_chosen_as_often_as_they_can_be(shop: SimulatedShop) -> None:
    decisions = shop.decisions
    for arm in range(len(shop.equations.arms)):
        could = decisions.eligible[:, arm]
        chosen = decisions.arm == arm
        excess = np.where(chosen, 1 / decisions.propensity, 0.0)[could] - 1
        assert abs(excess.sum()) < SIGMAS * np.sqrt((excess**2).sum()) + 1e-9, shop.equations.arms.pair(arm)


def test_the_rules_take_the_first_action_on_the_best_channel_at_the_usual_hour(shop: SimulatedShop) -> None:
    arms, channels = shop.equations.arms, shop.equations.channels
    eligible = np.zeros((3, len(arms)), dtype=bool)
    eligible[:, 0] = True
    for pair in (("win_back", "email"), ("cart_reminder", "sms"), ("cart_reminder", "web_push")):
        eligible[:2, arms.find(*pair)] = True
    answers = Answers.none(3, len(channels))
    sms, push = channels.index("sms"), channels.index("web_push")
    answers.sent[1, [sms, push]], answers.clicked[1, sms] = 3, 1
    answers.hours[1, 17], answers.hours[1, 9] = 2, 1
    found = [arms.pair(arm) for arm in ruled_arms(shop.equations, eligible, answers).tolist()]
    assert found == [("cart_reminder", "web_push"), ("cart_reminder", "sms"), ("hold", None)]

    cell = np.tile(np.arange(24), (3, 1))
    slots = Slots(cell * HOUR, cell, (cell >= 8) & (cell < 21))
    answers.hours[2, 23] = 5
    assert ruled_slots(PARAMETERS, slots, answers).tolist() == [10, 17, 20]


# One world


def test_nothing_breaks_consent_eligibility_or_quiet_hours(shop: SimulatedShop) -> None:
    decisions, arms = shop.decisions, shop.equations.arms
    rows = np.arange(len(decisions))
    assert decisions.eligible[rows, decisions.arm].all()
    assert decisions.eligible[rows, decisions.ceiling_arm].all()
    zones = [ZoneInfo(name) for name in PARAMETERS.zones]
    sent = decisions.arm > 0
    assert (decisions.sent[~sent] == decisions.decided[~sent]).all()
    waited = decisions.sent[sent] - decisions.decided[sent]
    assert (waited > 0).all()
    assert (waited <= DAY).all()
    for row in np.flatnonzero(sent)[:2000].tolist():
        zone = zones[shop.people.zone[decisions.customer[row]]]
        at = datetime.fromtimestamp(int(decisions.sent[row]) / 1e6, UTC).astimezone(zone)
        assert 8 <= at.hour < 21
    allowed = (shop.people.consented & shop.people.reachable)[decisions.customer]
    for name in ("email", "sms", "whatsapp", "ads"):  # where nothing can be gained
        place = shop.equations.channels.index(name)
        asked = decisions.eligible[:, arms.channel == place].any(axis=1)
        assert not (asked & ~allowed[:, place]).any(), name
    gone: set[tuple[int, int]] = set()
    again = {"email", "sms", "whatsapp"}  # the others can be subscribed to anew
    for row in rows.tolist():
        who, channel = int(decisions.customer[row]), int(arms.channel[decisions.arm[row]])
        could = {int(one) for one in arms.channel[decisions.eligible[row]] if one >= 0}
        assert not {one for one in could if (who, one) in gone and arms.channels[one] in again}
        if decisions.unsubscribed[row] < NEVER:
            gone.add((who, channel))
    assert len(gone) > 30


def test_outcomes_lie_in_their_window_and_no_two_windows_meet(shop: SimulatedShop) -> None:
    decisions = shop.decisions
    for name in ("opened", "clicked", "visited", "converted", "unsubscribed", "complained"):
        time = getattr(decisions, name)
        happened = time < NEVER
        assert happened.any(), name
        assert ((time > decisions.decided) & (time < decisions.decided + 7 * DAY))[happened].all(), name
        if name not in ("visited", "converted"):
            assert (time > decisions.sent)[happened].all(), name
            assert (decisions.arm > 0)[happened].all(), name
    by = np.lexsort((decisions.decided, decisions.customer))
    gap = np.diff(decisions.decided[by])
    assert (gap[np.diff(decisions.customer[by]) == 0] > 7 * DAY).all()


def test_decisions_are_spread_over_hours_and_days(shop: SimulatedShop) -> None:
    for unit, kinds in ((HOUR, 24), (DAY, 7)):
        counts = np.bincount(shop.decisions.decided // unit % kinds, minlength=kinds)
        assert counts.min() > 0.5 * counts.mean()


def test_orders_of_the_window_are_the_orders_of_the_log(shop: SimulatedShop) -> None:
    decisions, events = shop.decisions, shop.events
    bought = decisions.converted < NEVER
    lines = events.kind == Kind.PURCHASE
    orders = {(int(who), int(time)): 0.0 for who, time in zip(events.customer[lines], events.time[lines], strict=True)}
    for who, time, product in zip(events.customer[lines], events.time[lines], events.product[lines], strict=True):
        orders[int(who), int(time)] += float(shop.products.margin[product])
    for row in np.flatnonzero(bought).tolist():
        key = int(decisions.customer[row]), int(decisions.converted[row])
        assert decisions.value[row] == pytest.approx(orders.pop(key))
    assert all(time < decisions.decided.min() + 10 * DAY for _, time in orders), "what is left is from before the log"
    assert (decisions.value[~bought] == 0).all()
    assert (np.diff(events.time) >= 0).all()
    assert not np.isin(events.kind, [Kind.SEND, Kind.OPEN, Kind.CLICK, Kind.UNSUBSCRIBE]).any()


def test_whoever_attends_an_offer_and_orders_gets_it(shop: SimulatedShop) -> None:
    decisions, arms = shop.decisions, shop.equations.arms
    contact = shop.equations.cost[decisions.arm]
    names = [split_label(arms.pair(arm)[0])[1] for arm in range(len(arms))]
    offer = np.array([name is not None for name in names])[decisions.arm]
    gets = offer & (decisions.clicked < NEVER) & (decisions.converted < NEVER)
    assert gets.sum() > 30
    assert (decisions.cost[gets] > contact[gets] + 0.1).all()
    assert np.allclose(decisions.cost[~gets], contact[~gets])


def test_people_are_as_the_parameters_say(shop: SimulatedShop) -> None:
    for name, says in PARAMETERS.traits.items():
        share = np.bincount(shop.people.hidden[name], minlength=len(says.share)) / len(shop.people)
        expected = shop.people.prior[name].mean(axis=0)
        spread = np.sqrt(expected * (1 - expected) / len(shop.people))
        assert (np.abs(share - expected) < SIGMAS * spread).all(), name
    response = list(PARAMETERS.traits["response"].share)
    dogs = (shop.people.hidden["response"] == response.index("sleeping_dog")).mean()
    assert 0.10 < dogs < 0.16


# Files


def test_the_dataset_keeps_the_contract(shop: SimulatedShop, tmp_path: Path) -> None:
    small = simulate(PARAMETERS, customers=50, decisions=120, seed=3)
    write(small, tmp_path)
    data = read_dataset(tmp_path, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert {name: len(report.rejected) for name, report in data.report.items()} == dict.fromkeys(data.report, 0)
    assert all(not report.ignored for report in data.report.values())
    assert data.messages is not None
    assert data.customers is not None
    assert len(data.messages) == 120
    assert len(data.customers) == 50
    assert {"age_band", "skin_type", "source", "member", "device", "account"} <= set(data.customers)
    held = data.messages["action"] == "hold"
    assert held.any()
    assert data.messages.loc[held, "channel"].isna().all()
    assert (data.messages.loc[held, "send_at_propensity"] == 1).all()
    sent = data.messages[~held]
    for action, offer, channel, could in sent[["action", "offer", "channel", "eligible"]].itertuples(index=False):
        name = f"{action}:{offer}" if isinstance(offer, str) else action
        assert f"{name}@{channel}" in could
    assert (data.messages["sent_at"] >= data.messages["decided_at"]).all()


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder, seed in (("one", 5), ("same", 5), ("other", 6)):
        write(simulate(PARAMETERS, customers=30, decisions=60, seed=seed), tmp_path / folder)
    files = sorted(file.relative_to(tmp_path / "one") for file in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 7
    for file in files:
        one, same, other = ((tmp_path / name / file).read_bytes() for name in ("one", "same", "other"))
        assert one == same, file
        assert one != other, file


def test_decisions_that_do_not_divide_leave_some_people_out_of_the_last_round() -> None:
    shop = simulate(PARAMETERS, customers=30, decisions=70, seed=0)
    counts = np.bincount(shop.decisions.customer, minlength=30)
    assert counts.tolist() == [3] * 10 + [2] * 20
