"""The evaluation of scores on shops whose law is known, and its command."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.events import DAY
from tests.logs import day
from training.cli import main
from training.evaluate_scores import evaluate_scores
from training.loading import Shop, load
from training.split import EvaluationError
from training.tracking import open_tracking

START = pd.Timestamp("2026-01-01", tz="UTC")
NOW = datetime(2027, 6, 1, tzinfo=UTC)


def write(folder: Path, *, customers: int = 400, days: int = 196, prices: bool = True, purchases: bool = True) -> Path:
    """People who order at random at a rate of their own, from a day of their own on, and may leave after an order."""
    rng = np.random.default_rng(0)
    rows = []
    for customer in range(customers):
        rate, leaves, time = rng.gamma(1.0, 0.06), rng.beta(0.5, 6), rng.uniform(0, 60)
        while time < days:
            name = "purchase" if purchases else "view"
            when = START + pd.Timedelta(days=time)
            rows.append((f"c{customer:03}", when, name, f"p{rng.integers(3)}", round(rng.gamma(9, 2.0), 2)))
            if rng.random() < leaves:
                break
            time += rng.exponential(1 / rate)
    events = pd.DataFrame(rows, columns=["customer_id", "timestamp", "event", "product_id", "price"])
    folder.mkdir()
    (events if prices else events.drop(columns="price")).to_parquet(folder / "events.parquet")
    return folder


def loaded(folder: Path) -> Shop:
    return load(folder, now=NOW, rejected=folder.with_name("rejected"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return loaded(write(tmp_path_factory.mktemp("scores") / "shop"))


@pytest.fixture(scope="module")
def found(shop: Shop) -> dict[str, Any]:
    return evaluate_scores(shop)


METRICS = [
    "likelihood_to_purchase/log_loss",
    "likelihood_to_purchase/auc",
    "likelihood_to_purchase/calibration_error",
    "expected_orders/absolute_error",
    "value/absolute_error",
]


def test_what_is_told(shop: Shop, found: dict[str, Any]) -> None:
    keys = {"split", "customers", "items", "skipped", "metrics", "ci", "baselines", "difference"}
    assert keys | {"fit_seconds", "score_seconds"} <= set(found)
    assert list(found["metrics"]) == METRICS
    assert list(found["baselines"]) == ["recency", "bg_nbd"]
    assert (found["customers"], found["items"], found["skipped"]) == (400, 3, 0)
    cut = np.datetime64(found["at"].removesuffix("+00:00"), "us").astype(np.int64)
    assert cut == shop.end - 28 * DAY
    for part in (found, *found["baselines"].values()):
        for name, value in part["metrics"].items():
            low, high = part["ci"][name]
            assert low <= value <= high or name.endswith("calibration_error"), name


def test_the_law_is_learned(found: dict[str, Any]) -> None:
    """The story of BG/NBD is true here, so it is hard to beat; recency alone is not."""
    ours, recency, bg_nbd = found["metrics"], *(found["baselines"][name]["metrics"] for name in ("recency", "bg_nbd"))
    assert ours["likelihood_to_purchase/log_loss"] < recency["likelihood_to_purchase/log_loss"]
    assert ours["likelihood_to_purchase/log_loss"] < bg_nbd["likelihood_to_purchase/log_loss"] + 0.03
    assert ours["expected_orders/absolute_error"] < recency["expected_orders/absolute_error"]
    assert ours["expected_orders/absolute_error"] < 1.1 * bg_nbd["expected_orders/absolute_error"]
    assert ours["likelihood_to_purchase/calibration_error"] < 0.1


def test_differences_are_to_the_best(found: dict[str, Any]) -> None:
    for name, difference in found["difference"].items():
        of_rivals = {label: one["metrics"][name] for label, one in found["baselines"].items()}
        best = (max if name.endswith("auc") else min)(of_rivals, key=lambda label: of_rivals[label])
        assert difference["against"] == best
        assert difference["value"] == pytest.approx(found["metrics"][name] - of_rivals[best])


def test_the_past_is_all_that_is_fitted_on(tmp_path: Path, shop: Shop) -> None:
    """Changing what comes after the cut changes what is judged, not what is told."""
    changed = tmp_path / "shop"
    changed.mkdir()
    events = shop.dataset.events
    assert events is not None
    cut = START + pd.Timedelta(days=150)
    kept = events[(events["timestamp"] < cut) | (events["timestamp"] > cut + pd.Timedelta(days=28))]
    kept.to_parquet(changed / "events.parquet")
    one, other = (evaluate_scores(part, at=day(150)) for part in (shop, loaded(changed)))
    assert one["calibration"]["segue"]["told"] == other["calibration"]["segue"]["told"]
    assert one["calibration"]["bg_nbd"]["told"] == other["calibration"]["bg_nbd"]["told"]
    assert sum(other["calibration"]["segue"]["happened"]) == 0
    assert "likelihood_to_purchase/auc" not in other["metrics"]


def test_a_window_that_is_not_over(shop: Shop) -> None:
    with pytest.raises(EvaluationError, match=r"ends .* days after the cut, and the window is 28 days long"):
        evaluate_scores(shop, at=shop.end - 20 * DAY)


def test_too_little_before_the_cut(shop: Shop) -> None:
    with pytest.raises(EvaluationError, match="more than two windows"):
        evaluate_scores(shop, at=day(20))
    with pytest.raises(EvaluationError, match="more than two windows"):
        evaluate_scores(shop, at=day(-20))


def test_a_shop_that_sells_nothing_cannot_be_scored(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="20 of whom buy"):
        evaluate_scores(loaded(write(tmp_path / "shop", purchases=False)))


def test_without_prices_there_is_no_value(tmp_path: Path) -> None:
    metrics = evaluate_scores(loaded(write(tmp_path / "shop", prices=False)))["metrics"]
    assert list(metrics) == METRICS[:-1]


def test_the_command(
    tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    folder = write(tmp_path / "shop")
    arguments = ["evaluate", "scores", str(folder), "--at", "2026-06-01", "--window", "14", "--json"]
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["window_days"], told["at"]) == (14, "2026-06-01T00:00:00+00:00")
    open_tracking()
    run = mlflow.MlflowClient().get_run(told["run"])
    assert run.data.metrics["likelihood_to_purchase/log_loss"] == told["metrics"]["likelihood_to_purchase/log_loss"]
    assert "bg_nbd/expected_orders/absolute_error" in run.data.metrics
    kept = mlflow.MlflowClient().list_artifacts(told["run"], "plots")
    assert [file.path for file in kept] == ["plots/likelihood_to_purchase.png"]
