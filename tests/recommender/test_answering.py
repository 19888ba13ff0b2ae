"""Answers as a page sees them: never empty, honouring what is asked, telling why."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import DAY
from features.filters import FilterError
from recommender.answering import Answerer
from recommender.answers import Block, BlockRequest, Shopper, UnknownPlacement
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from recommender.rules import Rule, Rules
from tests import logs, shops

PRODUCT_PLACEMENTS = [
    name for name, placement in RecommenderConfig.default().placements.items() if placement.of == "products"
]
MAY_BE_EMPTY = {"recently_viewed", "buy_it_again"}


def fitted(
    events: pd.DataFrame, products: pd.DataFrame | None = None, config: RecommenderConfig | None = None
) -> Recommender:
    log, catalogue = logs.encoded(events, products)
    return fit(log, catalogue, config or RecommenderConfig.default(), at=logs.end_of(log))


def answered(model: Recommender, request: BlockRequest, shopper: Shopper | None = None, *rules: Rule) -> Block:
    answerer = Answerer(model, Rules(rules, model.catalogue))
    (block,) = answerer.answer(shopper or Shopper(), [request], model.at)
    return block


def ids(block: Block) -> list[str]:
    return [item.id for item in block.items]


@pytest.fixture(scope="module")
def shop() -> Recommender:
    events, products = shops.planted_tastes()
    numbers = np.arange(len(products))
    products["availability"] = np.where(numbers == 5, "out_of_stock", "in_stock")
    products["sale_price"] = np.where(numbers % 4 == 0, products["price"] - 3, np.nan)
    products["item_group_id"] = [f"g{n // 2}" if n < 4 else None for n in numbers]
    products["margin"] = 0.4
    return fitted(events, products)


@pytest.mark.parametrize("placement", PRODUCT_PLACEMENTS)
@pytest.mark.parametrize(
    ("shopper", "products"),
    [
        (Shopper("c004"), ("p007",)),
        (Shopper("c004"), ()),
        (Shopper("nobody"), ("never heard of",)),
        (Shopper(anonymous_id="visitor"), ("p007", "p008")),
        (Shopper(), ()),
    ],
)
def test_every_placement_answers_everyone(
    shop: Recommender, placement: str, shopper: Shopper, products: tuple[str, ...]
) -> None:
    block = answered(shop, BlockRequest(placement, 5, products), shopper)
    if placement not in MAY_BE_EMPTY:
        assert len(block.items) == 5
    assert [item.rank for item in block.items] == list(range(1, len(block.items) + 1))
    assert len(set(ids(block))) == len(block.items)
    assert "p005" not in ids(block)  # out of stock
    assert not set(products) & set(ids(block))
    for item in block.items:
        assert item.kind == "product"
        assert item.source
        assert item.reasons
        assert item.propensity == 1.0
        assert (item.fallback_level == 0) or item.score == 0
        assert item.product is not None
        assert item.product["product_id"] == item.id
        assert "margin" not in item.product


def test_groups_go_with_the_page(shop: Recommender) -> None:
    block = answered(shop, BlockRequest("similar_categories", 4, category="All > Taste 1"), Shopper("c004"))
    assert len(block.items) == 4
    assert {item.kind for item in block.items} == {"category", "brand"}
    assert "All > Taste 1" not in ids(block)


def test_a_catalogue_without_groups_shows_products() -> None:
    block = answered(fitted(shops.companions()), BlockRequest("similar_categories", 2, ("brush",)))
    assert [item.kind for item in block.items] == ["product", "product"]
    assert all(item.fallback_level > 0 for item in block.items)


def test_what_comes_next_is_recommended(shop: Recommender) -> None:
    block = answered(shop, BlockRequest("you_may_also_like", 3, ("p010",)))
    assert block.items[0].id == "p013"  # same taste, the next in its cycle
    assert block.items[0].reasons[0]["product_id"] == "p010"
    assert block.items[0].fallback_level == 0


def test_bought_with_has_support_lift_and_a_total() -> None:
    products = pd.DataFrame(
        {
            "product_id": ["shampoo", "conditioner", "brush", "paste"],
            "price": [8.0, 7.0, 3.0, 2.0],
            "sale_price": [np.nan, 5, np.nan, np.nan],
        }
    )
    block = answered(fitted(shops.companions(), products), BlockRequest("frequently_bought_together", 1, ("shampoo",)))
    (item,) = block.items
    assert item.id == "conditioner"
    assert item.extra["support"] == pytest.approx(0.5)
    assert item.extra["lift"] == pytest.approx(2.0)
    assert block.extra == {"bundle_total": 13.0}


def test_what_replaces_the_anchor_is_no_complement() -> None:
    rows = [("purchase", n, f"c{n}", name) for n in range(8) for name in ("cola", "cola light", "crisps")]
    products = pd.DataFrame(
        {
            "product_id": ["cola", "cola light", "crisps", "soap", "comb"],
            "title": ["Fizzy cola drink can", "Fizzy cola drink light", "Salted potato crisps", "Hand soap", "Comb"],
            "category": ["Drinks > Cola", "Drinks > Cola", "Snacks > Crisps", "Bath > Soap", "Bath > Combs"],
        }
    )
    log, catalogue = logs.log_of(rows, products)
    model = fit(log, catalogue, RecommenderConfig.default({"sources": {"text": {"common": 1.0}}}), at=logs.end_of(log))
    found = ids(answered(model, BlockRequest("frequently_bought_together", 3, ("cola",))))
    assert found[0] == "crisps"
    assert "cola light" not in found
    assert ids(answered(model, BlockRequest("similar_products", 1, ("cola",)))) == ["cola light"]


def test_buy_it_again_says_when() -> None:
    model = fitted(shops.staples())
    block = answered(model, BlockRequest("buy_it_again"), Shopper("c019"))
    item = block.items[0]
    assert item.id == "milk"
    assert 0 < item.extra["due_probability"] <= 1
    assert datetime.fromisoformat(item.extra["due_at"]).tzinfo is not None
    assert answered(model, BlockRequest("buy_it_again"), Shopper("stranger")).items == []


def test_bought_products_leave_the_personal_list_and_return_when_wanted(shop: Recommender) -> None:
    bought = {"p000", "p003", "p006", "p009", "p012", "p015", "p018", "p021"}
    mine = set(ids(answered(shop, BlockRequest("recommended_for_you", 24), Shopper("c000"))))
    person = shop.people.code("c000")
    history = shop.history(person, shop.at)
    had = {shop.catalogue.ids[code] for code in history.product.tolist()}
    assert had <= bought
    assert not mine & had


def test_one_variant_of_a_group(shop: Recommender) -> None:
    found = ids(answered(shop, BlockRequest("best_sellers", 24)))
    assert len({"p000", "p001"} & set(found)) == 1
    assert not {"p000", "p001"} & set(ids(answered(shop, BlockRequest("you_may_also_like", 24, ("p000",)))))


def test_blocks_of_one_request_do_not_repeat_products(shop: Recommender) -> None:
    answerer = Answerer(shop, Rules((), shop.catalogue))
    requests = [BlockRequest(name, 4, ("p007",)) for name in ("you_may_also_like", "similar_products", "best_sellers")]
    blocks = answerer.answer(Shopper("c001"), requests, shop.at)
    found = [item.id for block in blocks for item in block.items]
    assert len(found) == len(set(found)) == 12


def test_a_filter_is_honoured_down_the_fallback_chain(shop: Recommender) -> None:
    for placement in PRODUCT_PLACEMENTS:
        request = BlockRequest(placement, 10, ("p007",), filter="brand = 'Brand 2' and price < 20")
        found = ids(answered(shop, request, Shopper("c001")))
        assert set(found) <= {"p002", "p005", "p008"}
        if placement not in MAY_BE_EMPTY:
            assert found


def test_a_list_for_everybody_is_made_once(shop: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    answerer = Answerer(shop, Rules((), shop.catalogue))
    request = BlockRequest("best_sellers", 4)
    first = answerer.answer(Shopper("c004"), [request], shop.at)
    others = [
        replace(request, placement="trending"),
        replace(request, count=3),
        replace(request, filter="price > 0"),
        replace(request, category="All > Taste 2"),
        replace(request, exclude=("p001",)),
        replace(request, product_ids=("p001",)),
        replace(request, placement="recommended_for_you"),
    ]
    monkeypatch.setattr(Answerer, "_draft", None)  # whatever is made now fails
    assert answerer.answer(Shopper(), [request], shop.at + DAY, draw="d") == first
    for requests in ([request, request], *([other] for other in others)):
        with pytest.raises(TypeError):
            answerer.answer(Shopper(), requests, shop.at)
    with pytest.raises(TypeError):
        answerer.answer(Shopper(), [request], shop.at, explain=True)
    with pytest.raises(TypeError):
        answerer.over(replace(shop)).answer(Shopper(), [request], shop.at)


def test_a_list_for_everybody_is_made_anew_when_a_product_has_its_first_day() -> None:
    events, products = shops.planted_tastes()
    best = ids(answered(fitted(events, products), BlockRequest("best_sellers", 3)))
    dates = pd.Series(pd.NaT, index=products.index, dtype="datetime64[us, UTC]")
    dates[products["product_id"] == best[0]] = logs.START + pd.Timedelta(days=500)
    model = fitted(events, products.assign(available_from=dates))
    answerer = Answerer(model, Rules((), model.catalogue))
    assert best[0] not in ids(answerer.answer(Shopper(), [BlockRequest("best_sellers", 3)], logs.day(400))[0])
    for at, there in ((logs.day(499), False), (logs.day(500), True), (logs.day(499), False)):
        [block] = answerer.answer(Shopper(), [BlockRequest("best_sellers", 3)], at)
        assert (best[0] in ids(block)) is there


def test_a_filter_that_leaves_nothing_gives_an_empty_list_and_the_funnel_says_so(shop: Recommender) -> None:
    block = answered(shop, BlockRequest("best_sellers", 5, filter="price > 1000"))
    assert block.items == []
    assert any(before > after == 0 for step, before, after in block.funnel if step == "filter") or (
        block.funnel[0] == ("candidates", 0, 0)
    )


def test_a_broken_filter_is_refused(shop: Recommender) -> None:
    with pytest.raises(FilterError, match="colour"):
        answered(shop, BlockRequest("best_sellers", filter="colour = 'red'"))


def test_an_unknown_placement_is_refused_with_those_there_are(shop: Recommender) -> None:
    with pytest.raises(UnknownPlacement, match="best_sellers"):
        answered(shop, BlockRequest("bestsellers"))


def test_a_category_narrows_and_an_unknown_one_falls_back(shop: Recommender) -> None:
    inside = answered(shop, BlockRequest("best_sellers", 4, category="All > Taste 2"))
    assert {item.fallback_level for item in inside.items} == {0}
    assert all(int(identifier[1:]) % 3 == 2 for identifier in ids(inside))
    elsewhere = answered(shop, BlockRequest("best_sellers", 4, category="No such shelf"))
    assert len(elsewhere.items) == 4
    assert all(item.fallback_level > 0 for item in elsewhere.items)


def test_funnel_is_a_chain(shop: Recommender) -> None:
    for placement in PRODUCT_PLACEMENTS:
        steps = answered(shop, BlockRequest(placement, 6, ("p004",)), Shopper("c001")).funnel
        for (_, _, left), (_, entered, _) in pairwise(steps):
            assert left == entered


def test_explain_adds_up_to_the_score_of_the_blend(shop: Recommender) -> None:
    plain = replace(shop, rankers={})
    answerer = Answerer(plain, Rules((), shop.catalogue))
    (block,) = answerer.answer(Shopper("c001"), [BlockRequest("recommended_for_you", 5)], shop.at, explain=True)
    for item in block.items:
        if item.fallback_level == 0:
            assert sum(item.extra["scores"].values()) == pytest.approx(item.score, rel=1e-5)


def test_the_past_is_asked_from_the_past(shop: Recommender) -> None:
    person = shop.people.code("c001")
    first = int(shop.histories.time[shop.histories.indptr[person]])
    answerer = Answerer(shop, Rules((), shop.catalogue))
    (before,) = answerer.answer(Shopper("c001"), [BlockRequest("recently_viewed")], first)
    assert before.items == []


@pytest.mark.parametrize("events", [shops.no_events(), shops.one_product(), shops.one_customer()])
def test_tiny_shops_answer(events: pd.DataFrame) -> None:
    model = fitted(events)
    for placement in model.config.placements:
        block = answered(model, BlockRequest(placement, 5), Shopper("a"))
        assert len(block.items) <= len(model.catalogue)


def test_odd_ids_are_ordinary() -> None:
    odd = ["a/b", 'say "hi"', "l'eau", "💄", "with space"]
    rows = [("purchase", n, f"{name}'s fan", name) for n, name in enumerate(odd * 3)]
    log, catalogue = logs.log_of(rows)
    model = fit(log, catalogue, RecommenderConfig.default(), at=logs.end_of(log))
    assert set(ids(answered(model, BlockRequest("best_sellers", 5)))) == set(odd)
    assert answered(model, BlockRequest("you_may_also_like", 2, ("💄",)), Shopper("a/b's fan")).items


class TestRules:
    def test_pins_stand_where_they_are_put(self, shop: Recommender) -> None:
        pin = Rule(action="pin", product_ids=("p020", "p011"), position=2, placements=("best_sellers",))
        block = answered(shop, BlockRequest("best_sellers", 5), None, pin)
        assert ids(block)[1:3] == ["p020", "p011"]
        assert block.items[1].source == "pin"
        assert len(block.items) == len(set(ids(block))) == 5
        assert "p020" not in ids(answered(shop, BlockRequest("trending", 1), None, pin))

    def test_a_pin_obeys_stock_filter_and_exclusion(self, shop: Recommender) -> None:
        pin = Rule(action="pin", product_ids=("p005", "p020"))
        assert "p005" not in ids(answered(shop, BlockRequest("best_sellers", 5), None, pin))
        assert "p020" not in ids(answered(shop, BlockRequest("best_sellers", 5, exclude=("p020",)), None, pin))
        assert "p020" not in ids(answered(shop, BlockRequest("best_sellers", 5, filter="brand = 'Brand 0'"), None, pin))

    def test_boosts_raise_and_burials_sink(self, shop: Recommender) -> None:
        boost = Rule(action="boost", filter="brand = 'Brand 1'", factor=1000)
        found = ids(answered(shop, BlockRequest("best_sellers", 5), None, boost))
        assert all(int(identifier[1:]) % 3 == 1 for identifier in found)
        bury = Rule(action="bury", filter="brand = 'Brand 1'")
        found = ids(answered(shop, BlockRequest("best_sellers", 24), None, bury))
        brands = [int(identifier[1:]) % 3 == 1 for identifier in found]
        assert brands == sorted(brands)
        assert any(brands)

    def test_excluded_is_nowhere(self, shop: Recommender) -> None:
        out = Rule(action="exclude", filter="brand in ('Brand 0', 'Brand 1')")
        for placement in PRODUCT_PLACEMENTS:
            found = ids(answered(shop, BlockRequest(placement, 24, ("p002",)), Shopper("c001"), out))
            assert all(int(identifier[1:]) % 3 == 2 for identifier in found)

    def test_a_rule_holds_in_its_category_only(self, shop: Recommender) -> None:
        out = Rule(action="exclude", product_ids=("p002",), category="All")
        assert "p002" not in ids(answered(shop, BlockRequest("best_sellers", 24, category="All > Taste 2"), None, out))
        assert "p002" in ids(answered(shop, BlockRequest("best_sellers", 24), None, out))


def test_diversity_takes_turns_among_categories() -> None:
    changes = {"placements": {"best_sellers": {"diversity": 0.9}}}
    rows = [("purchase", n / 10, f"c{n}", f"a{n % 4}") for n in range(40)] + [("purchase", 4, "d", "b0")]
    products = pd.DataFrame({"product_id": ["a0", "a1", "a2", "a3", "b0"], "category": ["A"] * 4 + ["B"]})
    log, catalogue = logs.log_of(rows, products)
    mixed = fit(log, catalogue, RecommenderConfig.default(changes), at=logs.end_of(log))
    plain = fit(log, catalogue, RecommenderConfig.default(), at=logs.end_of(log))
    assert ids(answered(plain, BlockRequest("best_sellers", 2)))[1].startswith("a")
    assert ids(answered(mixed, BlockRequest("best_sellers", 2)))[1] == "b0"


def test_fallback_answers_without_any_model(shop: Recommender) -> None:
    answerer = Answerer(shop, Rules((), shop.catalogue))
    for name in shop.config.placements:
        (block,) = answerer.fallback([BlockRequest(name, 4, filter="price > 15")], shop.at)
        assert len(block.items) == 4
        assert all(item.fallback_level > 0 and item.product and item.product["price"] > 15 for item in block.items)


@given(
    placement=st.sampled_from(PRODUCT_PLACEMENTS),
    count=st.integers(1, 30),
    anchors=st.lists(st.sampled_from([f"p{n:03}" for n in range(24)]), max_size=4),
    exclude=st.lists(st.sampled_from([f"p{n:03}" for n in range(24)]), max_size=20),
    ceiling=st.integers(5, 40),
    person=st.integers(0, 70),
)
@settings(max_examples=150, deadline=None)
def test_no_promise_is_broken(
    shop: Recommender, placement: str, count: int, anchors: list[str], exclude: list[str], ceiling: int, person: int
) -> None:
    request = BlockRequest(placement, count, tuple(anchors), None, f"price <= {ceiling}", tuple(exclude))
    block = answered(shop, request, Shopper(f"c{person:03}"))
    found = ids(block)
    assert len(found) <= count
    assert len(found) == len(set(found))
    assert not set(found) & set(exclude)
    assert not set(found) & set(anchors)
    assert all(10 + int(identifier[1:]) <= ceiling and identifier != "p005" for identifier in found)
    assert block == answered(shop, request, Shopper(f"c{person:03}"))


def test_rules_see_the_catalogue_they_are_given(shop: Recommender) -> None:
    with pytest.raises(FilterError):
        Rules((Rule(action="exclude", filter="nonsense = 1"),), shop.catalogue)
    other = replace(shop, config=RecommenderConfig.default())
    assert answered(other, BlockRequest("best_sellers", 3)) == answered(shop, BlockRequest("best_sellers", 3))
