from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer

from features.gate import evidence
from tests import shops
from tests.shell import Shell
from training.cli import application, main
from training.tracking import open_tracking

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    events, products = shops.planted_tastes()
    return shops.write(tmp_path / "shop", events=events, products=products)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def segue(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def commands(group: Any = None, path: tuple[str, ...] = ("segue",)) -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    group = group or typer.main.get_command(application())
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


# The contract of all commands


def test_every_command_and_every_option_is_documented() -> None:
    page = DOCS.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (segue [a-z ]+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    found = dict(commands())
    assert set(sections) == set(found)
    everywhere = page.split("\n## ")[0]
    for name, command in found.items():
        for parameter in command.params:
            for option in (one for one in parameter.opts if one.startswith("--")):
                assert option in sections[name] + everywhere, f"{name} {option}"


def test_every_example_of_the_documentation_is_a_call_that_parses() -> None:
    page = DOCS.read_text(encoding="utf-8")
    examples = re.findall(r"^\$ segue (.*)$", page, re.MULTILINE)
    assert examples
    root = typer.main.get_command(application())
    for example in examples:
        words, command = example.split(), root
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context("segue", words)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "recommender", "--help"], ["evaluate", "--help"]])
def test_help_teaches(segue: Shell, arguments: list[str]) -> None:
    code, out, _ = segue.run(*arguments)
    assert code == 0
    assert "segue" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["recommend", "shop", "--placement", "trending", "--count", "3", "--out", "lists.xlsx"],
        ["recommend", "shop", "--placement", "trending", "--count", "0", "--out", "lists.csv"],
        ["evaluate", "recommender", "shop", "--split", "random"],
        ["evaluate", "recommender", "shop", "--split", "basket", "--at", "2026-01-01"],
        ["evaluate", "recommender", "shop", "--split", "temporal", "--at", "yesterday"],
        ["evaluate", "recommender", "shop", "--split", "temporal", "--no-refit"],
        ["evaluate", "recommender", "shop", "--split", "temporal", "--diversity", "much"],
        ["evaluate", "recommender", "shop", "--split", "temporal", "--diversity", "0.1,1"],
        ["evaluate", "recommender", "shop", "--split", "temporal", "--margin", "0.1,1.5"],
        ["promote", "recommender", "newest"],
        ["train", "nothing", "shop"],
        ["validate"],
        ["no-such-command"],
    ],
)
def test_wrong_usage_is_status_2(segue: Shell, arguments: list[str]) -> None:
    code, out, err = segue.run(*arguments)
    assert (code, out) == (2, "")
    assert err


def test_help_needs_none_of_the_heavy_libraries() -> None:
    heavy = "{'pandas', 'mlflow', 'sklearn', 'implicit', 'pyarrow', 'matplotlib', 'scipy', 'numpy'}"
    code = f"import sys, training.cli; training.cli.application(); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"


def test_a_fault_of_segue_itself_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, shop: Path) -> None:
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(AttributeError):
        main(["validate", str(shop), "--json"])


# One command after the other


def test_validate_tells_what_is_there(segue: Shell, shop: Path) -> None:
    code, out, err = segue.run("validate", shop)
    assert (code, err) == (0, "")
    assert "events" in out
    assert segue.json("validate", shop)


def test_validate_sets_bad_rows_aside(segue: Shell, shop: Path, home: Path) -> None:
    events = pd.read_parquet(shop / "events.parquet")
    events["timestamp"] = events["timestamp"].astype(str)
    events.loc[3, "timestamp"] = "not a time"
    events.to_parquet(shop / "events.parquet", index=False)
    code, _, err = segue.run("validate", shop)
    assert code == 0
    assert "1 bad rows" in err
    assert list((home / "rejected" / "shop").iterdir())
    code, _, _ = segue.run("validate", shop, "--rejected", home / "elsewhere")
    assert list((home / "elsewhere").iterdir())


def test_a_table_at_fault_is_one_line(segue: Shell, shop: Path) -> None:
    pd.DataFrame({"event": ["view"]}).to_parquet(shop / "events.parquet")
    assert "timestamp" in segue.refusal("validate", shop)


def test_a_dataset_that_is_not_there_is_one_line(segue: Shell) -> None:
    assert "nowhere" in segue.refusal("validate", "nowhere")


def test_recommend_lists_everyone_once(segue: Shell, shop: Path) -> None:
    found = segue.json("recommend", shop, "--placement", "recommended_for_you", "--count", 4, "--out", "lists.parquet")
    assert found["lists"] == 60
    lists = pd.read_parquet("lists.parquet")
    assert list(lists.columns) == ["customer_id", "rank", "product_id", "score"]
    assert lists.groupby("customer_id")["rank"].apply(list).map(lambda ranks: ranks == [1, 2, 3, 4]).all()
    first = lists[lists["rank"] == 1]
    same_taste = first["customer_id"].str[1:].astype(int) % 3 == first["product_id"].str[1:].astype(int) % 3
    assert same_taste.mean() > 0.9


def test_recommend_leaves_out_what_was_bought_unless_repeats(segue: Shell, shop: Path) -> None:
    events = pd.read_parquet(shop / "events.parquet")
    bought = set(zip(events["customer_id"], events["product_id"], strict=True))
    ask = ("recommend", shop, "--placement", "recommended_for_you", "--count", 24, "--out", "lists.csv")
    segue.json(*ask)
    lists = pd.read_csv("lists.csv")
    assert not bought & set(zip(lists["customer_id"], lists["product_id"], strict=True))
    segue.json(*ask, "--repeats")
    lists = pd.read_csv("lists.csv")
    assert bought <= set(zip(lists["customer_id"], lists["product_id"], strict=True))


def test_recommend_beside_products_lists_every_product(segue: Shell, shop: Path) -> None:
    segue.json("recommend", shop, "--placement", "similar_products", "--count", 3, "--out", "lists.jsonl")
    lists = pd.read_json("lists.jsonl", lines=True)
    assert list(lists.columns) == ["anchor_id", "rank", "product_id", "score"]
    assert lists["anchor_id"].nunique() == 24
    assert not (lists["anchor_id"] == lists["product_id"]).any()


def test_recommend_as_of_each_customer_asks_at_the_own_last_event(segue: Shell, tmp_path: Path) -> None:
    shop = shops.write(tmp_path / "staples", events=shops.staples())
    ask = ("recommend", shop, "--placement", "buy_it_again", "--count", 3, "--out", "lists.parquet")
    segue.json(*ask)
    assert len(distinct_lists("lists.parquet")) > 1, "some last bought milk 19 days ago, some today"
    segue.json(*ask, "--as-of", "customer")
    assert len(distinct_lists("lists.parquet")) == 1, "everyone has just bought it, after the same history"


def distinct_lists(file: str) -> set[tuple[tuple[str, float], ...]]:
    lists = pd.read_parquet(file).groupby("customer_id")
    assert len(lists) == 20
    return {tuple(zip(rows["product_id"], rows["score"], strict=True)) for _, rows in lists}


@pytest.mark.parametrize(
    ("placement", "says"), [("similar_categories", "recommended_for_you"), ("no_such_list", "best_sellers")]
)
def test_recommend_refuses_what_it_cannot_list(segue: Shell, shop: Path, placement: str, says: str) -> None:
    line = segue_line(segue, "recommend", shop, "--placement", placement, "--count", 3, "--out", "lists.csv")
    assert placement in line
    assert says in line


def segue_line(segue: Shell, *arguments: object) -> str:
    """The last line of standard error of a command that fails after some words of progress."""
    code, out, err = segue.run(*arguments)
    assert (code, out) == (1, "")
    return err.splitlines()[-1]


@pytest.mark.parametrize(
    ("assignment", "says"),
    [("sources.als.factor=3", "factor"), ("sources.als.factors=many", "factors"), ("factors", "key=value")],
)
def test_a_setting_that_does_not_fit_is_named(segue: Shell, shop: Path, assignment: str, says: str) -> None:
    ask = ("recommend", shop, "--placement", "trending", "--count", 3, "--out", "lists.csv", "--set", assignment)
    assert says in segue_line(segue, *ask)


def test_a_setting_in_a_file_is_overruled_by_set(segue: Shell, shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[sources.als]\nfactor = 3\n", encoding="utf-8")
    ask = ("recommend", shop, "--placement", "trending", "--count", 3, "--out", "lists.csv", "--config", file)
    assert "sources.als" in segue_line(segue, *ask)
    file.write_text("[placements.trending]\ndiversity = 7\n", encoding="utf-8")
    segue.json(*ask, "--set", "placements.trending.diversity=0.5")


def test_train_promote_and_roll_back(segue: Shell, shop: Path, mlflow_uri: str) -> None:
    assert "no model is registered" in segue.run("models")[1]
    first = segue.json("train", "recommender", shop, "--promote")
    assert (first["version"], first["promoted"]) == (1, True)
    assert first["verdict"]["against"] == "popularity"
    assert (
        first["evaluation"]["metrics"]["ndcg@10"] > first["evaluation"]["baselines"]["popularity"]["metrics"]["ndcg@10"]
    )

    same = segue.json("train", "recommender", shop)
    assert same["verdict"]["difference"] == {"value": 0.0, "ci": [0.0, 0.0]}
    assert segue.json("promote", "recommender", 2)["previous"] == 1
    assert segue.json("promote", "recommender", 1)["returned"]

    listed = segue.json("models")["models"]
    assert [(row["version"], row["was_champion"]) for row in listed] == [(2, True), (1, True)]
    assert listed[1]["aliases"] == ["champion"]
    assert "ndcg@10 (temporal)" in segue.run("models")[1]


#: Popularity in place of taste: deliberately worse on a shop of planted tastes.
WORSE = ("--set", "placements.recommended_for_you.sources={best_sellers = 1.0}")


def test_a_worse_configuration_is_refused_and_a_better_one_passes(segue: Shell, shop: Path, mlflow_uri: str) -> None:
    segue.json("train", "recommender", shop, "--promote")
    code, out, err = segue.run("train", "recommender", shop, *WORSE, "--promote", "--json")
    assert code == 1
    assert "not-better" in err.splitlines()[-1]
    worse = json.loads(out)
    assert (worse["promoted"], worse["verdict"]["passed"]) == (False, False)
    champion = open_tracking(mlflow_uri).champion("recommender")
    assert champion is not None
    assert champion.version == 1

    open_tracking(mlflow_uri).crown("recommender", 2)
    assert segue.json("train", "recommender", shop, "--promote")["verdict"]["difference"]["ci"][0] > 0


def test_evidence_against_a_former_champion_is_stale(segue: Shell, shop: Path, mlflow_uri: str) -> None:
    segue.json("train", "recommender", shop)
    segue.json("train", "recommender", shop)
    segue.json("promote", "recommender", 1)
    assert "stale-evidence" in segue.refusal("promote", "recommender", 2)


@pytest.mark.parametrize("shop_of", [shops.one_product, shops.one_customer, shops.no_events])
def test_a_tiny_shop_trains_but_cannot_be_judged(segue: Shell, tmp_path: Path, mlflow_uri: str, shop_of: Any) -> None:
    data = shops.write(tmp_path / "tiny", events=shop_of())
    trained = segue.json("train", "recommender", data, "--bundle", tmp_path / "out" / "bundle")
    assert trained["verdict"] is None or not trained["verdict"]["passed"] or trained["verdict"]["rows"] < 5
    assert (tmp_path / "out" / "bundle" / "manifest.json").is_file()
    if trained["verdict"] is None:
        assert "no-evidence" in segue.refusal("promote", "recommender", 1)


def test_promote_what_is_not_there(segue: Shell, mlflow_uri: str) -> None:
    assert "no version 3" in segue.refusal("promote", "recommender", 3)


def test_recommend_from_a_registered_model_equals_recommend_from_the_data(
    segue: Shell, shop: Path, mlflow_uri: str
) -> None:
    segue.json("train", "recommender", shop)
    ask = ("recommend", shop, "--placement", "recommended_for_you", "--count", 5, "--out", "lists.parquet")
    segue.json(*ask)
    fitted = pd.read_parquet("lists.parquet")
    segue.json(*ask, "--model", "recommender@challenger")
    pd.testing.assert_frame_equal(fitted, pd.read_parquet("lists.parquet"))
    assert "'unheard'" in segue_line(segue, *ask, "--model", "unheard@champion")


def test_an_evaluation_is_a_run_with_the_fixed_keys(segue: Shell, shop: Path, mlflow_uri: str) -> None:
    found = segue.json("evaluate", "recommender", shop, "--split", "temporal", "--at", "2026-02-10")
    assert {"split", "customers", "items", "skipped", "metrics", "ci", "baselines", "difference"} <= set(found)
    assert {"fit_seconds", "score_seconds", "run", "beyond_accuracy"} <= set(found)
    import mlflow

    kept = mlflow.get_run(found["run"]).data.metrics
    assert kept["ndcg_at_10"] == found["metrics"]["ndcg@10"]
    assert kept["coverage_at_10"] == found["beyond_accuracy"]["coverage"]
    assert kept["popularity/gini_at_10"] == found["baselines"]["popularity"]["beyond_accuracy"]["gini"]
    assert kept["candidates/recall_at_100"] == found["candidates"]["recall_first"]
    code, out, _ = segue.run(
        *("evaluate", "recommender", shop, "--split", "temporal"),
        *("--diversity", "0.2,0.4", "--sources", "--without", "category"),
    )
    assert code == 0
    for word in (
        "popularity",
        "beyond accuracy",
        "the price of diversity",
        "0.4",
        "each source alone",
        "without category",
        "candidates: ",
    ):
        assert word in out


def test_the_stored_verdict_is_the_printed_one(segue: Shell, shop: Path, mlflow_uri: str) -> None:
    printed = segue.json("train", "recommender", shop)["verdict"]
    stored = evidence(open_tracking(mlflow_uri).version("recommender", 1))
    assert stored is not None
    assert stored.model_dump(mode="json") == printed
