"""The command line in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell import Shell


@pytest.fixture
def segue(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Runs commands in this process; they keep what they make below ``tmp_path``."""
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Shell(capsys)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
