"""docs/http.md tells everything there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serving.access import SIGNATURE_HEADER
from serving.app import create_app
from serving.metrics import Metrics
from serving.problems import PROBLEM_TYPES
from serving.settings import VARIABLES, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", PROBLEM_TYPES, ids=lambda kind: kind.slug)
def test_every_problem_is_on_the_page(kind: object) -> None:
    assert re.search(rf"\| {kind.status}[^|]*\| `{kind.uri}` \|", PAGE)  # type: ignore[attr-defined]


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_setting_is_on_the_page(variable: str) -> None:
    assert f"`{variable}`" in PAGE


def test_every_call_is_on_the_page(tmp_path: Path) -> None:
    for path, operations in create_app(Settings(bundles=(tmp_path,))).openapi()["paths"].items():
        for method in operations:
            assert f"`{method.upper()} {path}`" in PAGE


def test_every_metric_and_the_signature_header_are_on_the_page() -> None:
    for name in re.findall(rb"^# TYPE (\S+)", Metrics().text(), flags=re.MULTILINE):
        if not name.endswith(b"_created"):
            assert f"`{name.decode()}`" in PAGE
    assert SIGNATURE_HEADER in PAGE
