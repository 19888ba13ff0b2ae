from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.filters import FilterError
from recommender.engine import Recommender
from tests.training.test_tracking import record
from training.tracking import open_tracking, quiet

AT = "2026-03-31T00:00:00Z"
COLUMNS = ["question", "rank", "kind", "id", "score", "source", "fallback_level"]


@pytest.fixture
def champion(mlflow_uri: str, small_bundle: Path) -> str:
    tracking = open_tracking(mlflow_uri)
    tracking.crown("recommender", tracking.log_training("recommender", record(small_bundle)).version)
    return mlflow_uri


def load(uri: str) -> Any:
    import mlflow

    with quiet():
        return mlflow.pyfunc.load_model(uri)


def test_the_champion_predicts_what_the_recommender_answers(champion: str, small_recommender: Recommender) -> None:
    questions = pd.DataFrame(
        {"placement": ["similar_products", "best_sellers"], "product_id": ["p003", None], "count": [3, 2]}
    )
    answers = load("models:/recommender@champion").predict(questions)
    assert list(answers.columns) == COLUMNS
    assert answers["question"].tolist() == [0, 0, 0, 1, 1]
    assert answers["rank"].tolist() == [1, 2, 3, 1, 2]
    assert set(answers["id"]) <= set(small_recommender.catalogue.ids)
    similar = answers["id"][answers["question"] == 0]
    assert all(int(product[1:]) % 3 == 0 for product in similar), "p003 is of taste 0"


def test_a_filter_is_honoured_or_refused(champion: str) -> None:
    model = load("models:/recommender@champion")
    honoured = pd.DataFrame({"placement": ["best_sellers"], "filter": ["brand = 'Brand 1'"], "count": [4]})
    assert all(int(product[1:]) % 3 == 1 for product in model.predict(honoured)["id"])
    with pytest.raises(FilterError):
        model.predict(pd.DataFrame({"placement": ["best_sellers"], "filter": ["colour = 'red'"]}))


def test_nobody_and_nothing_asked_are_ordinary(champion: str) -> None:
    model = load("models:/recommender@champion")
    questions = pd.DataFrame({"placement": ["recommended_for_you"], "customer_id": ["nobody"], "at": [AT]})
    assert len(model.predict(questions)) == 10
    assert list(model.predict(questions.iloc[:0]).columns) == COLUMNS


def test_mlflow_serves_it(champion: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/recommender@champion"]
    command += ["--env-manager", "local", "--port", str(port), "--workers", "1"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # MLflow starts uvicorn by name
    settings = {
        "PATH": path,
        "MLFLOW_TRACKING_URI": champion,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603
            command, env=os.environ | settings, stdout=log, stderr=log, start_new_session=True
        )
    try:
        question = {"dataframe_records": [{"placement": "best_sellers", "count": 2}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", json.dumps(question).encode(), {"Content-Type": "application/json"}
        )
        answer = ask(request, server, tmp_path / "log")
        assert [item["rank"] for item in answer["predictions"]] == [1, 2]
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def ask(request: urllib.request.Request, server: subprocess.Popen[bytes], log: Path) -> dict[str, list[dict[str, int]]]:
    for _ in range(120):
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # our own address
                return dict(json.load(response))
        except ConnectionError:
            pass
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError):
                raise
        assert server.poll() is None, log.read_text()
        time.sleep(0.5)
    raise AssertionError(log.read_text())
