"""LightGBM's trees for a hundred rows at once.

LightGBM walks every tree with every row, and a processor cannot guess where a walk will turn. Here all comparisons are
made first, and each rules out leaves: of those left, the first is where the walk ends (QuickScorer, Lucchese et al.
2015). Values are added up in the order of the trees, so the sums are LightGBM's to the last bit. Only that it takes
numbers of at most 1e-35 for 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Leaves of a tree are bits of a number.
MOST_LEAVES = 64

#: Rows whose comparisons stay in the processor's cache.
_TOGETHER = 100

#: What an unknown value (NaN) is taken for, by where the comparison sends it: right, left, or wherever 0 goes.
_UNKNOWN = (np.inf, -np.inf, 0.0)

_CATEGORICAL, _DEFAULT_LEFT, _ZERO_IS_MISSING, _NAN_IS_MISSING = 1, 2, 4, 8


@dataclass(frozen=True)
class Trees:
    """T trees of N comparisons and N + 1 leaves at most; what a smaller tree lacks rules out nothing.

    Attributes:
        column: int64[T · N], which column of what is known is compared, see `_UNKNOWN`.
        threshold: float32[T · N, 1]; what is greater goes right.
        left: unsigned[T · N, 1], the leaves on the left, as bits: those that are ruled out by going right.
        value: float64[T · (N + 1)], leaves from left to right.
        trees: T.
    """

    column: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.unsignedinteger]
    value: NDArray[np.float64]
    trees: int

    def sums(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """The sum of the leaves that each row falls into, float64[rows]. ``rows``: float32[rows, columns]."""
        parts = [self._sums(rows[start : start + _TOGETHER]) for start in range(0, len(rows), _TOGETHER)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _sums(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        columns = rows.T
        unknown = np.isnan(columns)
        known = np.concatenate([np.where(unknown, np.float32(value), columns) for value in _UNKNOWN])
        right = known.take(self.column, axis=0) > self.threshold
        ruled_out = right.astype(self.left.dtype)
        ruled_out *= self.left
        gone = np.bitwise_or.reduce(ruled_out.reshape(self.trees, -1, len(rows)), axis=1)
        first = ~gone & (gone + self.left.dtype.type(1))  # the lowest bit that is not set
        place = (first.astype(np.float32).view(np.int32) >> 23) - 127  # a power of two is all exponent
        place += np.arange(0, len(self.value), len(self.value) // self.trees, dtype=np.int32)[:, None]
        values = self.value.take(place)
        # NumPy adds up a single column by pairs.
        return np.asarray(values.sum(axis=0) if len(rows) > 1 else values.cumsum(axis=0)[-1])


def parse(text: str) -> Trees | None:
    """From the text of a LightGBM model; None if trees are too large, compare categories or take 0 for unknown."""
    trees = list(_trees(text))
    nodes = max((len(tree["threshold"]) for tree in trees), default=0)
    kinds = np.array([int(kind) for tree in trees for kind in tree["decision_type"]], dtype=np.int64)
    if not 0 < nodes < MOST_LEAVES or (kinds & (_CATEGORICAL | _ZERO_IS_MISSING)).any():
        return None
    dtype = np.min_scalar_type(2 ** (nodes + 1) - 1)
    column = np.zeros((len(trees), nodes), dtype=np.int64)
    threshold = np.full((len(trees), nodes), np.inf, dtype=np.float32)
    left = np.zeros((len(trees), nodes), dtype=dtype)
    value = np.zeros((len(trees), nodes + 1))
    features = text.partition("max_feature_idx=")[2].partition("\n")[0]
    for number, tree in enumerate(trees):
        size = len(tree["threshold"])
        column[number, :size] = [
            _fate(int(kind)) * (int(features) + 1) + int(feature)
            for kind, feature in zip(tree["decision_type"], tree["split_feature"], strict=True)
        ]
        threshold[number, :size] = _below([float(limit) for limit in tree["threshold"]])
        order: list[int] = []
        for node, leaves in _left_leaves(tree, order):
            left[number, node] = leaves
        value[number, : len(order)] = np.array(tree["leaf_value"], dtype=np.float64)[order]
    return Trees(column.ravel(), threshold.reshape(-1, 1), left.reshape(-1, 1), value.ravel(), len(trees))


def _trees(text: str) -> Iterator[dict[str, list[str]]]:
    """The fields of each tree, split at blanks."""
    for part in text.partition("end of trees")[0].split("\nTree=")[1:]:
        fields = (line.partition("=") for line in part.splitlines())
        tree = {name: values.split() for name, _, values in fields}
        yield {name: tree.get(name, []) for name in _FIELDS}


_FIELDS = ("split_feature", "threshold", "decision_type", "left_child", "right_child", "leaf_value")


def _fate(kind: int) -> int:
    """Which of `_UNKNOWN` a comparison takes what is not known for."""
    if kind & _NAN_IS_MISSING:
        return 1 if kind & _DEFAULT_LEFT else 0
    return 2


def _below(thresholds: Sequence[float]) -> NDArray[np.float32]:
    """The greatest finite float32 not above each: float32 numbers compare with it as they do with the threshold.

    A threshold without bounds parts what is known from what is not, which is taken for infinite.
    """
    exact = np.minimum(thresholds, np.finfo(np.float32).max)
    near = exact.astype(np.float32)
    return np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)


def _left_leaves(tree: dict[str, list[str]], order: list[int], node: int = 0) -> Iterator[tuple[int, int]]:
    """Each comparison of a tree with the leaves, as bits, on its left; ``order`` gets leaves from left to right.

    Children are numbered from 0 where they are comparisons, from -1 downwards where they are leaves.
    """
    if not tree["threshold"]:
        order.append(0)
        return
    before = len(order)
    for side in ("left_child", "right_child"):
        child = int(tree[side][node])
        if child < 0:
            order.append(-child - 1)
        else:
            yield from _left_leaves(tree, order, child)
        if side == "left_child":
            yield node, 2 ** len(order) - 2**before
