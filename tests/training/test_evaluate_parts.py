"""What an evaluation tells beside its figures: what is proposed, single sources, the price of the filter."""

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
from training.evaluate_table import render
from training.evaluate_table_parts import render_candidates, render_sources, render_substitutes, render_without
from training.judgements import JUDGEMENTS
from training.split import EvaluationError


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
        assert found["sources"].keys() == {"cooccurrence", "alike", "best_sellers"}
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
                "placements": {"recommended_for_you": {"rankers": [], "sources": {"best_sellers": 1.0}}},
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
                "rankers": {"next_in_sequence": {"candidates": 1}},
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
            {"placements": {"recommended_for_you": {"rankers": [], "sources": {"transitions": 1.0}}}}
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


@pytest.fixture(scope="module")
def tastes() -> dict[str, Any]:
    """A shop in which what comes next is certain and popularity says nothing, its sources asked alone."""
    events, products = shops.planted_tastes()
    log = encode_events(events, products)
    return evaluate_recommender(
        log, encode_catalogue(products, log), RecommenderConfig.default(), "leave-one-out", sources=True
    )


class TestSources:
    def test_each_source_of_the_placement_is_asked_alone(self, tastes: dict[str, Any]) -> None:
        found = tastes["sources"]
        assert found.keys() == RecommenderConfig.default().placements["recommended_for_you"].sources.keys()
        for part in found.values():
            assert part.keys() == {"metrics", "ci", "difference"}
            for metric, difference in part["difference"].items():
                assert difference["value"] == pytest.approx(tastes["metrics"][metric] - part["metrics"][metric])
                assert difference["ci"][0] <= difference["value"] <= difference["ci"][1]
        assert found["transitions"]["metrics"]["hr@5"] > 0.9
        assert found["this_week"]["metrics"]["hr@5"] < 0.5

    def test_the_only_source_of_a_placement_is_the_recommender(self) -> None:
        log, catalogue = shop_of_variants()
        changes = {"placements": {"frequently_bought_together": {"sources": {"cooccurrence": 0.3}}}}
        found = evaluate_recommender(log, catalogue, RecommenderConfig.default(changes), "basket", sources=True)
        assert found["sources"].keys() == {"cooccurrence"}
        assert found["sources"]["cooccurrence"]["metrics"] == found["metrics"]
        assert all(
            part == {"value": 0, "ci": [0, 0]} for part in found["sources"]["cooccurrence"]["difference"].values()
        )

    def test_the_ranker_is_not_asked(self) -> None:
        """Else it would order what a source proposes."""
        events, products = shops.planted_tastes()
        log = encode_events(events, products)
        one = {"placements": {"recommended_for_you": {"sources": {"best_sellers": 1.0}}}}
        without = {"placements": {"recommended_for_you": {"sources": {"best_sellers": 1.0}, "rankers": []}}}
        catalogue = encode_catalogue(products, log)
        ranked = evaluate_recommender(log, catalogue, RecommenderConfig.default(one), "leave-one-out", sources=True)
        plain = evaluate_recommender(log, catalogue, RecommenderConfig.default(without), "leave-one-out")
        assert ranked["metrics"] != plain["metrics"]
        assert ranked["sources"]["best_sellers"]["metrics"] == plain["metrics"]

    def test_they_are_told_and_kept(self, tastes: dict[str, Any]) -> None:
        text = told(render_sources(tastes))
        part = tastes["sources"]["als"]
        assert f"{part['metrics']['ndcg@10']:.4f}" in text
        assert f"{part['difference']['ndcg@10']['value']:+.4f}" in text
        flat = flat_more(tastes)
        assert flat["sources/als/ndcg@10"] == part["metrics"]["ndcg@10"]
        assert flat["sources/als/difference/ndcg@10"] == part["difference"]["ndcg@10"]["value"]

    def test_without_being_asked_there_are_none(self, result: dict[str, Any]) -> None:
        assert "sources" not in result
        assert not any(name.startswith("sources/") for name in flat_more(result))


class TestWithout:
    def test_what_columns_bring_is_told(self) -> None:
        events, products = shops.planted_tastes()
        log = encode_events(events, products)
        config = RecommenderConfig.default(
            {"placements": {"recommended_for_you": {"rankers": [], "sources": {"text": 1.0}}}}
        )
        catalogue = encode_catalogue(products, log)
        found = evaluate_recommender(log, catalogue, config, "leave-one-out", leave_out=["category", "title", "brand"])
        part = found["without"]
        assert part["columns"] == ["category", "title", "brand"]
        lost = part["difference"]["hr@5"]
        assert lost["value"] == pytest.approx(part["metrics"]["hr@5"] - found["metrics"]["hr@5"])
        assert lost["ci"][0] <= lost["value"] <= lost["ci"][1] < 0
        assert flat_more(found)["without/difference/hr@5"] == lost["value"]
        assert f"{lost['value']:+.4f}" in told(render_without(found))

    def test_a_column_must_be_there(self) -> None:
        events, products = shops.planted_tastes()
        log = encode_events(events, products)
        with pytest.raises(EvaluationError, match=r"no column .colour. to leave out; there are: .*category"):
            evaluate_recommender(
                log, encode_catalogue(products, log), RecommenderConfig.default(), "temporal", leave_out=["colour"]
            )


class TestTextInSlices:
    def test_it_stands_in_slices_and_nowhere_else(self, tastes: dict[str, Any]) -> None:
        assert tastes["baselines"].keys() == {"popularity", "last_item_transitions"}
        assert {one["against"] for one in tastes["difference"].values()} <= tastes["baselines"].keys()
        for part in tastes["slices"].values():
            assert part["baselines"].keys() == tastes["baselines"].keys()
            assert part["text"].keys() == {"metrics", "ci", "difference"}
        whole = tastes["slices"]["tail_products"]
        assert 0 < whole["rows"] < tastes["rows"]
        for metric, difference in whole["text"]["difference"].items():
            assert difference["value"] == pytest.approx(whole["metrics"][metric] - whole["text"]["metrics"][metric])
        assert tastes["slices"]["light_customers"]["text"] == {"metrics": {}, "ci": {}, "difference": {}}
        assert "text alone" in told(render(tastes))

    def test_it_finds_what_nobody_bought_yet(self) -> None:
        """Of each kind there is a product that came after the cut; only its description says whom it is for."""
        rows = [("purchase", day, f"c{day % 40:02}", f"k{day % 40 % 8}-{day // 40}") for day in range(160)]
        rows += [("purchase", 160 + number, f"c{number:02}", f"k{number % 8}-new") for number in range(40)]
        names = sorted({name for _, _, _, name in rows})
        products = pd.DataFrame(
            {
                "product_id": names,
                "title": [f"Word{name[1]} thing" for name in names],
                "category": [f"Kind {name[1]}" for name in names],
                "available_from": [logs.START] * len(names),
            }
        )
        log, catalogue = logs.log_of(rows, products)
        found = evaluate_recommender(log, catalogue, RecommenderConfig.default(), "temporal")["slices"]["new_products"]
        assert found["rows"] == 40
        assert found["text"]["metrics"]["hr@5"] == 1
        assert found["baselines"]["popularity"]["metrics"]["hr@5"] < 0.9

    def test_a_catalogue_without_texts_has_none(self) -> None:
        log, catalogue = shop_of_variants()
        found = evaluate_recommender(log, Catalogue(catalogue.ids, {}), RecommenderConfig.default(), "basket")
        assert all("text" not in part for part in found["slices"].values())
        assert "text alone" not in told(render(found))
