"""A recommender's configuration from a TOML file and from ``--set key=value``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.config import ConfigError, laid_over
from recommender.config import RecommenderConfig, overlay


def load_config(file: Path | None = None, sets: Sequence[str] = ()) -> RecommenderConfig:
    """The default configuration, changed by a TOML file, then by assignments such as ``sources.als.factors=64``.

    Values are TOML; a bare word is taken as a string.

    Raises:
        ConfigError: unreadable file, broken assignment, unknown field or unfit value.
    """
    changes = {} if file is None else read_toml(file)
    for assignment in sets:
        changes = overlay(changes, parse_assignment(assignment))
    return RecommenderConfig.default(changes)


def parse_assignments(sets: Sequence[str]) -> dict[str, Any]:
    """Assignments such as ``policy.exploration=0.05`` as nested tables.

    Raises:
        ConfigError: one is broken.
    """
    changes: dict[str, Any] = {}
    for assignment in sets:
        changes = laid_over(changes, parse_assignment(assignment))
    return changes


def parse_config(text: str) -> RecommenderConfig:
    """The configuration a model version was trained with, from the JSON stored with it.

    Raises:
        ConfigError: it was written by a Segue whose settings are not today's.
    """
    return RecommenderConfig.of(json.loads(text))


def read_toml(file: Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from error
    except ValueError as error:  # broken TOML, or bytes that are not UTF-8
        raise ConfigError(f"{file}: not TOML: {error}") from error


def parse_assignment(assignment: str) -> dict[str, Any]:
    """One assignment as nested tables.

    >>> parse_assignment("sources.als.factors=64")
    {'sources': {'als': {'factors': 64}}}
    """
    key, equals, text = assignment.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise ConfigError(f"--set {assignment}: write key=value, for example sources.als.factors=64")
    value = parse_value(text)
    for part in reversed(path):
        value = {part: value}
    return dict(value)


def parse_value(text: str) -> Any:
    """A TOML value, else the text itself."""
    try:
        tables = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text.strip()
    return tables["value"] if len(tables) == 1 else text.strip()
