"""Where Segue keeps what it makes: one folder, SEGUE_HOME, ``./var`` by default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def segue_home(environ: Mapping[str, str]) -> Path:
    """The folder named by SEGUE_HOME; not made here."""
    return Path(environ.get("SEGUE_HOME") or "var")


def rejected_folder(home: Path, data: Path) -> Path:
    """Where the bad rows of a dataset go unless the caller says otherwise: never inside the dataset."""
    return home / "rejected" / data.resolve().name
