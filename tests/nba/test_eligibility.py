"""Why arms are not open, one customer and one reason at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features.catalogue import Flag, Number, Tags, Text
from features.vocabulary import Vocabulary
from nba.arms import Arms
from nba.asked import Asked, AskedWrongly, Constraints
from nba.config import NbaConfig
from nba.crowd import Crowd
from nba.decide import decide, weighed
from nba.known import Known, Said, same_for_all
from nba.telling import told
from tests.nba.simple_models import PriorModel, contacts_of, crowd_of, moment

AT = moment("2026-03-02 10:00")
HOUR = 3_600_000_000


def shop(**tables: Any) -> NbaConfig:
    """E-mail and push, one action on both."""
    return NbaConfig.of(
        {
            "channels": {"email": {}, "push": {}},
            "actions": {"news": {"channels": ["email", "push"], "value": 1.0}},
            **tables,
        }
    )


def reasons(config: NbaConfig, crowd: Crowd, asked: Asked | None = None) -> list[dict[str, Any]]:
    """What is told to be excluded, of the first customer."""
    excluded: list[dict[str, Any]] = told(decide(asked or Asked(), crowd, PriorModel(config), config), 0)["excluded"]
    return excluded


def one(**changes: Any) -> Crowd:
    """One customer."""
    return crowd_of([AT], channels=["email", "push"], **changes)


def test_without_rules_nothing_is_excluded() -> None:
    assert reasons(shop(), one()) == []


def test_who_did_not_agree_is_not_contacted_there() -> None:
    found = reasons(shop(), one(consented=[[False, True]]))
    assert found == [{"channel": "email", "stage": "eligibility", "code": "no_consent"}]
    found = reasons(shop(), one(reachable=[[True, False]]))
    assert found == [{"channel": "push", "stage": "eligibility", "code": "not_reachable"}]


def test_a_channel_that_nothing_is_known_of_is_not_used() -> None:
    crowd = crowd_of([AT], channels=["email"])
    assert reasons(shop(), crowd) == [{"channel": "push", "stage": "eligibility", "code": "no_consent"}]


def test_a_banner_needs_no_consent_but_a_page() -> None:
    config = shop(
        channels={"email": {}, "page": {"consent": False, "immediate": True, "requires": "context_page is not null"}},
        actions={"news": {"channels": ["email", "page"], "value": 1.0}},
        attributes={"context_page": "text"},
    )
    crowd = crowd_of([AT], channels=[])
    assert {"channel": "page", "stage": "applicability", "code": "channel_not_applicable"} in reasons(config, crowd)
    answer = told(decide(Asked(context={"page": "home"}, explore=False), crowd, PriorModel(config), config), 0)
    assert answer["choice"] == {"action": "news", "channel": "page", "send_at": None, "product_ids": []}


def test_whom_an_action_is_not_for() -> None:
    config = shop(actions={"news": {"channels": ["email"], "eligible": "views_30d >= 3"}})
    assert reasons(config, one(state={"views_30d": [2.9]})) == [
        {"action": "news", "stage": "eligibility", "code": "not_eligible"}
    ]
    assert reasons(config, one(state={"views_30d": [3]})) == []


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("stage = 'loyal'", True),
        ("stage = 'lost'", False),
        ("'frequent' in segments", True),
        ("likelihood_to_purchase > 0.5", True),
        ("churn_risk > 0", False),  # nobody told: null
        ("skin = 'dry' and age > 30", True),
        ("missing is null", True),
        ("context_device = 'mobile' and context_items > 2", True),
        ("odd is null", True),  # declared as a number, given as a text
        ("views_30d > 4", True),  # the state wins over an attribute
    ],
)
def test_what_expressions_can_name(expression: str, holds: bool) -> None:
    text = Text(np.zeros(1, dtype=np.int32), Vocabulary(["dry"]))
    config = shop(
        actions={"news": {"channels": ["email"], "eligible": expression}},
        attributes={
            "skin": "text",
            "age": "number",
            "missing": "flag",
            "odd": "number",
            "context_device": "text",
            "context_items": "number",
        },
        segments={"expressions": {"frequent": "orders >= 4", "lazy": "orders < 1"}},
    )
    crowd = one(
        state={"orders": [5], "purchases_ever": [5], "since_purchase": [2], "views_30d": [5]},
        attributes={
            "skin": text,
            "odd": text,
            "age": Number(np.array([31.0])),
            "views_30d": Number(np.zeros(1)),
            "likelihood_to_purchase": Number(np.array([0.7])),
        },
    )
    asked = Asked(context={"device": "mobile", "items": 3})
    assert (reasons(config, crowd, asked) == []) == holds


def test_every_column_that_there_is_is_listed() -> None:
    config = shop(attributes={"skin": "text"})
    crowd = one(attributes={"age": Number(np.zeros(1))})
    known = Known(crowd, config.attributes, config.stages, config.segments, {"page": "home"})
    assert {"skin", "age", "stage", "segments", "views_30d", "churn_risk", "context_page", "overdue"} <= set(known)
    assert "strange" not in known
    assert all(known[name] is not None for name in known)


@pytest.mark.parametrize("said", [True, 3, 2.5, "home", ("a", "b", "a"), None])
def test_what_a_request_says_is_the_same_for_all(said: Said) -> None:
    column = same_for_all(said, 3)
    match column:
        case Number(values) | Flag(values):
            assert values.tolist() == [said] * 3
        case Text(codes, values):
            assert [values[code] if code >= 0 else None for code in codes] == [said] * 3
        case Tags(_, codes, values):
            lists = [codes[column.indptr[row] : column.indptr[row + 1]].tolist() for row in range(3)]
            assert [[values[code] for code in one] for one in lists] == [["a", "b"]] * 3
        case _:
            raise AssertionError(column)


def test_only_what_is_asked_for() -> None:
    config = shop(
        actions={"news": {"channels": ["email", "push"]}, "letter": {"channels": ["email"]}},
        journeys={"welcome": {"actions": ["letter"]}},
    )
    assert reasons(config, one(), Asked(channels=("email",))) == [
        {"channel": "push", "stage": "applicability", "code": "channel_not_asked"}
    ]
    not_news = [{"action": "news", "stage": "applicability", "code": "not_asked"}]
    assert reasons(config, one(), Asked(actions=("letter", "hold"))) == not_news
    assert reasons(config, one(), Asked(journey="welcome")) == not_news


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (Asked(actions=("nws",)), "actions"),
        (Asked(channels=("post",)), "channels"),
        (Asked(journey="none"), "journey"),
        (Asked(horizon_hours=337), "horizon_hours"),
    ],
)
def test_a_question_about_what_is_not_there_is_refused(asked: Asked, field: str) -> None:
    with pytest.raises(AskedWrongly) as caught:
        decide(asked, one(), PriorModel(shop()), shop())
    assert caught.value.name == field


def test_what_costs_too_much() -> None:
    config = shop(channels={"email": {"cost": 0.1}, "push": {"cost": 0.2}})
    assert reasons(config, one(), Asked(constraints=Constraints(max_cost=0.1))) == [
        {"action": "news", "channel": "push", "stage": "suitability", "code": "too_costly"}
    ]


def test_what_brings_too_little() -> None:
    config = shop(channels={"email": {"cost": 0.15}, "push": {}})
    found = reasons(config, one(), Asked(constraints=Constraints(min_incremental_value=0.1)))
    assert [(reason["channel"], reason["code"]) for reason in found] == [("email", "too_little_value")]


def test_an_arm_that_the_configuration_does_not_have() -> None:
    config = shop()
    model = PriorModel(config.model_copy(update={"actions": {**config.actions, "old": config.actions["news"]}}))
    answer = told(decide(Asked(), one(), model, config), 0)
    assert {reason["code"] for reason in answer["excluded"]} == {"not_in_catalogue"}
    assert {reason["action"] for reason in answer["excluded"]} == {"old"}


def test_what_else_is_not_to_be_chosen() -> None:
    config = shop()
    allowed = np.array([[True, False, True]])
    found = weighed(Asked(), one(), PriorModel(config), config, allowed=allowed)
    assert found.open.tolist() == [[True, False, True]]


def test_coupons_are_counted_with_those_that_are_promised() -> None:
    config = shop(
        policy={"coupons": 2, "coupon_days": 10},
        actions={
            "offer": {
                "channels": ["email"],
                "offers": [{"name": "ship", "cost": 1}, {"name": "ten", "discount": 0.1}],
            }
        },
    )
    given = [(AT - 240 * HOUR, "offer:ten", "email", False), (AT - 30 * HOUR, "offer:ten", "email", False)]
    assert reasons(config, one(contacts=contacts_of([given]))) == []
    given.append((AT + 30 * HOUR, "offer:ten", "email", False))
    assert reasons(config, one(contacts=contacts_of([given]))) == [
        {"action": "offer", "offer": "ten", "channel": "email", "stage": "suitability", "code": "too_many_coupons"}
    ]


def test_arms_without_a_channel_reach_everybody() -> None:
    config = NbaConfig.of_log(Arms.of([("mens", None), ("womens", None)]))
    found = weighed(Asked(), crowd_of([AT], channels=[]), PriorModel(config), config)
    assert found.open.all()
