"""Which purchase lines a refund takes back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.events import NEVER, Kind

LEAST = 1e-6  # quantities closer than this are equal


def reverse_purchases(
    *,
    known: NDArray[np.int64],
    kind: NDArray[np.int8],
    person: NDArray[np.int32],
    product: NDArray[np.int32],
    order: NDArray[np.int32],
    names_order: NDArray[np.bool_],
    quantity: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Apply refunds, in the order they became known, to the purchase lines they name.

    A refund with an order and a product takes back that many pieces of the product from the order's lines; with an
    order and no product the whole order, whatever its quantity; with a product and no order that many pieces from the
    person's earlier lines of the product, the newest line first. No quantity: all of the named lines, or of the newest
    line not yet taken back where no order is named. A line is reversed by the refund that takes back its last piece.

    Args:
        known, kind, person, product, order: columns of the log in canonical order, length n; ``order`` is -1 on a
            refund of an unknown order.
        names_order: the row has an order id.
        quantity: NaN where a refund gives none.

    Returns:
        int64[n], when the refund of a purchase line became known (`NEVER` if none), and float64[n], the quantities,
        those of refunds without one filled with what they took back.
    """
    reversed_at = np.full(len(known), NEVER, dtype=np.int64)
    quantity = quantity.copy()
    refunds = np.flatnonzero(kind == Kind.REFUND)
    if len(refunds) == 0:
        return reversed_at, quantity
    lines = np.flatnonzero(kind == Kind.PURCHASE)
    products = int(product.max(initial=0)) + 2
    by_order = _Groups(lines, order.astype(np.int64))
    by_line = _Groups(lines, order.astype(np.int64) * products + product)
    by_owner = _Groups(lines, person.astype(np.int64) * products + product)
    left_of = quantity.copy()  # pieces of a line not taken back yet
    for refund in refunds[np.argsort(known[refunds], kind="stable")]:
        wanted = quantity[refund]
        named = lines[:0]
        if names_order[refund] and product[refund] >= 0:
            named = by_line.of(int(order[refund]) * products + int(product[refund]))
        elif names_order[refund]:
            named = by_order.of(int(order[refund]))
            wanted = np.nan
        elif product[refund] >= 0:
            named = by_owner.of(int(person[refund]) * products + int(product[refund]))
            named = named[named < refund][::-1]
        named = named[reversed_at[named] == NEVER]
        everything = np.isnan(wanted)
        if everything:
            named = named if names_order[refund] else named[:1]
            wanted = left_of[named].sum()
        pieces = _filled(left_of[named], wanted)
        left_of[named] -= pieces
        reversed_at[named[(left_of[named] < LEAST) & (everything | (pieces > 0))]] = known[refund]
        if np.isnan(quantity[refund]):
            quantity[refund] = pieces.sum()
    return reversed_at, quantity


class _Groups:
    """Rows by key, ascending inside a key."""

    def __init__(self, rows: NDArray[np.int64], keys: NDArray[np.int64]) -> None:
        self._rows = rows[np.argsort(keys[rows], kind="stable")]
        self._keys = keys[self._rows]

    def of(self, key: int) -> NDArray[np.int64]:
        first, last = np.searchsorted(self._keys, [key, key + 1])
        return self._rows[first:last]


def _filled(room: NDArray[np.float64], amount: float) -> NDArray[np.float64]:
    """How much of an amount goes into each of several vessels that are filled one after the other."""
    before = np.cumsum(room) - room
    return np.clip(amount - before, 0.0, room)
