"""Decisions over a live shop and two models, made again."""

from __future__ import annotations

from pathlib import Path

from benchmarks.decisions import run


def test_every_decision_is_the_same_again(tmp_path: Path) -> None:
    found = run(tmp_path, 400, seed=1, erasing=0.004)
    assert found.differences == []
    assert found.same == found.left > 300
    assert found.explored > 20  # or else randomness was not put to the test
