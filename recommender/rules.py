"""The merchandiser's word: pin, boost, bury, exclude, from a TOML file that reloads while serving.

[[rule]]
action = "pin"                       # put these products at this position
product_ids = ["lipstick-7"]
position = 1
placements = ["best_sellers"]        # none named: every placement

[[rule]]
action = "boost"                     # multiply the score
filter = "brand = 'OPI'"
factor = 1.5
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from features.catalogue import Catalogue
from features.config import Config, ConfigError
from features.filters import FilterError, evaluate
from features.vocabulary import Codes

_NOTHING: Codes = np.zeros(0, dtype=np.int32)


class Rule(Config):
    """One rule: what it does, to which products, in which placements."""

    action: Literal["pin", "boost", "bury", "exclude"]
    """pin: at ``position``; boost: score times ``factor``; bury: after everything else; exclude: never."""
    product_ids: tuple[str, ...] = ()
    """The products meant, or"""
    filter: str | None = None
    """those a filter keeps."""
    placements: tuple[str, ...] = ()
    """Where the rule holds; none named: everywhere."""
    category: str | None = None
    """Only on pages of this category (and below it)."""
    position: int = Field(1, ge=1)
    """Of a pin: the place of its first product, from 1."""
    factor: float = Field(1.0, gt=0)
    """Of a boost."""

    @model_validator(mode="after")
    def _names_products(self) -> Rule:
        if bool(self.product_ids) == (self.filter is not None):
            msg = "a rule names its products by product_ids or by filter, one of the two"
            raise ValueError(msg)
        if self.action == "pin" and self.filter is not None:
            msg = "a pin names its products by product_ids"
            raise ValueError(msg)
        return self

    def holds(self, placement: str, category: str | None) -> bool:
        """Whether the rule applies to this list."""
        here = not self.placements or placement in self.placements
        if self.category is None:
            return here
        return here and category is not None and f"{category} > ".startswith(f"{self.category} > ")


class RuleFile(Config):
    """The content of a rules file."""

    rule: tuple[Rule, ...] = ()


class Rules:
    """The rules of a shop against one catalogue; products they do not find are passed over.

    Args:
        rules: the rules.
        catalogue: the products.
        strict: a filter that this catalogue cannot honour is an error; otherwise its rule means no product. Columns
            come and go with live products.

    Raises:
        features.filters.FilterError: on making them, if a rule's filter cannot be honoured and they are ``strict``.
    """

    def __init__(self, rules: tuple[Rule, ...], catalogue: Catalogue, *, strict: bool = True) -> None:
        self._rules = [(rule, _products(rule, catalogue, strict=strict)) for rule in rules]

    def pins(self, placement: str, category: str | None) -> list[tuple[int, int]]:
        """(position from 1, product code), in the order of the file."""
        return [
            (rule.position + place, int(code))
            for rule, products in self._that("pin", placement, category)
            for place, code in enumerate(products)
        ]

    def boosts(self, placement: str, category: str | None) -> list[tuple[Codes, float]]:
        """Product codes and factor of each boost."""
        return [(products, rule.factor) for rule, products in self._that("boost", placement, category)]

    def products(self, action: Literal["bury", "exclude"], placement: str, category: str | None) -> Codes:
        """Codes of all products that are buried, or excluded."""
        found = [products for _, products in self._that(action, placement, category)]
        return np.concatenate(found) if found else _NOTHING

    def _that(self, action: str, placement: str, category: str | None) -> list[tuple[Rule, Codes]]:
        return [found for found in self._rules if found[0].action == action and found[0].holds(placement, category)]


def _products(rule: Rule, catalogue: Catalogue, *, strict: bool) -> NDArray[np.int32]:
    if rule.filter is not None:
        try:
            return np.flatnonzero(evaluate(rule.filter, catalogue.filterable, len(catalogue))).astype(np.int32)
        except FilterError:
            if strict:
                raise
            return np.zeros(0, dtype=np.int32)
    codes = catalogue.ids.codes(rule.product_ids)
    codes = codes[codes >= 0]
    return codes if rule.action == "pin" else np.sort(codes)


def read_text(path: Path) -> str:
    """The text of a file of rules.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from None


def parse_rules(text: str, placements: tuple[str, ...]) -> tuple[Rule, ...]:
    """The rules of a TOML text.

    Args:
        text: the content of a rules file; an empty one holds no rules.
        placements: those there are.

    Raises:
        ConfigError: not TOML, a field at fault, or a placement that does not exist; names the rule.
    """
    try:
        found = RuleFile.model_validate(tomllib.loads(text)).rule
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        msg = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        raise ConfigError(msg) from None
    for number, rule in enumerate(found):
        for name in rule.placements:
            if name not in placements:
                msg = f"rule.{number}: unknown placement {name!r}; there are: {', '.join(placements)}"
                raise ConfigError(msg)
    return found
