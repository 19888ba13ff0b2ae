"""What an evaluation tells beside its figures: what is proposed at all, the price of the filter of substitutes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from features.catalogue import Catalogue
from features.encode import encode_catalogue, encode_events
from features.events import EventLog
from features.histories import Histories, Ragged
from recommender.answers import BlockRequest, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import fit
from recommender.queries import Queries
from tests import logs, shops
from training.asking import lists_of
from training.evaluate import evaluate_recommender, fit_recommender, make_split
from training.evaluate_candidates import candidate_recall
from training.evaluate_flat import flat_more
from training.evaluate_substitutes import described, without_substitutes
from training.evaluate_table_parts import render_candidates, render_substitutes
from training.judgements import JUDGEMENTS


def told(renderable: Any) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def shop_of_variants() -> tuple[EventLog, Catalogue]:
    """Ten kinds of products in two sizes; an order holds both sizes of one kind and the small one of the next."""
    rows = [
        ("purchase", number, f"c{number % 30:02}", product)
        for number in range(120)
        for product in (f"k{number % 10}-s", f"k{number % 10}-l", f"k{(number + 1) % 10}-s")
    ]
    kinds = [(number, size) for number in range(10) for size in "sl"]
    products = pd.DataFrame(
        {
            "product_id": [f"k{number}-{size}" for number, size in kinds],
            "title": [f"Word{number} thing{number}" for number, _ in kinds],
            "category": [f"Kind {number}" for number, _ in kinds],
        }
    )
    return logs.log_of(rows, products)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    log, catalogue = shop_of_variants()
    return evaluate_recommender(log, catalogue, RecommenderConfig.default(), "basket")


class TestSubstitutes:
    def test_the_filter_costs_what_is_bought_although_it_is_alike(self, result: dict[str, Any]) -> None:
        found = result["substitutes"]
        assert found["similarity"] == 0.5
        assert found["changed"] == 1  # the other size stands in every list
        for metric, difference in found["difference"].items():
            assert difference["value"] == pytest.approx(found["metrics"][metric] - result["metrics"][metric])
            assert difference["ci"][0] <= difference["value"] <= difference["ci"][1]
        # Of an order of three, two anchors lose one of two right ones, the third none.
        assert result["metrics"]["recall@6"] == 1
        assert found["metrics"]["recall@6"] == pytest.approx(2 / 3)

    def test_it_is_told_and_kept(self, result: dict[str, Any]) -> None:
        text = told(render_substitutes(result))
        assert f"{result['substitutes']['difference']['ndcg@6']['value']:+.4f}" in text
        assert "100.0% of the lists" in text
        flat = flat_more(result)
        assert flat["substitutes/recall@6"] == pytest.approx(2 / 3)
        assert flat["substitutes/difference/recall@6"] == pytest.approx(-1 / 3)
        assert flat["substitutes/changed"] == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"placements": {"frequently_bought_together": {"substitutes": "keep"}}},
            {"sources": {"text": {"columns": []}}},
        ],
    )
    def test_without_a_filter_there_is_no_price(self, changes: dict[str, Any]) -> None:
        log, catalogue = shop_of_variants()
        found = evaluate_recommender(log, catalogue, RecommenderConfig.default(changes), "basket")
        assert "substitutes" not in found
        assert not any(name.startswith("substitutes") for name in flat_more(found))

    def test_placements_that_keep_substitutes_have_no_price(self) -> None:
        events, products = shops.planted_tastes()
        log = encode_events(events, products)
        found = evaluate_recommender(log, encode_catalogue(products, log), RecommenderConfig.default(), "temporal")
        assert "substitutes" not in found

    @pytest.mark.parametrize("page", [("k3-s",), ("k3-l",), ("k0-s", "k7-l")])
    def test_lists_are_those_of_serving(self, page: tuple[str, ...]) -> None:
        log, catalogue = shop_of_variants()
        served, listed = both_ways(log, catalogue, page)
        assert served == listed[: len(served)]
        assert not {name for one in page for name in (f"{one[:2]}-s", f"{one[:2]}-l")} & set(listed)

    def test_variants_go_by_their_group_too(self) -> None:
        events, products = shops.planted_tastes(order_size=2)
        products["item_group_id"] = [f"g{number // 6}" if number < 12 else None for number in range(len(products))]
        products = products.drop(columns=["title", "brand"])
        log = encode_events(events, products)
        # Serving shows one variant of a group: from here on it is the same list but for the others.
        served, listed = both_ways(log, encode_catalogue(products, log), ("p004", "p014"))
        assert not {f"p{number:03}" for number in range(6)} & set(listed)
        assert [one for one in listed if one in served] == served


def both_ways(log: EventLog, catalogue: Catalogue, page: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What is served beside some products of the placement's own sources, and what is evaluated."""
    end = logs.end_of(log)
    model = fit(log, catalogue, RecommenderConfig.default(), at=end, placements={"frequently_bought_together"})
    text = described(model)
    assert text is not None
    make = without_substitutes(lists_of(model, JUDGEMENTS["basket"]), model, text)
    anchors = Ragged.of([catalogue.ids.codes(page).tolist()])
    made = make(Queries(np.array([end]), Histories.empty(1), anchors), 12, Ragged.empty(1))
    (block,) = model.answer(Shopper(), [BlockRequest("frequently_bought_together", 12, page)], end)
    served = [item.id for item in block.items if item.fallback_level == 0]
    return served, [catalogue.ids[code] for code in made.product[0].tolist() if code >= 0]


class TestCandidates:
    def test_recall_of_all_that_is_proposed(self, result: dict[str, Any]) -> None:
        found = result["candidates"]
        # Fitted on orders of 0 to 107: every kind is known, beside its other size, the next kind and the one before.
        assert (found["questions"], found["first"]) == (20, 100)
        assert (found["recall_first"], found["recall"]) == pytest.approx((1, 1))
        assert found["sources"].keys() == {"cooccurrence", "best_sellers"}
        assert found["sources"]["best_sellers"]["candidates"] == 19  # all but the anchor
        assert found["candidates"] == 19

    def test_numbers_worked_out_by_hand(self) -> None:
        """Beside a stand b (four orders), c (three) and d (two); the order to be found held a, b, c and new things."""
        orders = [("a", "b")] * 4 + [("a", "c")] * 3 + [("a", "d")] * 2 + [("e", "f")] * 9 + [("a", "c", "x", "y")] * 2
        rows = [("purchase", day, f"c{day}", name) for day, order in enumerate(orders) for name in order]
        log, catalogue = logs.log_of(rows)
        split = make_split(log, catalogue, "basket")
        config = RecommenderConfig.default(
            {
                "sources": {"cooccurrence": {"half_life_days": None}, "best_sellers": {"limit": 2}},
                "placements": {"frequently_bought_together": {"sources": {"cooccurrence": 1.0, "best_sellers": 0.1}}},
            }
        )
        fitted, _ = fit_recommender(split, catalogue, config)
        found = candidate_recall(split, fitted)
        # Each of a, c, x and y is asked with the three others as truth. Companions: of a b, c, d; of c a; of x, y none.
        assert found["questions"] == 4
        assert found["sources"]["cooccurrence"] == {
            "recall_first": pytest.approx((1 / 3 + 1 / 3 + 0 + 0) / 4),
            "recall": pytest.approx((1 / 3 + 1 / 3 + 0 + 0) / 4),
            "candidates": 1.0,
        }

    def test_what_may_not_be_listed_is_no_candidate(self) -> None:
        """Popularity proposes everything; what everybody had before is left out, so that nothing right is missed."""
        events, products = shops.planted_tastes()
        log = encode_events(events, products)
        config = RecommenderConfig.default(
            {
                "sources": {"best_sellers": {"half_life_days": None}},
                "placements": {"recommended_for_you": {"ranker": "", "sources": {"best_sellers": 1.0}}},
            }
        )
        catalogue = encode_catalogue(products, log)
        split = make_split(log, catalogue, "leave-one-out")
        fitted, _ = fit_recommender(split, catalogue, config)
        found = candidate_recall(split, fitted)
        assert found["candidates"] == 24 - 5  # a customer had five of the products before the sixth
        assert found["recall"] == 1

    def test_only_the_first_count_as_first(self) -> None:
        events, products = shops.planted_tastes()
        log = encode_events(events, products)
        config = RecommenderConfig.default(
            {
                "rankers": {"next_product": {"candidates": 1}},
                "placements": {"recommended_for_you": {"sources": {"best_sellers": 1.0, "transitions": 0.001}}},
            }
        )
        found = evaluate_recommender(log, encode_catalogue(products, log), config, "leave-one-out")["candidates"]
        assert found["first"] == 1
        assert found["recall_first"] < found["recall"] == 1
        assert found["sources"]["transitions"]["recall_first"] > found["sources"]["best_sellers"]["recall_first"]

    def test_no_more_than_so_many_questions_are_looked_at(self) -> None:
        events, products = shops.planted_tastes(customers=2_400, orders=3)
        log = encode_events(events, products)
        config = RecommenderConfig.default(
            {"placements": {"recommended_for_you": {"ranker": "", "sources": {"transitions": 1.0}}}}
        )
        catalogue = encode_catalogue(products, log)
        split = make_split(log, catalogue, "leave-one-out")
        fitted, _ = fit_recommender(split, catalogue, config)
        one, two = (candidate_recall(split, fitted) for _ in range(2))
        assert one == two
        assert (len(split), one["questions"]) == (2_400, 2_000)

    def test_it_is_told_in_one_line_and_kept(self, result: dict[str, Any]) -> None:
        line = render_candidates(result)
        assert "\n" not in line
        assert "1.000 of what is right among the first 100" in line
        assert "cooccurrence 1.000" in line
        flat = flat_more(result)
        assert flat["candidates/recall@100"] == flat["candidates/cooccurrence/recall@100"] == pytest.approx(1)
        assert flat["candidates/mean"] == 19
