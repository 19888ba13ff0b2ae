"""What products earn, and candidates by what they are expected to earn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from recommender.sources.scores import Scores

Floats = NDArray[np.float64]

#: What earns less than this share of the shop's median margin counts as if it earned so much: it stands at the end.
_LEAST = 1e-3


def margins(catalogue: Catalogue) -> Floats | None:
    """What one piece of each product earns, in money, float64[products]; None where no product earns anything.

    Where the catalogue does not say, it is the price of now times the median share of the price that is margin in the
    product's category, else in the shop; without a price the shop's median margin.
    """
    margin, price = catalogue.number("margin"), catalogue.asked_price
    known = ~np.isnan(margin)
    if not (margin[known] > 0).any():
        return None
    share = np.where(known & (price > 0), margin / np.where(price > 0, price, 1), np.nan)
    told = ~np.isnan(share)
    usual = float(np.median(share[told])) if told.any() else np.nan
    category = catalogue.text("category").codes
    of_category = np.append(_medians(share[told], category[told], int(category.max(initial=-1)) + 1), np.nan)
    guessed = of_category[category]
    guessed = np.where(np.isnan(guessed), usual, guessed) * price
    guessed = np.where(np.isnan(guessed), np.median(margin[known]), guessed)
    return np.where(known, margin, guessed)


def worth(catalogue: Catalogue, weight: float) -> NDArray[np.float32] | None:
    """margin^weight of each product, float32[products], above 0: what its probability of an order is multiplied by.

    1 is expected margin, 0 the probability alone. None where no product earns anything.
    """
    margin = margins(catalogue)
    if margin is None:
        return None
    least = _LEAST * float(np.median(margin[margin > 0]))
    return (np.maximum(margin, least) ** weight).astype(np.float32)


def by_margin(scores: Scores, ranked: int, factor: NDArray[np.float32]) -> Scores:
    """The same candidates, each with its probability of an order times what it is worth.

    Args:
        scores: as a ranker gave them (`recommender.ranker.Ranker.reranked`).
        ranked: so many of each question, the best, it has ranked; the others stay below, in their order.
        factor: float32[products], see `worth`.
    """
    _, place = scores.first(ranked)
    value = scores.value * factor.min(initial=np.inf)
    value[place] = scores.value[place] * factor[scores.product[place]]
    return replace(scores, value=value)


def _medians(values: Floats, group: NDArray[np.int32], groups: int) -> Floats:
    """The median of each group's values, float64[groups], NaN without any. ``group``: -1 belongs to none."""
    values, group = values[group >= 0], group[group >= 0]
    order = np.lexsort((values, group))
    values = values[order]
    count = np.bincount(group, minlength=groups)
    start = np.cumsum(count) - count
    found = np.full(groups, np.nan)
    some = count > 0
    low, high = (start + (count - 1) // 2)[some], (start + count // 2)[some]
    found[some] = (values[low] + values[high]) / 2
    return found
