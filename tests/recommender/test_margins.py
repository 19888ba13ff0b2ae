"""Margins where the catalogue tells only some, and lists by what they are expected to earn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.config import ConfigError
from recommender.answering import Answerer
from recommender.answers import Block, BlockRequest, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from recommender.margins import by_margin, margins, worth
from recommender.rules import Rules
from recommender.sources.scores import Scores
from tests import logs, shops


def catalogue_of(**columns: object) -> Catalogue:
    return logs.log_of([], pd.DataFrame(columns))[1]


def test_what_is_not_told_is_taken_from_the_category_then_from_the_shop() -> None:
    found = margins(
        catalogue_of(
            product_id=list("abcdefgh"),
            category=["Lips", "Lips", "Lips", "Lips", "Nails", "Nails", "Hair", None],
            price=[10.0, 20.0, 10.0, 30.0, 10.0, 50.0, 100.0, np.nan],
            sale_price=[np.nan, np.nan, np.nan, 20.0, np.nan, np.nan, np.nan, np.nan],
            margin=[4.0, 6.0, 8.0, np.nan, 1.0, np.nan, np.nan, np.nan],
        )
    )
    assert found is not None
    shop = np.median([0.4, 0.3, 0.8, 0.1])
    assert found.tolist() == pytest.approx([4, 6, 8, 0.4 * 20, 1, 0.1 * 50, shop * 100, np.median([4, 6, 8, 1])])


@pytest.mark.parametrize("told", [[np.nan, np.nan], [0.0, np.nan], [-1.0, 0.0]])
def test_nothing_earns_where_nothing_is_told(told: list[float]) -> None:
    catalogue = catalogue_of(product_id=["a", "b"], price=[1.0, 2.0], margin=told)
    assert margins(catalogue) is None
    assert worth(catalogue, 1.0) is None
    assert margins(catalogue_of(product_id=["a"], price=[1.0])) is None


def test_what_earns_nothing_counts_next_to_nothing() -> None:
    found = worth(catalogue_of(product_id=list("abc"), margin=[-5.0, 0.0, 2.0]), 0.5)
    assert found is not None
    assert found.tolist() == pytest.approx([np.sqrt(0.002), np.sqrt(0.002), np.sqrt(2)])


@given(
    chances=st.lists(st.floats(1e-3, 1), min_size=1, max_size=8, unique=True),
    earns=st.lists(st.floats(0.01, 1e3), min_size=8, max_size=8),
    ranked=st.integers(1, 8),
    weight=st.floats(0, 1),
)
@example(chances=[0.5, 0.4], earns=[0.01, 1.0] * 4, ranked=1, weight=1.0)
def test_the_ranked_stand_by_expected_margin_and_the_others_below(
    chances: list[float], earns: list[float], ranked: int, weight: float
) -> None:
    n = len(chances)
    value = np.array(chances, dtype=np.float32)
    scores = Scores(np.array([0, n]), np.arange(n, dtype=np.int32), value)
    factor = np.array(earns, dtype=np.float64) ** weight
    found = by_margin(scores, ranked, factor.astype(np.float32)).value
    order = np.argsort(-value, kind="stable")
    first, rest = order[:ranked], order[ranked:]
    assert found[first] == pytest.approx(value[first] * factor[first], rel=1e-5)
    assert (np.diff(found[rest]) <= 0).all()
    assert len(rest) == 0 or found[rest].max() <= found[first].min()


# In answers


def shop_with(margin: NDArray[np.float64] | None, weight: float, **placement: object) -> Recommender:
    events, products = shops.planted_tastes(customers=300)
    if margin is not None:
        products["margin"] = margin
    log, catalogue = logs.encoded(events, products)
    changes = {
        "rankers": {"next_product": {"rows_a_leaf": 5, "moments": ["last"], "candidates": 12}},
        "placements": {"recommended_for_you": {"margin_weight": weight, "diversity": 0.0, **placement}},
    }
    config = RecommenderConfig.default(changes)
    return fit(log, catalogue, config, at=logs.end_of(log), placements={"recommended_for_you"})


def listed(model: Recommender, customer: str, count: int = 20) -> Block:
    answerer = Answerer(model, Rules((), model.catalogue))
    [block] = answerer.answer(Shopper(customer), [BlockRequest("recommended_for_you", count)], model.at)
    return block


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_lists_stand_by_probability_times_margin(weight: float) -> None:
    margin = np.random.default_rng(0).uniform(0.1, 20, 24)
    plain, weighed = shop_with(margin, 0.0), shop_with(margin, weight)
    assert plain.rankers["next_product"].text
    moved = 0
    for number in range(12):
        bare, made = (
            [item for item in listed(model, f"c{number:03}").items if not item.fallback_level]
            for model in (plain, weighed)
        )
        of_product = {f"p{code:03}": earns for code, earns in enumerate(margin)}
        expected = sorted(bare[:12], key=lambda item: -item.score * of_product[item.id] ** weight)
        assert [item.id for item in made] == [item.id for item in (*expected, *bare[12:])]
        assert made[0].score == pytest.approx(expected[0].score * of_product[expected[0].id] ** weight, rel=1e-5)
        moved += [item.id for item in made] != [item.id for item in bare]
    assert moved > 6


def test_without_margins_the_setting_changes_nothing() -> None:
    assert listed(shop_with(None, 1.0), "c003") == listed(shop_with(None, 0.0), "c003")


def test_margins_weigh_probabilities_alone() -> None:
    for changes, named in (
        (
            {"placements": {"complementary_after_purchase": {"margin_weight": 0.5}}},
            "complementary_after_purchase.margin_weight .* its rankers must name one",
        ),
        (
            {
                "placements": {"recommended_for_you": {"margin_weight": 0.5}},
                "rankers": {"next_product": {"moments": ["customer"]}},
            },
            "recommended_for_you.margin_weight .* 'last' among its moments",
        ),
        (
            {
                "placements": {"recommended_for_you": {"margin_weight": 0.5}},
                "rankers": {"next_product": {"learns_to": "order"}},
            },
            "recommended_for_you.margin_weight .* learns_to = 'probability'",
        ),
        (
            {"placements": {"you_may_also_like": {"margin_weight": 0.5, "leave_out_bought": False}}},
            "you_may_also_like.margin_weight .* repeats = True",
        ),
        (
            {"placements": {"you_may_also_like": {"margin_weight": 0.5}}},
            "you_may_also_like.margin_weight .* gains of 1",
        ),
        ({"placements": {"you_may_also_like": {"margin_weight": 1.5}}}, r"you_may_also_like\.margin_weight"),
    ):
        with pytest.raises(ConfigError, match=named):
            RecommenderConfig.default(changes)
    as_likely = {"next_step": {"cart_gain": 1.0, "purchase_gain": 1.0}}
    for placement in ("you_may_also_like", "recommended_for_you"):
        weighed = {"placements": {placement: {"margin_weight": 0.5}}, "rankers": as_likely}
        assert RecommenderConfig.default(weighed).placements[placement].margin_weight == 0.5
