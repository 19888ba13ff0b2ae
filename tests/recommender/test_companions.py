"""Frequently bought together, as a person would have it. Baskets and catalogue are made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
import pytest

from recommender.answering import Answerer
from recommender.answers import Block, BlockRequest, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from recommender.rules import Rules
from recommender.sources.cooccurrence import CooccurrenceConfig
from recommender.sources.cooccurrence import fit as fit_cooccurrence
from tests import logs

#: product → title, category, brand
CATALOGUE = {
    "shampoo": ("Silky Care Shampoo 250 ml", "Hair > Shampoo", "Silky"),
    "shampoo-400": ("Silky Care Shampoo 400 ml", "Hair > Shampoo", "Silky"),
    "shampoo-travel": ("Silky Care Shampoo Travel 50 ml", "Hair > Shampoo", "Silky"),
    "conditioner": ("Repair Balm Conditioner", "Hair > Conditioner", "Balmy"),
    "conditioner-rich": ("Repair Balm Conditioner Rich", "Hair > Conditioner", "Balmy"),
    "comb": ("Wooden Comb", "Hair > Combs", "Timber"),
    "comb-small": ("Wooden Comb Small", "Hair > Combs", "Timber"),
    "lipstick": ("Matte Lipstick Ruby", "Lips > Lipstick", "Rouge"),
    "lipstick-coral": ("Matte Lipstick Coral", "Lips > Lipstick", "Rouge"),
    "liner": ("Precise Contour Pencil", "Lips > Liner", "Outline"),
    "liner-brown": ("Precise Contour Pencil Brown", "Lips > Liner", "Outline"),
    "polish": ("Gloss Nail Polish Red", "Nails > Polish", "Lacquer"),
    "polish-nude": ("Gloss Nail Polish Nude", "Nails > Polish", "Lacquer"),
    "remover": ("Acetone Free Remover", "Nails > Remover", "Clean"),
    "remover-pads": ("Acetone Free Remover Pads", "Nails > Remover", "Clean"),
    "pasta": ("Durum Pasta Spaghetti", "Food > Pasta", "Nonna"),
    "pasta-penne": ("Durum Pasta Penne", "Food > Pasta", "Nonna"),
    "sauce": ("Tomato Sauce Basil", "Food > Sauces", "Orto"),
    "sauce-chili": ("Tomato Sauce Chili", "Food > Sauces", "Orto"),
    "parmesan": ("Grated Cheese Parmesan", "Food > Cheese", "Latte"),
    "pecorino": ("Grated Cheese Pecorino", "Food > Cheese", "Latte"),
    "bananas": ("Bananas", "Fruit > Bananas", "Farm"),
    "bag": ("Paper Carrier Bag", "Service > Bags", "House"),
    "umbrella": ("Folding Umbrella", "Travel > Umbrellas", "Rain"),
    "candle": ("Scented Candle", "Home > Candles", "Glow"),
}

#: What is bought in one order → how often. Bananas and bags are put into most orders beside (`baskets`).
ORDERS = {
    ("shampoo", "conditioner"): 18,
    ("shampoo", "shampoo-400"): 12,
    ("shampoo", "shampoo-travel"): 6,
    ("shampoo", "comb"): 12,
    ("shampoo",): 12,
    ("lipstick", "liner"): 18,
    ("lipstick", "lipstick-coral"): 12,
    ("lipstick",): 12,
    ("polish", "remover"): 18,
    ("polish",): 6,
    ("pasta", "sauce"): 24,
    ("pasta", "sauce", "parmesan"): 12,
    ("pasta",): 12,
    ("pasta", "umbrella"): 1,
}

PAIRS = [("shampoo", "conditioner"), ("lipstick", "liner"), ("polish", "remover"), ("pasta", "sauce")]
BOTH_WAYS = PAIRS + [(right, left) for left, right in PAIRS]
EVERYDAY = {"bag", "bananas"}


def baskets() -> list[tuple[str, ...]]:
    """The orders one by one; two of three hold bananas too, and five of six a bag."""
    plain = [names for names, often in ORDERS.items() for _ in range(often)]
    beside = cycle([("bananas", "bag"), ("bag",), ("bananas", "bag"), ("bananas", "bag"), ("bag",), ("bananas",)])
    return [(*names, *more) for names, more in zip(plain, beside, strict=False)]


def catalogue() -> pd.DataFrame:
    return pd.DataFrame(
        [(name, *told) for name, told in CATALOGUE.items()], columns=["product_id", "title", "category", "brand"]
    )


def fitted(orders: Sequence[tuple[str, ...]]) -> Recommender:
    """With defaults; one order a customer, all of one day and shuffled, so that age plays no part."""
    rows = [
        ("purchase", number / len(orders), f"c{place:03}", name)
        for number, place in enumerate(np.random.default_rng(0).permutation(len(orders)).tolist())
        for name in orders[place]
    ]
    log, products = logs.log_of(rows, catalogue())
    return fit(
        log,
        products,
        RecommenderConfig.default(),
        at=logs.end_of(log),
        placements={"frequently_bought_together", "complete_the_cart"},
    )


@pytest.fixture(scope="module")
def shop() -> Recommender:
    return fitted(baskets())


def served(
    model: Recommender,
    *anchors: str,
    count: int = 6,
    placement: str = "frequently_bought_together",
    only: str | None = None,
) -> Block:
    (block,) = Answerer(model, Rules((), model.catalogue)).answer(
        Shopper(), [BlockRequest(placement, count, anchors, filter=only)], model.at
    )
    return block


def ids(block: Block) -> list[str]:
    return [item.id for item in block.items]


def test_everyday_products_are_what_the_name_says(shop: Recommender) -> None:
    """Else the tests below would ask for nothing: counted plainly, a bag is the first companion of everything."""
    orders = baskets()
    for anchor, companion in BOTH_WAYS:
        beside = [order for order in orders if anchor in order]
        assert sum("bag" in order for order in beside) > sum(companion in order for order in beside) / 2
    assert sum("bag" in order for order in orders) > len(orders) / 2
    assert sum("bananas" in order for order in orders) > len(orders) / 2


@pytest.mark.parametrize(("anchor", "companion"), BOTH_WAYS)
def test_complements_come_first(shop: Recommender, anchor: str, companion: str) -> None:
    assert ids(served(shop, anchor))[0] == companion


def test_second_companions_come_before_what_everybody_buys(shop: Recommender) -> None:
    assert ids(served(shop, "pasta"))[:2] == ["sauce", "parmesan"]
    assert ids(served(shop, "shampoo"))[:2] == ["conditioner", "comb"]


@pytest.mark.parametrize("anchor", [*(anchor for anchor, _ in BOTH_WAYS), "comb", "parmesan", "umbrella"])
@pytest.mark.parametrize("placement", ["frequently_bought_together", "complete_the_cart"])
def test_what_everybody_buys_leads_no_list(shop: Recommender, anchor: str, placement: str) -> None:
    assert ids(served(shop, anchor, placement=placement))[0] not in EVERYDAY


def test_what_everybody_buys_may_stand_below(shop: Recommender) -> None:
    assert set(ids(served(shop, "lipstick"))) >= EVERYDAY


@pytest.mark.parametrize(
    ("anchor", "instead"),
    [
        ("shampoo", {"shampoo-400", "shampoo-travel"}),
        ("shampoo-400", {"shampoo", "shampoo-travel"}),
        ("lipstick", {"lipstick-coral"}),
    ],
)
def test_nobody_is_shown_the_same_thing_again(shop: Recommender, anchor: str, instead: set[str]) -> None:
    """Bought with the anchor or not, in a short list or in one that needs the whole catalogue."""
    for count in (3, len(CATALOGUE)):
        assert not instead & set(ids(served(shop, anchor, count=count)))


def test_a_cart_is_heard_as_a_whole(shop: Recommender) -> None:
    assert set(ids(served(shop, "shampoo", "lipstick", count=2))) == {"conditioner", "liner"}


def test_one_chance_order_is_no_companionship(shop: Recommender) -> None:
    found = ids(served(shop, "pasta", count=len(CATALOGUE)))
    assert found.index("umbrella") > found.index("parmesan") > found.index("sauce")


@pytest.mark.parametrize("often", [2, 5, 25, 60, 200])
def test_one_chance_order_does_not_lead_in_a_shop_of_one_pair(often: int) -> None:
    """The sauce is in nearly all orders there, but is not what everybody buys with anything."""
    model = fitted([("pasta", "sauce")] * often + [("pasta", "umbrella")])
    assert ids(served(model, "pasta", count=2)) == ["sauce", "umbrella"]


def test_a_chance_order_of_today_does_not_beat_what_was_bought_together_all_year() -> None:
    often = [("purchase", float(day), f"c{day}", name) for day in range(0, 360, 15) for name in ("pasta", "sauce")]
    chance = [("purchase", 365.0, "late", name) for name in ("pasta", "umbrella")]
    log, products = logs.log_of([*often, *chance], catalogue())
    model = fit(log, products, RecommenderConfig.default(), at=logs.end_of(log), placements={"complete_the_cart"})
    assert ids(served(model, "pasta", placement="complete_the_cart", count=2)) == ["sauce", "umbrella"]


def test_support_and_lift_are_those_of_the_orders(shop: Recommender) -> None:
    orders = baskets()
    first = served(shop, "pasta").items[0]
    both = sum({"pasta", "sauce"} <= set(order) for order in orders)
    pasta, sauce = (sum(name in order for order in orders) for name in ("pasta", "sauce"))
    assert both == 36
    assert first.reasons == [
        {
            "code": "bought_together",
            "product_id": "pasta",
            "orders": both,
            "support": pytest.approx(both / len(orders)),
            "lift": pytest.approx(both * len(orders) / (pasta * sauce)),
        }
    ]
    assert first.extra == {"support": first.reasons[0]["support"], "lift": first.reasons[0]["lift"]}


def test_what_is_said_to_be_bought_together_is_so_more_than_by_chance(shop: Recommender) -> None:
    for anchor in ("shampoo", "lipstick", "polish", "pasta"):
        first = served(shop, anchor).items[0]
        assert first.source == "cooccurrence"
        assert first.extra["lift"] > 1.5


@pytest.mark.parametrize("anchor", ["candle", "never heard of", *sorted(EVERYDAY)])
def test_never_empty(shop: Recommender, anchor: str) -> None:
    found = ids(served(shop, anchor))
    assert len(found) == len(set(found)) == 6
    assert anchor not in found


@pytest.mark.parametrize(
    ("anchor", "companion"), [("polish-nude", "remover"), ("pasta-penne", "sauce"), ("liner-brown", "lipstick")]
)
def test_what_nobody_bought_goes_with_what_its_like_goes_with(shop: Recommender, anchor: str, companion: str) -> None:
    assert not any(anchor in order for order in baskets())
    first = served(shop, anchor).items[0]
    assert (first.id, first.source, first.fallback_level) == (companion, "alike", 0)
    assert first.reasons == [{"code": "goes_with_similar", "product_id": anchor}]


def test_a_filter_leaves_what_it_keeps(shop: Recommender) -> None:
    assert ids(served(shop, "pasta", only="category = 'Travel > Umbrellas'")) == ["umbrella"]


class TestOrdering:
    """The source alone, without the filter of substitutes and without best sellers."""

    @staticmethod
    def order(orders: Sequence[tuple[str, ...]], anchor: str, config: CooccurrenceConfig) -> list[str]:
        rows = [("purchase", 1, f"c{number:03}", name) for number, order in enumerate(orders) for name in order]
        log, _ = logs.log_of(rows)
        source = fit_cooccurrence(log, logs.end_of(log), config)
        codes, values = logs.scores(source, logs.queries_of(log, anchors=[[anchor]])).row(0)
        return [log.products[int(codes[place])] for place in np.lexsort((codes, -values))]

    def test_plain_counts_put_the_bag_first(self) -> None:
        """What is mended: without the allowance for chance, order is by how often."""
        found = self.order(baskets(), "pasta", CooccurrenceConfig(everyday=None))
        assert found[0] == "bag"

    def test_what_is_bought_with_everything_is_behind(self) -> None:
        found = self.order(baskets(), "pasta", CooccurrenceConfig())
        assert found[:2] == ["sauce", "parmesan"]

    def test_rare_products_keep_their_counts(self) -> None:
        """Popular is not everyday: of two companions that are both in few orders the more frequent one is first."""
        orders = [("tea", "biscuits")] * 6 + [("tea", "honey")] * 4 + [("biscuits",)] * 6
        orders += [(f"other {number}",) for number in range(60)]
        assert self.order(orders, "tea", CooccurrenceConfig()) == ["biscuits", "honey"]

    @pytest.mark.parametrize(
        ("everyday", "often", "seldom"),
        [(None, 2, 1), (0.75, 2 - 3 / 42, 1 - 3 / 42), (0.06, 2 - 3 / 3.36, 1 - 3 / 3.36), (0.01, 2 - 1, 1 / 10)],
    )
    def test_weights_are_those_of_the_formula(self, everyday: float | None, often: float, seldom: float) -> None:
        """Each of four products is in three of six orders and meets three others, by chance each of them once."""
        orders = [("w", "x"), ("w", "x"), ("y", "z"), ("y", "z"), ("w", "y"), ("x", "z")]
        rows = [("purchase", 1, f"c{number}", name) for number, order in enumerate(orders) for name in order]
        log, _ = logs.log_of(rows)
        config = CooccurrenceConfig(everyday=everyday, half_life_days=None)
        table = fit_cooccurrence(log, logs.end_of(log), config).table.toarray()
        w, x, y, z = range(4)  # in 3 of 6 + 50 orders: 0.75 · 56 = 42, 0.06 · 56 = 3.36
        assert table[w, x] == table[z, y] == pytest.approx(often)
        assert table[w, y] == table[x, z] == pytest.approx(seldom)
        assert table[w, z] == 0

    def test_products_always_bought_together_stay_companions(self) -> None:
        """In a shop of three products, all in every order, there is no chance to compare with, and still a list."""
        assert self.order([("a", "b", "c")] * 5, "a", CooccurrenceConfig()) == ["b", "c"]
