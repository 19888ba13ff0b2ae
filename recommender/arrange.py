"""From ranked candidates to a list a person likes to look at: one variant of a product, not all of one category."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]


def one_variant(order: NDArray[np.int64], groups: Codes) -> NDArray[np.int64]:
    """The places of ``order`` without those whose group (code ≥ 0) stands further up already. ``groups``: of each."""
    _, first = np.unique(groups, return_index=True)
    kept = groups < 0
    kept[first] = True
    return order[kept]


def diversified(scores: NDArray[np.float32], category: Codes, count: int, loss: float) -> NDArray[np.int64]:
    """Greedy choice of ``count`` places, best first: score · (1 − loss)^(chosen of the same category already).

    ``scores`` descend. The first is always the best; a category of code -1 is nobody's. O(count · candidates).
    """
    if loss == 0 or len(scores) <= 1:
        return np.arange(min(count, len(scores)))
    worth = scores.astype(np.float64)
    chosen = np.empty(min(count, len(scores)), dtype=np.int64)
    for place in range(len(chosen)):
        best = int(np.argmax(worth))
        chosen[place] = best
        worth[best] = -np.inf
        if category[best] >= 0:
            worth[category == category[best]] *= 1 - loss
    return chosen
