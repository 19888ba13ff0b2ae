"""Putting the questions of a split to whatever makes lists, and what the answers are worth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.histories import Ragged
from recommender.answers import Lists
from recommender.engine import Recommender
from recommender.metrics import hits, measure
from recommender.queries import Queries
from training.judgements import JUDGEMENTS, Judgement
from training.split import EvaluationError, Split

#: Makes lists: called with some queries, how many products are wanted, and what must not be among them.
ListMaker = Callable[[Queries, int, Ragged], Lists]

_CHUNK = 2_000  # questions asked together
#: What is beyond accuracy is measured on so many entries of a list, or all that the split asks for.
LENGTH = 10


class Report(Protocol):
    """Takes word of how far a long step is: what is being done, steps done, steps in all."""

    def __call__(self, step: str, done: int, total: int) -> None: ...  # noqa: D102


def silent(step: str, done: int, total: int) -> None:
    """Reports to nobody."""


@dataclass(frozen=True)
class Measured:
    """What one list maker reached on a split.

    Attributes:
        values: float64[rows, metrics of the split's protocol].
        fit_seconds: how long fitting took.
        score_seconds: how long answering all questions took.
        lists: int32[questions, at most `LENGTH`], the first entries of what was answered.
    """

    values: NDArray[np.float64]
    fit_seconds: float
    score_seconds: float
    lists: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int32))


def lists_of(recommender: Recommender, judgement: Judgement) -> ListMaker:
    """The bare lists of a fitted recommender that a judgement is about."""

    def lists(queries: Queries, count: int, exclude: Ragged) -> Lists:
        return recommender.lists(judgement.placement, queries, count, exclude=exclude, repeats=judgement.repeats)

    return lists


def ask(
    split: Split, lists: ListMaker, *, step: str = "ask", fit_seconds: float = 0.0, progress: Report = silent
) -> Measured:
    """Put the questions of a split to a list maker and judge the answers.

    Args:
        split: the questions and right answers.
        lists: called with some queries, how many products are wanted, and what must not be among them.
        step: what `progress` is told.
        fit_seconds: kept with the result.
        progress: told after each chunk of questions.

    Raises:
        EvaluationError: a list holds a product twice or one that was to be left out.
    """
    judgement, questions = JUDGEMENTS[split.name], split.questions
    product = np.full((len(questions), judgement.count), -1, dtype=np.int32)
    started = time.perf_counter()
    for start in range(0, len(questions), _CHUNK):
        stop = min(start + _CHUNK, len(questions))
        exclude = questions.exclude.take(np.arange(start, stop))
        queries = questions.queries(start, stop)
        product[start:stop] = lists(queries, judgement.count, exclude).product
        _check(product[start:stop], queries, exclude)
        progress(step, stop, len(questions))
    score_seconds = time.perf_counter() - started
    values = measure(product[split.question], split.truth, judgement.metrics)
    return Measured(values, fit_seconds, score_seconds, product[:, :LENGTH].copy())


def _check(product: NDArray[np.int32], queries: Queries, exclude: Ragged) -> None:
    """A list with a product twice or one that was to be left out would be judged too well."""
    ordered = np.sort(product, axis=1)
    twice = bool(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any())
    barred = queries.allowed is not None and not queries.allowed[product[product >= 0]].all()
    if twice or barred or hits(product, exclude).any() or hits(product, queries.anchors).any():
        raise EvaluationError(
            "a list holds a product twice or one that was to be left out; this is a fault of the model"
        )
