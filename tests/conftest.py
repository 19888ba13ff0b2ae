"""What many tests need: an MLflow database of their own, a fitted recommender, a trained model of decisions."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from features.encode import encode_catalogue, encode_events
from recommender import bundle
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from tests import shops
from tests.nba.small_model import put_model
from training.tracking import open_tracking


@pytest.fixture(scope="session")
def prepared_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database. Making its tables takes seconds, copying the file none."""
    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    open_tracking(f"sqlite:///{database}")
    return database


@pytest.fixture
def mlflow_uri(prepared_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an MLflow database that only this test uses, also set as MLFLOW_TRACKING_URI."""
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(prepared_mlflow, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture(scope="session")
def small_recommender() -> Recommender:
    """Fitted on `shops.planted_tastes`."""
    events, products = shops.planted_tastes()
    log = encode_events(events, products)
    return fit(log, encode_catalogue(products, log), RecommenderConfig.default(), at=int(log.known.max()) + 1)


@pytest.fixture(scope="session")
def small_bundle(small_recommender: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a bundle folder. Not to be written to."""
    folder = tmp_path_factory.mktemp("fitted") / "bundle"
    bundle.write(small_recommender, folder, {})
    return folder


@pytest.fixture(scope="session")
def small_nba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of decisions, one for all processes of pytest (`tests.nba.small_model`). Not to be written to."""
    base = tmp_path_factory.getbasetemp()
    return put_model((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small-nba")
