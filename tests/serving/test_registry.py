"""Following an alias in MLflow."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import httpx
import pytest
from mlflow import MlflowClient

from features.gate import Difference, Verdict, promote
from serving.origins import OriginError
from serving.registry import Aliased, Registry
from serving.settings import Settings
from tests.serving.shelves import put_shelf, serving
from tests.serving.test_recommendations import assert_problem, ids
from tests.training.registries import RegistryContract


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


class TestTheGateOfServing(RegistryContract):
    """The same rules as those of the registry of training."""

    @pytest.fixture
    def registry(self, mlflow_uri: str, mlflow_client: MlflowClient, tmp_path: Path) -> Aliased:
        mlflow_client.create_registered_model("recommender")
        for product in ("comb", "brush"):
            register(mlflow_client, put_shelf(tmp_path / product, [product]))
        return Registry(mlflow_uri, "champion", tmp_path / "cache").aliased("champion")


def verdict(*, champion_version: int | None, low: float) -> str:
    return Verdict.of(
        champion_version=champion_version,
        metric="ndcg@10",
        split="temporal",
        challenger=0.2,
        champion=0.2,
        difference=Difference(value=low + 0.01, ci=(low, low + 0.02)),
        rows=500,
    ).model_dump_json()


@pytest.mark.anyio
async def test_an_alias_is_moved_through_the_gate(
    settings: Settings, mlflow_uri: str, mlflow_client: MlflowClient, tmp_path: Path
) -> None:
    mlflow_client.create_registered_model("recommender")
    evidence = [verdict(champion_version=None, low=0.0), verdict(champion_version=1, low=-0.1), None]
    for number, found in enumerate(evidence):
        folder = put_shelf(tmp_path / str(number), ["comb"])
        tags = {} if found is None else {"verdict": found}
        mlflow_client.create_model_version("recommender", str(folder), tags=tags)
    followed = settings.model_copy(update={"bundles": (), "tracking_uri": mlflow_uri})
    async with serving(followed) as client:

        async def move(version: object, alias: str = "champion", name: str = "recommender") -> httpx.Response:
            return await client.post(f"/v1/models/{name}/aliases/{alias}", json={"version": version})

        assert_problem(await move(3), 409, "promotion-refused")
        assert (await move(3)).json()["reason"] == "no-evidence"
        first = await move(1)
        assert (first.status_code, first.json()["previous"], first.json()["returned"]) == (200, None, False)
        refused = (await move(2)).json()
        assert refused["reason"] == "not-better"
        assert refused["verdict"]["difference"]["ci"] == [-0.1, -0.08]
        assert str(mlflow_client.get_model_version_by_alias("recommender", "champion").version) == "1"
        assert (await move(1)).json()["returned"]
        # Other aliases are labels: nothing is served by them.
        assert (await move(3, "challenger")).json()["previous"] is None
        assert (await move(2, "challenger")).json() == {
            "name": "recommender",
            "alias": "challenger",
            "version": 2,
            "previous": 3,
            "returned": False,
            "verdict": refused["verdict"],
        }
        assert_problem(await move(9), 404, "not-found")
        assert_problem(await move(9, "challenger"), 404, "not-found")
        assert_problem(await move(1, name="unheard of"), 404, "not-found")
        assert_problem(await move(0), 422, "invalid-request")
        assert_problem(await move("x"), 422, "invalid-request")


def test_who_was_made_champion_by_hand_may_return(
    registry: Registry, mlflow_client: MlflowClient, tmp_path: Path
) -> None:
    mlflow_client.create_registered_model("recommender")
    for number, found in enumerate((None, verdict(champion_version=1, low=0.0))):
        folder = put_shelf(tmp_path / str(number), ["comb"])
        tags = {} if found is None else {"verdict": found}
        mlflow_client.create_model_version("recommender", str(folder), tags=tags)
    mlflow_client.set_registered_model_alias("recommender", "champion", "1")
    assert promote(registry.aliased("champion"), "recommender", 2).previous == 1
    assert promote(registry.aliased("champion"), "recommender", 1).returned


@pytest.mark.anyio
async def test_the_alias_that_is_served_stands_behind_the_gate_too(
    settings: Settings, mlflow_uri: str, mlflow_client: MlflowClient, tmp_path: Path
) -> None:
    register(mlflow_client, put_shelf(tmp_path / "b", ["comb"]), first=True)
    followed = settings.model_copy(update={"bundles": (), "tracking_uri": mlflow_uri, "alias": "live"})
    async with serving(followed) as client:
        assert_problem(
            await client.post("/v1/models/recommender/aliases/live", json={"version": 1}), 409, "promotion-refused"
        )


@pytest.mark.anyio
async def test_bundle_folders_have_no_aliases(settings: Settings) -> None:
    async with serving(settings) as client:
        answer = await client.post("/v1/models/recommender/aliases/champion", json={"version": 1})
        assert_problem(answer, 409, "no-registry")
