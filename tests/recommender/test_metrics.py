import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recommender.metrics
from features.histories import Ragged
from recommender.metrics import Metric, hits, measure, ndcg


def test_docstring_examples_are_true() -> None:
    assert doctest.testmod(recommender.metrics).failed == 0


def test_hand_made_lists() -> None:
    lists = np.array([[3, 1, 2], [5, -1, -1], [0, 4, 9]], dtype=np.int32)
    truth = Ragged.of([[2], [1, 5], [7]])
    metrics = (
        Metric("hr", 2),
        Metric("hr", 3),
        Metric("recall", 3),
        Metric("ndcg", 3),
        Metric("mrr", 3),
        Metric("phr", 1),
    )
    assert measure(lists, truth, metrics) == pytest.approx(
        np.array(
            [
                [0, 1, 1, 1 / np.log2(4), 1 / 3, 0],
                [1, 1, 0.5, 1 / (1 + 1 / np.log2(3)), 1, 1],
                [0, 0, 0, 0, 0, 0],
            ]
        )
    )


def test_ideal_of_a_basket_is_not_cut_unless_asked() -> None:
    found, sizes = np.ones((1, 2), dtype=bool), np.array([5])
    whole = (1 + 1 / np.log2(3)) / sum(1 / np.log2(r + 1) for r in range(1, 6))
    assert ndcg(found, sizes, 2)[0] == pytest.approx(whole)
    assert ndcg(found, sizes, 2, ideal_cut=2)[0] == pytest.approx(1)


def test_filler_is_never_right() -> None:
    assert not hits(np.full((2, 3), -1, dtype=np.int32), Ragged.of([[0], [4]])).any()


def test_rows_do_not_leak_into_each_other() -> None:
    # -1 of row 1 would be the highest product of row 0 in a packed key
    assert not hits(np.array([[0], [-1]], dtype=np.int32), Ragged.of([[9], [3]])).any()


def test_no_rows_and_no_entries() -> None:
    assert measure(np.zeros((0, 5), dtype=np.int32), Ragged.empty(0), (Metric("ndcg", 5),)).shape == (0, 1)
    assert measure(
        np.zeros((2, 0), dtype=np.int32), Ragged.of([[1], []]), (Metric("ndcg", 5), Metric("mrr", 5))
    ).tolist() == [
        [0, 0],
        [0, 0],
    ]


@given(st.permutations(range(8)), st.sets(st.integers(0, 11), min_size=1, max_size=6), st.integers(1, 10))
def test_against_a_plain_loop(order: list[int], right: set[int], k: int) -> None:
    lists, truth = np.array([order], dtype=np.int32), Ragged.of([sorted(right)])
    got = measure(lists, truth, (Metric("hr", k), Metric("recall", k), Metric("ndcg", k), Metric("mrr", k)))[0]
    ranks = [rank for rank, product in enumerate(order[:k], start=1) if product in right]
    ideal = sum(1 / np.log2(rank + 1) for rank in range(1, len(right) + 1))
    expected = [
        float(bool(ranks)),
        len(ranks) / len(right),
        sum(1 / np.log2(rank + 1) for rank in ranks) / ideal,
        1 / ranks[0] if ranks else 0,
    ]
    assert got == pytest.approx(expected)
