"""Margin and its price: the same model's lists by expected margin, beside those by probability alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.histories import Ragged, rows_of
from recommender.answers import Lists
from recommender.engine import Recommender
from recommender.margins import margins, worth
from recommender.queries import Queries
from training.asking import ListMaker, Measured, Report, ask, silent
from training.evaluate_diversity import price
from training.judgements import JUDGEMENTS, Judgement
from training.split import EvaluationError, Split

Floats = NDArray[np.float64]


def ranked_by(recommender: Recommender, judgement: Judgement) -> int:
    """How many candidates of a judgement's lists have a probability for a score.

    Raises:
        EvaluationError: none: no ranker knows probabilities for these lists.
    """
    ranker = recommender.ranker(recommender.placement(judgement.placement), repeats=judgement.repeats)
    if ranker is None or not ranker.text or ranker.config.learns_to != "probability":
        raise EvaluationError(
            f"margins weigh probabilities, and no ranker knows those of these lists: {judgement.placement} needs one "
            f"with learns_to = 'probability' whose moments hold {judgement.as_of!r}, and enough data to teach it"
        )
    return ranker.config.candidates


def earning(lists: ListMaker, catalogue: Catalogue, weight: float, ranked: int) -> ListMaker:
    """Lists by probability · margin^weight, as serving orders them (`recommender.margins.by_margin`).

    Args:
        lists: makes the bare ones, by probability.
        catalogue: says what products earn; if it does not, nothing changes.
        weight: from 0 to 1.
        ranked: so many candidates have a probability; what stands behind them stays there.
    """
    of_product = worth(catalogue, weight)

    def make(queries: Queries, count: int, exclude: Ragged) -> Lists:
        if of_product is None:
            return lists(queries, count, exclude)
        pool = lists(queries, max(ranked, count), exclude)
        value = pool.score[:, :ranked] * np.where(
            pool.product[:, :ranked] >= 0, of_product[pool.product[:, :ranked]], 0
        )
        order = np.argsort(-value, axis=1, kind="stable")
        product, score = pool.product.copy(), pool.score.copy()
        product[:, :ranked] = np.take_along_axis(pool.product[:, :ranked], order, axis=1)
        score[:, :ranked] = np.take_along_axis(value, order, axis=1)
        return Lists(product[:, :count], score[:, :count])

    return make


def earned(lists: NDArray[np.int32], truth: Ragged, margin: Floats) -> Floats:
    """What each list earns if all of it that is right is bought, one piece each: float64[rows], money.

    Args:
        lists: int32[rows, k], -1 past the end.
        truth: right products of each row, distinct.
        margin: float64[products].
    """
    n = len(margin)
    row = np.repeat(np.arange(len(lists)), lists.shape[1])
    key = np.where(lists.ravel() >= 0, row * n + lists.ravel(), -1)
    right = np.isin(key, rows_of(truth.indptr) * n + truth.values)
    gained = np.where(right, margin[lists.ravel()], 0.0)
    return np.asarray(np.bincount(row, weights=gained, minlength=len(lists)), dtype=np.float64)


def margin_price(
    split: Split,
    recommender: Recommender,
    lists: ListMaker,
    bare: Measured,
    weight: float,
    *,
    seed: int = 0,
    progress: Report = silent,
) -> dict[str, Any]:
    """What a placement's ``margin_weight`` costs in accuracy, against the bare lists of the model, and what it earns.

    Beside the accuracy stands ``margin@k``, what the first k entries of a list earn (`earned`).

    Args:
        split: what is asked.
        recommender: fitted.
        lists: makes its bare lists.
        bare: what they reached.
        weight: from 0 to 1, as in the configuration.
        seed: for the resamples.
        progress: told after each chunk of questions.

    Raises:
        EvaluationError: no ranker orders these lists, or the catalogue knows no margin.
    """
    judgement, catalogue = JUDGEMENTS[split.name], recommender.catalogue
    margin, ranked = margins(catalogue), ranked_by(recommender, judgement)
    if margin is None:
        raise EvaluationError("products have no margin above 0: there is nothing to weigh")
    weighed = earning(lists, catalogue, weight, ranked)
    made = ask(split, weighed, step=f"ask with margin {weight:g}", progress=progress)
    before, after = (
        np.column_stack([one.values, earned(one.lists[split.question], split.truth, margin)]) for one in (bare, made)
    )
    names = [*(metric.name for metric in judgement.metrics), f"margin@{made.lists.shape[1]}"]
    return {"weight": weight, **price(names, before, after, split.person, split.weight, seed)}
