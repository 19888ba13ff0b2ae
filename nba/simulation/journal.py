"""What the simulated shop's event log holds."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from features.events import Kind

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Happened:
    """Events, by time.

    Attributes:
        time: int64[n], µs UTC.
        kind: int64[n], `features.events.Kind`.
        customer: int64[n].
        product: int64[n], -1 for none.
        order: int64[n], number of the order, -1 for none.
        price: float64[n], as paid, NaN for none.
        channel: int64[n], place of the channel, -1 for none.
    """

    time: Ints
    kind: Ints
    customer: Ints
    product: Ints
    order: Ints
    price: Floats
    channel: Ints

    def __len__(self) -> int:
        return len(self.time)


class Journal:
    """Collects events in any order."""

    def __init__(self) -> None:
        self._parts: list[Happened] = []

    def add(
        self,
        kind: Kind,
        customer: Ints,
        time: Ints,
        *,
        product: Ints | None = None,
        order: Ints | None = None,
        price: Floats | None = None,
        channel: int = -1,
    ) -> None:
        """Events of one kind, n of them."""
        n = len(customer)
        none = np.full(n, -1, dtype=np.int64)
        self._parts.append(
            Happened(
                time=time,
                kind=np.full(n, int(kind), dtype=np.int64),
                customer=customer,
                product=none if product is None else product,
                order=none if order is None else order,
                price=np.full(n, np.nan) if price is None else price,
                channel=np.full(n, channel, dtype=np.int64),
            )
        )

    def table(self) -> Happened:
        """All of them, by time."""
        by = np.argsort(np.concatenate([part.time for part in self._parts]), kind="stable")
        joined = {
            field.name: np.concatenate([getattr(part, field.name) for part in self._parts])[by]
            for field in fields(Happened)
        }
        return Happened(**joined)
