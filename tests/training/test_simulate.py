"""``segue simulate``: what it writes, and what it says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nba.simulation.truth import Truth
from training.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    captured = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, captured.out, captured.err


def test_a_shop_and_its_truth_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "shop"
    asked = ("simulate", "--out", str(data), "--customers", "200", "--decisions", "500", "--seed", "4", "--json")
    code, out, err = run(capsys, *asked)
    assert code == 0, err
    told = json.loads(out)
    assert told["simulated"] is True
    assert told["tables"] == [f"{name}.parquet" for name in ("customers", "events", "messages", "products")]
    assert told["true_values"]["hold"] < told["true_values"]["ceiling"] < told["true_values"]["oracle"]
    assert len(Truth.read(data)) == 500

    code, out, _ = run(capsys, "validate", str(data), "--rejected", str(tmp_path / "bad"), "--json")
    assert code == 0
    tables = json.loads(out)["tables"]
    assert set(tables) == {"customers", "events", "messages", "products"}
    assert not any(table["rejected"] for table in tables.values())


def test_people_are_told_that_it_is_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "simulate", "--out", str(tmp_path), "--customers", "20", "--decisions", "20")
    assert code == 0
    assert out.startswith("SIMULATED")


@pytest.mark.parametrize("wrong", [("--customers", "0"), ("--decisions", "0"), ("--exploration", "1.2")])
def test_what_makes_no_shop_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: tuple[str, str]
) -> None:
    code, out, err = run(capsys, "simulate", "--out", str(tmp_path), *wrong)
    assert (code, out) == (2, "")
    assert wrong[0] in err
