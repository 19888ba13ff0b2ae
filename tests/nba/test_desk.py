"""Decisions for the people of a live shop."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from features.events import DAY, HOUR, MINUTE
from features.people import identity_digest
from features.store.sqlite import SqliteDecisions, SqliteEvents
from nba.asked import Asked, AskedWrongly
from nba.config import NbaConfig
from nba.crowd import Crowd
from nba.drafting import Circumstances, KeyReused, Signed, answers
from nba.one_customer import Who
from nba.questions import Question
from nba.replays import ActionReplayer
from nba.values import Values
from tests.nba.live import NOON, SIGNED, Town, choice, tables
from tests.nba.simple_models import PriorModel

BUDGETS = {"mails": {"amount": 2.0, "over": "contacts", "channels": ["email"], "exploration_share": 0.0}}


def reminded(town: Town, *, cart: int = NOON - 2 * HOUR) -> None:
    """Anna has something in her cart."""
    town.happened("view", cart - HOUR, product_id="comb")
    town.happened("cart", cart, product_id="comb")


def replayed(town: Town, decision_id: str) -> list[Any]:
    found = town.decisions.read(decision_id)
    assert found is not None
    assert found != "erased"
    return ActionReplayer(lambda bundle, rules: town.desk).differences(found)


def test_who_left_a_cart_is_reminded() -> None:
    town = Town()
    reminded(town)
    made = town.ask()
    # The model has no hours and no channel that is better: the cheaper one, at once.
    assert choice(made) == ("cart_reminder", "web_push", "2026-03-02T12:00:00Z")
    assert made.answer["choice"]["product_ids"] == ["brush", "mirror"]
    assert made.answer["policy"] == {"name": "nba", "version": "1"}
    assert made.answer["decision_id"] == "d1"
    assert town.rack.wanted[0].anchors == ("comb",)
    kept = town.decisions.read("d1")
    assert kept == made.decision
    assert made.decision.answer["eligible"] == ["cart_reminder@email", "cart_reminder@web_push", "survey@email"]
    assert made.decision.answer["products_decision_id"] == "list"
    contact = town.decisions.choice("d1")
    assert contact is not None
    assert contact.contact is not None
    assert (contact.contact.action, contact.contact.until) == ("cart_reminder", NOON + HOUR)


def test_somebody_nobody_knows_gets_hold() -> None:
    made = Town().ask()
    assert choice(made) == ("hold", None, None)
    assert made.answer["ask_again_at"] == "2026-03-03T00:00:00Z"


def test_asking_again_gives_the_same_decision() -> None:
    town = Town()
    reminded(town)
    first = town.ask()
    again = town.ask(NOON + 10 * MINUTE)
    assert again.answer == first.answer
    assert again.again
    assert len(town.decisions.ids()) == 1
    assert len(town.rack.wanted) == 1, "no list is made for it"


def test_a_hold_is_given_again_too_until_something_becomes_possible() -> None:
    town = Town(config=NbaConfig.of(tables(actions={
        "cart_reminder": {"channels": ["web_push"], "value": 1.0, "eligible": "since_cart >= 0.1"}
    })))  # fmt: skip
    reminded(town, cart=NOON - HOUR)
    hold = town.ask()
    assert choice(hold)[0] == "hold"
    assert town.ask(NOON + HOUR).again
    later = town.ask(NOON + 2 * HOUR)
    assert (later.again, choice(later)[0]) == (False, "cart_reminder")


def test_another_question_is_another_decision() -> None:
    town = Town()
    reminded(town)
    first = town.ask()
    other = town.ask(actions=("survey",))
    assert other.decision.id != first.decision.id
    assert choice(other)[0] == "survey"


@pytest.mark.parametrize("changed", ["the log", "the model", "the rules", "the window"])
def test_a_change_makes_a_new_decision(changed: str) -> None:
    town = Town()
    reminded(town)
    first = town.ask()
    signed, at = SIGNED, NOON + MINUTE
    match changed:
        case "the log":
            town.happened("view", at - 1, product_id="comb")
        case "the model":
            signed = Signed({**SIGNED.model, "version": "2"}, SIGNED.rules)
        case "the rules":
            signed = replace(SIGNED, rules="others")
        case "the window":
            at = NOON + 13 * HOUR
    made = town.ask(at, signed=signed)
    assert not made.again
    assert made.decision.id != first.decision.id


def test_a_contact_that_was_not_sent_yet_gives_way_to_a_new_decision() -> None:
    config = NbaConfig.of(tables())
    town = Town(config=config, model=PriorModel(config, best_hour={"web_push": 20, "email": 20}))
    reminded(town)
    first = town.ask()
    assert choice(first) == ("cart_reminder", "web_push", "2026-03-02T20:00:00Z")
    town.happened("purchase", NOON + HOUR, product_id="comb")
    second = town.ask(NOON + 2 * HOUR)
    assert choice(second) == ("survey", "email", "2026-03-02T20:00:00Z")
    released = town.decisions.choice(first.decision.id)
    assert released is not None
    assert (released.state, released.changed) == ("released", NOON + 2 * HOUR)
    assert town.release(first, NOON + 8 * HOUR).reason == "superseded"


def test_a_contact_that_may_be_on_its_way_counts() -> None:
    town = Town()
    reminded(town)
    town.ask(horizon_hours=1)
    town.happened("view", NOON + MINUTE, product_id="soap")
    second = town.ask(NOON + 2 * MINUTE, horizon_hours=1)
    assert choice(second)[0] == "survey", "the reminder cools down"
    excluded = {(one.get("action"), one["code"]) for one in second.answer["excluded"]}
    assert ("cart_reminder", "cooldown") in excluded
    standing = town.decisions.choice("d1")
    assert standing is not None
    assert standing.state == "reserved"


def test_a_reservation_that_nobody_reported_lapses() -> None:
    town = Town()
    reminded(town)
    town.ask(horizon_hours=0)
    assert choice(town.ask(NOON + 59 * MINUTE, horizon_hours=0)) == (
        "cart_reminder",
        "web_push",
        "2026-03-02T12:00:00Z",
    )
    later = town.ask(NOON + 61 * MINUTE, horizon_hours=0)
    assert choice(later) == ("cart_reminder", "web_push", "2026-03-02T13:01:00Z")


def test_a_reported_contact_keeps_its_budget() -> None:
    town = Town(config=NbaConfig.of(tables(budgets=BUDGETS)))
    town.happened("view", NOON - HOUR)
    made = town.ask()
    town.happened("send", NOON + MINUTE, channel="email", decision_id=made.decision.id)
    town.ask(NOON + 2 * MINUTE, horizon_hours=1)
    assert choice(town.ask(NOON + 2 * MINUTE))[2] == "2026-03-03T13:00:00Z"
    assert town.decisions.used("mails", "2026-03-02") == 2


def test_a_contact_that_was_sent_early_is_not_given_up() -> None:
    config = NbaConfig.of(tables(budgets=BUDGETS))
    town = Town(config=config, model=PriorModel(config, best_hour={"email": 20}))
    town.happened("view", NOON - HOUR)
    made = town.ask()
    assert choice(made) == ("survey", "email", "2026-03-02T20:00:00Z")
    town.happened("send", NOON + HOUR, channel="email", decision_id=made.decision.id)
    town.ask(NOON + 2 * HOUR)
    kept = town.decisions.choice(made.decision.id)
    assert kept is not None
    assert kept.state == "reserved"


def test_a_reported_contact_counts_once_and_for_good() -> None:
    town = Town()
    reminded(town)
    made = town.ask(actions=("survey",))
    town.happened("send", NOON + MINUTE, channel="email", decision_id=made.decision.id)
    sent = town.desk.contacts(*town.desk.look(Question(Who("anna"), Asked(), NOON + 2 * MINUTE)))
    assert [(one.action, one.channel, one.time) for one in sent] == [("survey", "email", NOON + MINUTE)]
    later = town.ask(NOON + 20 * HOUR, actions=("survey",))
    assert choice(later) == ("survey", "email", "2026-03-03T13:00:00Z"), "a day after it was sent, at the full hour"


def test_what_other_tools_sent_counts_towards_caps() -> None:
    town = Town()
    town.happened("view", NOON - DAY)
    town.happened("send", NOON - HOUR, channel="email")
    made = town.ask(horizon_hours=1)
    assert choice(made)[0] == "hold"
    assert {"channel": "email", "stage": "contact_policy", "code": "channel_cap"} in made.answer["excluded"]


def test_a_click_answers_the_message_it_names() -> None:
    town = Town()
    town.happened("send", NOON - DAY, channel="email", decision_id="x", more={"action": "survey"})
    town.happened("send", NOON - DAY, channel="email", decision_id="y", more={"action": "offer", "offer": "ten"})
    town.happened("click", NOON - HOUR, decision_id="x")
    town.happened("open", NOON - HOUR, decision_id="y")
    seen, _ = town.desk.look(Question(Who("anna"), Asked(), NOON))
    assert [(one.action, one.answered) for one in seen.sent] == [("survey", True), ("offer:ten", False)]


def test_consents_decide_on_channels() -> None:
    town = Town()
    reminded(town)
    town.happened("identify", NOON - DAY, more={"traits": {"consents": ["email"]}})
    assert choice(town.ask())[1] == "email"
    town.happened("identify", NOON - HOUR, more={"traits": {"consents": []}})
    assert choice(town.ask())[0] == "hold"


def test_a_visitor_who_is_known_is_the_customer() -> None:
    town = Town()
    town.happened("cart", NOON - 2 * HOUR, customer_id=None, anonymous_id="v", product_id="comb")
    visitor = town.ask(who=Who(None, "v"), horizon_hours=1)
    assert choice(visitor)[0] == "cart_reminder"
    town.happened("identify", NOON + MINUTE, anonymous_id="v")
    made = town.ask(NOON + 2 * MINUTE, horizon_hours=1)
    assert choice(made)[0] == "hold", "what the visitor was promised counts"
    assert town.decisions.standing([identity_digest("visitor", "v")], since=0).version == 1


def test_on_a_page_it_is_now_or_never() -> None:
    town = Town()
    town.happened("view", NOON - HOUR)
    made = town.ask(actions=("offer",), context={"page": "home"})
    assert made.answer["choice"] == {
        "action": "offer", "offer": "ten", "channel": "email", "send_at": None, "product_ids": []
    }  # fmt: skip
    assert made.decision.answer["discount"] == 0.1
    assert choice(town.ask(actions=("offer",)))[0] == "hold", "no page asks"
    assert town.ask(NOON + MINUTE, actions=("offer",), context={"page": "home"}).again


def test_a_dry_run_leaves_no_trace() -> None:
    town = Town()
    reminded(town)
    made = town.ask(keep=False)
    assert choice(made)[0] == "cart_reminder"
    assert town.decisions.ids() == []
    assert town.decisions.standing([identity_digest("customer", "anna")], since=0).version == 0


def test_in_the_past_only_what_was_known_counts() -> None:
    town = Town()
    town.happened("cart", NOON - 3 * HOUR, product_id="comb", known=NOON - HOUR)
    assert choice(town.ask(NOON - 2 * HOUR, past=True, keep=False))[0] == "hold"
    assert choice(town.ask(NOON - 2 * HOUR, keep=False))[0] == "cart_reminder"
    town.happened("identify", NOON - HOUR, more={"traits": {"consents": []}})
    assert choice(town.ask(NOON - MINUTE, past=True, keep=False))[0] == "hold"
    assert choice(town.ask(NOON - 2 * HOUR, past=True, keep=False))[0] == "hold"
    assert choice(town.ask(NOON - 2 * HOUR, keep=False))[0] == "hold", "she agrees to nothing"
    town.happened("identify", NOON, more={"traits": {"consents": ["web_push"]}})
    assert choice(town.ask(NOON + 1))[0] == "cart_reminder"


def test_a_key_leads_to_its_decision() -> None:
    town = Town()
    reminded(town)
    first = town.ask(key=1)
    assert town.ask(NOON + MINUTE, key=1).answer == first.answer
    for other in ({"actions": ("survey",)}, {"who": Who("ben")}):
        with pytest.raises(KeyReused):
            town.ask(key=1, **other)


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(AskedWrongly, match="there is no 'fax'"):
        Town().ask(channels=("fax",))


def test_a_switch_makes_everybody_hold() -> None:
    town = Town(holding=True)
    reminded(town)
    made = town.ask()
    assert (choice(made)[0], made.answer["propensity"]) == ("hold", 1.0)


@dataclass(frozen=True)
class Broken(PriorModel):
    """Fails for one customer."""

    culprit: str = "anna"

    def values(self, crowd: Crowd) -> Values:
        if self.culprit in crowd.ids:
            raise ZeroDivisionError("a fault of the model")
        return super().values(crowd)


def test_a_fault_of_the_model_is_a_hold_for_whom_it_fails() -> None:
    config = NbaConfig.of(tables())
    town = Town(config=config, model=Broken(config))
    for name in ("anna", "ben"):
        town.happened("cart", NOON - 2 * HOUR, customer_id=name, product_id="comb")
    questions = [Question(Who(name), Asked(), NOON) for name in ("anna", "ben")]
    anna, ben = answers(town.desk, questions, Circumstances(SIGNED, NOON, town.new_id))
    assert anna.answer["policy"] == {"name": "fallback", "version": "1"}
    assert (choice(anna)[0], anna.answer["ask_again_at"]) == ("hold", "2026-03-02T13:00:00Z")
    assert choice(ben)[0] == "cart_reminder"
    assert not town.ask(NOON + MINUTE).again, "it is tried again"


def test_many_are_decided_as_each_alone() -> None:
    names = [f"c{number}" for number in range(12)]
    told = []
    for at_once in (True, False):
        town = Town(config=NbaConfig.of(tables(policy={"exploration": 0.3, "holdout": 0.1})))
        for number, name in enumerate(names):
            town.happened("view" if number % 3 else "cart", NOON - number * HOUR, customer_id=name, product_id="soap")
        questions = [Question(Who(name), Asked(), NOON) for name in names]
        groups = [questions] if at_once else [[one] for one in questions]
        made = [one for group in groups for one in answers(town.desk, group, Circumstances(SIGNED, NOON, town.new_id))]
        told.append([one.answer for one in made])
        assert all(replayed(town, one.decision.id) == [] for one in made)
    assert told[0] == told[1]


def test_a_budget_is_kept_to() -> None:
    town = Town(config=NbaConfig.of(tables(budgets=BUDGETS)))
    names = [f"c{number}" for number in range(5)]
    for name in names:
        town.happened("view", NOON - HOUR, customer_id=name)
    questions = [Question(Who(name), Asked(), NOON) for name in names]
    made = answers(town.desk, questions, Circumstances(SIGNED, NOON, town.new_id))
    assert [choice(one)[0] for one in made] == ["survey", "survey", "hold", "hold", "hold"]
    assert [one.lost for one in made] == [0, 0, 1, 1, 1]
    assert town.decisions.used("mails", "2026-03-02") == 2
    assert all(replayed(town, one.decision.id) == [] for one in made)
    tomorrow = town.ask(NOON + DAY, who=Who("c4"))
    assert choice(tomorrow)[0] == "survey"


def test_exploration_has_a_reserve_of_its_own() -> None:
    budget = {"mails": {**BUDGETS["mails"], "amount": 4.0, "exploration_share": 0.5}}
    town = Town(config=NbaConfig.of(tables(budgets=budget, policy={"exploration": 0.9, "holdout": 0.0})))
    made = []
    for number in range(30):
        town.happened("view", NOON - HOUR, customer_id=f"c{number}")
        made.append(town.ask(who=Who(f"c{number}")))
    mailed = [one for one in made if choice(one)[1] == "email"]
    assert sum(one.decision.answer["explored"] for one in mailed) == 2
    assert len(mailed) == 4
    assert town.decisions.used("mails", "2026-03-02 exploring") == 2
    last = made[-1].answer
    assert (last["choice"]["action"], last["propensity"]) == ("hold", 1.0), "only hold is left"


def test_a_replay_finds_what_differs() -> None:
    town = Town()
    reminded(town)
    made = town.ask()
    town.happened("cart", NOON + HOUR, product_id="soap")
    town.ask(NOON + 2 * HOUR)
    assert replayed(town, made.decision.id) == []
    town.desk.config = NbaConfig.of(tables(channels={"email": {"cost": 0.1}, "web_push": {"cost": 1.0}}))
    town.desk.model = PriorModel(town.desk.config)
    [first, *_] = replayed(town, made.decision.id)
    assert first["place"] == "/alternatives/0/channel" or first["then"] != first["now"]


def test_a_replay_knows_what_was_sent_long_before() -> None:
    """The decision that asked for it is not kept any more by then."""
    patient = {**tables()["actions"]["survey"], "cooldown_hours": 90 * 24}
    town = Town(config=NbaConfig.of(tables(actions={"survey": patient})))
    town.happened("view", NOON - HOUR, product_id="comb")
    first = town.ask()
    town.happened("send", NOON + MINUTE, channel="email", decision_id=first.decision.id)
    second = town.ask(NOON + 80 * DAY)
    assert (choice(first)[0], choice(second)[0]) == ("survey", "hold")
    assert town.decisions.prune(NOON + 5 * DAY) == 1
    assert replayed(town, second.decision.id) == []


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Town]:
    town = Town(
        events=SqliteEvents(tmp_path / "events.db"),
        decisions=SqliteDecisions(tmp_path / "decisions.db"),
        config=NbaConfig.of(tables(channels={"email": {"per_day": 1}, "web_push": {}})),
    )
    yield town
    town.events.close()
    town.decisions.close()


def test_of_two_at_once_one_has_the_last_place(home: Town) -> None:
    """Different questions, so that both want a mail: only one may have it."""
    for number in range(10):
        home.happened("cart", NOON - 2 * HOUR, customer_id=f"c{number}", product_id="comb")
        home.happened("view", NOON - 2 * HOUR, customer_id=f"c{number}", product_id="comb")

    def ask(task: tuple[int, str]) -> Any:
        number, action = task
        return home.ask(who=Who(f"c{number}"), actions=(action,), channels=("email",), horizon_hours=2)

    with ThreadPoolExecutor(4) as pool:
        tasks = [(number, action) for number in range(10) for action in ("cart_reminder", "survey")]
        made = list(pool.map(ask, tasks))
    mailed = [
        (number, choice(one)[0]) for (number, _), one in zip(tasks, made, strict=True) if choice(one)[1] == "email"
    ]
    assert sorted(number for number, _ in mailed) == list(range(10))
    assert all(replayed(home, one.decision.id) == [] for one in made)
