"""Desks opened from bundles, with what a shop lays over them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from features.config import ConfigError
from features.events import HOUR
from features.store.base import Decision
from nba.asked import Asked
from nba.bundle import BundleError
from nba.config import NbaConfig
from nba.desks import laid, open_desk, reopened
from nba.drafting import Circumstances, Signed, answers
from nba.one_customer import Who
from nba.questions import Question
from nba.replays import ActionReplayer, NotMadeAgain
from nba.scores import ScoreModels
from tests.nba.live import NOON, Town, tables
from tests.nba.simple_models import PriorModel


@dataclass(frozen=True)
class Parts:
    model: PriorModel
    config: NbaConfig
    scores: ScoreModels | None = None


CONFIG = NbaConfig.of(tables())
PARTS = Parts(PriorModel(CONFIG), CONFIG)


def read(folder: Path) -> Parts:
    """A bundle is there if its folder is."""
    if not folder.is_dir():
        raise BundleError(f"{folder} is no bundle")
    return PARTS


def test_nothing_laid_over_changes_nothing() -> None:
    assert laid(CONFIG, "") == (CONFIG, False)
    assert laid(CONFIG, "hold = false\n") == (CONFIG, False)


def test_tables_are_merged_and_the_switch_is_read() -> None:
    config, holding = laid(CONFIG, "hold = true\n[channels.email]\nper_week = 2\n[contact]\nquiet_hours = [21, 8]\n")
    assert holding
    assert (config.channels["email"].per_day, config.channels["email"].per_week) == (1, 2)
    assert config.contact.quiet_hours == (21, 8)
    assert config.actions == CONFIG.actions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hold = 1", "hold: neither true nor false"),
        ("[contact]\nper_dya = 1", r"contact\.per_dya"),
        ("[channels.email]\nper_day = -1", r"channels\.email\.per_day"),
        ("hold = maybe", "not TOML"),
    ],
)
def test_what_cannot_be_laid_over_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        laid(CONFIG, text)


def test_a_decision_is_made_again_by_the_bundle_and_the_file_of_then(tmp_path: Path) -> None:
    town = Town()
    town.happened("cart", NOON - 2 * HOUR, product_id="comb")
    text = "[channels.web_push]\nper_day = 0\n"
    desk = open_desk(PARTS, text, town.events, town.decisions, town.rack)
    (tmp_path / "b").mkdir()
    signed = Signed({"name": "nba", "version": "1", "bundle": "b"}, town.decisions.keep_text(text))
    [made] = answers(desk, [Question(Who("anna"), Asked(), NOON)], Circumstances(signed, NOON, town.new_id))
    assert made.answer["choice"]["channel"] == "email"

    replayer = ActionReplayer(reopened(town.events, town.decisions, tmp_path, read))
    kept = town.decisions.read(made.decision.id)
    assert isinstance(kept, Decision)
    assert replayer.differences(kept) == []
    for gone in (Signed({**signed.model, "bundle": "gone"}, signed.rules), Signed(signed.model, "0" * 64)):
        [lost] = answers(desk, [Question(Who("ben"), Asked(), NOON)], Circumstances(gone, NOON, town.new_id))
        with pytest.raises(NotMadeAgain, match="not there any more"):
            replayer.differences(lost.decision)
