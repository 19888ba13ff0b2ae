"""The decision by hand: which arm, when, with what chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from features.catalogue import Number
from nba.asked import Asked, Constraints
from nba.choose import NEVER, best_arms, choose
from nba.config import NbaConfig
from nba.decide import decide, weighed
from nba.draws import draws, nth
from nba.telling import told
from tests.nba.simple_models import Contact, PriorModel, TableModel, contacts_of, crowd_of, moment

HOUR = 3_600_000_000
DAY = 24 * HOUR
AT = moment("2026-03-02 10:17")
GREEDY = Asked(explore=False)


def shop(**tables: Any) -> NbaConfig:
    """Two channels, two actions."""
    return NbaConfig.of(
        {
            "policy": {"exploration": 0.2, "holdout": 0.1},
            "channels": {"email": {"cost": 0.01}, "push": {}},
            "actions": {"news": {"channels": ["email", "push"], "value": 1.0}, "letter": {"channels": ["email"]}},
            **tables,
        }
    )


def test_the_most_valuable_arm_at_the_best_hour_of_their_own_day() -> None:
    config = shop()
    model = PriorModel(config, attend={"email": 0.4, "push": 0.3}, best_hour={"email": 18}, base=5.0)
    crowd = crowd_of([AT], channels=config.channels, zones=["America/New_York"])
    answer = told(decide(GREEDY, crowd, model, config), 0)
    assert answer["choice"] == {
        "action": "news",
        "channel": "email",
        "send_at": "2026-03-02T23:00:00Z",
        "product_ids": [],
    }
    assert answer["incremental_value"] == pytest.approx(1.0 * 0.4 * 2 - 0.01)
    assert answer["expected_value"] == pytest.approx(5.79)
    assert answer["interval"] == pytest.approx([0.79 - 1.96 * 0.08, 0.79 + 1.96 * 0.08], abs=1e-4)
    assert (answer["propensity"], answer["send_at_propensity"]) == (1.0, 1.0)
    assert [(other["action"], other["channel"]) for other in answer["alternatives"]] == [
        ("news", "push"),
        ("hold", None),
        ("letter", "email"),
    ]
    assert "ask_again_at" not in answer


def test_where_all_else_is_equal_the_channel_they_are_most_active_on_wins() -> None:
    config = shop(channels={"email": {}, "push": {}})
    for likely in ("email", "push"):
        model = PriorModel(config, attend={likely: 0.21})
        decided = decide(GREEDY, crowd_of([AT], channels=config.channels), model, config)
        assert config.arms.pair(int(decided.chosen.arm[0])) == ("news", likely)


def test_hold_wins_where_nothing_pays_and_says_when_to_ask_again() -> None:
    config = shop()
    answer = told(decide(GREEDY, crowd_of([AT], channels=config.channels), PriorModel(config, attention=1), config), 0)
    assert answer["choice"] == {"action": "hold", "channel": None, "send_at": None, "product_ids": []}
    assert answer["incremental_value"] == 0.0
    assert answer["ask_again_at"] == "2026-03-03T00:00:00Z"


def test_a_price_on_a_budget_moves_the_choice() -> None:
    config = shop()
    crowd, model = crowd_of([AT], channels=config.channels), PriorModel(config, attend={"email": 0.4})
    arms = config.arms
    price = np.zeros(len(arms))
    price[arms.find("news", "email")] = 0.25
    decided = decide(GREEDY, crowd, model, config, prices=price)
    assert arms.pair(int(decided.chosen.arm[0])) == ("news", "push")
    assert decided.chosen.incremental_value[0] == pytest.approx(0.2)  # prices are not part of what is told


def test_a_deeper_offer_is_chosen_only_if_it_is_worth_more() -> None:
    offers = [{"name": "five", "cost": 0.1}, {"name": "ten", "cost": 0.2}]
    config = shop(actions={"offer": {"channels": ["push"], "offers": offers}})
    crowd = crowd_of([AT], channels=config.channels)

    def chosen(five: float, ten: float) -> tuple[str, float]:
        model = PriorModel(config, attend={"push": 0.5}, gain={"offer:five": five, "offer:ten": ten})
        decided = decide(GREEDY, crowd, model, config)
        return config.arms.pair(int(decided.chosen.arm[0]))[0], float(decided.weighed.value[0, 2])

    assert chosen(1.0, 1.1)[0] == "offer:five"
    assert chosen(1.0, 1.3)[0] == "offer:ten"
    label, worth = chosen(1.0, 0.2)
    assert (label, round(worth, 9)) == ("offer:five", 0.5 - 0.2)  # ten moves people no less than five


def test_variants_without_order_keep_their_own_gain() -> None:
    offers = [{"name": "wheel"}, {"name": "card"}]
    config = shop(actions={"form": {"channels": ["push"], "offers": offers, "offers_deepen": False}})
    model = PriorModel(config, gain={"form:wheel": 1.0, "form:card": 0.2})
    decided = decide(GREEDY, crowd_of([AT], channels=config.channels), model, config)
    assert decided.weighed.value[0].tolist() == pytest.approx([0, 0.2, 0.04])


def test_a_window_after_something() -> None:
    config = shop(
        actions={
            "remind": {
                "channels": ["email"],
                "value": 1.0,
                "window": {"since": "since_cart", "from_hours": 1, "to_hours": 3},
            }
        }
    )
    model = PriorModel(config)

    def at(since: float) -> str | None:
        crowd = crowd_of([AT], channels=config.channels, state={"since_cart": [since]})
        found: str | None = told(decide(GREEDY, crowd, model, config), 0)["choice"]["send_at"]
        return found

    assert at(0.0) == "2026-03-02T12:00:00Z"  # 11:17 is the earliest, 12:00 the first full hour
    assert at(2 / 24) == "2026-03-02T10:17:00Z"
    assert at(4 / 24) is None
    assert at(float("nan")) is None


def test_a_window_before_something() -> None:
    window = {"until": "expected_next_order_days", "from_hours": -48, "to_hours": -24}
    config = shop(actions={"remind": {"channels": ["email"], "value": 1.0, "window": window}})
    crowd = crowd_of([AT], channels=config.channels)
    crowd = replace(crowd, attributes={"expected_next_order_days": Number(np.array([3.0]))})
    answer = told(decide(GREEDY, crowd, PriorModel(config), config), 0)
    assert answer["choice"]["send_at"] == "2026-03-03T11:00:00Z"
    crowd = replace(crowd, attributes={"expected_next_order_days": Number(np.array([0.5]))})
    answer = told(decide(GREEDY, crowd, PriorModel(config), config), 0)
    assert answer["excluded"] == [
        {"action": "remind", "channel": "email", "stage": "applicability", "code": "outside_window"}
    ]


def test_what_fades_is_not_put_off_for_a_slightly_better_hour() -> None:
    def sent(fades: float | None) -> Any:
        action = {"channels": ["email"], "value": 1.0, **({} if fades is None else {"fades_hours": fades})}
        config = shop(actions={"remind": action})
        model = PriorModel(config, best_hour={"email": 18})
        return told(decide(GREEDY, crowd_of([AT], channels=config.channels), model, config), 0)["choice"]["send_at"]

    assert sent(None) == "2026-03-02T18:00:00Z"
    assert sent(48) == "2026-03-02T18:00:00Z"
    assert sent(3) == "2026-03-02T10:17:00Z"


def test_an_action_of_the_page_happens_now_or_not_at_all() -> None:
    config = shop(actions={"banner": {"channels": ["push"], "value": 1.0, "on_page": True}})
    crowd = crowd_of([AT], channels=config.channels)
    decided = decide(Asked(), crowd, PriorModel(config, best_hour={"push": 20}), config)
    assert decided.weighed.slot[0].tolist() == [-1, 0]
    quiet = NbaConfig.of({**config.model_dump(), "contact": {"quiet_hours": [10, 11]}})
    answer = told(decide(GREEDY, crowd, PriorModel(quiet), quiet), 0)
    assert answer["excluded"] == [{"channel": "push", "stage": "contact_policy", "code": "quiet_hours"}]


# --- escalation -------------------------------------------------------------------------------------------------------

LADDER = {
    "channels": ["push", "email", "ads", "sms"],
    "value": 1.0,
    "window": {"since": "since_cart", "from_hours": 1, "to_hours": 96},
    "escalate": ["push", "email", "ads"],
    "escalate_hours": 6,
    "cooldown_hours": 72,
}


def steps(*contacts: Contact, consented: tuple[bool, ...] = (True, True, True, True)) -> dict[str, str]:
    """What is said of each channel: open, or the reason against it. The cart was left a day ago."""
    channels = ("push", "email", "ads", "sms")
    config = shop(channels={name: {} for name in channels}, actions={"remind": LADDER})
    crowd = crowd_of(
        [AT],
        channels=channels,
        state={"since_cart": [1.0]},
        contacts=contacts_of([list(contacts)]),
        consented=[list(consented)],
    )
    answer = told(decide(GREEDY, crowd, PriorModel(config), config), 0)
    found = dict.fromkeys(channels, "open")
    for reason in answer["excluded"]:
        for channel in [reason["channel"]] if "channel" in reason else channels:
            found[channel] = reason["code"]
    return found


def test_a_ladder_begins_with_the_first_channel_that_reaches_them() -> None:
    assert steps() == {"push": "open", "email": "not_its_turn", "ads": "not_its_turn", "sms": "open"}
    found = steps(consented=(False, True, True, True))
    assert found == {"push": "no_consent", "email": "open", "ads": "not_its_turn", "sms": "open"}


def test_what_was_ignored_is_followed_by_the_next_channel() -> None:
    found = steps((AT - 20 * HOUR, "remind", "push", False))
    assert found == {"push": "not_its_turn", "email": "open", "ads": "not_its_turn", "sms": "open"}
    found = steps((AT - 20 * HOUR, "remind", "push", False), (AT - 9 * HOUR, "remind", "email", False))
    assert found["ads"] == "open"
    found = steps(*((AT - hours * HOUR, "remind", on, False) for hours, on in ((20, "push"), (9, "email"), (1, "ads"))))
    assert {found[name] for name in ("push", "email", "ads")} == {"not_its_turn"}


def test_an_answer_ends_the_ladder() -> None:
    found = steps((AT - 20 * HOUR, "remind", "push", False), (AT - 9 * HOUR, "remind", "email", True))
    assert set(found.values()) == {"answered"}


def test_the_last_one_is_given_its_time_and_a_planned_one_is_a_step() -> None:
    channels = ("push", "email", "ads", "sms")
    config = shop(channels={name: {} for name in channels}, actions={"remind": LADDER})
    for sent, earliest in ((AT - 2 * HOUR, "2026-03-02T15:00:00Z"), (AT + 2 * HOUR, "2026-03-02T19:00:00Z")):
        contacts = contacts_of([[(sent, "remind", "push", False)]])
        crowd = crowd_of([AT], channels=channels, state={"since_cart": [1.0]}, contacts=contacts)
        model = PriorModel(config, attend={"email": 0.5})
        choice = told(decide(GREEDY, crowd, model, config), 0)["choice"]
        assert (choice["channel"], choice["send_at"]) == ("email", earliest)


def test_a_new_cart_is_a_new_ladder_but_cools_down_first() -> None:
    # Of the cart before, two days ago: what is said of the new one waits for the cooldown's 72 hours.
    channels = ("push", "email", "ads", "sms")
    config = shop(channels={name: {} for name in channels}, actions={"remind": LADDER})
    contacts = contacts_of([[(AT - 48 * HOUR, "remind", "push", False)]])
    crowd = crowd_of([AT], channels=channels, state={"since_cart": [1.0]}, contacts=contacts)
    decided = decide(GREEDY, crowd, PriorModel(config, attend={"push": 0.9}), config)
    choice = told(decided, 0)["choice"]
    assert (choice["channel"], choice["send_at"]) == ("push", "2026-03-03T11:00:00Z")


# --- chance -----------------------------------------------------------------------------------------------------------


def test_frequencies_are_the_propensities() -> None:
    n = 200_000
    config = shop(contact={"quiet_hours": [14, 8]})
    at = moment("2026-03-02 10:00")
    crowd = crowd_of([at] * n, channels=config.channels)
    decided = decide(Asked(horizon_hours=4), crowd, PriorModel(config), config)
    chosen = decided.chosen
    # Four arms, open at 10, 11, 12 and 13 o'clock; the best one is news by push, now.
    best = config.arms.find("news", "push")
    expected = np.full(4, 0.9 * 0.2 / 4)
    expected[0] += 0.1
    expected[best] += 0.9 * 0.8
    assert chosen.propensity == pytest.approx(expected[chosen.arm])
    assert chisquare(np.bincount(chosen.arm, minlength=4), expected * n).pvalue > 1e-4
    for arm in (1, 2, 3):
        mine = chosen.arm == arm
        chance = np.array([0.8 + 0.05, 0.05, 0.05, 0.05])
        assert chosen.send_at_propensity[mine] == pytest.approx(chance[chosen.slot[mine]])
        assert chisquare(np.bincount(chosen.slot[mine], minlength=4), chance * mine.sum()).pvalue > 1e-4
    assert (chosen.send_at_propensity[chosen.arm == 0] == 1.0).all()
    assert chosen.in_holdout.mean() == pytest.approx(0.1, abs=0.004)
    assert (chosen.arm[chosen.in_holdout] == 0).all()
    assert not chosen.explored[chosen.in_holdout].any()


def test_draws_stay_within_their_window_and_the_holdout_for_ever() -> None:
    policy = shop().policy
    ids = [f"c{row}" for row in range(2_000)]
    at = np.full(2_000, moment("2026-03-02 00:00"))
    morning, evening = draws(policy, ids, at), draws(policy, ids, at + DAY - 1)
    tomorrow = draws(policy, ids, at + DAY)
    for name in ("explore", "pick", "explore_slot", "pick_slot", "holdout"):
        assert np.array_equal(getattr(morning, name), getattr(evening, name))
    assert np.array_equal(morning.holdout, tomorrow.holdout)
    assert abs(np.corrcoef(morning.explore, tomorrow.explore)[0, 1]) < 0.1  # 4.5 standard errors
    other = draws(policy.model_copy(update={"salt": "another"}), ids, at)
    assert not np.array_equal(morning.holdout, other.holdout)


def test_draws_are_the_same_on_every_machine() -> None:
    found = draws(shop().policy, ["c1", "ü/'🙂"], np.array([AT, AT]))
    # BLAKE2b of "segue", the window (20514) and the id, and of "segue", "holdout" and the id, with zero bytes between.
    assert found.explore.tolist() == pytest.approx([0.7802234215685718, 0.7331252782429382], abs=1e-15)
    assert found.holdout.tolist() == pytest.approx([0.1814964483985073, 0.2115145085453414], abs=1e-15)


def test_which_of_the_open_ones_a_draw_picks() -> None:
    row = np.array([True, False, True, True])
    picks = np.array([0.0, 0.333, 0.334, 0.999999, np.nextafter(1.0, 0.0)])
    assert nth(np.tile(row, (5, 1)), picks).tolist() == [0, 0, 2, 3, 3]


def test_without_exploration_nobody_is_held_out_and_all_is_certain() -> None:
    config = shop(policy={"exploration": 0.9, "holdout": 0.9})
    decided = decide(GREEDY, crowd_of([AT] * 200, channels=config.channels), PriorModel(config), config)
    assert (decided.chosen.arm == config.arms.find("news", "push")).all()
    assert (decided.chosen.propensity == 1).all()
    assert not decided.chosen.explored.any()
    assert not decided.chosen.in_holdout.any()


def test_when_everything_holds_nothing_is_sent() -> None:
    config = shop()
    decided = decide(Asked(), crowd_of([AT] * 200, channels=config.channels), PriorModel(config), config, holding=True)
    assert (decided.chosen.arm == 0).all()
    assert (decided.chosen.propensity == 1).all()
    assert (decided.chosen.send_at == NEVER).all()


def test_exploration_keeps_to_what_it_may_draw() -> None:
    config = shop(policy={"exploration": 0.5, "holdout": 0.0})
    crowd = crowd_of([AT] * 400, channels=config.channels)
    letter = config.arms.find("letter", "email")
    explorable = np.zeros(len(config.arms), dtype=np.bool_)
    explorable[letter] = True
    chosen = decide(Asked(), crowd, PriorModel(config), config, explorable=explorable).chosen
    best = config.arms.find("news", "push")
    assert set(chosen.arm.tolist()) == {0, letter, best}
    assert chosen.propensity == pytest.approx(np.where(chosen.arm == best, 0.5, 0.25))


def test_plans_made_elsewhere_are_kept() -> None:
    config = shop(policy={"exploration": 0.0, "holdout": 0.0})
    crowd = crowd_of([AT] * 3, channels=config.channels)
    found = weighed(Asked(), crowd, PriorModel(config), config)
    plan = np.array([0, 1, 2], dtype=np.int32)
    chosen = choose(Asked(), found, config.policy, draws(config.policy, crowd.ids, crowd.at), greedy=plan)
    assert chosen.arm.tolist() == [0, 1, 2]
    assert best_arms(found).tolist() == [2, 2, 2]


def test_values_of_explored_hours_are_those_of_the_hours() -> None:
    config = shop(policy={"exploration": 0.9, "holdout": 0.0}, actions={"a": {"channels": ["push"], "fades_hours": 5}})
    crowd = crowd_of([AT] * 300, channels=config.channels)
    model = TableModel.random(config, crowd.ids, 3)
    chosen = decide(Asked(), crowd, model, config).chosen
    rows = np.flatnonzero(chosen.slot > 0)
    cell = decide(Asked(), crowd, model, config).weighed.openings.grid.cell[rows, chosen.slot[rows]]
    table = model.table
    waited = (chosen.send_at[rows] - AT) / HOUR
    chance = table.attend[rows, 0] * table.lift[rows, 0, cell] * 0.5 ** (waited / 5)
    expected = table.gain[rows, 0] * chance - table.attention[rows, 0]
    assert len(rows) > 50
    assert chosen.incremental_value[rows] == pytest.approx(expected, rel=1e-5)
    assert chosen.expected_value[rows] == pytest.approx(table.base[rows] + expected, rel=1e-5)


def test_a_number_that_is_none_is_never_best() -> None:
    config = shop()
    model = PriorModel(config, gain={"news": float("nan")})
    decided = decide(GREEDY, crowd_of([AT], channels=config.channels), model, config)
    assert decided.chosen.arm.tolist() == [0]


def test_nobody_is_ordinary() -> None:
    config = NbaConfig.default()
    assert len(decide(Asked(), crowd_of([], channels=config.channels), PriorModel(config), config)) == 0


def test_of_a_customer_of_whom_nothing_is_known() -> None:
    config = NbaConfig.default()
    answer = told(decide(Asked(), crowd_of([AT], channels=[]), PriorModel(config), config), 0)
    assert answer["choice"]["action"] == "hold"
    assert {reason["stage"] for reason in answer["excluded"]} == {"eligibility"}


def test_not_before_and_not_after() -> None:
    config = shop()
    limits = Constraints(not_before=AT + 5 * HOUR, not_after=AT + 6 * HOUR)
    decided = decide(Asked(constraints=limits), crowd_of([AT], channels=config.channels), PriorModel(config), config)
    assert decided.weighed.slot[0].tolist() == [-1, 6, 6, 6]
