"""Following an alias in MLflow."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest
from mlflow import MlflowClient

from serving.origins import OriginError
from serving.registry import Registry
from serving.settings import Settings
from tests.serving.shelves import put_shelf, serving
from tests.serving.test_recommendations import assert_problem, ids


@pytest.fixture
def mlflow_client(mlflow_uri: str) -> MlflowClient:
    return MlflowClient(mlflow_uri, mlflow_uri)


@pytest.fixture
def registry(mlflow_uri: str, tmp_path: Path) -> Registry:
    return Registry(mlflow_uri, "champion", tmp_path / "cache")


def register(client: MlflowClient, folder: Path, *, first: bool = False) -> str:
    if first:
        client.create_registered_model("recommender")
    return str(client.create_model_version("recommender", str(folder)).version)


def test_a_database_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    registry = Registry(f"sqlite:///{file}", "champion", tmp_path / "cache")
    for ask in (registry.latest, registry.versions):
        with pytest.raises(OriginError, match=r"no model registry at .*mlflow\.db yet"):
            ask("recommender")
    assert not file.exists()


def test_a_server_that_is_down_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry("http://me:password@127.0.0.1:9", "champion", tmp_path / "cache")
    with pytest.raises(OriginError, match=r"^http://…@127\.0\.0\.1:9: MlflowException: .+") as told:
        registry.latest("recommender")
    assert "password" not in str(told.value)


def test_what_is_not_registered_is_told(registry: Registry, mlflow_client: MlflowClient, tmp_path: Path) -> None:
    with pytest.raises(OriginError, match="no model recommender in sqlite"):
        registry.latest("recommender")
    assert registry.versions("recommender") == []
    register(mlflow_client, put_shelf(tmp_path / "b", ["comb"]), first=True)
    with pytest.raises(OriginError, match="no version of recommender has the alias champion"):
        registry.latest("recommender")


def test_the_alias_is_followed_to_a_bundle(registry: Registry, mlflow_client: MlflowClient, tmp_path: Path) -> None:
    model = tmp_path / "model"
    put_shelf(model / "artifacts" / "bundle", ["comb"])
    (model / "MLmodel").write_text("", encoding="utf-8")
    version = register(mlflow_client, model, first=True)
    mlflow_client.set_registered_model_alias("recommender", "champion", version)
    release = registry.latest("recommender")
    assert release == registry.latest("recommender")
    assert release.version == version
    folder = registry.fetch(release)
    assert folder.is_relative_to(tmp_path / "cache")
    assert (folder / "manifest.json").read_text() == (model / "artifacts" / "bundle" / "manifest.json").read_text()
    (folder / "mark").touch()
    assert (registry.fetch(release) / "mark").exists(), "a release in the cache is not downloaded again"
    assert not [one for one in folder.parents[2].iterdir() if one.name.startswith(".arriving")]


def test_the_cache_keeps_the_last_few(registry: Registry, mlflow_client: MlflowClient, tmp_path: Path) -> None:
    mlflow_client.create_registered_model("recommender")
    for number in range(6):
        version = register(mlflow_client, put_shelf(tmp_path / f"b{number}", ["comb"]))
        mlflow_client.set_registered_model_alias("recommender", "champion", version)
        kept = registry.fetch(registry.latest("recommender"))
        os.utime(kept, (number, number))  # as if they came a second apart
    versions = {one.name.partition("-")[0] for one in (tmp_path / "cache" / "recommender").iterdir()}
    assert versions == {"3", "4", "5", "6"}


def test_a_model_without_a_bundle_is_told(registry: Registry, mlflow_client: MlflowClient, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.txt").write_text("1", encoding="utf-8")
    mlflow_client.set_registered_model_alias("recommender", "champion", register(mlflow_client, model, first=True))
    with pytest.raises(OriginError, match="holds no bundle"):
        registry.fetch(registry.latest("recommender"))


def test_versions_come_newest_first_with_their_aliases(
    registry: Registry, mlflow_client: MlflowClient, tmp_path: Path
) -> None:
    mlflow_client.create_registered_model("recommender")
    for number in range(11):
        register(mlflow_client, put_shelf(tmp_path / str(number), ["comb"]))
    for alias, version in (("champion", "2"), ("challenger", "10"), ("best", "2")):
        mlflow_client.set_registered_model_alias("recommender", alias, version)
    found = registry.versions("recommender")
    assert [one.version for one in found] == [str(number) for number in range(11, 0, -1)]
    assert {one.version: one.aliases for one in found if one.aliases} == {
        "2": ("best", "champion"),
        "10": ("challenger",),
    }
    assert all(one.created_at is not None and one.created_at.tzinfo is not None for one in found)


@pytest.mark.anyio
async def test_promotion_and_roll_back_reach_the_service(
    settings: Settings, mlflow_uri: str, mlflow_client: MlflowClient, tmp_path: Path
) -> None:
    followed = settings.model_copy(update={"bundles": (), "tracking_uri": mlflow_uri})
    async with serving(followed) as client:
        assert_problem(await client.get("/v1/recommendations/best_sellers"), 503, "no-model")
        mlflow_client.create_registered_model("recommender")
        for products in (["comb"], ["brush"]):
            register(mlflow_client, put_shelf(tmp_path / products[0], products))
        for version, product in (("1", "comb"), ("2", "brush"), ("1", "comb")):
            mlflow_client.set_registered_model_alias("recommender", "champion", version)
            with anyio.fail_after(20):
                while (await client.get("/v1/recommendations/best_sellers")).status_code != 200 or ids(
                    await client.get("/v1/recommendations/best_sellers")
                ) != [product]:
                    await anyio.sleep(0.01)
        [model] = (await client.get("/v1/models")).json()["models"]
        assert model["serving"]["version"] == "1"
        assert model["versions"][1]["aliases"] == ["champion"]


@pytest.mark.anyio
async def test_a_registry_that_does_not_answer_is_a_problem_of_models_only(settings: Settings, tmp_path: Path) -> None:
    followed = settings.model_copy(update={"bundles": (), "tracking_uri": f"sqlite:///{tmp_path / 'none.db'}"})
    async with serving(followed) as client:
        answer = await client.get("/v1/models")
        assert_problem(answer, 503, "registry-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/health/live")).status_code == 200
