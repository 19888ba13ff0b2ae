from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.config import ConfigError
from features.dataset import read_dataset
from features.people import digest
from nba import bundle
from nba.asked import Asked
from nba.config import NbaConfig
from nba.learning import LearningConfig
from nba.model import DecisionModel, Rule
from nba.scores import ScoreModels, ScoresConfig
from nba.selection import fit
from nba.settling import Settlement
from nba.tastes import Share, Tastes
from tests.nba.simple_models import PriorModel
from training.cli import main
from training.deciding import Everyone, configured, decide_everyone, everyone, write
from training.decision_log import decision_log
from training.loading import load
from training.tracking import open_tracking

GREEDY, EXPLORING = Asked(explore=False), Asked()
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = 86_400_000_000


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests, since compiling takes seconds."""
    return tmp_path_factory.mktemp("compiled")


def config(changes: dict[str, Any] | None = None) -> NbaConfig:
    """A reminder for who left a cart, a survey for who is asked for one, a letter to all who agreed."""
    tables: dict[str, Any] = {
        "attributes": {"asked_for": "flag"},
        "channels": {"email": {"cost": 0.01}, "sms": {"cost": 0.05}},
        "actions": {
            "cart_reminder": {
                "eligible": "since_cart <= 3 and (since_purchase is null or since_purchase > since_cart)",
                "channels": ["sms"],
                "value": 5.0,
            },
            "survey": {"eligible": "asked_for", "channels": ["email"], "value": 2.0},
            "letter": {
                "channels": ["email"],
                "value": 1.0,
                "offers": [{"name": "small"}, {"name": "large", "cost": 0.02}],
            },
        },
    }
    return NbaConfig.of({**tables, **(changes or {})})


EVENTS = """event,timestamp,customer_id,anonymous_id,product_id,channel,decision_id
cart,2026-03-01T10:00:00Z,anna,,lip,,
cart,2026-03-02T10:00:00Z,bert,,lip,,
purchase,2026-03-02T11:00:00Z,bert,,lip,,
view,2026-03-02T12:00:00Z,,visitor,lip,,
"""
CUSTOMERS = """customer_id,consents,asked_for
anna,"[""email"",""sms""]",false
carl,"[""email""]",true
dora,,false
"""
MESSAGES = """message_id,customer_id,action,channel,sent_at
m1,emma,letter,email,2026-03-02T09:00:00Z
"""


def shop(folder: Path, **tables: str) -> Path:
    folder.mkdir()
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def asked_of(
    folder: Path, compiled: Path, settings: NbaConfig, *, at: int | None = None, scores: ScoreModels | None = None
) -> Everyone:
    now = round(NOW.timestamp()) * 1_000_000
    read = load(folder, now=NOW, rejected=None)
    return everyone(read, PriorModel(settings), settings, at=at, now=now, scores=scores, cache_folder=compiled)


def decided(
    asked: Asked, people: Everyone, settings: NbaConfig
) -> tuple[dict[str, tuple[Any, ...]], pd.DataFrame, Settlement | None]:
    """Action and channel by customer, the whole table, and the settlement."""
    steps: list[tuple[str, int, int]] = []
    model = PriorModel(settings)
    table, settlement = decide_everyone(
        asked, people, model, settings, progress=lambda step, done, of: steps.append((step, done, of))
    )
    assert steps[-1] == ("deciding", len(people), len(people))
    shown = table[["customer_id", "action", "channel"]].astype(object).where(table.notna(), None)
    return {row[0]: tuple(row[1:]) for row in shown.itertuples(index=False)}, table, settlement


def test_everybody_who_is_named_anywhere_gets_what_suits_them(tmp_path: Path, compiled: Path) -> None:
    folder = shop(tmp_path / "shop", events=EVENTS, customers=CUSTOMERS, messages=MESSAGES)
    found, table, settlement = decided(GREEDY, asked_of(folder, compiled, config()), config())
    assert found == {
        "anna": ("cart_reminder", "sms"),
        "bert": ("letter", "email"),
        "carl": ("survey", "email"),
        "dora": ("hold", None),
        "emma": ("letter", "email"),
    }
    assert settlement is None
    assert table.columns.tolist() == [
        "customer_id",
        "action",
        "channel",
        "send_at",
        "propensity",
        "send_at_propensity",
        "expected_value",
        "incremental_value",
        "offer",
    ]
    last = pd.Timestamp("2026-03-02T12:00:00.000001Z")
    assert table["send_at"].dropna().tolist() == [last] * 4, "just after the last event"
    assert table["offer"].dropna().tolist() == ["small", "small"]
    assert table["propensity"].tolist() == [1.0] * 5
    assert table["incremental_value"].round(9).tolist() == [0.95, 0.19, 0.39, 0, 0.19]
    assert (table["expected_value"] - table["incremental_value"]).tolist() == [1.0] * 5


def test_the_moment_that_is_asked_for_counts(tmp_path: Path, compiled: Path) -> None:
    folder = shop(tmp_path / "shop", events=EVENTS, customers=CUSTOMERS)
    early = pd.Timestamp("2026-03-02T10:30:00Z").value // 1000
    found, _, _ = decided(GREEDY, asked_of(folder, compiled, config(), at=early), config())
    assert found["bert"] == ("cart_reminder", "sms"), "not bought yet"
    before = pd.Timestamp("2026-02-01T00:00:00Z").value // 1000
    found, _, _ = decided(GREEDY, asked_of(folder, compiled, config(), at=before), config())
    assert found["anna"] == ("letter", "email"), "no cart yet"


def test_attributes_alone_are_enough(tmp_path: Path, compiled: Path) -> None:
    folder = shop(tmp_path / "shop", customers=CUSTOMERS)
    found, table, _ = decided(GREEDY, asked_of(folder, compiled, config()), config())
    assert found == {"anna": ("letter", "email"), "carl": ("survey", "email"), "dora": ("hold", None)}
    assert table["send_at"].dropna().tolist() == [pd.Timestamp(NOW)] * 2, "now"


def test_scores_that_expressions_name_are_computed_as_of_the_moment(tmp_path: Path, compiled: Path) -> None:
    bought = [("loyal", "lip"), ("loyal", "nail"), ("loyal", "lip"), ("fickle", "lip"), ("fickle", "soap")]
    rows = [f"purchase,2026-03-0{day + 1}T10:00:00Z,{who},{what},1" for day, (who, what) in enumerate(bought)]
    folder = shop(tmp_path / "shop", events="\n".join(["event,timestamp,customer_id,product_id,price", *rows, ""]))
    brands = {digest(product): brand for product, brand in [("lip", 0), ("nail", 0), ("soap", 1)]}
    keys = np.array(sorted(brands), dtype=np.int64)
    brand = np.array([brands[key] for key in keys.tolist()], dtype=np.int32)
    tastes = Tastes(keys, np.full(3, np.nan), brand, bargains=None, familiar=Share(0.5, 1.0))
    models = ScoreModels(ScoresConfig(), (), {}, own=True, floor=1e-9, year_days=365.0, tastes=tastes)
    changes = {"eligible": "brand_loyalty > 0.5", "channels": ["email"], "value": 1.0}
    settings = config({"actions": {"letter": changes}})
    found, _, _ = decided(GREEDY, asked_of(folder, compiled, settings, scores=models), settings)
    assert found == {"fickle": ("hold", None), "loyal": ("letter", "email")}
    early = pd.Timestamp("2026-03-01T12:00:00Z").value // 1000
    found, _, _ = decided(GREEDY, asked_of(folder, compiled, settings, at=early, scores=models), settings)
    assert found["loyal"] == ("hold", None), "one order tells nothing"


def test_a_shop_without_customers_has_no_decisions(tmp_path: Path, compiled: Path) -> None:
    folder = shop(tmp_path / "shop", events="event,timestamp,anonymous_id\nview,2026-03-01T10:00:00Z,visitor\n")
    found, table, _ = decided(GREEDY, asked_of(folder, compiled, config()), config())
    assert found == {}
    assert table.columns.tolist()[-1] == "offer"


def test_budgets_are_kept_over_everybody(tmp_path: Path, compiled: Path) -> None:
    folder = shop(tmp_path / "shop", events=EVENTS, customers=CUSTOMERS, messages=MESSAGES)
    settings = config({"budgets": {"letters": {"amount": 3, "over": "contacts", "per": "week", "channels": ["email"]}}})
    found, table, settlement = decided(GREEDY, asked_of(folder, compiled, settings), settings)
    assert settlement is not None
    assert settlement.budgets.limit.tolist() == [2], "emma got one this week"
    assert found["carl"] == ("survey", "email")
    assert (table["channel"] == "email").sum() == 2
    assert found["anna"] == ("cart_reminder", "sms")
    assert settlement.plan.price[0] == pytest.approx(0.19), "who is next to get a letter"


def many(tmp_path: Path, n: int = 300) -> Path:
    rows = "".join(f"c{number:03},,{str(number % 3 == 0).lower()}\n" for number in range(n))
    return shop(tmp_path / "shop", customers="customer_id,timezone,asked_for\n" + rows)


def test_exploring_tells_its_chances_and_another_seed_draws_otherwise(tmp_path: Path, compiled: Path) -> None:
    settings = config({"policy": {"exploration": 0.2, "holdout": 0.1}})
    people = asked_of(many(tmp_path), compiled, settings)
    _, first, _ = decided(EXPLORING, people, settings)
    _, again, _ = decided(EXPLORING, people, settings)
    _, other, _ = decided(EXPLORING, people, configured(settings, None, 7))
    pd.testing.assert_frame_equal(first, again)
    assert first["action"].tolist() != other["action"].tolist()
    # Four arms are open to who is asked for a survey, three to the others.
    chances = set(first["propensity"].round(9))
    assert chances <= {
        round(0.9 * (0.8 * best + 0.2 / arms) + 0.1 * hold, 9)
        for arms in (3, 4)
        for best, hold in ((1, 0), (0, 0), (0, 1))
    }
    assert len(chances) == 6


def test_the_size_of_chunks_changes_nothing(tmp_path: Path, compiled: Path) -> None:
    budgets = {"letters": {"amount": 40, "over": "contacts", "exploration_share": 0.2}}
    settings = config({"policy": {"exploration": 0.3}, "budgets": budgets})
    people = asked_of(many(tmp_path), compiled, settings)
    _, whole, _ = decided(EXPLORING, people, settings)
    _, pieces, _ = decided(EXPLORING, replace(people, block=120, chunk=50), settings)
    pd.testing.assert_frame_equal(whole, pieces)
    assert (whole["action"] != "hold").sum() <= 40


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_files_without_times_say_them_as_text(tmp_path: Path, compiled: Path, suffix: str) -> None:
    folder = shop(tmp_path / "shop", customers=CUSTOMERS)
    _, table, _ = decided(GREEDY, asked_of(folder, compiled, config()), config())
    out = tmp_path / f"actions.{suffix}"
    write(table, out)
    if suffix == "csv":
        read = pd.read_csv(out, dtype=str)["send_at"].tolist()[:2]
        assert out.read_text().splitlines()[3].startswith("dora,hold,,,1.0")
    else:
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        read = [row["send_at"] for row in rows[:2]]
        assert (rows[2]["channel"], rows[2]["send_at"]) == (None, None)
    assert read == ["2026-03-10T12:00:00Z"] * 2


def test_parquet_keeps_times(tmp_path: Path, compiled: Path) -> None:
    folder = shop(tmp_path / "shop", customers=CUSTOMERS)
    _, table, _ = decided(GREEDY, asked_of(folder, compiled, config()), config())
    write(table, tmp_path / "actions.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "actions.parquet"), table)


def test_a_file_is_laid_over_the_configuration_of_the_model(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[budgets.texts]\namount = 5\nchannels = ['sms']\n[actions.survey]\nvalue = 9\n")
    settings = configured(config(), file, 0)
    assert settings.budgets["texts"].amount == 5
    assert settings.actions["survey"].value == 9
    assert settings.actions["letter"] == config().actions["letter"]
    file.write_text("[actions.survey]\nvalu = 9\n")
    with pytest.raises(ConfigError, match=r"actions\.survey\.valu"):
        configured(config(), file, 0)


@pytest.fixture
def registered(tmp_path: Path, mlflow_uri: str) -> Path:
    """A model learned from sixty messages, registered as version 1 of nba without an alias. The folder of its data."""
    import mlflow

    letters = [
        f"m{number},c{number % 20:02},{action},{channel},2026-02-{number % 20 + 1:02}T09:00:00Z,0.5,{value}"
        for number in range(60)
        for action, channel, value in [("letter", "email", number % 7) if number % 2 else ("hold", "", number % 3)]
    ]
    columns = "message_id,customer_id,action,channel,sent_at,propensity,value"
    folder = shop(tmp_path / "shop", messages="\n".join([columns, *letters, ""]))
    log = decision_log(read_dataset(folder, now=NOW))
    found = fit(log, "value", LearningConfig(), seed=0)
    model = DecisionModel(found.learned, found.response, np.zeros(2), Rule("learned"))
    bundle.write(model, NbaConfig.of_log(log.arms), None, tmp_path / "model" / "artifacts" / "bundle", {})
    tracking = open_tracking(mlflow_uri)
    client = mlflow.MlflowClient()
    client.create_registered_model("nba")
    client.create_model_version("nba", (tmp_path / "model").as_uri())
    assert [version.version for version in tracking.versions("nba")] == [1]
    return folder


def test_the_command_writes_decisions_of_the_registered_model(
    registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    budgets = tmp_path / "budgets.toml"
    budgets.write_text("[budgets.letters]\namount = 4\nover = 'contacts'\nper = 'run'\n")
    out = tmp_path / "actions.csv"
    with pytest.raises(SystemExit) as left:
        main(["decide", str(registered), "--out", str(out), "--config", str(budgets), "--explore", "--json"])
    said = capsys.readouterr()
    assert left.value.code == 0, said.err
    told = json.loads(said.out)
    assert told["model"] == "nba/1"
    assert told["customers"] == 20
    table = pd.read_csv(out)
    assert table["customer_id"].tolist() == [f"c{number:02}" for number in range(20)]
    assert told["hold"] == (table["action"] == "hold").sum() >= 16
    [budget] = told["budgets"]
    assert (budget["name"], budget["limit"], budget["reserved"]) == ("letters", 4, pytest.approx(0.2))
    assert budget["planned"] <= 3, "of 4, a twentieth of which is reserved"
    assert set(table["channel"].dropna()) <= {"email"}


def test_without_a_model_the_command_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shop(tmp_path / "shop", customers=CUSTOMERS)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["decide", str(folder), "--out", "actions.csv"])
    assert left.value.code == 1
    assert "segue train nba" in capsys.readouterr().err
