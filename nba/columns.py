"""What an expression over customers may name: state features, scores, and the attributes that a shop declares.

Expressions of stages, segments and eligibility are checked before any customer is seen, over tables without rows. So
the columns there are must be known by then: the state is declared in `features.slots`, scores have fixed names, and a
shop says which attributes of its customers it means to use, and what they hold. A declared attribute that nobody has is
null for everybody.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Column, Flag, Number, Tags, Text, Time
from features.config import ConfigError
from features.filter_rows import Single, keeps
from features.filters import FilterError, evaluate
from features.slots import CUSTOMER
from features.vocabulary import Vocabulary

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: What an attribute holds: one number, text, boolean or time, or a list of texts.
AttributeKind = Literal["number", "text", "flag", "tags", "time"]

#: What is computed from state features for expressions, which have no arithmetic.
OVERDUE = "overdue"

TYPES: dict[AttributeKind, type[Column]] = {"number": Number, "text": Text, "flag": Flag, "tags": Tags, "time": Time}
_NOBODY = Vocabulary()


class Customers(Mapping[str, Column]):
    """Columns of n customers; of an only one it can be told what a column holds without making it."""

    @abstractmethod
    def only(self, name: str) -> Single:
        """What a column holds for the first customer."""


def holds(expression: str, columns: Mapping[str, Column], n: int) -> Mask:
    """For whom of n customers an expression holds that was checked (`check`), bool[n].

    Raises:
        features.filters.FilterError, KeyError: it was not, and names a column that is not there.
    """
    if n == 1 and isinstance(columns, Customers):
        return np.array([keeps(expression)(columns.only)])
    return evaluate(expression, columns, n, category_column=None, checked=True)


def null(kind: AttributeKind, n: int) -> Column:
    """A column of n nulls."""
    match kind:
        case "number":
            return Number(np.full(n, np.nan))
        case "text":
            return Text(np.full(n, -1, dtype=np.int32), _NOBODY)
        case "flag":
            return Flag(np.full(n, -1, dtype=np.int8))
        case "tags":
            return Tags(np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int32), _NOBODY)
        case "time":
            return Time(np.full(n, np.iinfo(np.int64).min, dtype=np.int64))


def known_columns(
    attributes: Mapping[str, AttributeKind], *, numbers: Iterable[str] = (), state: Iterable[str] = CUSTOMER.features
) -> dict[str, Column]:
    """The columns there are, without rows: to check expressions against.

    Args:
        attributes: what the shop declares.
        numbers: names of further number columns, such as scores.
        state: names of state features.
    """
    found = {name: null(kind, 0) for name, kind in attributes.items()}
    found |= {name: null("number", 0) for name in (*numbers, *state)}
    return found | {OVERDUE: null("number", 0)}


def overdue(columns: Mapping[str, Column], n: int) -> Floats:
    """Time since the last order over the customer's own mean time between orders, float64[n].

    2 means that twice the usual time has passed. NaN below two orders.
    """
    since, gap = columns.get("since_purchase"), columns.get("orders_mean_gap")
    if not isinstance(since, Number) or not isinstance(gap, Number):
        return np.full(n, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap.values > 0, since.values / gap.values, np.nan)


def check(expression: str, columns: Mapping[str, Column], where: str) -> None:
    """Whether an expression can be honoured over columns without rows (`known_columns`).

    Raises:
        ConfigError: it cannot; the message says ``where`` it stands, what is wrong and at which place.
    """
    try:
        evaluate(expression, columns, 0, category_column=None)
    except FilterError as error:
        raise ConfigError(f"{where}: {error}") from error
