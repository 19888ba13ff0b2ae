from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.config import ConfigError
from recommender.config import RecommenderConfig
from tests import shops
from tests.shell import Shell
from training.configuration import load_config
from training.evaluate import JUDGEMENTS, Measured
from training.loading import load
from training.split import Split
from training.tracking import open_tracking
from training.tune import Task, Tuned, tune, worth
from training.tune_report import changes, toml
from training.tune_runs import Runs
from training.tune_space import LEAST_WEIGHT, search_space, with_values
from training.tune_study import Study, TuningError

DEFAULTS = RecommenderConfig.default()
#: Without a ranker there is less to choose.
PLAIN = RecommenderConfig.default({"placements": {"recommended_for_you": {"rankers": []}}})


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    events, products = shops.planted_tastes(customers=30, products=36)
    return shops.write(tmp_path / "shop", events=events, products=products)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def segue(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


# Through the command


def test_the_best_is_never_below_what_was_given_and_can_be_trained(segue: Shell, shop: Path) -> None:
    found = segue.json("tune", shop, "--trials", 4, "--out", "best.toml", "--set", "sources.als.factors=8")
    assert (found["trials"], found["failed"], found["given"]["trial"]) == (4, 0, 0)
    assert found["best"]["objective"] >= found["given"]["objective"] > 0
    one = found["splits"]["temporal"]
    assert one["difference"] == pytest.approx(one["best"] - one["given"])
    assert one["ci"][0] <= one["difference"] <= one["ci"][1]
    assert tomllib.loads(Path("best.toml").read_text(encoding="utf-8")) == found["changes"]
    assert load_config(Path("best.toml")).sources["als"] != DEFAULTS.sources["als"]
    code, _, err = segue.run("train", "recommender", shop, "--config", "best.toml")
    assert code == 0, err


def test_a_study_goes_on_where_it_ended_as_if_it_had_not_been_broken_off(segue: Shell, shop: Path) -> None:
    whole = segue.json("tune", shop, "--trials", 5, "--study", "whole")
    first = segue.json("tune", shop, "--trials", 2, "--study", "parts")
    second = segue.json("tune", shop, "--trials", 3, "--study", "parts")
    assert (first["trials"], second["trials"], second["new_trials"]) == (2, 5, 3)
    assert first["run"] == second["run"] != whole["run"]
    assert len({trial["objective"] for trial in whole["history"]}) > 2
    for name in ("history", "best", "changes", "splits"):
        assert second[name] == whole[name]


def test_every_trial_is_a_run_below_that_of_the_study(segue: Shell, shop: Path) -> None:
    import mlflow

    found = segue.json(
        "tune", shop, "--trials", 2, "--study", "mine", "--split", "temporal", "--split", "leave-one-out"
    )
    parent = mlflow.get_run(found["run"])
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["given"] == 1, "of several splits the mean of ratios counts"
    assert parent.data.params["splits"] == "temporal, leave-one-out"
    artifacts = mlflow.artifacts.list_artifacts(run_id=found["run"])
    assert {"plots", "best.toml", "tuning.json"} <= {file.path for file in artifacts}
    children = mlflow.MlflowClient().search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{found['run']}'", order_by=["start_time"]
    )
    assert [child.info.status for child in children] == ["FINISHED", "FINISHED"]
    given = children[0].data
    assert given.params["sources.transitions.damping"] == "0.05"
    assert given.metrics["temporal/ndcg_at_10"] == found["given"]["metrics"]["temporal"]
    assert given.metrics["temporal/ndcg_at_10/low"] <= given.metrics["temporal/ndcg_at_10/high"]
    assert given.metrics["fit_seconds"] > 0


@pytest.mark.parametrize("split", ["temporal", "leave-one-out"])
def test_what_lies_in_the_test_part_changes_nothing(segue: Shell, tmp_path: Path, split: str) -> None:
    events, products = shops.planted_tastes(customers=30, products=36)
    if split == "temporal":
        tested = events["timestamp"] >= events["timestamp"].sort_values().iloc[int(0.8 * len(events))]
    else:
        tested = (events["event"] == "purchase") & ~events.duplicated(["customer_id", "event"], keep="last")
    assert 0 < tested.sum() < len(events)
    other = events.copy()
    other.loc[tested, "product_id"] = np.roll(events.loc[tested, "product_id"], 7)
    assert (other["product_id"] != events["product_id"]).any()
    one, two = (
        segue.json(
            "tune", shops.write(tmp_path / name, events=table, products=products), "--split", split, "--trials", 3
        )
        for name, table in (("one", events), ("two", other))
    )
    for name in ("history", "best", "changes", "splits"):
        assert one[name] == two[name]
    later, sooner = (
        segue.run("evaluate", "recommender", tmp_path / name, "--split", split, "--json")[1] for name in ("one", "two")
    )
    assert json.loads(later)["metrics"] != json.loads(sooner)["metrics"], "the test part does tell them apart"


def test_the_table_says_that_the_difference_flatters(segue: Shell, shop: Path) -> None:
    code, out, err = segue.run("tune", shop, "--trials", 2, "--study", "told")
    assert code == 0
    assert "validation" in out
    assert "flatters" in " ".join(out.split())
    assert "trial 0: " in err
    assert "study told" in err


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--seed", "1"), "another seed"),
        (("--set", "sources.als.factors=8"), "another configuration"),
        (("--split", "leave-one-out"), "another split"),
    ],
)
def test_a_study_keeps_to_its_question(segue: Shell, shop: Path, more: tuple[str, ...], word: str) -> None:
    segue.json("tune", shop, "--trials", 1, "--study", "one")
    code, out, err = segue.run("tune", shop, "--trials", 1, "--study", "one", *more)
    assert (code, out) == (1, "")
    assert word in err
    assert "name another --study" in err


def test_a_file_that_is_no_study(segue: Shell, shop: Path, home: Path) -> None:
    (home / "tuning").mkdir(parents=True)
    (home / "tuning" / "odd.journal").write_text("something else\n", encoding="utf-8")
    code, _, err = segue.run("tune", shop, "--trials", 1, "--study", "odd")
    assert code == 1
    assert "no study" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--split", "random"],
        ["--study", "../elsewhere"],
        ["--out", "best.json"],
        ["--out", "nowhere/best.toml"],
        ["--trials", "0"],
        ["--minutes", "-1"],
    ],
)
def test_wrong_usage_is_told_before_any_work(segue: Shell, shop: Path, arguments: list[str]) -> None:
    code, out, err = segue.run("tune", shop, *arguments)
    assert (code, out) == (2, "")
    assert err


# What trials can come to, measured by a table


class Bench:
    """Tuning a small shop with a made-up measure of configurations."""

    def __init__(self, folder: Path, home: Path, uri: str) -> None:
        shop = load(folder, now=datetime.now(UTC), rejected=None)
        self.task = Task.of(shop, PLAIN, ["temporal"], 0)
        self.file = home / "tuning" / "bench.journal"
        self.runs = Runs.of(open_tracking(uri))
        self.notes: list[str] = []

    def study(self) -> Study:
        return Study.open(self.file, self.task.question, self.task.space, 0)

    def tune(self, *, fails: dict[int, BaseException], trials: int | None, **more: Any) -> Tuned:
        made = iter(range(1_000))

        def measure(split: Split, config: RecommenderConfig) -> Measured:
            number = next(made)
            if number in fails:
                raise fails[number]
            level = 1 / (1 + abs(config.placements["recommended_for_you"].sources.get("text", 0) - 0.5))
            return Measured(np.full((len(split), len(JUDGEMENTS[split.name].metrics)), level), 1.0, 1.0)

        return tune(
            self.task,
            self.study(),
            self.runs,
            "bench",
            measure=measure,
            trials=trials,
            note=self.notes.append,
            **({"seconds": None} | more),
        )


@pytest.fixture
def bench(shop: Path, home: Path, mlflow_uri: str) -> Bench:
    return Bench(shop, home, mlflow_uri)


def test_a_trial_that_fails_is_said_and_left_out(bench: Bench) -> None:
    import mlflow

    found = bench.tune(fails={1: ValueError("cannot be fitted")}, trials=3)
    assert [trial.number for trial in found.trials] == [0, 2]
    assert found.failed == 1
    assert any("trial 1 failed" in note and "cannot be fitted" in note for note in bench.notes)
    [failed] = mlflow.search_runs(search_all_experiments=True, filter_string="status = 'FAILED'", output_format="list")
    assert failed.data.tags["why"] == "ValueError: cannot be fitted"


def test_ctrl_c_loses_only_the_running_trial(bench: Bench) -> None:
    found = bench.tune(fails={2: KeyboardInterrupt()}, trials=9)
    assert [trial.number for trial in found.trials] == [0, 1]
    assert [trial.number for trial in bench.tune(fails={}, trials=1).trials] == [0, 1, 3]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no")])
def test_without_a_first_trial_there_is_nothing_to_tell(bench: Bench, error: BaseException) -> None:
    with pytest.raises(type(error)):
        bench.tune(fails={0: error}, trials=3)
    found = bench.tune(fails={}, trials=1)
    assert all(found.trials[0].values[one.name] == one.default for one in bench.task.space)
    assert found.config == PLAIN


def test_a_trial_left_running_by_a_killed_process_is_no_trial(bench: Bench) -> None:
    bench.study().ask()
    found = bench.tune(fails={}, trials=1)
    assert [trial.number for trial in found.trials] == [1]
    assert found.config == PLAIN


def test_time_is_not_begun_on_that_a_trial_would_not_fit_in(bench: Bench) -> None:
    now = iter(range(0, 100_000, 10))  # each look at the clock is 10 seconds later, each trial takes 20 or 30
    found = bench.tune(fails={}, trials=None, seconds=130, clock=lambda: float(next(now)))
    assert 2 <= len(found.trials) <= 5


def test_better_settings_are_found(bench: Bench) -> None:
    found = bench.tune(fails={}, trials=30)
    assert found.best.objective > found.trials[0].objective + 0.1
    assert abs(found.config.placements["recommended_for_you"].sources["text"] - 0.5) < 0.2
    assert max(found.importances, key=lambda name: found.importances[name]).endswith("recommended_for_you.sources.text")
    assert found.compared["temporal"]["difference"] == pytest.approx(found.best.objective - found.trials[0].objective)


# The parts


def test_the_space_holds_the_defaults_and_what_lies_outside() -> None:
    wild = RecommenderConfig.default({"placements": {"recommended_for_you": {"sources": {"transitions": 50.0}}}})
    for config in (DEFAULTS, wild):
        space = search_space(config, ["recommended_for_you"])
        values = {one.name: one.default for one in space}
        assert with_values(config, space, values) == config
        assert all(one.knob.low <= one.default <= one.knob.high for one in space)
    names = {one.name for one in search_space(wild, ["recommended_for_you"])}
    assert "sources.transitions.damping" in names
    assert not any(name.startswith("sources.als") for name in names), "als is not used there"


def test_a_source_that_weighs_nothing_is_left_out_but_for_the_last() -> None:
    space = search_space(DEFAULTS, ["frequently_bought_together"])
    values = {one.name: one.default for one in space}
    weights = [one.name for one in space if one.is_weight]
    found = with_values(DEFAULTS, space, values | dict.fromkeys(weights[1:], LEAST_WEIGHT / 2))
    assert list(found.placements["frequently_bought_together"].sources) == [weights[0].split(".")[-1]]
    found = with_values(DEFAULTS, space, values | dict.fromkeys(weights, 0.004) | {weights[1]: 0.005})
    assert list(found.placements["frequently_bought_together"].sources) == [weights[1].split(".")[-1]]


def test_settings_of_a_ranker_are_chosen_where_it_is_asked() -> None:
    def rankers(config: RecommenderConfig, *, repeats: bool) -> set[str]:
        space = search_space(config, ["recommended_for_you"], repeats=repeats)
        return {one.path[1] for one in space if one.path[0] == "rankers"}

    every = set(DEFAULTS.placements["recommended_for_you"].rankers)
    assert rankers(DEFAULTS, repeats=True) == every
    assert rankers(DEFAULTS, repeats=False) == {name for name in every if not DEFAULTS.rankers[name].repeats} < every
    assert rankers(PLAIN, repeats=True) == set()


def test_every_range_is_one_that_configurations_allow() -> None:
    placements = [name for name, one in DEFAULTS.placements.items() if one.of == "products"]
    space = search_space(DEFAULTS, placements)
    given = {one.name: one.default for one in space}
    for one in space:
        for end in (one.knob.low, one.knob.high):
            with_values(DEFAULTS, space, given | {one.name: end})
    with pytest.raises(ConfigError, match=r"sources\.transitions\.damping"):
        with_values(DEFAULTS, space, given | {"sources.transitions.damping": 2})


def test_several_splits_are_weighed_by_what_was_given() -> None:
    given = {"temporal": 0.1, "session": 0.4}
    assert worth(given, given) == 1
    assert worth({"temporal": 0.2, "session": 0.4}, given) == pytest.approx(1.5)
    assert worth({"temporal": 0.2}, {"temporal": 0.1}) == 0.2
    with pytest.raises(TuningError, match="finds nothing on session"):
        worth(given, given | {"session": 0.0})


def test_changes_as_toml_give_the_configuration_back(tmp_path: Path) -> None:
    config = RecommenderConfig.default(
        {
            "substitute_similarity": 0.7,
            "sources": {
                "als": {"factors": 8},
                "mine": {"kind": "text", "columns": ["title", 'a "b"'], "common": 1e-05},
            },
            "placements": {"trending": {"sources": {"mine": 2.0}, "exploration": {"share": 0.1}}},
        }
    )
    file = tmp_path / "changes.toml"
    file.write_text(toml(changes(config)), encoding="utf-8")
    assert load_config(file) == config
    assert changes(DEFAULTS) == {}
