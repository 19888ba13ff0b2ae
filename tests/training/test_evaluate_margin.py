"""What lists by expected margin earn, and what that costs in accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from features.catalogue import Catalogue
from features.events import EventLog
from features.histories import Histories, Ragged
from recommender.answers import Lists
from recommender.config import RecommenderConfig
from recommender.queries import Queries
from tests import logs, shops
from tests.recommender.test_margins import listed, shop_with
from training.asking import ListMaker, ask, lists_of
from training.evaluate import evaluate_recommender, fit_recommender, make_split
from training.evaluate_flat import flat_more
from training.evaluate_margin import earned, earning, margin_price
from training.evaluate_table_parts import render_margin
from training.judgements import JUDGEMENTS
from training.split import EvaluationError


def catalogue_of(margin: list[float]) -> Catalogue:
    names = [f"p{number}" for number in range(len(margin))]
    return logs.log_of([], pd.DataFrame({"product_id": names, "price": 1.0, "margin": margin}))[1]


def always(product: list[int], score: list[float]) -> ListMaker:
    """Makes the same list for everybody."""

    def make(queries: Queries, count: int, exclude: Ragged) -> Lists:
        shape = len(queries), count
        found = Lists(np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.float32))
        found.product[:, : len(product)] = product[:count]
        found.score[:, : len(score)] = score[:count]
        return found

    return make


def of(lists: ListMaker, count: int) -> tuple[list[int], list[float]]:
    queries = Queries(np.zeros(2, dtype=np.int64), Histories.empty(2), Ragged.empty(2))
    found = lists(queries, count, Ragged.empty(2))
    assert found.product.shape == (2, count)
    assert (found.product[0] == found.product[1]).all()
    return found.product[0].tolist(), found.score[0].tolist()


def test_what_is_ranked_stands_by_expected_margin() -> None:
    catalogue = catalogue_of([1.0, 4.0, 9.0, 100.0, 1.0])
    bare = always([0, 1, 2, 3, 4], [0.6, 0.2, 0.1, 1e-5, 0.0])  # three are ranked, the last one fills up
    assert of(earning(bare, catalogue, 0.0, 3), 5)[0] == [0, 1, 2, 3, 4]
    product, score = of(earning(bare, catalogue, 1.0, 3), 5)
    assert product == [2, 1, 0, 3, 4]
    assert score[:3] == pytest.approx([0.9, 0.8, 0.6])
    assert of(earning(bare, catalogue, 0.5, 3), 5)[0] == [0, 1, 2, 3, 4]  # 0.6, 0.4, 0.3
    assert of(earning(bare, catalogue, 1.0, 3), 2)[0] == [2, 1]
    assert of(earning(always([2, 0], [0.5, 0.4]), catalogue, 1.0, 100), 4)[0] == [2, 0, -1, -1]
    nothing = catalogue_of([np.nan] * 5)
    assert of(earning(bare, nothing, 1.0, 3), 5) == of(bare, 5)


def test_a_list_earns_the_margin_of_what_is_right_in_it() -> None:
    lists = np.array([[0, 1, -1], [2, 1, 0], [2, -1, -1]], dtype=np.int32)
    truth = Ragged.of([[1, 2], [0, 2], [0]])
    assert earned(lists, truth, np.array([1.0, 20.0, 300.0])).tolist() == [20, 301, 0]


def two_prices(*, margins: bool = True, ranked: bool = True) -> tuple[EventLog, Catalogue, RecommenderConfig]:
    """A shop of tastes in which every second product earns a hundred times what the others do."""
    events, products = shops.planted_tastes(customers=120)
    if margins:
        products["margin"] = np.where(np.arange(len(products)) % 2 == 0, 0.1, 10.0)
    log, catalogue = logs.encoded(events, products)
    return log, catalogue, ranked_at("customer" if ranked else "last")


def ranked_at(moments: str) -> RecommenderConfig:
    return RecommenderConfig.default({"rankers": {"next_product": {"rows_a_leaf": 5, "moments": [moments]}}})


def lottery() -> tuple[EventLog, Catalogue, RecommenderConfig]:
    """A shop where nothing tells what people buy next: 200 customers, each six of forty products, half of them dear."""
    rng = np.random.default_rng(0)
    rows = [
        ("purchase", 10 * step + rng.uniform(0, 10), f"c{customer:03}", f"p{product:02}")
        for customer in range(200)
        for step, product in enumerate(rng.permutation(40)[:6].tolist())
    ]
    products = pd.DataFrame({"product_id": [f"p{number:02}" for number in range(40)]})
    products["margin"] = np.where(np.arange(40) % 2 == 0, 0.1, 10.0)
    log, catalogue = logs.log_of(rows, products)
    return log, catalogue, ranked_at("customer")


def priced(log: EventLog, catalogue: Catalogue, config: RecommenderConfig, weight: float) -> dict[str, Any]:
    split = make_split(log, catalogue, "leave-one-out")
    fitted, _ = fit_recommender(split, catalogue, config)
    lists = lists_of(fitted, JUDGEMENTS[split.name])
    return margin_price(split, fitted, lists, ask(split, lists), weight)


def test_margin_is_gained_and_accuracy_lost() -> None:
    shop = two_prices()
    nothing, much = priced(*shop, 0.0), priced(*shop, 1.0)
    assert {found["value"] for found in nothing["difference"].values()} == {0}
    assert (
        set(much["metrics"])
        == {*nothing["metrics"]}
        == {metric.name for metric in JUDGEMENTS["leave-one-out"].metrics} | {"margin@10"}
    )
    assert much["difference"]["ndcg@5"]["value"] <= 0  # what comes next is certain there
    chance = priced(*lottery(), 1.0)
    assert chance["difference"]["margin@10"]["ci"][0] > 0.3  # ten dear ones of twenty, not five: 10 · 5 / 34 is 1.5
    assert chance["difference"]["ndcg@10"]["ci"][0] < 0 < chance["difference"]["ndcg@10"]["ci"][1]  # one as good as any
    assert much["metrics"]["margin@10"] - nothing["metrics"]["margin@10"] == pytest.approx(
        much["difference"]["margin@10"]["value"]
    )
    for name, found in much["difference"].items():
        low, high = found["ci"]
        assert low <= found["value"] <= high, name


def test_an_evaluation_tells_the_price_of_each_weight() -> None:
    log, catalogue, config = lottery()
    result = evaluate_recommender(log, catalogue, config, "leave-one-out", margin=(0.5, 1.0))
    assert [part["weight"] for part in result["margin"]] == [0.5, 1.0]
    whole = result["margin"][1]
    flat = flat_more(result)
    assert flat["margin-1/margin@10"] == whole["metrics"]["margin@10"]
    assert flat["margin-0.5/difference/ndcg@10"] == result["margin"][0]["difference"]["ndcg@10"]["value"]
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render_margin(result))
    for word in ("margin@10", "0.5", f"{whole['difference']['margin@10']['value']:+.4f}"):
        assert word in captured.get()
    assert "margin" not in evaluate_recommender(log, catalogue, config, "leave-one-out")


def test_it_needs_margins_and_lists_that_a_ranker_orders() -> None:
    with pytest.raises(EvaluationError, match="no margin"):
        priced(*two_prices(margins=False), 0.5)
    with pytest.raises(EvaluationError, match="moments hold 'customer'"):
        priced(*two_prices(ranked=False), 0.5)


def test_what_is_evaluated_is_what_is_served() -> None:
    margin = np.random.default_rng(1).uniform(0.1, 20, 24)
    plain, weighed = shop_with(margin, 0.0), shop_with(margin, 0.7)

    def bare(queries: Queries, count: int, exclude: Ragged) -> Lists:
        return plain.lists("recommended_for_you", queries, count, exclude)

    rows = np.arange(30)
    histories = plain.histories.take(rows)
    queries = Queries(np.full(30, plain.at), histories, Ragged.empty(30))
    bought = Ragged.of([np.unique(histories.bought.take(np.array([row])).product).tolist() for row in rows])
    lists = earning(bare, plain.catalogue, 0.7, 12)(queries, 8, bought)
    for row in rows:
        served = [item.id for item in listed(weighed, plain.people[row], 8).items]  # type: ignore[index]
        assert [plain.catalogue.ids[code] for code in lists.product[row].tolist()] == served
