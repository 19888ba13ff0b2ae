"""The benchmark of growth measures a whole fit, and says what grows how."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from benchmarks import growth


def test_examples_in_docstrings() -> None:
    failed, attempted = doctest.testmod(growth)
    assert (failed, attempted) == (0, 2)


def test_steps_are_all_of_the_time(tmp_path: Path) -> None:
    growth.make(6_000, tmp_path / "shop")
    found = growth.measured(tmp_path / "shop")
    assert found["events"] == pytest.approx(6_000, rel=0.1)
    assert sum(found["steps"].values()) == pytest.approx(found["cpu_seconds"])
    assert found["peak_mb"] >= found["log_mb"] > 0
    assert {"transitions", "als", "text", growth.AGAIN, "next_product: learn"} <= set(found["steps"])


def test_what_matters_is_told_first_and_how_it_grows() -> None:
    found = [
        {"events": events, "cpu_seconds": 11.0 * events, "peak_mb": 1.0, "steps": {"flat": 1.0, "steep": events**2.0}}
        for events in (1, 2, 4)
    ]
    steep, flat = growth.steps_of(found)
    assert (steep["step"], steep["exponent"], steep["last_step_up"]) == ("steep", 2, 2)
    assert steep["share"] == pytest.approx(16 / 44)
    assert (flat["step"], flat["exponent"]) == ("flat", pytest.approx(0))
    left, right = growth.drawn(found, ["steep"]).axes
    assert [line.get_label() for line in left.get_lines()] == ["all: k = 1.00, last step up 1.00", "k = 1", "steep"]
    assert [line.get_label() for line in right.get_lines()] == ["all: k = 0.00, last step up 0.00", "k = 1"]


def test_there_is_no_line_through_one_size() -> None:
    assert growth.exponent([{"events": 5, "seconds": 1.0}], "seconds") is None
