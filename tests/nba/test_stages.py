"""Stages and segments of customers whose whole history is on the page."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.catalogue import Column, Number, Tags, Text
from features.config import ConfigError
from features.events import DAY
from features.fold import Fold
from features.slots import CUSTOMER
from features.store.base import Event
from features.vocabulary import Vocabulary
from nba.columns import AttributeKind, known_columns, null
from nba.crowd import Crowd
from nba.known import Known
from nba.segments import DEFAULT_EXPRESSIONS, SegmentsConfig, segments
from nba.stages import DEFAULT_RULES, StageRule, StagesConfig, stage
from tests.nba.people import NOW, crowd

FOLD = Fold(CUSTOMER)


def read(*happened: tuple[str, float]) -> list[float]:
    """Features of somebody who did some things, each so many days ago."""
    state = FOLD.empty()
    for event, days_ago in happened:
        time = NOW - round(days_ago * DAY)
        FOLD.update(state, Event(event, time, time, product_id="p", price=10.0))
    return list(FOLD.read(state, NOW).values())


def known(people: Crowd, attributes: Mapping[str, AttributeKind] | None = None) -> Known:
    """What is known of a crowd."""
    return Known(people, attributes or {}, StagesConfig(), SegmentsConfig(), {})


def columns(*people: list[float]) -> Known:
    """What is known of some people."""
    table = np.array(people).reshape(len(people), -1)
    return known(crowd({name: table[:, place] for place, name in enumerate(FOLD.names)}))


def stage_of(*happened: tuple[str, float]) -> str:
    found = stage(StagesConfig(), columns(read(*happened)), 1)
    return str(found.values[int(found.codes[0])])


def segments_of(*happened: tuple[str, float]) -> list[str]:
    found = segments(SegmentsConfig(), columns(read(*happened)), 1)
    return [found.values[int(code)] for code in found.codes]


def orders(*days_ago: float) -> list[tuple[str, float]]:
    return [("purchase", days) for days in days_ago]


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ([], "unaware"),
        ([("send", 1)], "unaware"),
        ([("page", 1)], "awareness"),
        ([("subscribe", 10)], "awareness"),
        ([("view", 1)], "awareness"),
        ([("view", 1), ("view", 1.1), ("view", 1.2), ("view", 1.3)], "research"),
        ([("video_view", 2)], "research"),
        ([("view", 200)] * 5, "awareness"),
        ([("view", 2), ("cart", 2)], "consideration"),
        ([("view", 60), ("cart", 60)], "awareness"),
        ([("wishlist", 20)], "consideration"),
        (orders(20), "first_purchase"),
        ([*orders(20), ("cart", 1)], "first_purchase"),
        ([*orders(20), ("refund", 10)], "awareness"),
        (orders(20, 60), "retained"),
        (orders(20, 60, 100), "retained"),
        (orders(20, 60, 100, 140), "loyal"),
        (orders(89), "first_purchase"),
        (orders(91), "at_risk"),
        (orders(91, 200), "at_risk"),
        (orders(100, 200, 300, 400), "loyal"),  # three months are usual for them
        (orders(160, 260, 360, 460), "at_risk"),
        (orders(25, 32, 39, 46), "loyal"),
        (orders(31, 38, 45, 52), "at_risk"),  # every week, until a month ago
        (orders(181, 188, 195, 202), "lost"),
        (orders(366), "lost"),
        (orders(364), "at_risk"),
    ],
)
def test_stage(happened: list[tuple[str, float]], expected: str) -> None:
    assert stage_of(*happened) == expected


def test_lines_of_one_order_are_one_order() -> None:
    assert stage_of(*[("purchase", 5.0)] * 7) == "first_purchase"


@pytest.mark.parametrize(
    ("happened", "name"),
    [
        ([("view", day) for day in range(7)], "browser"),
        ([("cart", 3)], "cart_leaver"),
        ([("search", 1), ("search", 2), ("search", 3)], "searcher"),
        ([("page", 1)] * 6, "reader"),
        ([("video_view", 1)] * 3, "video_watcher"),
        ([("wishlist", 80)], "wishes"),
        (orders(3), "one_time_buyer"),
        (orders(3, 33, 63, 93), "frequent_buyer"),
        ([*orders(9, 9, 9), ("refund", 3), ("refund", 4)], "returner"),
        ([("send", 3), ("open", 2.9), ("click", 2.9)], "answers_messages"),
        ([("send", day) for day in range(5)], "silent_to_messages"),
        ([("app_install", 500)], "app_user"),
        ([("subscribe", 50)], "subscriber"),
    ],
)
def test_segment(happened: list[tuple[str, float]], name: str) -> None:
    assert name in segments_of(*happened)
    assert name not in segments_of(*orders(300, 400))


@pytest.mark.parametrize(
    ("happened", "name"),
    [
        ([("cart", 3), ("purchase", 2)], "cart_leaver"),
        ([("subscribe", 50), ("unsubscribe", 3)], "subscriber"),
        ([("send", 3), ("send", 2), ("send", 1), ("send", 4), ("send", 5), ("open", 1)], "silent_to_messages"),
        (orders(3, 103, 203, 303), "frequent_buyer"),
    ],
)
def test_out_of_a_segment_again(happened: list[tuple[str, float]], name: str) -> None:
    assert name not in segments_of(*happened)


def test_hours_and_weekends() -> None:
    evening = [("view", day + 1 / 12) for day in range(8)]
    assert "evening_shopper" in segments_of(*evening)
    assert "evening_shopper" not in segments_of(("view", 1 / 12))  # once is no habit
    assert "weekend_shopper" in segments_of(*[("view", 4.5 + 7 * week) for week in range(3) for _ in range(3)])


def test_somebody_may_be_in_several_segments_or_none() -> None:
    found = segments(SegmentsConfig(), columns(read(), read(*orders(3), ("app_install", 3)), read(("cart", 1))), 3)
    assert found.indptr.tolist() == [0, 0, 2, 3]
    assert [found.values[int(code)] for code in found.codes] == ["app_user", "one_time_buyer", "cart_leaver"]


def test_segments_over_an_attribute_that_only_some_have() -> None:
    config = SegmentsConfig(expressions={"acne": "'acne' in skin_concerns", "oily": "skin_type = 'oily'"})
    declared: dict[str, AttributeKind] = {"skin_concerns": "tags", "skin_type": "text"}
    config.check(known_columns(declared))
    concerns = Tags(np.array([0, 2, 2]), np.array([0, 1], dtype=np.int32), Vocabulary(["acne", "redness"]))
    said: dict[str, Column] = {"skin_concerns": concerns, "skin_type": Number(np.ones(2))}
    found = segments(config, known(crowd({"orders": np.ones(2)}, attributes=said), declared), 2)
    assert found.indptr.tolist() == [0, 1, 1]
    assert [found.values[int(code)] for code in found.codes] == ["acne"]


def test_an_attribute_nobody_has_is_null() -> None:
    kinds: list[AttributeKind] = ["number", "text", "flag", "tags", "time"]
    for kind in kinds:
        config = SegmentsConfig(expressions={"known": "x is not null", "unknown": "x is null"})
        found = segments(config, known(crowd({"orders": np.ones(2)}), {"x": kind}), 2)
        assert [found.values[int(code)] for code in found.codes] == ["unknown", "unknown"], kind
        assert type(null(kind, 0)) is type(known_columns({"x": kind})["x"])


def test_segments_may_name_the_stage_and_a_score() -> None:
    config = SegmentsConfig(expressions={"push": "stage = 'retained' and discount_affinity > 0.5"})
    with pytest.raises(ConfigError, match=r"segments\.expressions\.push: there is no column stage"):
        config.check(known_columns({}, numbers=["discount_affinity"]))
    config.check({**known_columns({}, numbers=["discount_affinity"]), "stage": null("text", 0)})
    counts = {"orders": np.array([2.0, 2.0, 1.0]), "purchases_ever": np.array([2.0, 2.0, 1.0])}
    people = crowd(counts, attributes={"discount_affinity": Number(np.array([0.6, 0.4, 0.6]))})
    assert segments(config, known(people), 3).indptr.tolist() == [0, 1, 1, 1]


def test_defaults_can_be_honoured() -> None:
    StagesConfig().check(known_columns({}))
    SegmentsConfig().check(known_columns({}))


def test_a_shop_has_its_own_stages() -> None:
    config = StagesConfig(
        rules=(StageRule(stage="big", when="revenue_ever > 15"), StageRule(stage="buyer", when="orders >= 1")),
        otherwise="nobody",
    )
    found = stage(config, columns(read(*orders(1, 2)), read(), read(*orders(1))), 3)
    assert isinstance(found, Text)
    assert [found.values[int(code)] for code in found.codes] == ["big", "nobody", "buyer"]


def test_an_expression_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValidationError, match=r"when"):
        StagesConfig.model_validate({"rules": [{"stage": "a", "when": "views_7d >"}]})
    with pytest.raises(ValidationError, match="expressions"):
        SegmentsConfig(expressions={"a": "views_7d >"})


def test_an_unknown_column_is_named_with_its_rule() -> None:
    config = StagesConfig(rules=(StageRule(stage="a", when="orders > 1"), StageRule(stage="b", when="vews_7d > 1")))
    with pytest.raises(
        ConfigError, match=r"stages\.rules\[1\]\.when \(b\): there is no column vews_7d, did you mean views"
    ):
        config.check(known_columns({}))


def test_one_event_cannot_be_compared_with_text() -> None:
    config = StagesConfig(rules=(StageRule(stage="a", when="orders = 'many'"),))
    with pytest.raises(ConfigError, match="orders is a number"):
        config.check(known_columns({}))


PAST = st.lists(
    st.tuples(st.sampled_from(["view", "cart", "purchase", "refund", "send", "open"]), st.floats(0.1, 900)), max_size=12
)


@given(st.lists(PAST, min_size=1, max_size=4))
def test_many_at_once_are_as_one_by_one(people: list[list[tuple[str, float]]]) -> None:
    rows = [read(*past) for past in people]
    together, inside = (
        stage(StagesConfig(), columns(*rows), len(rows)),
        segments(SegmentsConfig(), columns(*rows), len(rows)),
    )
    for place, past in enumerate(people):
        assert together.values[int(together.codes[place])] == stage_of(*past)
        codes = inside.codes[inside.indptr[place] : inside.indptr[place + 1]]
        assert [inside.values[int(code)] for code in codes] == segments_of(*past)


def test_nobody_at_all() -> None:
    nobody = known(crowd({"orders": np.zeros(0)}))
    assert len(stage(StagesConfig(), nobody, 0).codes) == 0
    assert segments(SegmentsConfig(), nobody, 0).indptr.tolist() == [0]


PAGE = (Path(__file__).parents[2] / "docs" / "stages.md").read_text(encoding="utf-8")


def test_the_page_tells_the_rules_in_order() -> None:
    told = re.findall(r"^\| (\w+) \|", PAGE.partition("## Stages")[2].partition("## Segments")[0], re.MULTILINE)
    assert told == ["stage", *(rule.stage for rule in DEFAULT_RULES), StagesConfig().otherwise]


def test_the_page_tells_the_segments() -> None:
    rows = re.findall(r"^\| ([\w, ]+) \|", PAGE.partition("## Segments")[2].partition("```")[0], re.MULTILINE)
    assert [name for row in rows for name in row.split(", ")][1:] == list(DEFAULT_EXPRESSIONS)


def test_the_settings_of_the_page_are_settings() -> None:
    own_stages, own_segments = (tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
    attributes = own_segments.pop("attributes")
    StagesConfig.model_validate(own_stages["stages"]).check(known_columns({}))
    SegmentsConfig.model_validate(own_segments["segments"]).check(known_columns(attributes))
