"""Configuration and rules: laid over the defaults, and typos named."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.config import ConfigError
from recommender.config import RecommenderConfig
from recommender.rules import parse_rules, read_text


def test_changes_lie_over_the_defaults() -> None:
    changed = RecommenderConfig.default(
        {
            "sources": {"transitions": {"damping": 0.3}, "weekly": {"kind": "popularity", "half_life_days": 7}},
            "placements": {"best_sellers": {"sources": {"weekly": 1.0}}},
        }
    )
    default = RecommenderConfig.default()
    assert changed.sources["transitions"].damping == 0.3  # type: ignore[union-attr]  # it is a TransitionsConfig
    assert changed.sources["transitions"].distance == default.sources["transitions"].distance  # type: ignore[union-attr]
    assert changed.placements["best_sellers"].sources == {"weekly": 1.0}
    assert changed.placements["trending"] == default.placements["trending"]


def test_what_is_dumped_is_what_is_read() -> None:
    config = RecommenderConfig.default()
    assert RecommenderConfig.of(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sources": {"transitions": {"dampign": 0.3}}}, r"^sources\.transitions\.dampign: "),
        ({"sources": {"transitions": {"damping": 3}}}, "damping"),
        ({"sources": {"odd": {"kind": "neural"}}}, "odd"),
        ({"placements": {"best_sellers": {"sources": {"nowhere": 1.0}}}}, "nowhere"),
        ({"placements": {"best_sellers": {"diversity": "much"}}}, "placements.best_sellers.diversity"),
        ({"plaecments": {}}, "plaecments"),
        ({"placements": {"best_sellers": {"fallback": ["transitions"]}}}, "fallback"),
    ],
)
def test_a_typo_is_named(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        RecommenderConfig.default(changes)


def test_rules_are_read_in_order(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(
        """
        [[rule]]
        action = "pin"
        product_ids = ["a"]
        [[rule]]
        action = "boost"
        filter = "price < 3"
        factor = 2
        placements = ["trending"]
        """
    )
    pin, boost = parse_rules(read_text(file), ("trending",))
    assert (pin.action, pin.position) == ("pin", 1)
    assert (boost.factor, boost.placements) == (2, ("trending",))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[rule]]\naction = 'pin'", "product_ids or by filter"),
        ("[[rule]]\naction = 'pin'\nfilter = 'price < 3'", "a pin names"),
        ("[[rule]]\naction = 'hide'\nproduct_ids = ['a']", "action"),
        ("[[rule]]\naction = 'bury'\nproduct_ids = ['a']\nplacements = ['home']", "unknown placement 'home'"),
        ("[[rule]\n", "line 1"),
        ("[[rule]]\naction = 'boost'\nproduct_ids = ['a']\nfactor = -1", "factor"),
    ],
)
def test_a_fault_in_the_rules_is_named(text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_rules(text, ("best_sellers",))


def test_a_missing_file_of_rules_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        read_text(tmp_path / "none.toml")
