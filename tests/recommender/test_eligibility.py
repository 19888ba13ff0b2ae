"""What may be shown, and what is remembered of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import Catalogue, Column, Text, Time
from features.events import DAY
from features.vocabulary import Vocabulary
from recommender.eligibility import Funnel, MaskCache


def test_what_may_be_shown_is_remembered_until_another_product_has_its_first_day() -> None:
    never = np.iinfo(np.int64).min
    first_days = np.array([3 * DAY, never, 5 * DAY, 3 * DAY, 7 * DAY])
    stock, values = Vocabulary(["in_stock", "out_of_stock"]), np.array([0, 0, 0, 1, 0], dtype=np.int32)
    columns: dict[str, Column] = {"available_from": Time(first_days), "availability": Text(values, stock)}
    catalogue = Catalogue(Vocabulary("abcde"), columns)
    masks = MaskCache(catalogue)
    for at in (4 * DAY, 0, 3 * DAY - 1, 3 * DAY, 5 * DAY - 1, 5 * DAY, 9 * DAY, 4 * DAY):
        np.testing.assert_array_equal(masks.available(at), catalogue.available(at))
    assert masks.available(3 * DAY) is masks.available(5 * DAY - 1)
    assert masks.available(7 * DAY) is masks.available(9 * DAY)
    assert masks.available(5 * DAY - 1) is not masks.available(5 * DAY)


def test_without_first_days_the_same_may_be_shown_at_any_time() -> None:
    masks = MaskCache(Catalogue(Vocabulary("ab"), {}))
    assert masks.available(0).tolist() == [True, True]
    assert masks.available(0) is masks.available(2**62)


@given(st.sets(st.integers(0, 19)), st.lists(st.integers(0, 19)))
def test_what_is_dropped_is_gone_and_nothing_else(candidates: set[int], dropped: list[int]) -> None:
    codes = np.array(sorted(candidates), dtype=np.int32)
    funnel = Funnel(codes, codes.astype(np.float32), 20)
    funnel.drop("excluded", np.array(dropped, dtype=np.int32))
    assert funnel.codes.tolist() == funnel.scores.tolist() == sorted(candidates - set(dropped))
    assert funnel.steps[-1] == ("excluded", len(candidates), len(funnel.codes))
