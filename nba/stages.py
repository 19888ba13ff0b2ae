"""The lifecycle stage of each customer: the first rule that holds, of an ordered table that the shop may change."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from features.catalogue import Column, Text
from features.config import Config
from features.filter_syntax import parse
from features.vocabulary import Vocabulary
from nba.columns import check, holds

Codes = NDArray[np.int32]


class StageRule(Config):
    """Who is at a stage, if no rule above it holds."""

    stage: str = Field(min_length=1)
    """Name of the stage. Several rules may lead to one."""
    when: str
    """SQL boolean expression over what is known of a customer (`nba.known`). A term about a null is false."""

    @field_validator("when")
    @classmethod
    def _readable(cls, when: str) -> str:
        parse(when)
        return when


#: The stages that ship. "Bought" here means that something is left after refunds; ``orders`` counts up to 32.
DEFAULT_RULES = (
    StageRule(
        stage="lost",
        when="purchases_ever >= 1 and (since_purchase > 365 or orders >= 3 and overdue > 6 and since_purchase > 180)",
    ),
    StageRule(
        stage="at_risk",
        when="purchases_ever >= 1 and (since_purchase > 90 and (orders < 3 or overdue > 1.5)"
        " or orders >= 3 and overdue > 3 and since_purchase > 30)",
    ),
    StageRule(stage="loyal", when="purchases_ever >= 1 and orders >= 4"),
    StageRule(stage="retained", when="purchases_ever >= 1 and orders >= 2"),
    StageRule(stage="first_purchase", when="purchases_ever >= 1"),
    StageRule(stage="consideration", when="carts_7d >= 0.5 or wishes_30d >= 0.5 or views_7d >= 8"),
    StageRule(stage="research", when="views_30d >= 3 or searches_30d >= 0.9 or videos_30d >= 0.9"),
    StageRule(
        stage="awareness",
        when="known_for is not null or since_signup is not null or since_subscribe is not null"
        " or since_click is not null",
    ),
)


class StagesConfig(Config):
    """The table of stages."""

    rules: tuple[StageRule, ...] = DEFAULT_RULES
    """The first that holds wins."""
    otherwise: str = Field("unaware", min_length=1)
    """The stage of everybody else."""

    @cached_property
    def names(self) -> Vocabulary:
        """The stages there are, in alphabetical order."""
        return Vocabulary([self.otherwise, *(rule.stage for rule in self.rules)])

    @cached_property
    def _codes(self) -> tuple[int, ...]:
        return tuple(self.names.code(rule.stage) for rule in self.rules)

    def check(self, columns: Mapping[str, Column]) -> None:
        """Whether every rule can be honoured over columns without rows (`nba.columns.known_columns`).

        Raises:
            ConfigError: one cannot; the message names it.
        """
        for number, rule in enumerate(self.rules):
            check(rule.when, columns, f"stages.rules[{number}].when ({rule.stage})")


def stage(config: StagesConfig, columns: Mapping[str, Column], n: int) -> Text:
    """The stage of each of n customers.

    Args:
        config: the rules.
        columns: `nba.known.Known`.
        n: number of customers.

    Raises:
        features.filters.FilterError: a rule names a column that is not there; `StagesConfig.check` finds it before.
    """
    codes: Codes = np.full(n, -1, dtype=np.int32)
    for code, rule in zip(config._codes, config.rules, strict=True):
        held = holds(rule.when, columns, n)
        codes[(codes < 0) & held] = code
        if n == 1 and codes[0] >= 0:
            break
    codes[codes < 0] = config.names.code(config.otherwise)
    return Text(codes, config.names)
