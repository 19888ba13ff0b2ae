from __future__ import annotations

from pathlib import Path

import pytest

from features.gate import Difference, UnknownModelError, Verdict
from tests.training.registries import MemoryRegistry, RegistryContract
from training import pipeline
from training.plots import beside_baselines, gain_over_popularity
from training.tracking import Tracking, TrackingError, TrainingRecord, flat_metrics, flat_parameters, open_tracking

RESULT = {
    "split": "temporal",
    "customers": 3,
    "items": 2,
    "metrics": {"hr@5": 0.5, "hr@10": 0.75},
    "ci": {"hr@5": [0.25, 0.6], "hr@10": [0.5, 1.0]},
    "baselines": {
        "popularity": {"metrics": {"hr@5": 0.25, "hr@10": 0.3}, "ci": {"hr@5": [0.1, 0.4], "hr@10": [0.2, 0.4]}}
    },
    "difference": {"hr@10": {"value": 0.45, "ci": [0.2, 0.6], "against": "popularity"}},
    "fit_seconds": 1.5,
    "score_seconds": float("nan"),
}
VERDICT = Verdict.of(
    champion_version=None,
    metric="ndcg@10",
    split="temporal",
    challenger=0.2,
    champion=0.1,
    difference=Difference(value=0.1, ci=(0.05, 0.15)),
    rows=10,
)


def record(bundle: Path, verdict: Verdict | None = VERDICT) -> TrainingRecord:
    return TrainingRecord(
        parameters={"seed": 0, "long": "x" * 10_000} | {f"p{number}": number for number in range(150)},
        metrics=flat_metrics(RESULT),
        plots={"metrics.png": beside_baselines(RESULT), "gain.png": gain_over_popularity(RESULT)},
        documents={"evaluation.json": {"split": "temporal"}},
        data=bundle.parent,
        fingerprint="ab" * 32,
        bundle=bundle,
        example={"placement": ["best_sellers"], "count": [3]},
        config="{}",
        verdict=verdict,
        code=Path(pipeline.__file__).with_name("pyfunc_model.py"),
        takes=pipeline.TAKES,
        gives=pipeline.GIVES,
    )


@pytest.fixture
def tracking(mlflow_uri: str) -> Tracking:
    return open_tracking(mlflow_uri)


class TestMemoryRegistry(RegistryContract):
    @pytest.fixture
    def registry(self) -> MemoryRegistry:
        registry = MemoryRegistry()
        registry.add("recommender", None)
        registry.add("recommender", None)
        return registry


class TestTracking(RegistryContract):
    @pytest.fixture
    def registry(self, tracking: Tracking, small_bundle: Path) -> Tracking:
        for _ in range(2):
            tracking.log_training("recommender", record(small_bundle))
        return tracking


def test_a_training_is_registered_with_its_evidence(tracking: Tracking, small_bundle: Path) -> None:
    first = tracking.log_training("recommender", record(small_bundle, verdict=None))
    second = tracking.log_training("recommender", record(small_bundle))
    assert (first.version, first.aliases, first.verdict) == (1, ("challenger",), None)
    assert (second.version, second.aliases) == (2, ("challenger",))
    assert second.verdict == VERDICT.model_dump_json()
    assert (second.config, second.data) == ("{}", "ab" * 32)
    assert [version.version for version in tracking.versions()] == [2, 1]
    assert tracking.version("recommender", 1).aliases == ()


def test_the_run_keeps_parameters_metrics_plots_and_data(tracking: Tracking, small_bundle: Path) -> None:
    import mlflow

    version = tracking.log_training("recommender", record(small_bundle))
    assert version.run_id is not None
    run = mlflow.get_run(version.run_id)
    assert run.data.params["p149"] == "149"
    assert run.data.metrics["hr_at_10"] == 0.75
    assert run.data.metrics["popularity/hr_at_10"] == 0.3
    assert run.inputs is not None
    assert run.inputs.dataset_inputs[0].dataset.digest == ("ab" * 32)[:36]
    artifacts = {file.path for file in mlflow.MlflowClient().list_artifacts(version.run_id, "plots")}
    assert artifacts == {"plots/metrics.png", "plots/gain.png"}


def test_artifacts_lie_beside_the_database(tracking: Tracking, small_bundle: Path) -> None:
    tracking.log_training("recommender", record(small_bundle))
    database = Path(tracking.uri.removeprefix("sqlite:///"))
    assert list((database.parent / "artifacts").rglob("bundle/manifest.json"))


def test_the_bundle_comes_back(tracking: Tracking, small_bundle: Path, tmp_path: Path) -> None:
    tracking.log_training("recommender", record(small_bundle))
    for number, reference in enumerate(("recommender@challenger", "recommender/1")):
        bundle = tracking.download_bundle(reference, tmp_path / f"fetched-{number}")
        assert (bundle / "manifest.json").read_bytes() == (small_bundle / "manifest.json").read_bytes()


@pytest.mark.parametrize("reference", ["recommender@champion", "recommender/9", "recommender", "recommender/new"])
def test_a_bundle_that_is_not_there_is_unknown(
    tracking: Tracking, small_bundle: Path, tmp_path: Path, reference: str
) -> None:
    tracking.log_training("recommender", record(small_bundle))
    with pytest.raises(UnknownModelError, match="recommender"):
        tracking.download_bundle(reference, tmp_path / "fetched")


def test_an_evaluation_is_a_run(tracking: Tracking) -> None:
    import mlflow

    run = mlflow.get_run(tracking.log_evaluation(RESULT, {"seed": 3}))
    assert run.data.params == {"seed": "3"}
    assert run.data.metrics["difference/hr_at_10/low"] == 0.2
    assert "score_seconds" not in run.data.metrics
    assert mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/evaluation.json")["customers"] == 3
    assert mlflow.get_experiment(run.info.experiment_id).name == "segue-evaluation"


def test_an_mlflow_that_cannot_be_spoken_to_is_one_line() -> None:
    with pytest.raises(TrackingError, match=r"^MLflow: ") as failed:
        open_tracking("no-such-scheme://host")
    assert "\n" not in str(failed.value)


def test_nested_parameters_are_named_as_set_names_them() -> None:
    assert flat_parameters({"a": {"b": 1, "c": [1, 2]}, "d": "x"}) == {"a.b": 1, "a.c": "[1, 2]", "d": "x"}
