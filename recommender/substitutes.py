"""What would be bought instead of a product: variants of it, and what is described alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.histories import Ragged, rows_of
from recommender.sources.neighbours import NeighbourSource


def replacements(anchors: Ragged, variant: NDArray[np.int32], text: NeighbourSource, similarity: float) -> Ragged:
    """What replaces the anchors of n questions; a product may stand in a row several times, anchors with variants too.

    Args:
        anchors: n rows of products.
        variant: int32[products], variant group, -1 for none.
        text: what is described alike.
        similarity: cosine from which on products replace each other.
    """
    row, product = rows_of(anchors.indptr), anchors.values
    lengths, other, weight = text.neighbours(product)
    alike = weight >= similarity
    varied = np.flatnonzero(variant >= 0)
    varied = varied[np.argsort(variant[varied], kind="stable")]
    group = variant[product]
    first = np.where(group < 0, 0, np.searchsorted(variant[varied], group, side="left"))
    many = np.where(group < 0, 0, np.searchsorted(variant[varied], group, side="right") - first)
    entry = np.repeat(first - np.cumsum(many) + many, many) + np.arange(many.sum())
    rows = np.concatenate([np.repeat(row, lengths)[alike], np.repeat(row, many)])
    found = np.concatenate([other[alike], varied[entry]]).astype(np.int32)
    order = np.argsort(rows, kind="stable")
    return Ragged(np.searchsorted(rows[order], np.arange(len(anchors) + 1)), found[order])
