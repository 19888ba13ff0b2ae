"""Desks opened: a bundle, and what the shop lays over its configuration meanwhile."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from features.config import ConfigError, laid_over
from features.store.base import DecisionStore, EventStore
from nba import bundle as bundles
from nba.config import NbaConfig
from nba.desk import Desk
from nba.questions import EmptyShelf, Shelf
from nba.replays import NotMadeAgain
from nba.scores import ScoreModels
from nba.values import ValueModel

#: The switch in a contact file that makes everybody hold.
HOLD_SWITCH = "hold"


class DecisionParts(Protocol):
    """What of a bundle decisions are made with."""

    @property
    def model(self) -> ValueModel:
        """What arms are worth."""
        ...

    @property
    def config(self) -> NbaConfig:
        """What may be done."""
        ...

    @property
    def scores(self) -> ScoreModels | None:
        """Scores of customers."""
        ...


def read_parts(folder: Path) -> DecisionParts:
    """The parts of a bundle.

    Raises:
        nba.bundle.BundleError: it cannot be read.
    """
    return bundles.read(folder)


def laid(config: NbaConfig, text: str) -> tuple[NbaConfig, bool]:
    """A configuration with a contact file laid over it, and whether everybody holds.

    Args:
        config: that of the bundle.
        text: TOML: ``hold = true``, and any table of the configuration, such as ``[contact]``.

    Raises:
        ConfigError: naming the first field at fault.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}") from None
    holding = tables.pop(HOLD_SWITCH, False)
    if not isinstance(holding, bool):
        raise ConfigError(f"{HOLD_SWITCH}: neither true nor false")
    if not tables:
        return config, holding
    return NbaConfig.of(laid_over(config.model_dump(mode="json"), tables)), holding


def open_desk(parts: DecisionParts, text: str, events: EventStore, decisions: DecisionStore, shelf: Shelf) -> Desk:
    """The desk of a bundle.

    Args:
        parts: of the bundle.
        text: see `laid`.
        events, decisions: the stores of the shop.
        shelf: where products of messages come from.

    Raises:
        ConfigError: the text is at fault.
    """
    config, holding = laid(parts.config, text)
    return Desk(parts.model, config, parts.scores, events, decisions, shelf, holding=holding, rules_text=text)


def reopened(
    events: EventStore, decisions: DecisionStore, folder: Path, read: Callable[[Path], DecisionParts]
) -> Callable[[str, str | None], Desk]:
    """What opens the desks of earlier decisions, for `nba.replays.ActionReplayer`.

    Args:
        events, decisions: the stores of the shop.
        folder: holds the bundles that decisions name.
        read: reads a bundle.
    """

    def opened(bundle: str, rules: str | None) -> Desk:
        try:
            parts = read(folder / bundle)
        except bundles.BundleError as error:
            raise NotMadeAgain(f"the bundle that decided is not there any more: {error}") from None
        text = "" if rules is None else decisions.text(rules)
        if text is None:
            raise NotMadeAgain("the contact file that was in force is not there any more")
        return open_desk(parts, text, events, decisions, EmptyShelf())

    return opened
