"""Decayed counts of events, a number a product, to which later events are added without looking at earlier ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.events import Kind


@dataclass(frozen=True)
class Tally:
    """Σ weight(kind) · 2^((t − origin) / half_life) over the events of each product.

    Sums are kept relative to a moment a whole number of half-lives after the origin, which follows the newest event: so
    nothing overflows years later, and because that scales by powers of two, which is exact, a tally is the same to the
    bit however its events were portioned, if they come in the same order.

    Attributes:
        value: float64[products], the sum times 2^−doublings.
        weight: float64[kinds], what an event of each `Kind` counts.
        origin: microseconds UTC.
        half_life: microseconds; 0: events count the same whenever they happen.
        doublings: half-lives from the origin to the moment that ``value`` is relative to.
    """

    value: NDArray[np.float64]
    weight: NDArray[np.float64]
    origin: int
    half_life: int
    doublings: int = 0

    def added(self, product: NDArray[np.int32], kind: NDArray[np.int8], time: NDArray[np.int64]) -> Tally:
        """With more events: product codes, kinds and microseconds UTC, in the order of the log."""
        counted = self.weight[kind]
        told = counted > 0
        if not told.any():
            return self
        product, counted, time = product[told], counted[told], time[told]
        if self.half_life == 0:
            value = self.value.copy()
            np.add.at(value, product, counted)
            return replace(self, value=value)
        whole, rest = np.divmod(time - self.origin, self.half_life)
        doublings = max(self.doublings, int(whole.max()))
        value = np.ldexp(self.value, max(self.doublings - doublings, _LEAST))
        behind = np.maximum(whole - doublings, _LEAST).astype(np.int32)
        np.add.at(value, product, np.ldexp(counted * np.exp2(rest / self.half_life), behind))
        return replace(self, value=value, doublings=doublings)

    def at(self, moment: int) -> NDArray[np.float64]:
        """Σ weight(kind) · 2^(−age / half_life), float64[products], with ages counted back from a moment (µs UTC)."""
        if self.half_life == 0:
            return self.value
        ahead = self.doublings - (moment - self.origin) / self.half_life
        return self.value * float(2.0 ** min(ahead, -_LEAST / 2))

    def padded(self, n: int) -> Tally:
        """With nothing counted yet for products behind its own, n of them in all."""
        missing = n - len(self.value)
        return replace(self, value=np.pad(self.value, (0, missing))) if missing > 0 else self


_LEAST = -2_000  # powers of two below this are 0 anyway


def weights_of(table: dict[Kind, float]) -> NDArray[np.float64]:
    """Weights by kind, float64[kinds], 0 for kinds that are not named."""
    weight = np.zeros(max(Kind) + 1)
    for kind, value in table.items():
        weight[kind] = value
    return weight
