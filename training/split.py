"""One way of evaluating lists on one log: what may be fitted on, what is asked, what the right answers are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.events import EventLog
from features.histories import Ragged
from recommender.queries import Questions

Part = Literal["test", "validation"]


class EvaluationError(ValueError):
    """The data cannot be evaluated this way; the message says why and what would do."""


@dataclass(frozen=True)
class Split:
    """One protocol on one log.

    Attributes:
        name: leave-one-out, temporal, next-basket, basket or session.
        part: the test part, or the validation part that comes before it, for tuning.
        fit_log: everything that may be fitted on.
        fit_at: microseconds UTC; the events of ``fit_log`` happened before.
        questions: lists to ask for.
        question: int64[rows], the question whose list is judged in a row.
        truth: right products of each row, distinct.
        person: int32[rows], whose row it is; rows of a person are not independent.
        weight: float64[rows], what a row counts in a mean.
        skipped: why something was not evaluated → how often (customers, orders or sessions).
        slices: name → bool[rows].
    """

    name: str
    part: Part
    fit_log: EventLog
    fit_at: int
    questions: Questions
    question: NDArray[np.int64]
    truth: Ragged
    person: NDArray[np.int32]
    weight: NDArray[np.float64]
    skipped: dict[str, int]
    slices: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.truth)
