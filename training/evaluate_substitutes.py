"""The filter of substitutes and its price: the same model's lists with it, as served, beside its bare lists."""

from __future__ import annotations

from typing import Any

import numpy as np

from features.histories import Ragged, rows_of
from recommender.answers import Lists
from recommender.engine import Recommender
from recommender.queries import Queries
from recommender.sources.neighbours import NeighbourSource
from recommender.substitutes import replacements
from training.asking import ListMaker, Measured, Report, ask, silent
from training.evaluate_diversity import price
from training.judgements import JUDGEMENTS
from training.split import Split


def described(recommender: Recommender) -> NeighbourSource | None:
    """The source ``text``, if it was fitted and the catalogue has texts that tell products apart."""
    text = recommender.sources.get("text")
    return text if isinstance(text, NeighbourSource) and text.table.nnz else None


def without_substitutes(lists: ListMaker, recommender: Recommender, text: NeighbourSource) -> ListMaker:
    """Lists without what would be bought instead of an anchor, as serving makes them."""
    variant = recommender.catalogue.text("item_group_id").codes
    similarity = recommender.config.substitute_similarity

    def make(queries: Queries, count: int, exclude: Ragged) -> Lists:
        return lists(queries, count, beside(exclude, replacements(queries.anchors, variant, text, similarity)))

    return make


def beside(one: Ragged, other: Ragged) -> Ragged:
    """Rows of both, one behind the other.

    >>> beside(Ragged.of([[1], []]), Ragged.of([[2], [3, 4]]))[1].tolist()
    [3, 4]
    """
    row = np.concatenate([rows_of(one.indptr), rows_of(other.indptr)])
    values = np.concatenate([one.values, other.values])
    return Ragged(one.indptr + other.indptr, values[np.argsort(row, kind="stable")])


def filter_price(
    split: Split,
    recommender: Recommender,
    lists: ListMaker,
    bare: Measured,
    *,
    seed: int = 0,
    progress: Report = silent,
) -> dict[str, Any] | None:
    """What the filter costs in accuracy and how many lists it changes; None where the placement or text has none.

    Args:
        split: what is asked.
        recommender: fitted.
        lists: makes its bare lists.
        bare: what they reached.
        seed: for the resamples.
        progress: told after each chunk of questions.
    """
    judgement, text = JUDGEMENTS[split.name], described(recommender)
    if recommender.placement(judgement.placement).substitutes != "drop" or text is None:
        return None
    filtered = without_substitutes(lists, recommender, text)
    made = ask(split, filtered, step="ask without substitutes", progress=progress)
    names = [metric.name for metric in judgement.metrics]
    return {
        "similarity": recommender.config.substitute_similarity,
        **price(names, bare.values, made.values, split.person, split.weight, seed),
        "changed": float((made.lists != bare.lists).any(axis=1).mean()),
    }
