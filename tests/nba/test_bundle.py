from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nba import bundle
from nba.bundle import BundleError
from nba.config import NbaConfig
from nba.learning import LearningConfig
from nba.logged import Logged
from nba.model import DecisionModel, Rule
from nba.selection import CANDIDATES, Fitted, fit
from nba.values import Values
from tests.nba.test_learning import SCARCE
from tests.nba.worlds import ARMS, drawn

CONFIG = NbaConfig.of_log(ARMS)


@pytest.fixture(scope="module")
def log() -> Logged:
    return drawn(n=2_500)


@pytest.fixture(scope="module")
def fitted(log: Logged) -> Fitted:
    return fit(log, "value", LearningConfig(), seed=0)


def model_of(fitted: Fitted, rule: Rule) -> DecisionModel:
    return DecisionModel(fitted.learned, fitted.response, np.array([0.1, 0.2, 0.3]), rule)


def assert_equal(one: Values, two: Values) -> None:
    for name in ("base", "gain", "attend", "lift", "cost", "attention", "preference"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    rows = np.arange(len(one.base))
    for action in range(one.gain.shape[1]):
        of = np.full(len(rows), action)
        np.testing.assert_allclose(one.gain_error(rows, of), two.gain_error(rows, of), rtol=1e-5)  # kept in 32 bits


@pytest.mark.parametrize("rule", [Rule("constant", 3), *(Rule(name) for name in CANDIDATES)])
def test_what_is_read_says_what_was_written(fitted: Fitted, tmp_path: Path, rule: Rule) -> None:
    model = model_of(fitted, rule)
    bundle.write(model, CONFIG, None, tmp_path / "bundle", {"data": "abc", "kind": "ours comes first"})
    back = bundle.read(tmp_path / "bundle")
    asked = drawn(n=50, seed=9).crowd
    assert_equal(back.model.values(asked), model.values(asked))
    assert back.model.rule == rule
    assert back.model.learned.encoder == model.learned.encoder
    assert (back.model.learned.trust, back.model.learned.confirmed) == (model.learned.trust, model.learned.confirmed)
    assert back.model.arms.pair(2) == ARMS.pair(2)
    assert back.config == CONFIG
    assert back.scores is None
    assert (back.manifest["data"], back.manifest["kind"]) == ("abc", "nba")
    again = tmp_path / "again"
    bundle.write(back.model, back.config, None, again, {"data": "abc"})
    for file in sorted((again / "model").iterdir()):
        assert file.read_bytes() == (tmp_path / "bundle" / "model" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("made", SCARCE)
def test_what_was_learned_of_little_too(made: Callable[[], Logged], tmp_path: Path) -> None:
    log = made()
    found = fit(log, "value", LearningConfig(), seed=0)
    model = DecisionModel(found.learned, found.response, np.zeros(len(log.arms.channels) + 1), Rule("learned"))
    bundle.write(model, CONFIG, None, tmp_path / "bundle", {})
    asked = drawn(n=3).crowd
    assert_equal(bundle.read(tmp_path / "bundle").model.values(asked), model.values(asked))


class TestRefusals:
    @pytest.fixture
    def folder(self, fitted: Fitted, tmp_path: Path) -> Path:
        bundle.write(model_of(fitted, Rule("learned")), CONFIG, None, tmp_path / "bundle", {})
        return tmp_path / "bundle"

    def refused(self, folder: Path) -> str:
        with pytest.raises(BundleError) as error:
            bundle.read(folder)
        assert str(folder) in str(error.value)
        return str(error.value)

    def test_nothing_is_written_over(self, fitted: Fitted, folder: Path) -> None:
        with pytest.raises(FileExistsError):
            bundle.write(model_of(fitted, Rule("learned")), CONFIG, None, folder, {})

    def test_no_folder(self, tmp_path: Path) -> None:
        assert "is no bundle" in self.refused(tmp_path / "nothing")

    @pytest.mark.parametrize(
        ("field", "value", "says"),
        [
            ("kind", "recommender", "no bundle of decisions"),
            ("format", 99, "format 99"),
            ("features", "other", "another declaration"),
            ("config", {"actions": {"a": {"colour": "red"}}}, "colour"),
        ],
    )
    def test_another_manifest(self, folder: Path, field: str, value: object, says: str) -> None:
        file = folder / "manifest.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
        assert says in self.refused(folder)

    @pytest.mark.parametrize("text", ["", "[]", "{"])
    def test_no_manifest(self, folder: Path, text: str) -> None:
        (folder / "manifest.json").write_text(text)
        self.refused(folder)

    @pytest.mark.parametrize("name", ["gains_mean.npy", "model.json", "outcome.txt", "attendance.txt"])
    def test_damage(self, folder: Path, name: str) -> None:
        (folder / "model" / name).unlink()
        assert "damaged" in self.refused(folder)

    def test_a_moved_folder_is_the_same_bundle(self, folder: Path, tmp_path: Path) -> None:
        shutil.move(folder, tmp_path / "ü 😀")
        bundle.read(tmp_path / "ü 😀")

    def test_code_is_never_run(self, folder: Path) -> None:
        harmful = np.array([{"a": 1}], dtype=object)
        np.save(folder / "model" / "cost.npy", harmful, allow_pickle=True)
        assert "damaged" in self.refused(folder)
