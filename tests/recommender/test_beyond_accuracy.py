from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from features.catalogue import Catalogue, Text
from features.vocabulary import Vocabulary
from recommender.beyond_accuracy import (
    Codes,
    category_levels,
    coverage,
    exposure,
    gini,
    intra_list_similarity,
    novelty,
    similarities,
)


def text(*values: str | None) -> Text:
    names = Vocabulary([value for value in values if value is not None])
    return Text(np.array([-1 if value is None else names.code(value) for value in values], dtype=np.int32), names)


def lists(*rows: list[int]) -> Codes:
    return np.array(rows, dtype=np.int32)


#: 5 products: two lipsticks, a gloss, a lip balm straight under Lips, and one without a category.
LIPS = text("Lips > Stick", "Lips > Stick", "Lips > Gloss", "Lips", None)
SHOP = Catalogue(Vocabulary("abcde"), {"category": LIPS, "brand": text("X", "Y", "X", None, "X")})


class TestExposure:
    def test_each_product_once_a_list_and_the_end_of_a_list_is_nothing(self) -> None:
        shown = exposure(lists([0, 2, -1], [2, 1, 0], [-1, -1, -1]), 5)
        assert shown.tolist() == [2, 1, 2, 0, 0]
        assert coverage(shown) == 0.6

    @pytest.mark.parametrize(
        ("shown", "expected"),
        [([7, 7, 7, 7], 0), ([0, 0, 0, 9], 0.75), ([0, 1, 1, 2], 0.375), ([0, 0], 0), ([], 0), ([4], 0)],
    )
    def test_gini_by_hand(self, shown: list[int], expected: float) -> None:
        assert gini(np.array(shown, dtype=np.int64)) == pytest.approx(expected)

    @given(arrays.arrays(np.int64, st.integers(1, 20), elements=st.integers(0, 50)))
    def test_gini_is_half_the_mean_difference_over_the_mean(self, shown: np.ndarray) -> None:
        if shown.sum():
            differences = np.abs(shown[:, None] - shown[None, :]).mean()
            assert gini(shown) == pytest.approx(differences / 2 / shown.mean())

    def test_an_empty_catalogue(self) -> None:
        assert coverage(exposure(lists(), 0)) == 0


class TestNovelty:
    def test_by_hand(self) -> None:
        # 8 people; product 0 was had by all (0 bits), 1 by two (2 bits), 2 by nobody, which counts as one (3 bits).
        assert novelty(lists([0, 1], [2, -1]), np.array([8, 2, 0]), 8) == pytest.approx((0 + 2 + 3) / 3)

    def test_nothing_listed_or_nobody_there_is_no_number(self) -> None:
        assert novelty(lists([-1, -1]), np.array([1, 1]), 2) is None
        assert novelty(lists([0, 1]), np.array([0, 0]), 0) is None


class TestSimilarity:
    @pytest.mark.parametrize(
        ("row", "expected"),
        [
            ([0, 1], 1.0),  # the same category
            ([0, 2], 0.5),  # Lips in common, of two levels
            ([0, 3], 0.5),  # … of the longer path
            ([0, 1, 2], 2 / 3),
            ([0, 1, 4], 1.0),  # the pairs with what has no category do not count
            ([0, 4], None),
            ([0], None),
        ],
    )
    def test_category_paths_by_hand(self, row: list[int], expected: float | None) -> None:
        found = similarities(lists([*row, *[-1] * (3 - len(row))]), category_levels(LIPS))
        assert found.tolist() == [pytest.approx(expected)] if expected is not None else np.isnan(found).all()

    def test_mean_over_lists_that_have_a_pair(self) -> None:
        found = intra_list_similarity(lists([0, 2, -1], [0, 4, -1], [0, 1, -1]), SHOP)
        assert found == {"category": pytest.approx((0.5 + 1) / 2), "brand": pytest.approx((1 + 1 + 0) / 3)}

    def test_a_catalogue_that_has_neither_has_no_number(self) -> None:
        assert intra_list_similarity(lists([0, 1]), Catalogue(Vocabulary("ab"), {})) == {
            "category": None,
            "brand": None,
        }

    @given(st.data())
    def test_as_a_loop_over_lists_and_pairs_says(self, data: st.DataObject) -> None:
        names = data.draw(st.lists(st.sampled_from(["A", "A > B", "A > C", "A > B > D", "E", None]), min_size=1))
        rows = data.draw(st.lists(st.permutations(range(len(names))).map(lambda row: row[:4]), min_size=1, max_size=5))
        padded = lists(*[[*row, *[-1] * (4 - len(row))] for row in rows])

        def alike(one: str, other: str) -> float:
            left, right = one.split(" > "), other.split(" > ")
            common = next((d for d, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), None)
            return (min(len(left), len(right)) if common is None else common) / max(len(left), len(right))

        expected = []
        for row in rows:
            known = [names[code] for code in row if names[code] is not None]
            pairs = [alike(one, other) for one, other in combinations(known, 2) if one and other]
            expected.append(np.mean(pairs) if pairs else np.nan)
        found = similarities(padded, category_levels(text(*names)))
        assert found.tolist() == pytest.approx(expected, nan_ok=True)
