"""What decides next best actions, as a folder: a model, a configuration, scores and a manifest. Nothing can run code.

manifest.json   what the bundle is: format, versions, fingerprint of the state, configuration, what training adds
model/          arrays, LightGBM text and JSON of `nba.model`
scores/         the same of `nba.scores`, if the shop had events to fit them on
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from features.config import ConfigError
from features.slots import CUSTOMER
from nba.config import NbaConfig
from nba.model import DecisionModel, read_model, write_model
from nba.scores import ScoreModels

#: Raised when what a bundle holds changes; another format is refused, never guessed at.
FORMAT = 1

KIND = "nba"


class BundleError(Exception):
    """A folder that is no bundle, is damaged, or was written by another version; the message says which."""


@dataclass(frozen=True)
class DecisionBundle:
    """What decides. ``scores``: None where there were no events to learn them from."""

    model: DecisionModel
    config: NbaConfig
    scores: ScoreModels | None
    manifest: Mapping[str, Any]


def write(
    model: DecisionModel, config: NbaConfig, scores: ScoreModels | None, folder: Path, manifest: Mapping[str, Any]
) -> None:
    """Write a bundle into a folder that does not exist yet.

    Args:
        model, config, scores: what decides.
        folder: where; its parents are made.
        manifest: JSON-ready facts to store beside our own (data hash, metrics …).

    Raises:
        FileExistsError: the folder is there already.
    """
    folder.mkdir(parents=True)
    (folder / "model").mkdir()
    write_model(model, folder / "model")
    if scores is not None:
        scores.write(folder / "scores")
    own = {
        "format": FORMAT,
        "kind": KIND,
        "segue": importlib.metadata.version("segue"),
        "numpy": np.__version__,
        "features": CUSTOMER.fingerprint,
        "reward": model.learned.reward,
        "rule": model.rule.name,
        "scores": scores is not None,
        "config": config.model_dump(mode="json"),
    }
    said = orjson.dumps({**manifest, **own}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    (folder / "manifest.json").write_bytes(said)


def read(folder: Path) -> DecisionBundle:
    """Read a bundle.

    Raises:
        BundleError: it is no bundle of decisions, damaged, or its state is not the one that this code computes.
    """
    try:
        manifest = orjson.loads((folder / "manifest.json").read_bytes())
    except OSError as error:
        raise BundleError(f"{folder} is no bundle: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise BundleError(f"{folder}: manifest.json is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise BundleError(f"{folder} is no bundle of decisions")
    if manifest.get("format") != FORMAT:
        raise BundleError(f"{folder} has format {manifest.get('format')}, this Segue reads {FORMAT}: train again")
    if manifest.get("features") != CUSTOMER.fingerprint:
        raise BundleError(f"{folder} was trained on another declaration of customer state: train again")
    try:
        return DecisionBundle(
            read_model(folder / "model"),
            NbaConfig.of(manifest["config"]),
            ScoreModels.read(folder / "scores") if manifest["scores"] else None,
            manifest,
        )
    except ConfigError as error:
        raise BundleError(f"{folder}: the configuration cannot be used any more: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{folder} is damaged: {type(error).__name__}: {error}") from error
