from functools import partial
from typing import Any

import numpy as np
import orjson
import pytest
from rich.console import Console
from rich.table import Table

from features.catalogue import Catalogue
from features.encode import encode_catalogue, encode_events
from features.events import EventLog
from features.histories import Ragged
from features.past import products_by_person
from recommender.answers import BlockRequest, Lists, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import fit
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
from training.evaluate_diversity import mixed
from training.evaluate_flat import beyond_metrics
from training.evaluate_table import render, render_beyond, render_diversity
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
        assert result["slices"].keys() == {"new_products", "tail_products", "light_customers"}
        assert all("text" not in part for part in result["slices"].values())  # nobody asked it

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


class TestBeyondAccuracy:
    def test_ours_and_each_baseline_have_it(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        result = evaluate_recommender(log, catalogue, RecommenderConfig.default(), "temporal")
        for part in (result, *result["baselines"].values()):
            found = part["beyond_accuracy"]
            assert (found["length"], found["lists"]) == (10, result["customers"])
            assert 0 < found["coverage"] <= 1
            assert 0 <= found["gini"] < 1
            assert found["novelty"] > 0
            assert all(0 <= value <= 1 for value in found["intra_list_similarity"].values())
        ours, popular = result["beyond_accuracy"], result["baselines"]["popularity"]["beyond_accuracy"]
        # Each customer keeps to a taste, which has a category and a brand of its own; popularity does not know them.
        assert ours["intra_list_similarity"]["brand"] > popular["intra_list_similarity"]["brand"]
        assert ours["gini"] < popular["gini"]

    def test_numbers_worked_out_by_hand(self) -> None:
        log = by_hand()
        catalogue = Catalogue(log.products, {})
        split = make_split(log, catalogue, "leave-one-out")
        rivals = {"popularity": measure_baseline(split, "popularity")}
        found = summary(split, rivals["popularity"], rivals, items=6, catalogue=catalogue)
        # Popularity lists the four products that a customer did not have: each of the six stands in 8 or 16 lists. Of
        # 16 people 8 had each of a, c, x and y (1 bit), and nobody had b and d yet, which counts as one (4 bits).
        shown = np.array([8, 8, 8, 8, 16, 16])
        assert found["beyond_accuracy"] == {
            "length": 10,
            "lists": 16,
            "coverage": 1.0,
            "gini": pytest.approx(np.abs(shown[:, None] - shown).mean() / 2 / shown.mean()),
            "novelty": pytest.approx((1 + 1 + 4 + 4) / 4),
            "intra_list_similarity": {"category": None, "brand": None},
        }

    def test_a_split_of_shorter_lists_says_so(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = encoded_orders()
        result = evaluate_recommender(log, catalogue, RecommenderConfig.default(), "basket")
        assert result["beyond_accuracy"]["length"] == 6

    def test_flat_numbers_for_mlflow(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        result = evaluate_recommender(log, catalogue, RecommenderConfig.default(), "temporal", diversity=(0.5,))
        flat = beyond_metrics(result)
        assert flat["coverage@10"] == result["beyond_accuracy"]["coverage"]
        assert flat["popularity/gini@10"] == result["baselines"]["popularity"]["beyond_accuracy"]["gini"]
        [part] = result["diversity"]
        assert flat["diversity-0.5/similarity_brand@10"] == part["beyond_accuracy"]["intra_list_similarity"]["brand"]
        assert flat["diversity-0.5/difference/ndcg@10"] == part["difference"]["ndcg@10"]["value"]


def encoded_orders() -> tuple[EventLog, Catalogue]:
    """Planted tastes in orders of two."""
    events, products = shops.planted_tastes(order_size=2)
    log = encode_events(events, products)
    return log, encode_catalogue(products, log)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    """What three diversities cost in a shop with more products of a taste than a list is long."""
    events, products = shops.planted_tastes(products=60)
    log = encode_events(events, products)
    # In so small a shop a ranker finds all but the first product alike.
    config = RecommenderConfig.default({"placements": {"recommended_for_you": {"rankers": []}}})
    return evaluate_recommender(
        log, encode_catalogue(products, log), config, "leave-one-out", diversity=(0.0, 0.5, 0.95)
    )


class TestDiversity:
    def test_none_at_all_is_the_bare_lists(self, result: dict[str, Any]) -> None:
        nothing = result["diversity"][0]
        assert nothing["metrics"] == result["metrics"]
        assert nothing["beyond_accuracy"] == result["beyond_accuracy"]
        assert all(part == {"value": 0, "ci": [0, 0]} for part in nothing["difference"].values())

    def test_more_of_it_makes_lists_less_alike_and_the_price_is_told(self, result: dict[str, Any]) -> None:
        alike = [part["beyond_accuracy"]["intra_list_similarity"]["category"] for part in result["diversity"]]
        assert alike[0] > alike[1] > alike[2]
        for part in result["diversity"]:
            for metric, difference in part["difference"].items():
                assert difference["value"] == pytest.approx(part["metrics"][metric] - result["metrics"][metric])
                assert difference["ci"][0] <= difference["value"] <= difference["ci"][1]

    def test_lists_are_those_of_serving(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        end = int(log.known.max()) + 1
        config = RecommenderConfig.default({"placements": {"recommended_for_you": {"diversity": 0.6}}})
        model = fit(log, catalogue, config, at=end)
        person = 7
        queries = Queries(np.array([end]), model.history(person, end), Ragged.empty(1))
        had = products_by_person(log, log.targets()).take(np.array([person]))
        bare = partial(model.lists, "recommended_for_you")
        made = mixed(lambda queries, count, exclude: bare(queries, count, exclude=exclude), catalogue, 0.6)
        [block] = model.answer(Shopper(log.people[person]), [BlockRequest("recommended_for_you", 10)], end)
        listed = [catalogue.ids[code] for code in made(queries, 10, had).product[0].tolist()]
        assert listed == [item.id for item in block.items]

    def test_without_categories_there_is_nothing_to_mix(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        plain = Catalogue(catalogue.ids, {})
        found = evaluate_recommender(log, plain, RecommenderConfig.default(), "temporal", diversity=(0.5,))
        assert found["diversity"][0]["metrics"] == found["metrics"]
        assert "no categories" in told(render_diversity(found))

    def test_table_tells_the_price(self, result: dict[str, Any]) -> None:
        text = told(render_diversity(result))
        assert f"{result['diversity'][2]['difference']['ndcg@10']['value']:+.4f}" in text
        assert "0.95" in text


def told(table: Table) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_table_of_what_is_beyond_accuracy(shop: tuple[EventLog, Catalogue]) -> None:
    log, catalogue = shop
    result = evaluate_recommender(log, catalogue, RecommenderConfig.default(), "temporal")
    text = told(render_beyond(result))
    for word in ("recommender", "popularity", "last_item_transitions", "coverage", "gini", "novelty", "first 10"):
        assert word in text
    assert f"{result['beyond_accuracy']['gini']:.4f}" in text


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
