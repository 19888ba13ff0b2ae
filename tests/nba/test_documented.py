"""docs/actions.md and docs/decide.md tell of every field, action and reason that there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from features.config import Config
from nba.codes import Code
from nba.config import ActionConfig, ChannelConfig, NbaConfig, PolicyConfig

DOCS = Path(__file__).parents[2] / "docs"
ACTIONS = (DOCS / "actions.md").read_text(encoding="utf-8")


def rows(page: str, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading."""
    below = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*$", below, re.M)][2:]


@pytest.mark.parametrize(
    ("heading", "config"), [("Actions", ActionConfig), ("Channels", ChannelConfig), ("Policy", PolicyConfig)]
)
def test_every_field_is_told(heading: str, config: type[Config]) -> None:
    told = [name for row in rows(ACTIONS, heading) for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(told) == sorted(config.model_fields)


def test_every_action_that_ships_is_told() -> None:
    assert [row[0] for row in rows(ACTIONS, "What ships")] == list(NbaConfig.default().actions)


def test_defaults_of_the_policy_are_those_told() -> None:
    policy = NbaConfig.default().policy
    for names, default, _ in rows(ACTIONS, "Policy"):
        fields = re.findall(r"`(\w+)`", names)
        assert [str(getattr(policy, name)).removesuffix(".0") for name in fields] == default.strip("`").split(", ")


def test_the_file_that_is_shown_can_be_used() -> None:
    [shown] = re.findall(r"^```toml\n(.*?)^```$", ACTIONS, re.M | re.S)
    config = NbaConfig.default(tomllib.loads(shown))
    assert ("birthday", "email") in [config.arms.pair(arm) for arm in range(len(config.arms))]


def test_every_reason_is_told_in_order() -> None:
    page = (DOCS / "decide.md").read_text(encoding="utf-8")
    told = [(row[0].strip("`"), row[1]) for row in rows(page, "Reasons")]
    assert told == [(code.text, code.stage) for code in Code if code]
