"""The catalogue: the one that ships, what a shop lays over it, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features.config import ConfigError
from nba.arms import Arms
from nba.config import NbaConfig

MISSION = {
    "browse_reminder",
    "cart_reminder",
    "first_order_offer",
    "loyalty_signup_reminder",
    "account_signup",
    "lead_capture",
    "post_purchase_cross_sell",
    "event_invite",
    "replenishment_reminder",
    "app_install_banner",
    "referral_ask",
    "win_back",
    "survey",
}


def test_the_thirteen_actions_ship() -> None:
    config = NbaConfig.default()
    assert set(config.actions) == MISSION
    assert list(config.channels) == ["email", "sms", "whatsapp", "web_push", "app_push", "on_site", "ads"]


def test_what_is_dumped_is_the_same_when_read() -> None:
    config = NbaConfig.default()
    assert NbaConfig.of(config.model_dump(mode="json")) == config


def test_changes_are_laid_over_table_by_table() -> None:
    config = NbaConfig.default({"channels": {"sms": {"cost": 0.09}}, "actions": {"survey": {"channels": ["email"]}}})
    assert (config.channels["sms"].cost, config.channels["sms"].per_week) == (0.09, 1)
    assert config.actions["survey"].channels == ("email",)
    assert config.actions["survey"].eligible == NbaConfig.default().actions["survey"].eligible


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"policy": {"explore": 0.1}}, "policy.explore", "Extra inputs"),
        ({"policy": {"exploration": 1.0}}, "policy.exploration", "less than 1"),
        ({"contact": {"quiet_hours": [25, 8]}}, "contact.quiet_hours.0", "less than or equal to 23"),
        ({"actions": {"survey": {"channels": ["post"]}}}, "actions.survey.channels", "'post'"),
        ({"actions": {"survey": {"eligible": "viws_30d > 3"}}}, "actions.survey.eligible", "did you mean views_30d"),
        ({"actions": {"survey": {"eligible": "views_30d >"}}}, "actions.survey.eligible", ""),
        ({"actions": {"survey": {"eligible": "stage = 3"}}}, "actions.survey.eligible", "text"),
        ({"channels": {"ads": {"requires": "nothing > 3"}}}, "channels.ads.requires", "nothing"),
        ({"actions": {"survey": {"window": {"since": "since_vew"}}}}, "actions.survey.window", "since_vew"),
        ({"actions": {"survey": {"window": {"from_hours": 3}}}}, "actions.survey.window", "since"),
        ({"actions": {"survey": {"escalate": ["email"]}}}, "actions.survey", "window.since"),
        ({"actions": {"survey": {"escalate": ["sms"]}}}, "actions.survey", "'sms'"),
        ({"actions": {"a:b": {}}}, "actions", "'a:b'"),
        ({"actions": {"hold": {}}}, "actions", "'hold'"),
        ({"budgets": {"b": {"amount": 1, "channels": ["post"]}}}, "budgets.b.channels", "'post'"),
        ({"journeys": {"j": {"actions": ["post"]}}}, "journeys.j.actions", "'post'"),
        ({"stages": {"rules": [{"stage": "a", "when": "nothing > 3"}]}}, "stages.rules[0]", "nothing"),
    ],
)
def test_a_fault_is_told_with_its_field(changes: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        NbaConfig.default(changes)
    assert field in str(caught.value)
    assert says in str(caught.value)


def test_arms_are_every_offer_on_every_channel() -> None:
    config = NbaConfig.of(
        {
            "channels": {"email": {}, "sms": {}},
            "actions": {
                "offer": {"channels": ["email", "sms"], "offers": [{"name": "five"}, {"name": "ten"}]},
                "letter": {},
            },
        }
    )
    pairs = [config.arms.pair(arm) for arm in range(len(config.arms))]
    assert pairs == [
        ("hold", None),
        ("offer:five", "email"),
        ("offer:five", "sms"),
        ("offer:ten", "email"),
        ("offer:ten", "sms"),
        ("letter", None),
    ]


def test_costs_add_up_and_hold_is_free() -> None:
    config = NbaConfig.of(
        {
            "channels": {"email": {"cost": 0.1}},
            "actions": {"offer": {"channels": ["email"], "cost": 1, "offers": [{"name": "ship", "cost": 5}]}},
        }
    )
    assert config.contact_costs(config.arms).tolist() == [0, 6.1]
    strange = Arms.of([("offer:other", "fax")])
    assert config.contact_costs(strange).tolist() == [0, 1]


def test_of_a_log_everything_is_open_at_any_time() -> None:
    arms = Arms.of([("mens", None), ("offer:b", "email"), ("offer:a", "sms"), ("mens", "email")])
    config = NbaConfig.of_log(arms)
    assert config.actions["offer"].labels("offer") == ["offer:b", "offer:a"]
    assert config.contact.quiet_hours == (0, 0)
    assert all(action.cooldown_hours == 0 and action.eligible is None for action in config.actions.values())
    assert np.array_equal(config.contact_costs(arms), np.zeros(5))
    assert NbaConfig.of_log(arms, {"contact": {"per_day": 1}}).contact.per_day == 1
