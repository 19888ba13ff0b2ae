"""What a shopper did up to a moment: the histories of a bundle and the rows of a live log as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.events import Kind
from features.histories import Histories, carts_taken_back
from recommender.answers import Shopper
from recommender.engine import Recommender


@dataclass(frozen=True)
class LiveRows:
    """What the live log knows of one shopper, in the codes of one recommender's catalogue. Oldest first by time.

    Attributes:
        customer_id, anonymous_ids, session_id: everybody the shopper is known as: their histories in the bundle are
            joined.
        product: int32[n], codes of the catalogue.
        kind: int8[n]: `features.events.INTEREST`, REMOVE_FROM_CART and IMPRESSION.
        time: int64[n], microseconds UTC.
        returned: (product code, time) of refunds of purchases that are not among these rows: each takes back the newest
            purchase of the product before it.
    """

    customer_id: str | None
    anonymous_ids: tuple[str, ...]
    session_id: str | None
    product: NDArray[np.int32]
    kind: NDArray[np.int8]
    time: NDArray[np.int64]
    returned: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Impressions:
    """Products a shopper was shown and has shown no interest in since.

    product: int32[n], ascending; times: int64[n], how often.
    """

    product: NDArray[np.int32]
    times: NDArray[np.int64]

    def of(self, products: NDArray[np.int32]) -> NDArray[np.int64]:
        """How often each of some products was shown, int64, 0 for those that were not."""
        if len(self.product) == 0:
            return np.zeros(len(products), dtype=np.int64)
        place = np.minimum(self.product.searchsorted(products), len(self.product) - 1)
        return np.where(self.product[place] == products, self.times[place], 0)

    def discount(self, products: NDArray[np.int32], loss: float) -> NDArray[np.float32]:
        """What seeing a product so often leaves of its score: (1 − loss)^times, float32.

        The exponential form of impression discounting (Lee, Lakshmanan, Tiwari & Shah, Modeling Impression Discounting
        in Large-scale Recommender Systems, KDD 2014), with one rate for everybody.
        """
        return np.power(1 - loss, self.of(products)).astype(np.float32)


_IMPRESSION, _REMOVAL = np.int8(Kind.IMPRESSION), np.int8(Kind.REMOVE_FROM_CART)
NO_IMPRESSIONS = Impressions(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64))


def shopper_history(model: Recommender, since: LiveRows, at: int) -> tuple[Histories, Impressions]:
    """One row of history: of everybody the shopper is known as, by time, and what they were shown in vain.

    Rows of ``since`` that the bundle holds already (same time, kind and product) count once. A refund takes back the
    newest purchase of the product that the bundle has before it. Only what lies before ``at`` counts.

    Args:
        model: the recommender, whose histories the rows are laid over.
        since: what is known beyond it.
        at: microseconds UTC.
    """
    past = _of_bundle(model, since, at)
    returned = [(product, time) for product, time in since.returned if time < at]
    if returned:
        past = _less(past, returned)
    rows = slice(0, int(since.time.searchsorted(at)))
    product, kind, time = since.product[rows], since.kind[rows], since.time[rows]
    shown = kind == _IMPRESSION
    if not shown.any():
        return (_joined(past, product, kind, time) if len(product) else past), NO_IMPRESSIONS
    did = ~shown
    if did.any():
        past = _joined(past, product[did], kind[did], time[did])
    return past, _in_vain(past, product[shown], time[shown])


def _of_bundle(model: Recommender, since: LiveRows, at: int) -> Histories:
    """The histories of everybody the shopper is known as, in one row by time."""
    names = [Shopper(anonymous_id=name) for name in since.anonymous_ids]
    if since.customer_id is not None:
        names.insert(0, Shopper(since.customer_id))
    if since.session_id is not None:
        names.append(Shopper(session_id=since.session_id))
    people = [person for person in dict.fromkeys(map(model.person, names)) if person >= 0]
    if len(people) <= 1:
        return model.history(people[0] if people else -1, at)
    parts = [model.history(person, at) for person in people]
    product = np.concatenate([part.product for part in parts])
    kind = np.concatenate([part.kind for part in parts])
    time = np.concatenate([part.time for part in parts])
    order = np.argsort(time, kind="stable")
    return Histories.of_one(product[order], kind[order], time[order])


def _less(past: Histories, returned: Sequence[tuple[int, int]]) -> Histories:
    """The history without the purchases that refunds (product, time) took back."""
    kept = np.ones(len(past.product), dtype=np.bool_)
    for product, time in sorted(returned, key=lambda one: one[1]):
        lines = np.flatnonzero(kept & (past.kind == Kind.PURCHASE) & (past.product == product) & (past.time <= time))
        kept[lines[-1:]] = False
    return Histories.of_one(past.product[kept], past.kind[kept], past.time[kept])


def _joined(past: Histories, product: NDArray[np.int32], kind: NDArray[np.int8], time: NDArray[np.int64]) -> Histories:
    """Rows, oldest first, behind or among those of the bundle; what was taken out of the cart was only looked at."""
    if len(past.time) and time[0] <= past.time[-1]:
        held = _held(past, product, kind, time)
        product, kind, time = product[~held], kind[~held], time[~held]
    if len(past.time):
        in_order = len(time) == 0 or past.time[-1] <= time[0]
        product = np.concatenate([past.product, product])
        kind = np.concatenate([past.kind, kind])
        time = np.concatenate([past.time, time])
        if not in_order:
            order = np.argsort(time, kind="stable")
            product, kind, time = product[order], kind[order], time[order]
    removed = kind == _REMOVAL
    if removed.any():
        kind = carts_taken_back(np.zeros(len(kind), dtype=np.int32), product, kind)[~removed]
        product, time = product[~removed], time[~removed]
    return Histories.of_one(product, kind, time)


def _held(
    past: Histories, product: NDArray[np.int32], kind: NDArray[np.int8], time: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which rows the bundle has. It may have a cart as a view, taken back."""
    near = slice(int(past.time.searchsorted(time[0])), None)
    known = set(zip(past.time[near].tolist(), past.kind[near].tolist(), past.product[near].tolist(), strict=True))
    return np.array(
        [
            (when, what, which) in known or (what == Kind.CART and (when, int(Kind.VIEW), which) in known)
            for when, what, which in zip(time.tolist(), kind.tolist(), product.tolist(), strict=True)
        ],
        dtype=np.bool_,
    )


def _in_vain(past: Histories, product: NDArray[np.int32], time: NDArray[np.int64]) -> Impressions:
    """Impressions after the last interest in their product, counted."""
    near = slice(int(past.time.searchsorted(time[0])), None)
    last = dict(zip(past.product[near].tolist(), past.time[near].tolist(), strict=True))  # the newest stays
    count: dict[int, int] = {}
    for which, when in zip(product.tolist(), time.tolist(), strict=True):
        if when > last.get(which, when - 1):
            count[which] = count.get(which, 0) + 1
    names = sorted(count)
    return Impressions(np.array(names, dtype=np.int32), np.array([count[name] for name in names], dtype=np.int64))
