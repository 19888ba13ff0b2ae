"""Crowds of which only some is known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Column
from features.events import DAY
from features.slots import CUSTOMER
from nba.crowd import Contacts, Crowd

#: The midnight (UTC) between a Thursday and a Friday.
NOW = 20_000 * DAY


def crowd(
    state: Mapping[str, NDArray[np.float64]],
    at: NDArray[np.int64] | None = None,
    attributes: Mapping[str, Column] | None = None,
) -> Crowd:
    """As many customers as the features have rows; every other feature is null, nobody can be reached."""
    n = len(next(iter(state.values())))
    table = np.full((n, len(CUSTOMER.features)), np.nan)
    for name, values in state.items():
        table[:, CUSTOMER.features.index(name)] = values
    nothing = np.ones((n, 0), dtype=np.bool_)
    return Crowd(
        ids=[str(row) for row in range(n)],
        at=np.full(n, NOW) if at is None else at,
        names=CUSTOMER.features,
        state=table,
        attributes=attributes or {},
        zones=[None] * n,
        channels=(),
        consented=nothing,
        reachable=nothing,
        contacts=Contacts.none(n),
    )
