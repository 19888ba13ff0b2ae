"""How good lists are: every metric starts from which entries of a list were right.

All functions give one float64 a list (a row), never a mean, so that rows can be paired and resampled. ``found`` is
bool[n, k], True where an entry of a list belongs to its truth (`hits`); ``sizes`` is int64[n], how many products the
truth of a row holds. A truth without products scores 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.histories import Ragged

Floats = NDArray[np.float64]


def hits(lists: NDArray[np.int32], truth: Ragged) -> NDArray[np.bool_]:
    """Which entries of the lists are right.

    Args:
        lists: int32[n, k], product codes best first, -1 past the end; a product stands in a list once.
        truth: n rows of distinct product codes.

    >>> hits(np.array([[4, 7, -1], [7, 2, 9]], dtype=np.int32), Ragged.of([[7], [9, 7, 1]]))
    array([[False,  True, False],
           [ True, False,  True]])
    """
    rows = np.repeat(np.arange(len(truth)), np.diff(truth.indptr))
    width = 1 + int(max(lists.max(initial=0), truth.values.max(initial=0)))
    asked = np.arange(len(lists))[:, None] * width + lists
    return np.isin(asked, rows * width + truth.values) & (lists >= 0)


def hit_rate(found: NDArray[np.bool_], k: int) -> Floats:
    """1 where the first k entries hold a right one. Over customers its mean is also called the personal hit ratio.

    >>> hit_rate(np.array([[False, True], [False, False]]), 2)
    array([1., 0.])
    """
    return np.asarray(found[:, :k].any(axis=1), dtype=np.float64)


def recall(found: NDArray[np.bool_], sizes: NDArray[np.int64], k: int) -> Floats:
    """Right entries among the first k ÷ size of the truth.

    >>> recall(np.array([[True, False, True]]), np.array([4]), 3)
    array([0.5])
    """
    return np.asarray(found[:, :k].sum(axis=1) / np.maximum(sizes, 1), dtype=np.float64)


def ndcg(found: NDArray[np.bool_], sizes: NDArray[np.int64], k: int, *, ideal_cut: int | None = None) -> Floats:
    """Discounted gain of the first k entries ÷ that of the ideal list.

    DCG@k = Σ_{r ≤ k} right(r) / log2(r + 1); the ideal list starts with all ``sizes`` right products, or with at most
    ``ideal_cut`` of them. With one right product this is 1 / log2(1 + its rank).
    Source: Järvelin & Kekäläinen, ACM TOIS 20(4), 2002, with binary gains.

    >>> ndcg(np.array([[False, True, False]]), np.array([1]), 3).round(4)  # 1 / log2(3)
    array([0.6309])
    >>> ndcg(np.array([[True, False]]), np.array([3]), 2).round(4)  # 1 / (1 + 1 / log2(3) + 1 / 2)
    array([0.4693])
    >>> ndcg(np.array([[True, False]]), np.array([3]), 2, ideal_cut=2).round(4)  # 1 / (1 + 1 / log2(3))
    array([0.6131])
    """
    ideal = sizes if ideal_cut is None else np.minimum(sizes, ideal_cut)
    discount = 1 / np.log2(np.arange(2, max(int(ideal.max(initial=1)), found.shape[1]) + 2))
    gain = found[:, :k] @ discount[: min(k, found.shape[1])]
    best = np.cumsum(discount)[np.maximum(ideal, 1) - 1]
    return np.asarray(gain / best, dtype=np.float64)


def reciprocal_rank(found: NDArray[np.bool_], k: int) -> Floats:
    """1 ÷ rank of the first right entry among the first k, 0 without one.

    >>> reciprocal_rank(np.array([[False, True, True], [False, False, False]]), 3)
    array([0.5, 0. ])
    """
    head = found[:, :k]
    return np.asarray((head / np.arange(1, head.shape[1] + 1)).max(axis=1, initial=0.0), dtype=np.float64)


@dataclass(frozen=True)
class Metric:
    """A metric by name, such as ``ndcg@10``.

    Attributes:
        kind: `hit_rate` (``hr``; ``phr`` where rows are customers with several right products), `recall`, `ndcg` or
            `reciprocal_rank` (``mrr``).
        k: how many entries are looked at.
        ideal_cut: for ndcg, see there.
    """

    kind: Literal["hr", "phr", "recall", "ndcg", "mrr"]
    k: int
    ideal_cut: int | None = None

    @property
    def name(self) -> str:
        """As in the evaluation's JSON.

        >>> Metric("ndcg", 10).name
        'ndcg@10'
        """
        return f"{self.kind}@{self.k}"

    def of(self, found: NDArray[np.bool_], sizes: NDArray[np.int64]) -> Floats:
        """The metric of each row, float64[n]."""
        match self.kind:
            case "hr" | "phr":
                return hit_rate(found, self.k)
            case "recall":
                return recall(found, sizes, self.k)
            case "ndcg":
                return ndcg(found, sizes, self.k, ideal_cut=self.ideal_cut)
            case "mrr":
                return reciprocal_rank(found, self.k)


def measure(lists: NDArray[np.int32], truth: Ragged, metrics: tuple[Metric, ...]) -> Floats:
    """Every metric of every list, float64[n, len(metrics)]. Arguments as in `hits`.

    >>> measure(np.array([[4, 7]], dtype=np.int32), Ragged.of([[7]]), (Metric("hr", 1), Metric("mrr", 2)))
    array([[0. , 0.5]])
    """
    found, sizes = hits(lists, truth), np.diff(truth.indptr)
    return np.column_stack([metric.of(found, sizes) for metric in metrics])
