"""What a list costs against how good it is: cuts of one fitted ranker, and what a training keeps of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.catalogue import Catalogue
from recommender.config import RecommenderConfig
from recommender.engine import Recommender
from tests import logs, shops
from training.asking import ask, lists_of
from training.cli import main
from training.evaluate import fit_recommender, make_split
from training.judgements import JUDGEMENTS
from training.plots import trade_off as figure_of
from training.split import Split
from training.trade_off import cut, sample, trade_off

#: Lists of eight products, for shops with too few lists for the rankers as they come.
SETTINGS = {"rows_a_leaf": 5, "trees": 20, "candidates": 60, "moments": ["last"]}
RANKED = RecommenderConfig.default({"rankers": {"next_product": SETTINGS}})
BLEND = RecommenderConfig.default({"placements": {"recommended_for_you": {"rankers": []}}})


def many_tastes() -> tuple[Split, Catalogue]:
    """A shop of tastes in which many buy at any time, cut in time."""
    events, products = shops.planted_tastes(customers=400, products=90)
    log, catalogue = logs.encoded(events, products)
    return make_split(log, catalogue, "temporal"), catalogue


@pytest.fixture(scope="module")
def shop() -> tuple[Split, Catalogue]:
    return many_tastes()


@pytest.fixture(scope="module")
def fitted(shop: tuple[Split, Catalogue]) -> Recommender:
    return fit_recommender(*shop, RANKED)[0]


def reached(split: Split, recommender: Recommender) -> float:
    judgement = JUDGEMENTS[split.name]
    column = [metric.name for metric in judgement.metrics].index(judgement.primary)
    return float(ask(split, lists_of(recommender, judgement)).values[:, column].mean())


def test_it_goes_from_the_blend_alone_to_the_ranker_as_it_is(
    shop: tuple[Split, Catalogue], fitted: Recommender
) -> None:
    split, catalogue = shop
    found = trade_off(split, fitted)
    assert found is not None
    first, *_, last = found["points"]
    assert (first["trees"], last["trees"], last["candidates"]) == (0, 20, 60)
    assert last["value"] == pytest.approx(reached(split, fitted))
    assert first["value"] == pytest.approx(reached(split, fit_recommender(split, catalogue, BLEND)[0]))
    assert last["difference"] == {"value": 0, "ci": [0, 0]}
    assert last["value"] != first["value"]
    costs = [point["cost"] for point in found["points"]]
    assert costs == sorted(costs) == [point["trees"] * point["candidates"] for point in found["points"]]
    assert {point["candidates"] for point in found["points"][1:]} == {25, 50, 60}
    assert {point["trees"] for point in found["points"][1:]} == {2, 5, 10, 20}
    for point in found["points"]:
        low, high = point["difference"]["ci"]
        assert low <= point["difference"]["value"] <= high
        assert point["difference"]["value"] == pytest.approx(point["value"] - last["value"])
    assert (found["split"], found["part"], found["metric"]) == ("temporal", "test", "ndcg@10")
    assert found["questions"] == len(split.questions)


def test_the_first_trees_are_the_ranker_of_so_many_trees(shop: tuple[Split, Catalogue], fitted: Recommender) -> None:
    split, catalogue = shop
    fewer = RecommenderConfig.default({"rankers": {"next_product": {**SETTINGS, "trees": 5, "candidates": 60}}})
    grown = fit_recommender(split, catalogue, fewer)[0].rankers["next_product"]
    short = cut(fitted.rankers["next_product"], 5, 60)
    rows = np.random.default_rng(0).random((50, len(grown.names)))
    assert np.array_equal(short.booster.predict(rows), grown.booster.predict(rows))


def test_without_a_ranker_that_learned_there_is_nothing_to_cut(shop: tuple[Split, Catalogue]) -> None:
    split, catalogue = shop
    assert trade_off(split, fit_recommender(split, catalogue, BLEND)[0]) is None
    few = logs.encoded(*shops.planted_tastes(customers=30))
    split = make_split(*few, "temporal")
    untaught = fit_recommender(split, few[1], RANKED)[0]
    assert not untaught.rankers["next_product"].text
    assert trade_off(split, untaught) is None


def test_some_questions_of_a_split_keep_their_rows() -> None:
    log, catalogue = logs.encoded(*shops.planted_tastes(order_size=3))
    split = make_split(log, catalogue, "basket")
    some = sample(split, 5)
    assert len(some.questions) == 5 < len(split.questions)
    assert sorted(set(some.question.tolist())) == [0, 1, 2, 3, 4]
    asked = np.linspace(0, len(split.questions) - 1, 5).astype(np.int64)
    assert [some.questions.anchors[at].tolist() for at in range(5)] == [
        split.questions.anchors[int(at)].tolist() for at in asked
    ]
    rows = np.flatnonzero(np.isin(split.question, asked))
    assert [some.truth[at].tolist() for at in range(len(some))] == [split.truth[int(row)].tolist() for row in rows]
    assert len(sample(split, 10_000)) == len(split)


def test_the_figure_says_what_it_shows(shop: tuple[Split, Catalogue], fitted: Recommender) -> None:
    found = trade_off(shop[0], fitted)
    assert found is not None
    [axes] = figure_of(found).axes
    assert "temporal, test part" in axes.get_title()
    [star] = [line for line in axes.get_lines() if line.get_marker() == "*"]
    assert np.array_equal(star.get_xydata(), [[1200, found["points"][-1]["value"]]])
    assert "as configured: 20 trees × 60 candidates" in axes.get_legend_handles_labels()[1]


@pytest.mark.parametrize("customers", [400, 30])
def test_a_training_keeps_it_where_something_was_learned(
    customers: int, tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    events, products = shops.planted_tastes(customers=customers, products=90)
    data = shops.write(tmp_path / "shop", events=events, products=products)
    sets = [f"rankers.next_product.{name}={json.dumps(value)}" for name, value in SETTINGS.items()]
    with pytest.raises(SystemExit) as left:
        main(["train", "recommender", str(data), "--json", *(word for one in sets for word in ("--set", one))])
    assert left.value.code == 0
    run: str = json.loads(capsys.readouterr().out)["run"]
    client = mlflow.MlflowClient()
    kept = {file.path for folder in ("", "plots") for file in client.list_artifacts(run, folder)}
    assert ({"plots/trade_off.png", "trade_off.json"} <= kept) == (customers == 400)
    if customers == 400:
        read: dict[str, Any] = mlflow.artifacts.load_dict(f"runs:/{run}/trade_off.json")
        assert read["points"][-1]["difference"]["value"] == 0
    else:
        assert not any("trade_off" in path for path in kept)
