"""Choosing among candidates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.picks import Shelf

CANDIDATES = st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 3), st.sampled_from([0.5, 1.0, 2.0, 3.0])))


@given(CANDIDATES, st.integers(1, 12), st.sampled_from([0.0, 0.3]))
def test_the_best_are_chosen_one_of_each_group(
    candidates: list[tuple[int, int, float]], count: int, diversity: float
) -> None:
    variant = np.array([group for group, _, _ in candidates], dtype=np.int32)
    category = np.array([category for _, category, _ in candidates], dtype=np.int32)
    scores = np.array([score for _, _, score in candidates], dtype=np.float32)
    codes = np.arange(len(candidates), dtype=np.int32)
    places = Shelf(variant, category).choose(codes, scores, count, diversity).tolist()

    listed: list[int] = []
    worth = scores.astype(np.float64).tolist()
    free = sorted(codes.tolist(), key=lambda code: (-scores[code], code))
    free = [code for at, code in enumerate(free) if variant[code] < 0 or variant[code] not in variant[free[:at]]]
    while free and len(listed) < count:
        listed.append(max(free, key=lambda code: (worth[code], scores[code], -code)))
        free.remove(listed[-1])
        for code in free:
            worth[code] *= 1 - diversity if category[code] == category[listed[-1]] else 1
    assert [scores[place] for place in places] == pytest.approx([scores[code] for code in listed])
    if not diversity:
        assert places == listed


def test_a_list_is_full_though_its_best_are_variants_of_each_other() -> None:
    variant = np.where(np.arange(600) < 500, 0, -1).astype(np.int32)
    scores = np.arange(600, 0, -1).astype(np.float32)
    shelf = Shelf(variant, np.full(600, -1, dtype=np.int32))
    assert shelf.choose(np.arange(600, dtype=np.int32), scores, 3, 0.0).tolist() == [0, 500, 501]
