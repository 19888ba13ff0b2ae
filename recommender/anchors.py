"""The products a list stands beside when the request names none: taken from what the shopper did."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.events import Kind
from features.histories import Histories

DefaultAnchors = Literal["none", "cart", "last_order", "last_viewed"]


def anchors_of(history: Histories, default: DefaultAnchors) -> NDArray[np.int32]:
    """Product codes, int32: the cart since the last purchase, the last order, or the last product looked at.

    Args:
        history: one row, one shopper's.
        default: which of them; "none" gives none.
    """
    bought = history.kind == Kind.PURCHASE
    match default:
        case "none":
            return history.product[:0]
        case "last_viewed":
            return np.asarray(history.product[~bought][-1:])
        case "last_order":
            times = history.time[bought]
            return np.unique(history.product[bought][times == times[-1:]])
        case "cart":
            since = history.time > history.time[bought].max(initial=np.iinfo(np.int64).min)
            return np.unique(history.product[(history.kind == Kind.CART) & since])
