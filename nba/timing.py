"""By how much an hour raises the chance that a contact is attended: everybody's curve, bent to the person's own hours.

For a contact on channel c in hour cell x, hour h of the customer's own day on a workday or a weekend,

    lift(c, x | person) ∝ curve(c, x) · (active(h) / active of all(h))^a · (attended(h) / attended of all(h))^b

with mean 1 over the cells, workdays counting five and weekends two. The curve is learned from contacts, every channel
drawn to all channels and every hour to its neighbours. Active and attended are the person's shares of the hours at
which they did anything of their own accord, and at which they opened or clicked (`nba.hours.HourShares`: person →
people alike → everybody). How much a few hours of a person count, and how much such habits matter at all (a and b, at
least 0), `nba.timing_fit` learns from contacts. Without any, or where hours tell nothing, it is 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nba.crowd import Crowd
from nba.hours import HourShares, flat
from nba.values import DAY_HOURS, HOUR_CELLS

Floats = NDArray[np.float64]

#: The slots of a state that tell a person's hours: `features.slots.HoursOfDay`.
ACTIVE, ATTENDED = "active_hours", "attended_hours"

#: How often each cell occurs: workdays, then weekends.
OFTEN = np.repeat([5 / 7, 2 / 7], DAY_HOURS) / DAY_HOURS


@dataclass(frozen=True)
class HourModel:
    """A fitted model of hours; the formula is the module's.

    Attributes:
        channels: names of C channels.
        curve: float64[C + 1, HOUR_CELLS], everybody's; the last row is of all channels. Weighted means are 1.
        active, attended: shares of people's own hours.
        powers: a and b, at least 0.
    """

    channels: tuple[str, ...]
    curve: Floats
    active: HourShares
    attended: HourShares
    powers: tuple[float, float]
    _often: Floats = field(init=False, repr=False, compare=False)
    _curve: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_often", by_hour(self.curve).T)
        curve = self.curve.astype(np.float32).reshape(-1, 2, DAY_HOURS)
        object.__setattr__(self, "_curve", curve)

    def lift(self, crowd: Crowd) -> NDArray[np.float32]:
        """Lift of each cell on each channel: float32[n, C + 1, HOUR_CELLS]; the last channel is none."""
        return self.lift_of(hours_of(crowd, ACTIVE), hours_of(crowd, ATTENDED))

    def lift_of(self, active: Floats, attended: Floats) -> NDArray[np.float32]:
        """`lift` of people by their counts, float64[n, 24] each."""
        n = len(active)
        if self.powers == (0.0, 0.0):
            return np.repeat(self._curve.reshape(1, -1, HOUR_CELLS), n, axis=0)
        habit = self.habit(active, attended)
        level = np.reciprocal(habit @ self._often).astype(np.float32)
        lift = self._curve * habit.astype(np.float32)[:, None, None, :]
        lift *= level[:, :, None, None]
        return lift.reshape(n, -1, HOUR_CELLS)

    def habit(self, active: Floats, attended: Floats) -> Floats:
        """How a person's own hours bend everybody's curve: float64[n, 24], before the mean is made 1."""
        known = ((self.active, active), (self.attended, attended))
        bent = [
            shares.ratio(counts) ** power
            for (shares, counts), power in zip(known, self.powers, strict=True)
            if power > 0.0
        ]
        if not bent:
            return np.ones((len(active), DAY_HOURS))
        return bent[0] if len(bent) == 1 else bent[0] * bent[1]

    def to_arrays(self) -> dict[str, Floats]:
        """What a bundle keeps of it beside the names of the channels."""
        arrays = {"curve": self.curve, "powers": np.array(self.powers)}
        for name, shares in ((ACTIVE, self.active), (ATTENDED, self.attended)):
            arrays |= {f"{name}_{part}": array for part, array in shares.to_arrays().items()}
        return arrays

    @staticmethod
    def from_arrays(arrays: Mapping[str, Floats], channels: tuple[str, ...]) -> HourModel:
        """Back from `to_arrays`."""
        active, attended = (
            HourShares.from_arrays({part: arrays[f"{name}_{part}"] for part in ("kinds", "weights", "shrinkage")})
            for name in (ACTIVE, ATTENDED)
        )
        a, b = arrays["powers"].tolist()
        return HourModel(channels, arrays["curve"], active, attended, (a, b))


def indifferent(channels: tuple[str, ...]) -> HourModel:
    """A model to which all hours are the same: what nothing is known of."""
    return HourModel(channels, np.ones((len(channels) + 1, HOUR_CELLS)), flat(), flat(), (0.0, 0.0))


def hours_of(crowd: Crowd, slot: str) -> Floats:
    """The counts of a `features.slots.HoursOfDay` slot, float64[n, 24]; zeros where the state has none."""
    try:
        first = crowd.names.index(f"{slot}_00")
    except ValueError:
        return np.zeros((len(crowd), DAY_HOURS))
    return crowd.state[:, first : first + DAY_HOURS]


def by_hour(curve: Floats) -> Floats:
    """What a curve makes of a habit's mean, hour by hour: float64[C + 1, 24]."""
    found: Floats = (curve * OFTEN).reshape(-1, 2, DAY_HOURS).sum(axis=1)
    return found
