from __future__ import annotations

import numpy as np
import pytest

from features.events import Kind
from features.histories import Histories
from recommender.anchors import DefaultAnchors, anchors_of

PAST = [(Kind.CART, 9, 1), (Kind.PURCHASE, 9, 2), (Kind.PURCHASE, 8, 2), (Kind.VIEW, 5, 3), (Kind.CART, 6, 4)]


def history(events: list[tuple[Kind, int, int]]) -> Histories:
    kind, product, time = (np.array(column) for column in zip(*events, strict=True)) if events else (np.array([]),) * 3
    indptr = np.array([0, len(events)], dtype=np.int64)
    return Histories(indptr, product.astype(np.int32), kind.astype(np.int8), time.astype(np.int64))


@pytest.mark.parametrize(
    ("default", "events", "products"),
    [
        ("none", PAST, []),
        ("cart", PAST, [6]),
        ("cart", PAST[:3], []),
        ("cart", [(Kind.CART, 7, 1), (Kind.CART, 4, 2)], [4, 7]),
        ("last_order", PAST, [8, 9]),
        ("last_order", PAST[3:], []),
        ("last_viewed", PAST, [6]),
        ("last_viewed", PAST[:4], [5]),
        ("last_viewed", [], []),
    ],
)
def test_anchors_come_from_the_history(
    default: DefaultAnchors, events: list[tuple[Kind, int, int]], products: list[int]
) -> None:
    assert anchors_of(history(events), default).tolist() == products
