"""A bundle holds all of a recommender, and nothing that could run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest

from features.histories import Ragged
from features.vocabulary import Vocabulary
from recommender import bundle
from recommender.answers import BlockRequest, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from recommender.queries import Queries
from tests import logs, shops


def test_what_is_read_answers_as_what_was_written(small_recommender: Recommender, small_bundle: Path) -> None:
    read, manifest = bundle.read(small_bundle)
    assert manifest["products"] == len(small_recommender.catalogue)
    assert read.config == small_recommender.config
    for placement in read.config.placements:
        for shopper in (Shopper("c007"), Shopper()):
            request = [BlockRequest(placement, 6, ("p003",))]
            assert read.answer(shopper, request, read.at) == small_recommender.answer(shopper, request, read.at)


def test_batches_are_equal_to_the_bit(small_recommender: Recommender, small_bundle: Path) -> None:
    read, _ = bundle.read(small_bundle)
    assert isinstance(small_recommender.people, Vocabulary)
    n = len(read.people)
    ours, theirs = (
        model.lists(
            "recommended_for_you",
            Queries(
                np.full(n, model.at),
                model.histories.take(np.array([model.people.code(name) for name in small_recommender.people])),
                Ragged.empty(n),
            ),
            10,
        )
        for model in (small_recommender, read)
    )
    np.testing.assert_array_equal(ours.product, theirs.product)
    np.testing.assert_array_equal(ours.score, theirs.score)


def test_nobody_is_named_in_any_file(small_recommender: Recommender, small_bundle: Path) -> None:
    assert isinstance(small_recommender.people, Vocabulary)
    files = [path for path in small_bundle.rglob("*") if path.is_file()]
    assert sum(b"p003" in path.read_bytes() for path in files) == 1  # products are
    for path in files:
        content = path.read_bytes()
        for name in small_recommender.people:
            assert name.encode() not in content, (path, name)
            assert name.encode("utf-32-le") not in content, (path, name)


def test_people_are_found_by_name(small_recommender: Recommender, small_bundle: Path) -> None:
    read, _ = bundle.read(small_bundle)
    assert isinstance(small_recommender.people, Vocabulary)
    assert len(read.people) == len(small_recommender.people)
    for name in small_recommender.people:
        ours, theirs = (
            model.history(model.person(Shopper(name)), model.at).product.tolist() for model in (small_recommender, read)
        )
        assert ours == theirs != []
    assert read.person(Shopper("nobody")) == -1


def test_what_never_ages_never_ages(tmp_path: Path) -> None:
    log, catalogue = logs.encoded(shops.one_customer())
    config = RecommenderConfig.default({"sources": {"best_sellers": {"half_life_days": 400}, "trending": {"limit": 3}}})
    model = fit(log, catalogue, config, at=logs.end_of(log))
    bundle.write(model, tmp_path / "bundle", {})
    read, _ = bundle.read(tmp_path / "bundle")
    assert read.ranking("on_sale").half_life == np.inf
    assert read.ranking("trending").made_of is not None


def test_an_empty_shop_can_be_written(tmp_path: Path) -> None:
    log, catalogue = logs.encoded(shops.no_events())
    model = fit(log, catalogue, RecommenderConfig.default(), at=0)
    bundle.write(model, tmp_path / "bundle", {})
    read, _ = bundle.read(tmp_path / "bundle")
    assert read.answer(Shopper(), [BlockRequest("best_sellers")], 0)[0].items == []


def test_a_bundle_is_never_written_over(small_recommender: Recommender, small_bundle: Path) -> None:
    with pytest.raises(FileExistsError):
        bundle.write(small_recommender, small_bundle, {})


def damaged(small_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_bundle, tmp_path / "copy"))


def test_another_format_is_refused(small_bundle: Path, tmp_path: Path) -> None:
    folder = damaged(small_bundle, tmp_path)
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_bytes(orjson.dumps({**manifest, "format": 0}))
    with pytest.raises(bundle.BundleError, match="train again"):
        bundle.read(folder)


@pytest.mark.parametrize("name", ["manifest.json", "content.json", "arrays/2.npy", "strings/1.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damage_is_refused(small_bundle: Path, tmp_path: Path, name: str, damage: str) -> None:
    folder = damaged(small_bundle, tmp_path)
    file = folder / name
    file.write_bytes(file.read_bytes()[: 20 if damage == "cut" else 0]) if damage == "cut" else file.unlink()
    with pytest.raises(bundle.BundleError):
        bundle.read(folder)


@pytest.mark.parametrize("content", [{"record": "os.system", "fields": {}}, {"array": "../../secret.npy"}])
def test_nothing_outside_the_closed_list_is_made(
    small_bundle: Path, tmp_path: Path, content: dict[str, object]
) -> None:
    folder = damaged(small_bundle, tmp_path)
    np.save(tmp_path.parent / "secret.npy", np.arange(3))
    found = orjson.loads((folder / "content.json").read_bytes())
    (folder / "content.json").write_bytes(orjson.dumps({**found, "catalogue": content}))
    with pytest.raises(bundle.BundleError):
        bundle.read(folder)


def test_pickled_arrays_are_refused(small_bundle: Path, tmp_path: Path) -> None:
    folder = damaged(small_bundle, tmp_path)
    np.save(folder / "arrays" / "2.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(bundle.BundleError):
        bundle.read(folder)
