"""What would be bought instead of a product: variants of it, and what is described alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.histories import Ragged, rows_of
from recommender.sources.neighbours import NeighbourSource
from recommender.sources.scores import Runs, Votes


def replacements(anchors: Ragged, variant: NDArray[np.int32], text: NeighbourSource, similarity: float) -> Ragged:
    """What replaces the anchors of n questions; a product may stand in a row several times, anchors with variants too.

    Args:
        anchors: n rows of products.
        variant: int32[products], variant group, -1 for none.
        text: what is described alike.
        similarity: cosine from which on products replace each other.
    """
    row, product = rows_of(anchors.indptr), anchors.values
    near = Runs.of([Votes(row, np.ones(len(row), dtype=np.float32), *text.neighbours(product))])
    alike = near.value >= similarity
    varied = np.flatnonzero(variant >= 0)
    varied = varied[np.argsort(variant[varied], kind="stable")]
    group = variant[product]
    first = np.where(group < 0, 0, np.searchsorted(variant[varied], group, side="left"))
    many = np.where(group < 0, 0, np.searchsorted(variant[varied], group, side="right") - first)
    entry = np.repeat(first - np.cumsum(many) + many, many) + np.arange(many.sum())
    rows = np.concatenate([near.row.repeat(near.length)[alike], np.repeat(row, many)])
    found = np.concatenate([near.product[alike], varied[entry]]).astype(np.int32)
    order = np.argsort(rows, kind="stable")
    return Ragged(np.searchsorted(rows[order], np.arange(len(anchors) + 1)), found[order])
