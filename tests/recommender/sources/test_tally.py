"""Tallies: what is summed, and that it does not matter how it came in."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import DAY, Kind
from recommender.sources.tally import Tally, weights_of

WEIGHTS = {Kind.VIEW: 0.02, Kind.PURCHASE: 1.0}
YEAR = 365 * DAY


def empty(half_life_days: float, products: int = 4) -> Tally:
    return Tally(np.zeros(products), weights_of(WEIGHTS), 20_000 * DAY, round(half_life_days * DAY))


@st.composite
def events(draw: st.DrawFn) -> list[tuple[int, Kind, int]]:
    moment = st.integers(-3 * YEAR, 40 * YEAR) | st.integers(0, 30 * DAY)
    one = st.tuples(st.integers(0, 3), st.sampled_from([Kind.VIEW, Kind.PURCHASE, Kind.IMPRESSION]), moment)
    return [(product, kind, 20_000 * DAY + at) for product, kind, at in draw(st.lists(one, max_size=40))]


def counted(tally: Tally, rows: list[tuple[int, Kind, int]]) -> Tally:
    product, kind, time = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.array([]),) * 3
    return tally.added(product.astype(np.int32), kind.astype(np.int8), time.astype(np.int64))


@given(events(), st.lists(st.integers(0, 40), max_size=6), st.sampled_from([0, 0.5, 7, 30]))
@settings(max_examples=300, deadline=None)
def test_portions_do_not_matter_to_the_bit(rows: list[tuple[int, Kind, int]], cuts: list[int], days: float) -> None:
    whole = counted(empty(days), rows)
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    portions = empty(days)
    for start, stop in pairwise(edges):
        portions = counted(portions, rows[start:stop])
    assert portions.doublings == whole.doublings
    # What is a thousand half-lives old may differ below the least positive number, which is no score.
    np.testing.assert_array_equal(portions.value.astype(np.float32), whole.value.astype(np.float32))
    visible = np.abs(whole.value) > 1e-290
    np.testing.assert_array_equal(portions.value[visible], whole.value[visible])


@given(events(), st.sampled_from([0, 0.5, 7, 30]))
@settings(deadline=None)
def test_a_tally_is_the_decayed_sum(rows: list[tuple[int, Kind, int]], days: float) -> None:
    at = 20_000 * DAY + 41 * YEAR
    expected = np.zeros(4)
    for product, kind, time in rows:
        expected[product] += WEIGHTS.get(kind, 0) * (2.0 ** -((at - time) / (days * DAY)) if days else 1)
    np.testing.assert_allclose(counted(empty(days), rows).at(at), expected, rtol=1e-9, atol=1e-300)


def test_decades_later_nothing_overflows() -> None:
    late = counted(empty(0.5), [(0, Kind.PURCHASE, 20_000 * DAY), (1, Kind.PURCHASE, 60_000 * DAY)])
    assert np.isfinite(late.value).all()
    assert late.value[1] == pytest.approx(1)
    assert late.value[0] == 0


def test_what_was_counted_is_not_changed() -> None:
    before = counted(empty(7), [(0, Kind.PURCHASE, 20_001 * DAY)])
    value = before.value.copy()
    counted(before, [(0, Kind.PURCHASE, 20_002 * DAY)])
    np.testing.assert_array_equal(before.value, value)
