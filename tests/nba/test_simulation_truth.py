"""What decisions are worth: the equations told again one number at a time, the log they made, and Bayes by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from features.events import DAY, HOUR, NEVER
from nba.arms import split_label
from nba.simulation.beliefs import Beliefs
from nba.simulation.equations import Equations, Situation
from nba.simulation.files import write
from nba.simulation.parameters import ShopParameters
from nba.simulation.people import TRAITS, People, Products
from nba.simulation.shop import SimulatedShop, simulate
from nba.simulation.truth import Truth, true_values

PARAMETERS = ShopParameters.default()
SIGMAS = 4.0


@pytest.fixture(scope="module")
def shop() -> SimulatedShop:
    return simulate(PARAMETERS, customers=4000, decisions=40_000, seed=21)


@pytest.fixture(scope="module")
def truth(shop: SimulatedShop) -> Truth:
    return Truth.of(shop)


def classes(equations: Equations, hidden: Mapping[str, int]) -> dict[str, str]:
    return {name: equations.trait(name)[place] for name, place in hidden.items()}


# The equations, one number at a time


def attended(
    says: ShopParameters, equations: Equations, person: Mapping[str, str], arm: int, cell: int, f: float
) -> float:
    text, channel = equations.arms.pair(arm)
    assert channel is not None
    action = says.actions[split_label(text)[0]]
    lift = equations.lift[equations.channels.index(channel), equations.trait("rhythm").index(person["rhythm"]), cell]
    tires = says.patience[person["patience"]].tires
    return float(action.notice * says.habit[person["habit"]][channel] * lift * math.exp(-tires * f))


def order(
    says: ShopParameters, person: Mapping[str, str], scale: float, appeal: float, text: str | None, works: float
) -> float:
    """Chance of an order; ``works``: share of the effect of a contact with ``text``."""
    response = says.response[person["response"]]
    base = scale * response.buy * says.activity[person["activity"]].buying
    if text is None:
        return base
    name, offer = split_label(text)
    action = says.actions[name]
    raised = appeal * action.potency * response.persuaded - action.annoys * response.annoyed
    if offer is not None:
        raised += says.offers[offer].lure * response.lured * says.price[person["price"]].lured
    return base * (1 + works * raised)


def appeal_of(says: ShopParameters, text: str, attributes: Mapping[str, str]) -> float:
    factors = says.appeal.get(split_label(text)[0], {})
    return math.prod(values.get(attributes[name], 1.0) for name, values in factors.items())


def test_the_expectation_is_that_of_attending_and_ordering_one_by_one(shop: SimulatedShop, truth: Truth) -> None:
    equations, arms = shop.equations, truth.arms
    generator = np.random.default_rng(0)
    rows = generator.integers(len(truth), size=300)
    arm = generator.integers(len(arms), size=300)
    send_at = truth.decided[rows] + generator.integers(24 * HOUR, size=300)
    found = truth.expected(rows, arm, send_at)
    for value, row, chosen, at in zip(found.tolist(), rows.tolist(), arm.tolist(), send_at.tolist(), strict=True):
        person = classes(equations, {name: int(truth.hidden[name][row]) for name in TRAITS})
        values = {name: list(PARAMETERS.attributes[name])[truth.attributes[name][row]] for name in truth.attributes}
        taste = truth.hidden["taste"][row]
        margin, revenue, scale = equations.margin[taste], equations.revenue[taste], truth.scale[row]
        text, channel = arms.pair(chosen)
        if channel is None:
            expected = margin * order(PARAMETERS, person, scale, 1.0, None, 0.0)
        else:
            zone = truth.zone[row : row + 1]
            [cell] = truth._clock.cells(zone, np.array([at]))
            q = attended(PARAMETERS, equations, person, chosen, int(cell), float(truth.fatigue[row]))
            appeal = appeal_of(PARAMETERS, text, values)
            seen = order(PARAMETERS, person, scale, appeal, text, 1.0)
            unseen = order(PARAMETERS, person, scale, appeal, text, PARAMETERS.unattended_share)
            offer = split_label(text)[1]
            given = PARAMETERS.offers[offer].share * revenue + PARAMETERS.offers[offer].fixed if offer else 0.0
            expected = q * seen * (margin - given) + (1 - q) * unseen * margin - PARAMETERS.channels[channel].cost
        assert value == pytest.approx(expected, rel=1e-9)


def test_margin_and_revenue_of_an_order_are_those_of_many_orders() -> None:
    generator = np.random.default_rng(3)
    products = Products.draw(PARAMETERS, generator)
    margin, revenue = products.order(PARAMETERS)
    for taste in range(2):
        n = 40_000
        chances = np.array(PARAMETERS.catalogue.lines)
        owner = np.repeat(np.arange(n), generator.choice(np.arange(1, 5), n, p=chances / chances.sum()))
        taken = products.take(np.full(len(owner), taste), generator)
        for column, expected in ((products.margin, margin[taste]), (products.price, revenue[taste])):
            sums = np.bincount(owner, column[taken], n)
            assert abs(sums.mean() - expected) < SIGMAS * sums.std() / math.sqrt(n)


# What happened against what was to be expected


def z(excess: np.ndarray) -> float:
    return float(abs(excess.sum()) / np.sqrt((excess**2).sum()))


def test_outcomes_are_worth_on_average_what_the_truth_expects(shop: SimulatedShop, truth: Truth) -> None:
    decisions = shop.decisions
    rows = np.arange(len(truth))
    excess = decisions.value - decisions.cost - truth.expected(rows, decisions.arm, decisions.sent)
    assert z(excess) < SIGMAS
    groups = [truth.hidden["response"] == one for one in range(4)]
    groups += [decisions.arm == 0, decisions.arm > 0]
    groups += [
        np.isin(decisions.arm, [truth.arms.find(text, channel) for channel in truth.arms.channels])
        for text in truth.arms.actions
    ]
    large = [
        group for group in groups if group.sum() > 300
    ]  # in small ones without an order the sum is far from normal
    assert len(large) > 18
    for group in large:
        assert z(excess[group]) < SIGMAS


def test_contacts_are_attended_as_often_as_the_equations_say(shop: SimulatedShop, truth: Truth) -> None:
    decisions, equations = shop.decisions, shop.equations
    rows = np.flatnonzero(decisions.arm > 0)
    weights, situation, _ = truth._terms(rows)
    cells = truth._clock.cells(truth.zone[rows], decisions.sent[rows])
    chances = equations.attended(weights, situation.fatigue, cells[:, None])[:, :, 0]
    arm = decisions.arm[rows]
    channel = equations.arms.channel[arm]
    chance = chances[np.arange(len(rows)), channel] * equations.notice[equations.arms.action[arm]]
    excess = (decisions.clicked[rows] < NEVER) - chance
    for one in range(len(equations.channels)):
        for first, last in ((8, 12), (12, 17), (17, 21)):
            part = (channel == one) & (cells % 24 >= first) & (cells % 24 < last)
            assert z(excess[part]) < SIGMAS, (equations.channels[one], first)


# Beliefs


def test_beliefs_are_those_of_weighing_every_joint_class_by_hand() -> None:
    """8,640 joint classes of the seven traits, each weighed with all that was seen, one number at a time."""
    generator = np.random.default_rng(8)
    products = Products.draw(PARAMETERS, generator)
    equations = Equations.of(PARAMETERS, *products.order(PARAMETERS))
    people = People.draw(equations, 2, generator)
    categories = products.of_category(6)
    beliefs = Beliefs(equations, people, categories)

    both, first = np.array([0, 1]), np.array([0])
    hours, looked = [20, 13, 24 + 21], [2, 2, 0, 4]
    beliefs.saw_hours(np.zeros(3, dtype=np.int64), np.array(hours))
    beliefs.saw_products(np.zeros(4, dtype=np.int64), np.array(looked))
    beliefs.saw_visits(np.array([3, 0]))
    browse = equations.activities("browse")
    beliefs.saw_trigger(np.tile(np.stack([1 - browse, browse], axis=1), (2, 1, 1)), np.array([1, 0]))
    contacts = [
        (("cart_reminder", "app_push"), 19, 0.0, True, True),
        (("first_order_offer:discount_10", "email"), 9, 0.7, False, False),
        (("first_order_offer:discount_15", "email"), 24 + 8, 1.2, True, False),
    ]
    for pair, cell, tired, clicked, bought in contacts:
        arm = equations.arms.find(*pair)
        action, channel = (
            np.array([column[arm]], dtype=np.int64) for column in (equations.arms.action, equations.arms.channel)
        )
        beliefs.saw_contact(first, action, channel, np.array([cell]), np.array([tired]), np.array([clicked]))
        situation = Situation(np.full(2, 1.8), np.full(2, tired), people.appeal)
        chances = equations.order_chances(situation, np.array([action[0], -1]), np.array([clicked, False]))
        beliefs.saw_outcome(both, chances, np.array([bought, True]))
        farewell = PARAMETERS.channels[pair[1]].unsubscribe
        beliefs.saw_outcome(
            first, equations.farewell_chances(np.array([farewell]), np.array([tired])), np.array([cell == 9])
        )

    consented = {name: bool(people.consented[0, place]) for place, name in enumerate(equations.channels)}
    values = {name: list(PARAMETERS.attributes[name])[places[0]] for name, places in people.attributes.items()}
    names = [equations.trait(name) for name in TRAITS]
    joint = np.zeros([len(one) for one in names])
    for at in itertools.product(*(range(len(one)) for one in names)):
        person = dict(zip(TRAITS, (one[place] for one, place in zip(names, at, strict=True)), strict=True))
        joint[at] = weight(equations, person, values, consented, hours, looked, contacts, categories)
    joint /= joint.sum()
    found = beliefs.weights()
    response, price, activity, habit, rhythm, patience, taste = range(7)
    assert np.allclose(found.reach[0], joint.sum(axis=(response, price, activity, taste)), atol=1e-12)
    assert np.allclose(found.buying[0], joint.sum(axis=(habit, rhythm, patience, taste)).ravel(), atol=1e-12)
    assert np.allclose(found.taste[0], joint.sum(axis=(0, 1, 2, 3, 4, 5)), atol=1e-12)
    assert found.buying[0].max() > 0.1, "something was learned"

    # and the expectation under beliefs is that under the joint posterior, though it is no product of three blocks
    arm = equations.arms.find("first_order_offer:discount_10", "app_push")
    assert arm == -1, "no such arm"
    arm = equations.arms.find("first_order_offer:discount_10", "web_push")
    situation = Situation(np.array([1.2]), np.array([0.4]), people.appeal[:1])
    one = type(found)(found.reach[:1], found.buying[:1], found.taste[:1])
    chance = equations.attended(one, situation.fatigue, np.array([[18]]))[:, equations.channels.index("web_push"), 0]
    value = equations.expected(equations.terms(one, situation), np.array([arm]), 1.10 * chance)
    by_hand = 0.0
    for at in itertools.product(*(range(len(one)) for one in names)):
        person = dict(zip(TRAITS, (one[place] for one, place in zip(names, at, strict=True)), strict=True))
        q = attended(PARAMETERS, equations, person, arm, 18, 0.4)
        seen, unseen = (
            order(PARAMETERS, person, 1.2, 1.0, "first_order_offer:discount_10", works) for works in (1.0, 0.05)
        )
        margin, revenue = equations.margin[at[taste]], equations.revenue[at[taste]]
        by_hand += joint[at] * (q * seen * (margin - 0.1 * revenue) + (1 - q) * unseen * margin - 0.001)
    assert value[0] == pytest.approx(by_hand, rel=1e-9)


def weight(
    equations: Equations,
    person: Mapping[str, str],
    values: Mapping[str, str],
    consented: Mapping[str, bool],
    hours: list[int],
    looked: list[int],
    contacts: list[tuple[tuple[str, str], int, float, bool, bool]],
    categories: np.ndarray,
) -> float:
    """How likely all that was seen of somebody is, together with their being of these classes."""
    likely: float = 1.0
    for trait, name in person.items():
        says = PARAMETERS.traits[trait]
        odds = {
            one: share * math.exp(sum(by.get(values[key], {}).get(one, 0.0) for key, by in says.leaning.items()))
            for one, share in says.share.items()
        }
        likely *= odds[name] / sum(odds.values())
    for channel, consents in consented.items():
        share = PARAMETERS.channels[channel].consent
        if share < 1:
            mean = sum(habit[channel] for habit in PARAMETERS.habit.values()) / len(PARAMETERS.habit)
            doublings = math.log2(PARAMETERS.habit[person["habit"]][channel] / mean)
            odd = share / (1 - share) * PARAMETERS.consents.odds_per_doubling**doublings
            likely *= odd / (1 + odd) if consents else 1 / (1 + odd)
    rhythm, taste = equations.trait("rhythm").index(person["rhythm"]), equations.trait("taste").index(person["taste"])
    likely *= math.prod(equations.activity[rhythm, hour] for hour in hours)
    likely *= math.prod(categories[taste, category] for category in looked)
    activity = PARAMETERS.activity[person["activity"]]
    likely *= math.exp(-activity.sessions) * activity.sessions**3 / 6 * activity.browse
    for pair, cell, tired, clicked, bought in contacts:
        q = attended(PARAMETERS, equations, person, equations.arms.find(*pair), cell, tired)
        likely *= q if clicked else 1 - q
        works = 1.0 if clicked else PARAMETERS.unattended_share
        p = order(PARAMETERS, person, 1.8, appeal_of(PARAMETERS, pair[0], values), pair[0], works)
        likely *= p if bought else 1 - p
        leaves = PARAMETERS.channels[pair[1]].unsubscribe * (1 + 0.8 * tired)
        leaves *= 3.0 if person["response"] == "sleeping_dog" else 1.0
        likely *= leaves if cell == 9 else 1 - leaves
    return float(likely)


def test_beliefs_come_true(shop: SimulatedShop) -> None:
    """Of people believed to be of a class with chance p, a share p is, for every class and at every level of belief."""
    hidden, equations = shop.people.hidden, shop.equations
    size = [len(equations.trait(name)) for name in ("response", "price", "activity")]
    buying = shop.beliefs.buying.reshape(-1, *size)
    found = {
        "response": buying.sum(axis=(2, 3)),
        "price": buying.sum(axis=(1, 3)),
        "activity": buying.sum(axis=(1, 2)),
        "habit": shop.beliefs.reach.sum(axis=(2, 3)),
        "rhythm": shop.beliefs.reach.sum(axis=(1, 3)),
        "patience": shop.beliefs.reach.sum(axis=(1, 2)),
        "taste": shop.beliefs.taste,
    }
    for name, beliefs in found.items():
        for one in range(beliefs.shape[1]):
            p, truly = beliefs[:, one], hidden[name] == one
            for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.0)):
                part = (p >= low) & (p <= high)
                spread = math.sqrt((p[part] * (1 - p[part])).sum())
                if spread > 3:
                    assert abs((truly[part] - p[part]).sum()) < SIGMAS * spread, (name, one, low)
        own = beliefs[np.arange(len(beliefs)), hidden[name]].mean()
        share = shop.people.prior[name][np.arange(len(beliefs)), hidden[name]].mean()
        assert own > share, f"{name}: history tells more than attributes"


# Ceiling and oracle


def test_the_ceiling_gets_what_it_expects(shop: SimulatedShop, truth: Truth) -> None:
    ceiling = truth.ceiling()
    gets = truth.expected(np.arange(len(truth)), ceiling.arm, ceiling.send_at)
    by_person = np.bincount(shop.decisions.customer, gets - shop.decisions.ceiling_value)
    assert z(by_person) < SIGMAS


def test_the_oracle_is_best_row_by_row(truth: Truth) -> None:
    rows = np.arange(0, len(truth), 30)
    oracle = truth.oracle()
    best = truth.expected(rows, oracle.arm[rows], oracle.send_at[rows])
    assert truth.eligible[rows, oracle.arm[rows]].all()
    slots = truth.slots(rows)
    for arm in range(len(truth.arms)):
        for slot in range(0, 24, 5):
            may = truth.eligible[rows, arm] & slots.allowed[:, slot]
            value = truth.expected(rows, np.full(len(rows), arm), slots.time[:, slot])
            assert (value[may] <= best[may] + 1e-9).all()
    ceiling = truth.ceiling()
    assert (truth.expected(rows, ceiling.arm[rows], ceiling.send_at[rows]) <= best + 1e-9).all()


def test_no_constant_comes_near_the_ceiling_and_the_log_lies_between(shop: SimulatedShop, truth: Truth) -> None:
    values = true_values(truth, shop.decisions)
    assert values["hold"] < values["logged"] < values["ceiling"] < values["oracle"]
    rows = np.arange(0, len(truth), 15)
    constants = []
    for arm in range(len(truth.arms)):
        choices = truth.constant(rows, arm, 10)
        constants.append(truth.expected(rows, choices.arm, choices.send_at).mean())
    ceiling = truth.ceiling()
    gain = truth.expected(rows, ceiling.arm[rows], ceiling.send_at[rows]).mean() - constants[0]
    assert max(constants) - constants[0] < 0.6 * gain
    assert 0.05 < gain / constants[0] < 0.20, "real, but not enormous"


def test_contact_helps_the_persuadable_and_harms_sleeping_dogs(truth: Truth) -> None:
    arm = truth.arms.find("cart_reminder", "email")
    rows = np.flatnonzero(truth.eligible[:, arm])
    choices = truth.constant(rows, arm, 10)
    value = truth.expected(rows, choices.arm, choices.send_at)
    hold = truth.expected(rows, np.zeros(len(rows), dtype=np.int64), truth.decided[rows])
    gain = {}
    for place, name in enumerate(truth.equations.trait("response")):
        part = truth.hidden["response"][rows] == place
        gain[name] = (value - hold)[part].mean() / hold[part].mean()
    assert 0.1 < gain["persuadable"] < 0.4
    assert gain["sleeping_dog"] < -0.05
    assert abs(gain["sure_thing"]) < 0.05


# Beside the dataset


def test_the_truth_beside_a_dataset_is_that_in_memory(tmp_path: Path) -> None:
    shop = simulate(PARAMETERS, customers=60, decisions=200, seed=2)
    write(shop, tmp_path)
    memory, disk = Truth.of(shop), Truth.read(tmp_path)
    rows = memory.rows([memory.message_ids[7], memory.message_ids[3]])
    assert rows.tolist() == [7, 3]
    everything = np.arange(200)
    decisions = shop.decisions
    for one in (memory, disk):
        assert one.message_ids == memory.message_ids
        assert (one.ceiling().arm == decisions.ceiling_arm).all()
        assert (one.ceiling().send_at == decisions.ceiling_sent).all()
        assert (one.oracle().arm == memory.oracle().arm).all()
        assert (one.eligible == decisions.eligible).all()
    expected = [one.expected(everything, decisions.arm, decisions.sent) for one in (memory, disk)]
    assert (expected[0] == expected[1]).all()
    with pytest.raises(OSError, match="parameters"):
        Truth.read(tmp_path / "elsewhere")
    with pytest.raises(KeyError):
        disk.rows(["m-9999999"])


def test_a_contact_two_weeks_later_can_be_valued_too(truth: Truth) -> None:
    rows = np.array([len(truth) - 1])
    arm = np.array([1])
    value = truth.expected(rows, arm, truth.decided[rows] + 14 * DAY)
    assert np.isfinite(value).all()
    assert truth.expected(rows, np.array([0]), np.array([NEVER])) == truth.expected(
        rows, np.array([0]), truth.decided[rows]
    )
