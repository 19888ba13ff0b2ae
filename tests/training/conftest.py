"""What tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled code is kept: compiling takes seconds."""
    return tmp_path_factory.mktemp("compiled")
