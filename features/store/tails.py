"""From the rows of one person to the tail of their log: purchases taken back left out, the newest kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from features.events import INTEREST, NEVER, Kind
from features.refunds import reverse_purchases
from features.store.base import Tail

#: The kinds of events that are rows of a tail.
TAIL_KINDS = (*INTEREST, Kind.REMOVE_FROM_CART, Kind.IMPRESSION)

#: Of how many times as many rows, the last to come, the newest are looked for: a limit for what is no shopper.
REACH = 4

Row = tuple[int, int, int, int]  # an event about a product: time, sequence number, product, kind

NO_ORDER, UNKNOWN_ORDER = -2, -1


class Line(NamedTuple):
    """A purchase or a refund. product: -1 if it names none. within: whether it is in the part of the log asked for."""

    seq: int
    time: int
    known: int
    kind: int
    product: int
    order_id: str | None
    quantity: float | None
    price: float | None
    within: bool


def tail_of(
    rows: Sequence[Row], newest: int, taken: Collection[int] = (), returned: tuple[tuple[int, int], ...] = ()
) -> Tail:
    """The newest rows, oldest first.

    Args:
        rows: in any order; only the last `REACH` times ``newest`` that came are looked at.
        newest: how many at most.
        taken: sequence numbers of rows that a refund took back.
        returned: see `Tail`.
    """
    if len(rows) > REACH * newest:
        rows = sorted(rows, key=_seq)[-REACH * newest :] if newest else []
    kept = sorted(row for row in rows if row[1] not in taken) if taken else sorted(rows)
    time, _, product, kind = zip(*kept[-newest:], strict=True) if kept and newest else ((), (), (), ())
    return Tail(np.array(product, np.int64), np.array(kind, np.int8), np.array(time, np.int64), returned)


_seq = itemgetter(1)


def take_back(lines: Sequence[Line]) -> tuple[set[int], tuple[tuple[int, int], ...]]:
    """What the refunds of one person take back, by `features.refunds.reverse_purchases`.

    Args:
        lines: every purchase and refund of the person, in any order.

    Returns:
        Sequence numbers of the purchases that were taken back, and (product, time of the refund), ascending by time, of
        refunds within the part asked for whose purchase is not: an older line, or one the store has never seen. Lines
        that name no product are not told.
    """
    lines = sorted(lines, key=_canonical)
    orders = {line.order_id: UNKNOWN_ORDER for line in lines if line.kind == Kind.REFUND}
    bought = (line.order_id for line in lines if line.kind == Kind.PURCHASE and line.order_id is not None)
    orders |= {order_id: number for number, order_id in enumerate(dict.fromkeys(bought))}
    # In place of the time it became known, each refund has its rank by it: so a line tells which refund took it back.
    known = np.empty(len(lines), dtype=np.int64)
    known[np.argsort([line.known for line in lines], kind="stable")] = np.arange(len(lines))
    reversed_at, _ = reverse_purchases(
        known=known,
        kind=np.array([line.kind for line in lines], dtype=np.int8),
        person=np.zeros(len(lines), dtype=np.int32),
        product=np.array([line.product for line in lines], dtype=np.int32),
        order=np.array([NO_ORDER if ln.order_id is None else orders[ln.order_id] for ln in lines], dtype=np.int32),
        names_order=np.array([line.order_id is not None for line in lines], dtype=np.bool_),
        quantity=np.array([np.nan if line.quantity is None else line.quantity for line in lines], dtype=np.float64),
    )
    refunds = {int(rank): line for rank, line in zip(known, lines, strict=True) if line.kind == Kind.REFUND}
    taken = {line.seq: refunds[int(rank)] for line, rank in zip(lines, reversed_at, strict=True) if rank != NEVER}
    older = [
        (refund.time, line.product)
        for line in lines
        if not line.within and line.product >= 0 and (refund := taken.get(line.seq)) is not None and refund.within
    ]
    names_purchase = _namer(lines)
    unseen = [
        (line.time, line.product)
        for place, line in enumerate(lines)
        if line.kind == Kind.REFUND and line.within and line.product >= 0 and not names_purchase(place)
    ]
    return set(taken), tuple((product, time) for time, product in sorted(older + unseen))


def _namer(lines: Sequence[Line]) -> Callable[[int], bool]:
    """Tells whether the refund at a place names a purchase that is there. Reads the lines once."""
    ordered: set[tuple[int, str | None]] = set()
    first: dict[int, int] = {}  # the place of the oldest purchase of a product
    for place, line in enumerate(lines):
        if line.kind == Kind.PURCHASE:
            ordered.add((line.product, line.order_id))
            first.setdefault(line.product, place)

    def names_purchase(place: int) -> bool:
        refund = lines[place]
        if refund.order_id is not None:
            return (refund.product, refund.order_id) in ordered
        return first.get(refund.product, place) < place

    return names_purchase


def _canonical(line: Line) -> tuple[int, int, int, str, float, float, int, int]:
    """The order of a log: what rows say decides, and arrival only between equal rows. Unknown numbers come last."""
    quantity = np.inf if line.quantity is None else line.quantity
    price = np.inf if line.price is None else line.price
    return line.time, line.kind, line.product, line.order_id or "", quantity, price, line.known, line.seq
