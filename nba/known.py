"""What is known of the customers of a crowd by name: state, stage, segments, scores, attributes, the page that asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from math import isnan
from typing import Any

import numpy as np

from features.catalogue import Column, Flag, Number, Tags, Text
from features.filter_rows import Single, single
from features.slots import CUSTOMER
from features.vocabulary import Vocabulary
from nba.columns import OVERDUE, TYPES, AttributeKind, Customers, known_columns, null, overdue
from nba.crowd import Crowd
from nba.segments import SegmentsConfig, segments
from nba.stages import StagesConfig, stage

#: What models say of a customer; null where they say nothing.
SCORES = (
    "likelihood_to_purchase",
    "churn_risk",
    "expected_orders",
    "expected_next_order_days",
    "predicted_value",
    "lifetime_value",
    "discount_affinity",
    "brand_loyalty",
)

#: What a request says of its page and device goes by this and the name that it gives.
CONTEXT = "context_"

STAGE, SEGMENTS = "stage", "segments"

#: What a request says of its page.
Said = str | float | bool | None | tuple[str, ...]


class Known(Customers):
    """The columns of n customers, all that expressions may name (`possible`).

    What is declared and not there, or there as something of another kind, is null: one customer's odd trait must not
    fail the request of all. What a request says wins over attributes of its name, state features over both. Columns
    are made when asked for: an expression names few of hundreds, and most need no segments.

    Args:
        crowd: the customers.
        attributes: what is declared.
        stages, segments_: how these are told.
        context: what the request says, by names without ``context_``.
    """

    def __init__(
        self,
        crowd: Crowd,
        attributes: Mapping[str, AttributeKind],
        stages: StagesConfig,
        segments_: SegmentsConfig,
        context: Mapping[str, Said],
    ) -> None:
        self._crowd = crowd
        self._attributes = attributes
        self._stages = stages
        self._segments = segments_
        self._context = context
        self._places = _places(crowd.names)
        self._made: dict[str, Column] = {}
        self._only: dict[str, Single] = {}

    def __getitem__(self, name: str) -> Column:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self._make(name)
        return made

    def get(self, name: str, default: Any = None) -> Any:  # that of Mapping raises an error to catch it
        """The column of a name, or ``default``."""
        made = self._made.get(name)
        if made is None:
            try:
                made = self._made[name] = self._make(name)
            except KeyError:
                return default
        return made

    def only(self, name: str) -> Single:
        """What a column holds for the first customer."""
        if name not in self._only:
            place = self._places.get(name)
            if place is None:
                found = self[name] if name in (STAGE, SEGMENTS, OVERDUE) else self._given(name)[0]
                self._only[name] = None if found is None else single(found)
            else:
                number = float(self._crowd.state[0, place])
                self._only[name] = None if isnan(number) else number
        return self._only[name]

    def _make(self, name: str) -> Column:
        n = len(self._crowd)
        place = self._places.get(name)
        if place is not None:
            return Number(self._crowd.state[:, place])
        if name == STAGE:
            return stage(self._stages, self, n)
        if name == SEGMENTS:
            return segments(self._segments, self, n)
        if name == OVERDUE:
            return Number(overdue(self, n))
        found, kind = self._given(name)
        return null(kind, n) if found is None else found

    def _given(self, name: str) -> tuple[Column | None, AttributeKind]:
        """An attribute, score or fact of the page, None where it is null for everybody, and what it would hold.

        Raises:
            KeyError: nobody knows that name.
        """
        kind = self._attributes.get(name)
        said = self._context.get(name.removeprefix(CONTEXT)) if name.startswith(CONTEXT) else None
        found = self._crowd.attributes.get(name) if said is None else same_for_all(said, len(self._crowd))
        if kind is None and (name in SCORES or name in _places(CUSTOMER.features)):
            kind = "number"
        if kind is not None:
            return (found if type(found) is TYPES[kind] else None), kind
        if found is None:
            raise KeyError(name)
        return found, next(kind for kind, type_ in TYPES.items() if type(found) is type_)

    def __iter__(self) -> Iterator[str]:
        context = (CONTEXT + name for name in self._context)
        own = (STAGE, SEGMENTS, OVERDUE, *SCORES)
        return iter(dict.fromkeys((*self._places, *own, *self._attributes, *self._crowd.attributes, *context)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def _places(names: tuple[str, ...]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


def possible(attributes: Mapping[str, AttributeKind]) -> dict[str, Column]:
    """The columns of no customers at all: what expressions may name, so that they can be checked beforehand."""
    return {
        **known_columns(attributes, numbers=SCORES),
        STAGE: null("text", 0),
        SEGMENTS: null("tags", 0),
    }


def same_for_all(value: Said, n: int) -> Column:
    """A column of n times one value."""
    match value:
        case bool():
            return Flag(np.full(n, value, dtype=np.int8))
        case int() | float():
            return Number(np.full(n, float(value)))
        case str():
            return Text(np.zeros(n, dtype=np.int32), Vocabulary([value]))
        case tuple():
            values = Vocabulary(value)
            codes = np.tile(np.arange(len(values), dtype=np.int32), n)
            return Tags(np.arange(n + 1, dtype=np.int64) * len(values), codes, values)
        case None:
            return null("text", n)
