"""Diversity and its price: the same model's lists with categories mixed, beside its bare lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bootstrap import means
from features.catalogue import Catalogue
from features.histories import Ragged
from recommender.answers import Lists
from recommender.picks import Shelf
from recommender.queries import Queries
from training.asking import ListMaker as ListMaker
from training.asking import Measured, Report, ask, silent
from training.evaluate_beyond import beyond_accuracy
from training.judgements import JUDGEMENTS
from training.split import Split


def mixed(lists: ListMaker, catalogue: Catalogue, diversity: float) -> ListMaker:
    """Lists with categories mixed as serving does it (`recommender.picks.Shelf.choose`); what fills up stays behind.

    Variants are left as they are, as in bare lists: what differs is diversity alone, and at 0 nothing does.
    """
    alone = np.full(len(catalogue), -1, dtype=np.int32)
    shelf = Shelf(alone, catalogue.text("category").codes)

    def make(queries: Queries, count: int, exclude: Ragged) -> Lists:
        pool = lists(queries, max(50, 5 * count), exclude)  # so many are chosen among
        product, score = pool.product[:, :count].copy(), pool.score[:, :count].copy()
        for row, scored in enumerate(np.count_nonzero(pool.score, axis=1).tolist()):
            codes, values = pool.product[row, :scored], pool.score[row, :scored]
            chosen = shelf.choose(codes, values, count, diversity)
            product[row, : len(chosen)], score[row, : len(chosen)] = codes[chosen], values[chosen]
        return Lists(product, score)

    return make


def prices(
    split: Split,
    catalogue: Catalogue,
    lists: ListMaker,
    bare: Measured,
    diversity: float,
    *,
    seed: int = 0,
    progress: Report = silent,
) -> dict[str, Any]:
    """What a placement's ``diversity`` costs in accuracy, against the bare lists of the same model, and what it buys.

    Args:
        split: what is asked.
        catalogue: its categories are what is mixed.
        lists: makes the bare lists.
        bare: what they reached.
        diversity: from 0 to below 1, as in the configuration.
        seed: for the resamples.
        progress: told after each chunk of questions.
    """
    made = ask(split, mixed(lists, catalogue, diversity), step=f"ask with diversity {diversity:g}", progress=progress)
    names = [metric.name for metric in JUDGEMENTS[split.name].metrics]
    return {
        "diversity": diversity,
        **price(names, bare.values, made.values, split.person, split.weight, seed),
        "beyond_accuracy": beyond_accuracy(split, catalogue, made.lists),
    }


def price(
    names: Sequence[str],
    bare: NDArray[np.float64],
    made: NDArray[np.float64],
    person: NDArray[np.int32],
    weight: NDArray[np.float64],
    seed: int,
) -> dict[str, Any]:
    """Metrics of changed lists and their paired difference to the bare ones, with 95% intervals.

    Args:
        names: of the m metrics.
        bare, made: float64[rows, m], what the two reached.
        person: int32[rows]; rows of a person are resampled together.
        weight: float64[rows].
        seed: for the resamples.
    """
    found = means(np.hstack([made, made - bare]), person, np.random.default_rng(seed), weight=weight)
    value, interval, m = found.value.tolist(), found.interval.tolist(), len(names)
    return {
        "metrics": dict(zip(names, value[:m], strict=True)),
        "ci": dict(zip(names, interval[:m], strict=True)),
        "difference": {name: {"value": value[m + at], "ci": interval[m + at]} for at, name in enumerate(names)},
    }
