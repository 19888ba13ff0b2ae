"""A decision looked at again just before it is sent."""

from __future__ import annotations

import pytest

from features.events import DAY, HOUR, MINUTE
from features.people import identity_digest
from features.store.base import Decision
from nba.config import NbaConfig
from nba.drafting import Made
from tests.nba.live import NOON, Town, choice, tables

ANNA = identity_digest("customer", "anna")


@pytest.fixture
def town() -> Town:
    """Anna left two things in her cart."""
    town = Town()
    for product in ("comb", "soap"):
        town.happened("cart", NOON - 2 * HOUR, product_id=product)
    return town


def record(town: Town, made: Made, number: int = 1) -> Decision:
    found = town.decisions.read(f"{made.decision.id}-r{number}")
    assert isinstance(found, Decision)
    return found


def test_what_is_unchanged_is_sent(town: Town) -> None:
    made = town.ask()
    released = town.release(made, NOON + MINUTE)
    assert released.to_json() == {"verdict": "send", "reason": "unchanged", "choice": made.answer["choice"]}
    assert town.release(made, NOON + 2 * MINUTE) == released
    assert len(town.decisions.ids()) == 1, "nothing is written"


def test_who_bought_is_not_reminded(town: Town) -> None:
    made = town.ask()
    town.happened("purchase", NOON + MINUTE, product_id="comb")
    released = town.release(made, NOON + 2 * MINUTE)
    assert released.to_json() == {"verdict": "cancel", "reason": "not_eligible"}
    kept = town.decisions.choice(made.decision.id)
    assert kept is not None
    assert (kept.state, kept.changed) == ("released", NOON + 2 * MINUTE)
    written = record(town, made)
    assert (written.kind, written.customer_id, written.request["decision_id"]) == ("release", "anna", made.decision.id)
    assert written.answer == {"verdict": "cancel", "reason": "not_eligible", "choice": None}
    assert town.release(made, NOON + 3 * MINUTE) == released, "asked twice, told the same"
    assert len(town.decisions.ids()) == 2
    assert choice(town.ask(NOON + 4 * MINUTE))[0] == "hold", "the cancelled contact does not count"


def test_who_does_not_agree_any_more_is_not_written_to(town: Town) -> None:
    made = town.ask(channels=("email",))
    town.happened("unsubscribe", NOON + MINUTE, channel="email")
    assert town.release(made, NOON + 2 * MINUTE).to_json() == {"verdict": "cancel", "reason": "no_consent"}


def test_another_channel_takes_the_place_of_a_closed_one(town: Town) -> None:
    made = town.ask()
    assert choice(made)[1] == "web_push"
    town.happened("identify", NOON + MINUTE, more={"traits": {"reachable": ["email"]}})
    released = town.release(made, NOON + 2 * MINUTE)
    assert released.to_json() == {
        "verdict": "replace",
        "reason": "not_reachable",
        "choice": {
            "action": "cart_reminder",
            "channel": "email",
            "send_at": "2026-03-02T12:02:00Z",
            "product_ids": ["brush", "mirror"],
        },
    }
    kept = town.decisions.choice(made.decision.id)
    assert kept is not None
    assert kept.contact is not None
    assert (kept.contact.channel, kept.contact.until) == ("email", NOON + 62 * MINUTE)
    assert town.release(made, NOON + 3 * MINUTE).verdict == "send"


def test_products_that_are_gone_are_replaced(town: Town) -> None:
    made = town.ask()
    assert made.answer["choice"]["product_ids"] == ["brush", "mirror"]
    town.rack.out = {"brush"}
    released = town.release(made, NOON + MINUTE)
    assert (released.verdict, released.reason) == ("replace", "out_of_stock")
    assert released.choice is not None
    assert released.choice["product_ids"] == ["mirror"]
    assert town.rack.wanted[-1].exclude == ("brush",)
    again = town.release(made, NOON + 2 * MINUTE)
    assert (again.verdict, again.choice) == ("send", released.choice)
    town.rack.out = {"brush", "mirror"}
    assert town.release(made, NOON + 3 * MINUTE).to_json() == {"verdict": "cancel", "reason": "no_products"}


def test_products_that_were_bought_since_are_replaced() -> None:
    config = NbaConfig.of(tables(actions={"tip": {"channels": ["email"], "value": 5.0, "placement": "trending"}}))
    town = Town(config=config)
    made = town.ask()
    assert made.answer["choice"]["product_ids"] == ["comb", "brush", "mirror", "soap"]
    town.happened("purchase", NOON + MINUTE, product_id="brush")
    released = town.release(made, NOON + 2 * MINUTE)
    assert (released.verdict, released.reason) == ("replace", "bought")
    assert released.choice is not None
    assert released.choice["product_ids"] == ["comb", "mirror", "soap"]


def test_caps_are_looked_at_again(town: Town) -> None:
    made = town.ask(channels=("email",))
    town.happened("send", NOON + MINUTE, channel="email")
    assert town.release(made, NOON + 2 * MINUTE).reason == "channel_cap"


def test_its_own_place_is_no_hindrance(town: Town) -> None:
    made = town.ask(channels=("email",))
    assert town.release(made, NOON + MINUTE).verdict == "send"


def test_what_was_sent_is_not_sent_again(town: Town) -> None:
    made = town.ask()
    town.happened("send", NOON + MINUTE, channel="web_push", decision_id=made.decision.id)
    assert town.release(made, NOON + 2 * MINUTE).to_json() == {"verdict": "cancel", "reason": "already_sent"}


def test_too_late_is_too_late(town: Town) -> None:
    made = town.ask()
    assert town.release(made, NOON + 59 * MINUTE).verdict == "send"
    assert town.release(made, NOON + HOUR).reason == "expired"


def test_before_its_time_it_is_looked_at_as_of_its_time() -> None:
    config = NbaConfig.of(tables(contact={"quiet_hours": [20, 13]}))
    town = Town(config=config)
    town.happened("cart", NOON - 2 * HOUR, product_id="comb")
    made = town.ask()
    assert choice(made)[2] == "2026-03-02T13:00:00Z"
    assert town.release(made, NOON + 59 * MINUTE).verdict == "send", "a minute too early is quiet"


def test_a_hold_has_nothing_to_send() -> None:
    town = Town()
    assert town.release(town.ask(), NOON + MINUTE).to_json() == {"verdict": "cancel", "reason": "hold"}


def test_the_switch_stops_what_was_decided_before(town: Town) -> None:
    made = town.ask()
    town.desk.holding = True
    assert town.release(made, NOON + MINUTE).reason == "holding"
    town.desk.holding = False
    assert town.release(made, NOON + 2 * MINUTE).verdict == "send"


def test_a_cancelled_contact_gives_its_budget_back() -> None:
    budget = {"mails": {"amount": 1.0, "over": "contacts", "exploration_share": 0.0}}
    town = Town(config=NbaConfig.of(tables(budgets=budget)))
    town.happened("cart", NOON - 2 * HOUR, product_id="comb")
    made = town.ask()
    assert town.decisions.used("mails", "2026-03-02") == 1
    town.happened("purchase", NOON + MINUTE, product_id="comb")
    town.release(made, NOON + 2 * MINUTE)
    assert town.decisions.used("mails", "2026-03-02") == 0


def test_erasing_takes_the_record_along(town: Town) -> None:
    made = town.ask()
    town.happened("purchase", NOON + MINUTE, product_id="comb")
    town.release(made, NOON + 2 * MINUTE)
    assert town.decisions.erase(customer_ids=["anna"], anonymous_ids=[]) == 2
    assert town.decisions.read(f"{made.decision.id}-r1") == "erased"
    assert town.decisions.standing([ANNA], since=NOON - DAY).choices == ()
