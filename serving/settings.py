"""What an operator can set: one frozen model, filled from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError


class SettingsError(ValueError):
    """An environment variable holds what it must not; the message names it."""


class Settings(BaseModel):
    """The settings of one serving process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Path("var")
    """Folder this process may write to: the event log, decisions, bundles."""

    tracking_uri: str = "sqlite:///mlruns/mlflow.db"
    """The MLflow tracking server and registry, or the database of one."""

    alias: str = Field(default="champion", min_length=1)
    """The alias of the registry that is followed."""

    bundles: tuple[Path, ...] = ()
    """Bundle folders to serve from. Where there are any, MLflow is neither asked nor imported."""

    poll_seconds: float = Field(default=2.0, gt=0)
    """Pause between two looks at the alias."""

    body_limit: int = Field(default=262_144, gt=0)
    """Largest request body in bytes."""

    batch_limit: int = Field(default=5_242_880, gt=0)
    """Largest body of events or products in bytes."""

    decision_days: float = Field(default=90.0, gt=0)
    """How long decisions are kept, and the bundles they were made with."""

    rate_limit: float = Field(default=1000.0, ge=0)
    """Requests a second granted to one caller, with bursts of twice as many; 0 grants everything. Needs keys."""

    allowed_origins: tuple[str, ...] = ("*",)
    """Web origins (``https://shop.example``) whose pages may call the service; ``*`` is every one."""

    rules_file: Path | None = None
    """TOML file of the merchandiser's rules (`recommender.rules`); a change to it is taken up at the next poll."""

    contact_file: Path | None = None
    """TOML file laid over the configuration of decisions (`nba.desks`), and the switch that makes everybody hold; a
    change to it is taken up at the next poll."""

    now: AwareDatetime | None = None
    """Where the clock stands (RFC 3339) when it is first started with this value: for old data, like a demo's."""

    keys_file: Path | None = None
    """TOML file of API keys (`serving.keys`). Without one every caller is trusted, and only loopback may be served."""


#: Environment variable -> setting.
VARIABLES = {
    "SEGUE_HOME": "home",
    "MLFLOW_TRACKING_URI": "tracking_uri",
    "SEGUE_ALIAS": "alias",
    "SEGUE_BUNDLES": "bundles",
    "SEGUE_POLL_SECONDS": "poll_seconds",
    "SEGUE_BODY_LIMIT": "body_limit",
    "SEGUE_BATCH_LIMIT": "batch_limit",
    "SEGUE_DECISION_DAYS": "decision_days",
    "SEGUE_RATE_LIMIT": "rate_limit",
    "SEGUE_ALLOWED_ORIGINS": "allowed_origins",
    "SEGUE_RULES_FILE": "rules_file",
    "SEGUE_CONTACT_FILE": "contact_file",
    "SEGUE_KEYS_FILE": "keys_file",
    "SEGUE_NOW": "now",
}

#: How a list is written in one variable: folders as in PATH, origins with commas.
_SEPARATORS = {"SEGUE_BUNDLES": os.pathsep, "SEGUE_ALLOWED_ORIGINS": ","}


def settings_from(environ: Mapping[str, str]) -> Settings:
    """The settings that environment variables ask for; unset and empty ones leave the default.

    Raises:
        SettingsError: a value is not of its kind.
    """
    given: dict[str, Any] = {}
    for variable, field in VARIABLES.items():
        text = environ.get(variable, "")
        if text:
            separator = _SEPARATORS.get(variable)
            given[field] = [part.strip() for part in text.split(separator) if part.strip()] if separator else text
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        variable = next(name for name, field in VARIABLES.items() if field == first["loc"][0])
        raise SettingsError(f"{variable}={environ[variable]!r}: {first['msg']}") from None
