"""What lists are like beside being right: how much of the catalogue they show, how evenly, how new, how much alike.

Lists are int32[n, k], product codes best first, -1 past the end. Every list counts the same, whoever it was made for.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from features.catalogue import CATEGORY_SEPARATOR, Catalogue, Text

Codes = NDArray[np.int32]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def exposure(lists: Codes, products: int) -> Counts:
    """In how many lists each product of the catalogue stands, int64[products].

    >>> exposure(np.array([[0, 2, -1], [0, 1, 2]], dtype=np.int32), 4).tolist()
    [2, 1, 2, 0]
    """
    return np.bincount(lists[lists >= 0], minlength=products)


def coverage(shown: Counts) -> float:
    """Share of the catalogue that stands in at least one list. ``shown``: see `exposure`.

    >>> coverage(np.array([2, 1, 2, 0]))
    0.75
    """
    return float(np.count_nonzero(shown) / max(len(shown), 1))


def gini(shown: Counts) -> float:
    """How unevenly places in lists are shared out over the catalogue: 0 all alike, near 1 where one product has all.

    G = Σ_i (2i − m − 1) x_i / (m Σ x) over the m products of the catalogue, x_1 ≤ … ≤ x_m their `exposure`; products
    in no list count. 0 without any list. Source: Fleder & Hosanagar, Management Science 55(5), 2009 (of sales,
    not of exposure).

    >>> gini(np.array([3, 3, 3]))
    0.0
    >>> gini(np.array([0, 0, 0, 6]))  # 1 − 1 / m
    0.75
    """
    m, total = len(shown), int(shown.sum())
    if total == 0:
        return 0.0
    return float((2 * np.arange(1, m + 1) - m - 1) @ np.sort(shown) / (m * total))


def novelty(lists: Codes, holders: Counts, people: int) -> float | None:
    """Mean self-information of the products listed, in bits: how little known what is shown was.

    I(p) = −log2(u_p / U), u_p of U people having had product p before; the mean is over all entries of all lists. What
    nobody had counts as if one person had, log2 U: the newest a product can be. None without entries or people.
    Source: Zhou et al., PNAS 107(10), 2010, "self-information" I = log2(U / k), there averaged by user.

    Args:
        lists: as everywhere here.
        holders: int64[products], u_p.
        people: U.

    >>> novelty(np.array([[0, 1], [0, 2]], dtype=np.int32), np.array([4, 1, 0]), 4)  # (0 + 2 + 0 + 2) / 4
    1.0
    """
    shown = exposure(lists, len(holders))
    if people == 0 or not shown.any():
        return None
    bits = -np.log2(np.maximum(holders, 1) / people)
    return float(shown @ bits / shown.sum()) + 0.0


def category_levels(column: Text) -> Codes:
    """Categories as paths, int32[products, depth]: a number for each path from the top, -1 past the end.

    >>> from features.vocabulary import Vocabulary
    >>> names = Vocabulary(["Lips", "Lips > Gloss", "Lips > Stick"])
    >>> category_levels(Text(np.array([1, 2, 0, -1], dtype=np.int32), names)).tolist()
    [[0, 1], [0, 2], [0, -1], [-1, -1]]
    """
    numbers: dict[tuple[str, ...], int] = {}
    paths = [tuple(name.split(CATEGORY_SEPARATOR)) for name in column.values]
    levels = np.full((len(paths) + 1, max(map(len, paths), default=1)), -1, dtype=np.int32)
    for row, path in enumerate(paths):
        for depth in range(1, len(path) + 1):
            levels[row, depth - 1] = numbers.setdefault(path[:depth], len(numbers))
    return levels[column.codes]  # the last row, code -1, is nobody's


def similarities(lists: Codes, levels: Codes) -> Floats:
    """How alike the products of each list are, float64[n]: the mean over its pairs, NaN for a list without a pair.

    Two products are as alike as the share of their paths that they have in common from the top, levels in common ÷
    levels of the longer path: of "Lips > Gloss" and "Lips > Stick" one half. A path of one level (a brand) is the same
    or not. Pairs in which one has no path are left out. Source: Ziegler et al., WWW 2005 (intra-list
    similarity), as a mean over pairs.

    Args:
        lists: as everywhere here.
        levels: int32[products, depth], see `category_levels`.

    >>> levels = np.array([[0, 1], [0, 2], [3, -1], [-1, -1]], dtype=np.int32)
    >>> similarities(np.array([[0, 1, -1], [0, 1, 2], [2, 3, -1]], dtype=np.int32), levels).round(4).tolist()
    [0.5, 0.1667, nan]
    """
    padded = np.vstack([levels, np.full((1, levels.shape[1]), -1, dtype=np.int32)])  # -1 is nothing, here too
    depth = (padded >= 0).sum(axis=1)
    total, pairs = np.zeros(len(lists)), np.zeros(len(lists), dtype=np.int64)
    for left, right in combinations(range(lists.shape[1]), 2):
        one, other = lists[:, left], lists[:, right]
        known = (depth[one] > 0) & (depth[other] > 0)
        common = ((padded[one] == padded[other]) & (padded[one] >= 0)).sum(axis=1)
        total += np.where(known, common / np.maximum(np.maximum(depth[one], depth[other]), 1), 0)
        pairs += known
    return np.where(pairs > 0, total / np.maximum(pairs, 1), np.nan)


def intra_list_similarity(lists: Codes, catalogue: Catalogue) -> dict[str, float | None]:
    """Mean of `similarities` over lists, by ``category`` and ``brand``; None where no list has a pair that has it."""
    brands = catalogue.text("brand").codes[:, None]
    found: dict[str, float | None] = {}
    for name, levels in (("category", category_levels(catalogue.text("category"))), ("brand", brands)):
        each = similarities(lists, levels) if (levels >= 0).any() else np.zeros(0)
        each = each[~np.isnan(each)]
        found[name] = float(each.mean()) if len(each) else None
    return found
