from typing import Any

import numpy as np
import orjson
import pytest
from rich.console import Console

from features.catalogue import Catalogue
from features.encode import encode_catalogue, encode_events
from features.events import EventLog
from features.histories import Ragged
from recommender.answers import Lists
from recommender.config import RecommenderConfig
from recommender.queries import Queries
from tests import shops
from tests.diaries import diary, minute
from training.evaluate import (
    Measured,
    ask,
    evaluate_recommender,
    make_split,
    measure_baseline,
    paired_verdict,
    summary,
)
from training.evaluate_table import render
from training.judgements import JUDGEMENTS
from training.split import EvaluationError

SPLITS = list(JUDGEMENTS)


@pytest.fixture(scope="module")
def shop() -> tuple[EventLog, Catalogue]:
    events, products = shops.planted_tastes()
    log = encode_events(events, products)
    return log, encode_catalogue(products, log)


def by_hand() -> EventLog:
    """After a always comes b, after c always d; the last step of everybody is to be told."""
    text = [f"p{n} {10 * n + step} purchase {product}" for n in range(8) for step, product in enumerate("xab")]
    text += [f"q{n} {500 + 10 * n + step} purchase {product}" for n in range(8) for step, product in enumerate("ycd")]
    return diary("\n".join(text))


class TestEvaluateRecommender:
    def test_planted_order_is_found_and_popularity_knows_nothing(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        result = evaluate_recommender(log, catalogue, RecommenderConfig.default(), "leave-one-out")
        assert result["split"] == "leave-one-out"
        assert (result["customers"], result["items"], result["skipped"]) == (60, 24, 0)
        assert result["metrics"]["hr@5"] > 0.9
        assert result["baselines"]["popularity"]["metrics"]["hr@5"] < 0.5
        assert result["baselines"].keys() == {"popularity", "last_item_transitions"}
        assert result["fit_seconds"] > 0
        assert result["score_seconds"] > 0

    def test_same_seed_same_answer(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        one, two = (
            evaluate_recommender(log, catalogue, RecommenderConfig.default(), "temporal", seed=3) for _ in range(2)
        )
        timeless = [
            {key: value for key, value in result.items() if not key.endswith("_seconds")} for result in (one, two)
        ]
        assert timeless[0] == timeless[1]

    def test_progress_is_told(self, shop: tuple[EventLog, Catalogue]) -> None:
        steps: list[tuple[str, int, int]] = []
        log, catalogue = shop
        evaluate_recommender(
            log, catalogue, RecommenderConfig.default(), "temporal", progress=lambda *step: steps.append(step)
        )
        assert {"fit the recommender", "ask the recommender", "ask popularity"} <= {step for step, _, _ in steps}
        assert all(done <= total for _, done, total in steps)


def browsing() -> EventLog:
    """Thirty sessions of three products, a day apart, each an order of two of them."""
    return diary(
        "\n".join(
            f"c{n % 7} {1440 * n + step} {event} p{(n + 2 * step + n // 7) % 9} order_id={n}"
            for n in range(30)
            for step, event in enumerate(("view", "purchase", "purchase"))
        )
    )


class TestSummary:
    @pytest.mark.parametrize("name", SPLITS)
    def test_keys_are_those_of_the_contract(self, name: str) -> None:
        log = browsing()
        catalogue = Catalogue(log.products, {})
        split = make_split(log, catalogue, name)
        rivals = {rival: measure_baseline(split, rival) for rival in JUDGEMENTS[name].rivals}
        result = orjson.loads(orjson.dumps(summary(split, next(iter(rivals.values())), rivals, items=len(catalogue))))
        assert {
            "split",
            "customers",
            "items",
            "skipped",
            "metrics",
            "ci",
            "baselines",
            "difference",
            "fit_seconds",
            "score_seconds",
        } <= result.keys()
        expected = {
            "leave-one-out": {"hr@5", "ndcg@5", "hr@10", "ndcg@10", "hr@20", "ndcg@20"},
            "temporal": {"hr@5", "ndcg@5", "hr@10", "ndcg@10", "hr@20", "ndcg@20"},
            "next-basket": {"recall@10", "ndcg@10", "phr@10", "recall@20", "ndcg@20", "phr@20"},
            "basket": {"recall@6", "ndcg@6", "hr@6"},
            "session": {"hr@20", "mrr@20"},
        }[name]
        baselines = {
            "leave-one-out": {"popularity", "last_item_transitions"},
            "temporal": {"popularity", "last_item_transitions"},
            "next-basket": {"global_top", "personal_top"},
            "basket": {"popularity", "cooccurrence"},
            "session": {"popularity", "last_item_transitions", "vsknn"},
        }[name]
        assert result["baselines"].keys() == baselines
        assert result["metrics"].keys() == result["ci"].keys() == result["difference"].keys() == expected
        for metric in expected:
            low, high = result["ci"][metric]
            assert 0 <= low <= result["metrics"][metric] + 1e-9
            assert result["metrics"][metric] - 1e-9 <= high <= 1
            assert result["difference"][metric].keys() == {"value", "ci", "against"}
        assert ("slices" in result) == (name == "temporal")

    def test_numbers_worked_out_by_hand(self) -> None:
        log = by_hand()
        split = make_split(log, Catalogue(log.products, {}), "leave-one-out")
        rivals = {name: measure_baseline(split, name) for name in ("popularity", "last_item_transitions")}
        # With all targets hidden, b and d have no events at all: nobody can know what follows a and c; popularity lists
        # what was bought, less what each had, and then b before d by id.
        found = summary(split, rivals["popularity"], rivals, items=len(log.products))
        assert found["metrics"]["hr@5"] == 1
        assert found["metrics"]["ndcg@5"] == pytest.approx(np.mean([1 / np.log2(4), 1 / np.log2(5)]))
        assert found["difference"]["ndcg@5"] == {"value": 0, "ci": [0, 0], "against": "popularity"}
        assert (found["customers"], found["items"]) == (16, 6)

    def test_best_rival_is_chosen_for_each_metric(self) -> None:
        log = browsing()
        split = make_split(log, Catalogue(log.products, {}), "session")
        flat = np.zeros((len(split), 2))
        one, two = flat + np.array([0.5, 0.1]), flat + np.array([0.2, 0.4])
        result = summary(
            split, Measured(flat + 0.45, 0, 0), {"one": Measured(one, 0, 0), "two": Measured(two, 0, 0)}, items=1
        )
        assert {
            metric: (found["against"], round(found["value"], 9)) for metric, found in result["difference"].items()
        } == {
            "hr@20": ("one", -0.05),
            "mrr@20": ("two", 0.05),
        }

    def test_basket_is_the_mean_over_anchors_then_over_orders(self) -> None:
        early = [f"e{n} {n} purchase {product} order_id=e{n}" for n in range(18) for product in ("a", "b")]
        late = ["ann 50 purchase a order_id=x", "ann 50 purchase b order_id=x"]
        late += [f"bob 60 purchase {product} order_id=y" for product in ("c", "d", "e")]
        log = diary("\n".join(early + late))
        split = make_split(log, Catalogue(log.products, {}), "basket")
        perfect_for_ann = Measured(np.repeat([[1.0], [0.0]], [2, 3], axis=0) * np.ones(3), 0, 0)
        result = summary(split, perfect_for_ann, {"popularity": perfect_for_ann}, items=5)
        assert result["metrics"] == pytest.approx({"recall@6": 0.5, "ndcg@6": 0.5, "hr@6": 0.5})

    def test_rows_of_one_person_are_resampled_together(self) -> None:
        log = browsing()
        log = log.take(log.person == 0)
        split = make_split(log, Catalogue(log.products, {}), "session")
        uneven = Measured(np.random.default_rng(0).random((len(split), 2)), 0, 0)
        found = summary(split, uneven, {"popularity": uneven}, items=9)
        assert len(split) > 1
        assert found["ci"]["hr@20"] == pytest.approx([found["metrics"]["hr@20"]] * 2)

    def test_empty_slices_say_so(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        split = make_split(log, catalogue, "temporal")
        rivals = {"popularity": measure_baseline(split, "popularity")}
        found = summary(split, rivals["popularity"], rivals, items=len(catalogue))["slices"]
        assert found.keys() == {"new_products", "tail_products", "light_customers"}
        assert found["new_products"] == {
            "customers": 0,
            "rows": 0,
            "metrics": {},
            "ci": {},
            "baselines": {"popularity": {"metrics": {}, "ci": {}}},
            "difference": {},
        }


class TestVerdict:
    @staticmethod
    def verdict(challenger: float, champion: float) -> Any:
        log = by_hand()
        split = make_split(log, Catalogue(log.products, {}), "temporal", at=minute(450))
        flat = np.ones((len(split), 6))
        return paired_verdict(
            [split],
            [Measured(flat * challenger, 0, 0)],
            [Measured(flat * champion, 0, 0)],
            champion_version=3,
            margin=0.01,
        )

    @pytest.mark.parametrize(
        ("challenger", "passed"), [(0.5, True), (0.6, True), (0.496, True), (0.494, False), (0.1, False)]
    )
    def test_passes_down_to_the_margin(self, challenger: float, passed: bool) -> None:
        found = self.verdict(challenger, 0.5)
        assert found.passed is passed
        assert (found.metric, found.split, found.champion_version, found.rows) == ("ndcg@10", "temporal", 3, 8)
        assert found.difference.value == pytest.approx(challenger - 0.5)

    def test_the_lower_bound_decides(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        split = make_split(log, catalogue, "temporal")
        rng = np.random.default_rng(0)
        noise = rng.normal(0, 0.5, size=(len(split), 6))
        noise -= noise.mean(axis=0)
        level = np.full((len(split), 6), 0.3)
        assert not paired_verdict(
            [split], [Measured(level + noise, 0, 0)], [Measured(level, 0, 0)], champion_version=None
        ).passed


class TestHonesty:
    @pytest.mark.parametrize("rule", ["excluded", "twice"])
    def test_a_list_that_breaks_the_rules_is_refused(self, rule: str) -> None:
        log = by_hand()
        split = make_split(log, Catalogue(log.products, {}), "leave-one-out")

        def lists(queries: Queries, count: int, exclude: Ragged) -> Lists:
            product = np.full((len(queries), count), -1, dtype=np.int32)
            had = [int(exclude[row][0]) for row in range(len(queries))]
            free = log.products.code("b")
            product[:, :2] = [[code, free] for code in had] if rule == "excluded" else free
            return Lists(product=product, score=np.zeros(product.shape, dtype=np.float32))

        with pytest.raises(EvaluationError, match="a product twice or one that was to be left out"):
            ask(split, lists)


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("lucky-guess", {}, "unknown split 'lucky-guess'; there are: leave-one-out"),
        ("session", {"at": 5}, "only the temporal split is cut at a date"),
        ("basket", {"refit": False}, "only leave-one-out"),
    ],
)
def test_arguments_a_split_has_no_use_for(name: str, more: dict[str, Any], message: str) -> None:
    log = by_hand()
    with pytest.raises(EvaluationError, match=message):
        make_split(log, Catalogue(log.products, {}), name, **more)


@pytest.mark.parametrize("name", SPLITS)
def test_an_empty_shop_is_told_why(name: str) -> None:
    log = by_hand().take(np.zeros(0, dtype=np.int64))
    with pytest.raises(EvaluationError):
        make_split(log, Catalogue(log.products, {}), name)


@pytest.mark.parametrize("name", ["temporal"])
def test_one_product(name: str) -> None:
    log = encode_events(shops.one_product())
    result = evaluate_recommender(log, Catalogue(log.products, {}), RecommenderConfig.default(), name)
    assert (result["customers"], result["items"], result["metrics"]["hr@5"]) == (1, 1, 1.0)


@pytest.mark.parametrize("name", ["leave-one-out", "temporal", "next-basket"])
def test_one_customer(name: str) -> None:
    log = encode_events(shops.one_customer())
    result = evaluate_recommender(log, Catalogue(log.products, {}), RecommenderConfig.default(), name)
    assert (result["customers"], result["items"]) == (1, 4)
    metric = next(iter(result["metrics"]))
    assert result["ci"][metric] == [result["metrics"][metric]] * 2  # one person: nothing to resample


def test_table_shows_every_metric_and_slice(shop: tuple[EventLog, Catalogue]) -> None:
    log, catalogue = shop
    split = make_split(log, catalogue, "temporal")
    rivals = {name: measure_baseline(split, name) for name in ("popularity", "last_item_transitions")}
    result = summary(split, rivals["last_item_transitions"], rivals, items=len(catalogue))
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render(result))
    text = captured.get()
    for word in (
        "ndcg@10",
        "hr@20",
        "popularity",
        "last_item_transitions",
        "light_customers",
        "difference to the best",
    ):
        assert word in text
    assert f"{result['metrics']['ndcg@10']:.4f}" in text
