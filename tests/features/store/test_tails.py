"""Refunds within the log of one person: against a plain loop, and of orders that are long."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import Kind
from features.store.tails import Line, take_back


def line(seq: int, kind: Kind, product: int, order_id: str | None, quantity: float | None = 1.0) -> Line:
    return Line(seq, seq, seq, kind, product, order_id, quantity, None, within=True)


LINES = st.lists(
    st.builds(
        Line,
        seq=st.just(0),
        time=st.integers(0, 5),
        known=st.integers(0, 5),
        kind=st.sampled_from([int(Kind.PURCHASE), int(Kind.REFUND)]),
        product=st.integers(-1, 2),
        order_id=st.sampled_from([None, "o", "q"]),
        quantity=st.sampled_from([1.0, 2.0, 0.5]),
        price=st.none(),
        within=st.booleans(),
    ),
    max_size=12,
)


def taken_back(lines: Sequence[Line]) -> tuple[set[int], tuple[tuple[int, int], ...]]:
    """What `take_back` says, by looking at every line for every refund."""
    order = sorted(
        lines, key=lambda one: (one.time, one.kind, one.product, one.order_id or "", one.quantity or 9, one.known)
    )
    left = {one.seq: one.quantity or 0.0 for one in order}
    taken: set[int] = set()
    returned: list[tuple[int, int]] = []
    refunds = [(place, one) for place, one in enumerate(order) if one.kind == Kind.REFUND]
    for place, refund in sorted(refunds, key=lambda numbered: numbered[1].known):
        bought = [one for one in order if one.kind == Kind.PURCHASE]
        if refund.order_id is None:
            bought = [one for one in reversed(order[:place]) if one.kind == Kind.PURCHASE and refund.product >= 0]
        named = [
            one
            for one in bought
            if refund.order_id in (None, one.order_id) and refund.product in (one.product, -1)
        ]  # fmt: skip
        if not named and refund.within and refund.product >= 0:
            returned.append((refund.time, refund.product))
        named = [one for one in named if one.seq not in taken]
        whole = refund.quantity is None or (refund.order_id is not None and refund.product < 0)
        if whole and refund.order_id is None:
            named = named[:1]
        wanted = sum(left[one.seq] for one in named) if whole else refund.quantity or 0.0
        for one in named:
            pieces = min(left[one.seq], wanted)
            wanted -= pieces
            left[one.seq] -= pieces
            if left[one.seq] == 0 and (pieces or whole):
                taken.add(one.seq)
                if refund.within and not one.within and one.product >= 0:
                    returned.append((refund.time, one.product))
    return taken, tuple((product, when) for when, product in sorted(returned))


@settings(deadline=None, max_examples=500)
@given(lines=LINES, blank=st.sets(st.integers(0, 11)))
def test_refunds_against_a_plain_loop(lines: list[Line], blank: set[int]) -> None:
    numbered = [one._replace(seq=seq) for seq, one in enumerate(lines)]
    numbered = [
        one._replace(quantity=None) if one.seq in blank and one.kind == Kind.REFUND else one for one in numbered
    ]
    assert take_back(numbered) == taken_back(numbered)


def _order(count: int, how: str) -> list[Line]:
    bought = [line(n, Kind.PURCHASE, n, "o") for n in range(count)]
    if how == "whole":
        return [*bought, line(count, Kind.REFUND, -1, "o", None)]
    return [*bought, *(line(count + n, Kind.REFUND, n, "o" if how == "line by line" else None) for n in range(count))]


def _seconds(lines: Sequence[Line]) -> float:
    """CPU seconds, the least of a few times."""
    spent = []
    for _ in range(3):
        begun = time.process_time()
        take_back(lines)
        spent.append(time.process_time() - begun)
    return min(spent)


@pytest.mark.parametrize("how", ["whole", "line by line", "product by product"])
def test_refunds_of_a_long_order_take_a_time_that_is_not_quadratic(how: str) -> None:
    short, long = _order(1_000, how), _order(10_000, how)
    assert take_back(long) == (set(range(10_000)), ())
    assert _seconds(long) < 30 * _seconds(short)  # ten times the lines; a hundred times if it were quadratic
