"""Behavioural segments: named expressions over what is known of a customer. A customer is in as many as hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from pydantic import Field, field_validator

from features.catalogue import Column, Tags
from features.config import Config
from features.filter_syntax import parse
from features.vocabulary import Vocabulary
from nba.columns import check, holds

#: The segments that ship: what people looked at, what they bought, how they answer. Only state features are named.
DEFAULT_EXPRESSIONS = {
    "browser": "views_30d >= 5 and purchases_30d < 0.5",
    "cart_leaver": "carts_30d >= 0.5 and (since_purchase is null or since_purchase > since_cart)",
    "searcher": "searches_30d >= 2",
    "reader": "pages_30d >= 5",
    "video_watcher": "videos_30d >= 2",
    "wishes": "wishes_90d >= 0.5",
    "one_time_buyer": "purchases_ever >= 1 and orders < 2",
    "frequent_buyer": "orders >= 4 and orders_mean_gap <= 45",
    "returner": "refunds_365d >= 1.5",
    "answers_messages": "clicks_90d >= 0.5 and opens_per_send >= 0.3",
    "silent_to_messages": "sends_90d >= 4 and (opens_per_send < 0.05 or opens_per_send is null)",
    "app_user": "since_app_install is not null",
    "subscriber": "since_subscribe is not null and (since_unsubscribe is null or since_unsubscribe > since_subscribe)",
    "evening_shopper": "active_evening >= 0.6 and (views_90d >= 5 or orders >= 3)",
    "weekend_shopper": "active_weekend >= 0.6 and (views_90d >= 5 or orders >= 3)",
}


class SegmentsConfig(Config):
    """The segments of a shop."""

    expressions: dict[str, str] = Field(default_factory=lambda: dict(DEFAULT_EXPRESSIONS))
    """SQL boolean expression of each segment by its name; ``"false"`` leaves one out."""

    @field_validator("expressions")
    @classmethod
    def _readable(cls, expressions: dict[str, str]) -> dict[str, str]:
        for expression in expressions.values():
            parse(expression)
        return expressions

    @cached_property
    def names(self) -> Vocabulary:
        """The segments, in alphabetical order."""
        return Vocabulary(self.expressions)

    def check(self, columns: Mapping[str, Column]) -> None:
        """Whether every expression can be honoured over columns without rows (`nba.columns.known_columns`).

        Raises:
            ConfigError: one cannot; the message names it.
        """
        for name, expression in self.expressions.items():
            check(expression, columns, f"segments.expressions.{name}")


def segments(config: SegmentsConfig, columns: Mapping[str, Column], n: int) -> Tags:
    """The segments of each of n customers.

    Args:
        config: the expressions.
        columns: `nba.known.Known`; segments may name ``stage`` where it is among them.
        n: number of customers.

    Raises:
        features.filters.FilterError: one names a column that is not there; `SegmentsConfig.check` finds it before.
    """
    inside = np.zeros((n, len(config.names)), dtype=np.bool_)
    for place, name in enumerate(config.names):
        inside[:, place] = holds(config.expressions[name], columns, n)
    _, codes = np.nonzero(inside)
    indptr = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(inside.sum(axis=1), out=indptr[1:])
    return Tags(indptr, codes.astype(np.int32), config.names)
