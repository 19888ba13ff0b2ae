"""``segue train nba`` and ``segue evaluate nba``, from a folder to a registered model that MLflow loads."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from nba import bundle
from tests.shell import Shell
from tests.shops import write
from tests.training.decision_tables import planted
from training.tracking import open_tracking, quiet


@pytest.fixture
def home(tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch, mlflow_uri: str) -> Path:
    """SEGUE_HOME with compiled code that all tests share."""
    folder = tmp_path / "home"
    (folder / "cache").mkdir(parents=True)
    (folder / "cache" / "compiled").symlink_to(compiled)
    monkeypatch.setenv("SEGUE_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def segue(capsys: pytest.CaptureFixture[str], home: Path) -> Shell:
    return Shell(capsys)


def test_trained_promoted_trained_again_and_loaded(segue: Shell, tmp_path: Path, mlflow_uri: str) -> None:
    """One story, since each training takes seconds."""
    shop = write(tmp_path / "shop", **planted(n=1_600, each=2))
    copy = tmp_path / "copy"
    first = segue.json("train", "nba", shop, "--bundle", copy)
    assert (first["model"], first["version"], first["reward"]) == ("nba", 1, "value")
    assert (first["rows"], first["actions"], first["channels"]) == (1_600, ["a", "b"], ["email"])
    assert first["why_not_judged"] is None
    assert first["decides"] == "learned"
    verdict = first["verdict"]
    assert (verdict["against"], verdict["champion_version"], first["promoted"]) == ("logged", None, False)
    assert verdict["difference"]["ci"][0] > 0
    assert verdict["refusals"] == ["few-effective-rows"]
    assert "few-effective-rows" in segue.refusal("promote", "nba", 1)

    tracking = open_tracking(mlflow_uri)
    tracking.crown("nba", 1)
    again = segue.json("train", "nba", shop)
    verdict = again["verdict"]
    assert again["version"] == 2
    assert (verdict["against"], verdict["champion_version"]) == ("champion", 1)
    assert verdict["difference"] == {"value": 0.0, "ci": [0.0, 0.0]}
    tracking.crown("nba", 2)
    tracking.crown("nba", 1)
    assert segue.json("promote", "nba", 2)["version"] == 2, "who was champion may return"

    import mlflow

    with quiet():
        model = mlflow.pyfunc.load_model("models:/nba@champion")
    asked = pd.DataFrame(
        {
            "customer_id": ["left", "right", "nobody"],
            "at": ["2026-06-01T10:00:00Z", "2026-06-01T10:00:00", None],
            "attributes": ['{"taste": 0}', '{"taste": 1}', '{"taste": 0, "consents": []}'],
        }
    )
    answers = model.predict(asked)
    assert answers["action"].tolist() == ["a", "b", "hold"]
    assert answers["channel"].tolist()[:2] == ["email", "email"]
    assert answers["channel"].isna().tolist() == answers["send_at"].isna().tolist() == [False, False, True]
    assert answers["propensity"].tolist() == [1, 1, 1]
    assert answers["send_at"].iloc[0].startswith("2026-06-0")
    assert (answers["incremental_value"].iloc[:2] > 0.5).all()
    assert answers["incremental_value"].iloc[2] == 0
    assert list(model.predict(asked.iloc[:0]).columns) == list(answers.columns)

    read = bundle.read(copy)
    assert read.manifest["rows"] == 1_600
    assert read.model.rule.name == "learned"


def test_without_messages_a_configuration_is_what_decides(segue: Shell, tmp_path: Path) -> None:
    shop = write(tmp_path / "shop", customers=pd.DataFrame({"customer_id": ["anna"]}))
    assert "no decision to learn from" in segue.refusal("train", "nba", shop)
    file = tmp_path / "mine.toml"
    file.write_text("")
    found = segue.json("train", "nba", shop, "--config", file)
    assert (found["rows"], found["decides"], found["verdict"]) == (0, "learned", None)
    assert "too few" in found["why_not_judged"]
    assert "win_back" in found["actions"]
    assert "no-evidence" in segue.run("promote", "nba", found["version"])[2]


def test_configurations_at_fault_are_told(segue: Shell, tmp_path: Path) -> None:
    shop = write(tmp_path / "shop", **planted(n=30))
    assert "learning.cutt" in segue.refusal("train", "nba", shop, "--set", "learning.cutt=1")
    assert "nosuch.toml" in segue.refusal("train", "nba", shop, "--config", tmp_path / "nosuch.toml")
    (tmp_path / "taken").mkdir()
    assert "taken" in segue.refusal("train", "nba", shop, "--bundle", tmp_path / "taken")
    assert segue.run("train", "nba", shop, "--reward", "fame")[0] == 2


def test_evaluated(segue: Shell, tmp_path: Path) -> None:
    shop = write(tmp_path / "shop", **planted(n=600))
    found = segue.json("evaluate", "nba", shop)
    assert found["rows"] == 600
    assert found["policies"]["learned"]["value"] > found["policies"]["hold"]["value"]
    assert "run" in found
    code, out, _ = segue.run("evaluate", "nba", shop, "--reward", "visited", "--seed", "3")
    assert code == 0
    assert "visited a decision" in out
    assert "converted" in segue.refusal("evaluate", "nba", shop, "--reward", "converted")


def test_actions_may_be_called_anything(segue: Shell, tmp_path: Path) -> None:
    tables = planted(n=300)
    names = {"a": "cart/abandoned ü", "b": "😀"}
    tables["messages"]["action"] = tables["messages"]["action"].replace(names)
    shop = write(tmp_path / "shop", **tables)
    segue.json("evaluate", "nba", shop)
    assert segue.json("train", "nba", shop)["actions"] == sorted(names.values())
