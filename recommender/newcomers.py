"""Which products are new to a shop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue, Time
from features.events import DAY, NEVER
from features.histories import Histories

_NULL_TIME = np.iinfo(np.int64).min


def newcomers(catalogue: Catalogue, histories: Histories, day: int, days: int) -> NDArray[np.int32]:
    """Codes of the products whose ``available_from`` or first event is at most ``days`` days ago, or without events.

    Args:
        catalogue: the products.
        histories: everything that people did with them up to training.
        day: days since 1970 UTC.
        days: how long a product is new.
    """
    first = np.full(len(catalogue), NEVER, dtype=np.int64)
    first[: len(histories.first)] = histories.first
    new = first // DAY >= day - days
    column = catalogue.columns.get("available_from")
    if isinstance(column, Time):
        new |= (column.values != _NULL_TIME) & (column.values // DAY >= day - days)
    return np.flatnonzero(new).astype(np.int32)
