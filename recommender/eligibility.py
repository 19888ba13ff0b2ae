"""What a list may hold: masks over the catalogue, and the funnel that shows what each of them dropped."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue, Time
from features.events import NEVER
from features.filters import evaluate

Mask = NDArray[np.bool_]
Candidates = tuple[NDArray[np.int32], NDArray[np.float32]]


class Funnel:
    """Candidates on their way to a list.

    Args:
        codes: int32, ascending.
        scores: float32, of equal length.
        products: how many there are in all.
    """

    def __init__(self, codes: NDArray[np.int32], scores: NDArray[np.float32], products: int) -> None:
        self.codes, self.scores, self._products = codes, scores, products
        self.steps: list[tuple[str, int, int]] = [("candidates", len(codes), len(codes))]

    def keep(self, step: str, kept: Mask) -> None:
        """Let through the candidates of a mask, bool[candidates]."""
        before = len(self.codes)
        if not kept.all():
            self.codes, self.scores = self.codes[kept], self.scores[kept]
        self.steps.append((step, before, len(self.codes)))

    def parted(self, buried: NDArray[np.int32]) -> tuple[Candidates, Candidates]:
        """The candidates left, and those of them that are buried."""
        if len(buried) == 0:
            return (self.codes, self.scores), (self.codes[:0], self.scores[:0])
        low = np.isin(self.codes, buried)
        return (self.codes[~low], self.scores[~low]), (self.codes[low], self.scores[low])

    def step(self, step: str, left: int) -> None:
        """Note what a step that is not a mask left."""
        self.steps.append((step, self.steps[-1][2], left))

    def drop(self, step: str, codes: NDArray[np.int32]) -> None:
        """Drop some products."""
        if len(codes) == 0 or len(self.codes) == 0:
            self.step(step, len(self.codes))
        elif len(codes) < len(self.codes):
            place = np.minimum(self.codes.searchsorted(codes), len(self.codes) - 1)
            staying = np.ones(len(self.codes), dtype=np.bool_)
            staying[place[self.codes[place] == codes]] = False
            self.keep(step, staying)
        else:
            wanted = np.ones(self._products, dtype=np.bool_)
            wanted[codes] = False
            self.keep(step, wanted[self.codes])


class _Available(NamedTuple):
    """What may be shown from one moment until another, microseconds UTC."""

    since: int
    until: int
    mask: Mask


def _available(catalogue: Catalogue, at: int) -> _Available:
    column = catalogue.columns.get("available_from")
    first_days = column.values if isinstance(column, Time) else np.zeros(0, dtype=np.int64)
    begun = first_days <= at
    since = first_days.max(where=begun, initial=-NEVER)
    until = first_days.min(where=~begun, initial=NEVER)
    return _Available(int(since), int(until), catalogue.available(at))


class MaskCache:
    """Masks of filters and categories over one catalogue, the most recently used kept, and of what may be shown."""

    def __init__(self, catalogue: Catalogue, size: int = 256) -> None:
        self._catalogue = catalogue
        self._size = size
        self._masks: OrderedDict[tuple[str, str], Mask] = OrderedDict()
        self._available = _Available(0, 0, np.zeros(0, dtype=np.bool_))

    def available(self, at: int) -> Mask:
        """bool[products]: `Catalogue.available`, the very same array until another product has its first day."""
        kept = self._available  # taken once: other threads ask, too
        if not kept.since <= at < kept.until:
            kept = self._available = _available(self._catalogue, at)
        return kept.mask

    def filter(self, text: str) -> Mask:
        """bool[products]: what a filter keeps.

        Raises:
            features.filters.FilterError: the filter cannot be honoured.
        """
        return self._remember(("filter", text))

    def category(self, name: str) -> Mask:
        """bool[products]: the products of a category and of those below it."""
        return self._remember(("category", name))

    def _remember(self, key: tuple[str, str]) -> Mask:
        mask = self._masks.get(key)
        if mask is None:
            kind, text = key
            catalogue = self._catalogue
            mask = (
                evaluate(text, catalogue.filterable, len(catalogue))
                if kind == "filter"
                else catalogue.in_category(text)
            )
            self._masks[key] = mask
            if len(self._masks) > self._size:
                self._masks.popitem(last=False)
        self._masks.move_to_end(key)
        return mask
