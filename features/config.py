"""What every configuration is made of: frozen models in which a misspelt field is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class Config(BaseModel):
    """Base of every configuration: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the field and says why."""


def fault(error: ValidationError) -> ConfigError:
    """The first thing wrong with a configuration, with the name of its field."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "configuration"
    return ConfigError(f"{place}: {first['msg'].removeprefix('Value error, ')}")


def laid_over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it: tables are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = laid_over(merged[key], value) if both_tables else value
    return merged
