"""Runs, models and aliases in MLflow. The one module of training that knows MLflow."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.gate import ModelVersion, UnknownModelError, Verdict

if TYPE_CHECKING:
    import mlflow.entities.model_registry as entities
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

DEFAULT_URI = "sqlite:///mlruns/mlflow.db"
TRAINING = "segue-{name}"
EVALUATION = "segue-evaluation"
CHAMPION, CHALLENGER = "champion", "challenger"
#: MLflow takes at most this many parameters in one call.
PARAMETERS_PER_CALL = 100
#: MLflow cuts longer values of a parameter.
LONGEST_PARAMETER = 6000
#: … and takes no longer digest of a dataset.
LONGEST_DIGEST = 36


@dataclass(frozen=True)
class TrainingRecord:
    """Everything worth keeping of one training.

    Attributes:
        parameters: flat, name to value.
        metrics: flat, name to number; those that are not finite are left out.
        plots: file name (``.png``) to figure.
        documents: file name (``.json``) to what it holds.
        data: folder of the dataset, and ``fingerprint``, the hash of its files.
        bundle: folder with the fitted model; it must be called ``bundle``, since MLflow keeps the name.
        example: questions for the model, column to values.
        code: the file of Python that MLflow loads the model by, such as ``pyfunc_model.py``.
        takes, gives: its columns, by name and MLflow's type; a name that ends in ``?`` may be absent, a type in
            brackets is a list of it.
        config: the configuration as JSON.
        verdict: the evidence, or None where there was too little data to compare.
    """

    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    plots: Mapping[str, Figure]
    documents: Mapping[str, Any]
    data: Path
    fingerprint: str
    bundle: Path
    example: Mapping[str, list[Any]]
    config: str
    verdict: Verdict | None
    code: Path
    takes: Mapping[str, str]
    gives: Mapping[str, str]


class TrackingError(RuntimeError):
    """MLflow could not be reached or refused. ``code`` is MLflow's name for the fault."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Tracking:
    """An MLflow tracking server and its model registry. Implements `features.gate.Registry`."""

    def __init__(self, uri: str, client: MlflowClient) -> None:
        self.uri = uri
        self._client = client

    def log_training(self, name: str, record: TrainingRecord) -> ModelVersion:
        """One run with everything of the record, registered as the next version of ``name``, alias ``challenger``.

        Verdict and configuration are tags given when the version is created: no version is ever seen without them.
        """
        import mlflow
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]  # made at run time

        with quiet(), mlflow.start_run(experiment_id=self._experiment(TRAINING.format(name=name))) as run:
            self._log(run.info.run_id, record.parameters, record.metrics)
            source = LocalArtifactDatasetSource(record.data.resolve().as_uri())
            digest = record.fingerprint[:LONGEST_DIGEST]
            dataset = MetaDataset(source, record.data.resolve().name, digest)  # type: ignore[abstract]  # it is not
            mlflow.log_input(dataset, context="training")
            for file, figure in record.plots.items():
                mlflow.log_figure(figure, f"plots/{file}")
            for file, document in record.documents.items():
                mlflow.log_dict(document, file)
            model = log_model(name, record)
            tags = {"config": record.config, "data": record.fingerprint}
            if record.verdict is not None:
                tags["verdict"] = record.verdict.model_dump_json()
            self._ensure_model(name)
            created = self._client.create_model_version(
                name, model.model_uri, run.info.run_id, tags=tags, model_id=model.model_id
            )
            self._client.set_registered_model_alias(name, CHALLENGER, str(created.version))
        return self.version(name, int(created.version))

    def log_evaluation(
        self, result: Mapping[str, Any], parameters: Mapping[str, Any], plots: Mapping[str, Figure] | None = None
    ) -> str:
        """One run with an evaluation's numbers, its plots, and, as ``evaluation.json``, all of it. Returns its id."""
        import mlflow

        with (
            quiet(),
            mlflow.start_run(experiment_id=self._experiment(EVALUATION), tags={"split": result["split"]}) as run,
        ):
            self._log(run.info.run_id, parameters, flat_metrics(result))
            for file, figure in (plots or {}).items():
                mlflow.log_figure(figure, f"plots/{file}")
            mlflow.log_dict(dict(result), "evaluation.json")
        return str(run.info.run_id)

    def versions(self, name: str | None = None) -> list[ModelVersion]:
        """All versions, of one model or of all, by name and newest first."""
        with quiet():
            found = list(self._client.search_model_versions(f"name = '{name}'" if name else None, max_results=10_000))
            # a search leaves out aliases
            aliases = {model: self._aliases(model) for model in {version.name for version in found}}
        listed = [value_of(version, aliases[version.name]) for version in found]
        return sorted(listed, key=lambda version: (version.name, -version.version))

    def version(self, name: str, version: int) -> ModelVersion:
        """One version of a model.

        Raises:
            UnknownModelError: there is none.
        """
        try:
            with quiet():
                return value_of(self._client.get_model_version(name, str(version)), self._aliases(name))
        except TrackingError as error:
            raise missing(error, f"there is no version {version} of a model named {name!r}") from error

    def champion(self, name: str) -> ModelVersion | None:
        """The version with the alias ``champion``, or None."""
        try:
            return self.by_alias(name, CHAMPION)
        except UnknownModelError:
            return None

    def by_alias(self, name: str, alias: str) -> ModelVersion:
        """The version with an alias.

        Raises:
            UnknownModelError: there is none.
        """
        try:
            with quiet():
                return value_of(self._client.get_model_version_by_alias(name, alias), self._aliases(name))
        except TrackingError as error:
            raise missing(error, f"no version of a model named {name!r} has the alias {alias!r}") from error

    def crown(self, name: str, version: int) -> None:
        """Move the alias ``champion``: one row of the registry, so readers see the old champion or the new one.

        MLflow cannot compare and swap: of two promotions in the same instant the later one wins.
        """
        champion = self.champion(name)
        with quiet():
            if champion is not None:  # before the move, so that a crash in between cannot lose the way back
                self._client.set_model_version_tag(name, str(champion.version), "was_champion", "true")
            self._client.set_registered_model_alias(name, CHAMPION, str(version))
            self._client.set_model_version_tag(name, str(version), "was_champion", "true")

    def download_bundle(self, reference: str, folder: Path) -> Path:
        """The bundle of ``NAME@ALIAS`` or ``NAME/VERSION``, fetched into ``folder``.

        Raises:
            UnknownModelError: there is none, or the reference is neither form.
        """
        import mlflow.artifacts

        name, at, alias = reference.partition("@")
        if at:
            found = self.by_alias(name, alias)
        else:
            name, _, number = reference.partition("/")
            if not number.isdecimal():
                raise UnknownModelError(f"{reference!r} is not a model: write NAME@ALIAS or NAME/VERSION")
            found = self.version(name, int(number))
        with quiet():
            model = mlflow.artifacts.download_artifacts(f"models:/{found.name}/{found.version}", dst_path=str(folder))
        return Path(model) / "artifacts" / "bundle"

    def _experiment(self, name: str) -> str:
        """The experiment's id; made on first use. Beside a SQLite file, its artifacts lie in ``artifacts``."""
        from mlflow.exceptions import MlflowException

        known = self._client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        database = sqlite_file(self.uri)
        location = (database.parent / "artifacts").resolve().as_uri() if database else None
        try:
            return str(self._client.create_experiment(name, artifact_location=location))
        except MlflowException:
            made = self._client.get_experiment_by_name(name)  # by another process, just now
            if made is None:
                raise
            return str(made.experiment_id)

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _aliases(self, name: str) -> dict[str, str]:
        return dict(self._client.get_registered_model(name).aliases)

    def _log(self, run_id: str, parameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        import mlflow

        texts = [(plain_name(key), str(value)[:LONGEST_PARAMETER]) for key, value in parameters.items()]
        for start in range(0, len(texts), PARAMETERS_PER_CALL):
            mlflow.log_params(dict(texts[start : start + PARAMETERS_PER_CALL]), run_id=run_id)
        mlflow.log_metrics({metric_name(key): value for key, value in metrics.items()}, run_id=run_id)


def open_tracking(uri: str | None = None) -> Tracking:
    """Connect to MLflow: ``uri``, else MLFLOW_TRACKING_URI, else a SQLite file in ``mlruns`` of the current directory.

    Turns MLflow's telemetry and its progress bars off for this process.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    database = sqlite_file(chosen)
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's first import warns of its own dependencies
        import mlflow
    with quiet():
        mlflow.set_tracking_uri(chosen)
        return Tracking(chosen, mlflow.MlflowClient())


def log_model(name: str, record: TrainingRecord) -> Any:
    """The bundle as a model of the active run, loadable by `mlflow.pyfunc` and servable by ``mlflow models serve``.

    The model is a file of code and the bundle, so nothing is pickled. Requirements are given: finding them out would
    load the model in another process.
    """
    import mlflow.pyfunc
    import pandas as pd

    return mlflow.pyfunc.log_model(
        name=name,
        python_model=record.code,
        artifacts={"bundle": str(record.bundle)},
        pip_requirements=[f"{package}=={installed(package)}" for package in ("segue", "mlflow", "pandas")],
        signature=signature(record.takes, record.gives),
        input_example=pd.DataFrame(record.example),
    )


def signature(takes: Mapping[str, str], gives: Mapping[str, str]) -> ModelSignature:
    """MLflow's signature of a model, from columns as `TrainingRecord` has them."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec
    from mlflow.types.schema import Array

    def columns(told: Mapping[str, str]) -> Schema:
        specs: list[ColSpec | TensorSpec] = []
        for name, kind in told.items():
            of = Array(kind.strip("[]")) if kind.startswith("[") else kind
            specs.append(ColSpec(of, name.rstrip("?"), required=not name.endswith("?")))
        return Schema(specs)

    return ModelSignature(inputs=columns(takes), outputs=columns(gives))


def flat_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """An evaluation as flat numbers: ``ndcg@10``, ``popularity/ndcg@10``, ``difference/ndcg@10/low`` …"""
    flat: dict[str, float] = {}

    def add(prefix: str, part: Mapping[str, Any]) -> None:
        for metric, value in part.get("metrics", {}).items():
            flat[f"{prefix}{metric}"] = value
        for metric, (low, high) in part.get("ci", {}).items():
            flat[f"{prefix}{metric}/low"], flat[f"{prefix}{metric}/high"] = low, high

    add("", result)
    for name, baseline in result.get("baselines", {}).items():
        add(f"{name}/", baseline)
    for metric, difference in result.get("difference", {}).items():
        flat[f"difference/{metric}"] = difference["value"]
        flat[f"difference/{metric}/low"], flat[f"difference/{metric}/high"] = difference["ci"]
    for key in ("customers", "items", "fit_seconds", "score_seconds"):
        if key in result:
            flat[key] = result[key]
    return {key: float(value) for key, value in flat.items() if is_finite(value)}


def flat_parameters(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted names, the way ``--set`` writes them; lists as JSON."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flat_parameters(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list) else value
    return flat


def is_finite(value: Any) -> bool:
    """Whether MLflow can plot it."""
    return value is not None and float("-inf") < float(value) < float("inf")


def metric_name(name: str) -> str:
    """``ndcg@10`` as ``ndcg_at_10``: MLflow's names have no @."""
    return plain_name(name.replace("@", "_at_"))


def plain_name(name: str) -> str:
    """Characters that MLflow's names cannot have, such as in what a shop calls an action, become their number.

    >>> plain_name("actions.survey 😀.value")
    'actions.survey u1f600.value'
    """
    return re.sub(r"[^\w/.\- :]", lambda found: f"u{ord(found[0]):x}", name)


def value_of(version: entities.ModelVersion, aliases: Mapping[str, str]) -> ModelVersion:
    """MLflow's version as ours."""
    tags = version.tags
    return ModelVersion(
        name=version.name,
        version=int(version.version),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if int(number) == int(version.version))),
        was_champion=tags.get("was_champion") == "true",
        verdict=tags.get("verdict"),
        config=tags.get("config"),
        data=tags.get("data"),
        run_id=version.run_id,
        created=int(version.creation_timestamp),
    )


def missing(error: TrackingError, message: str) -> Exception:
    """What to raise where MLflow was asked for a version: that there is none, unless it failed for another reason."""
    absent = error.code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
    return UnknownModelError(message) if absent else error


def sqlite_file(uri: str) -> Path | None:
    """The file behind a SQLite address, else None."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix)) if uri.startswith(prefix) else None


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow without its notices on migrations and its warnings on its own dependencies; its errors as ours.

    Raises:
        TrackingError: in place of any exception of MLflow's, in one line.
    """
    import logging

    from mlflow.exceptions import MlflowException

    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        except MlflowException as error:
            raise TrackingError(f"MLflow: {' '.join(error.message.split())}", error.error_code) from error
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
