"""Products on their way into an answer: chosen among candidates, pinned, filled up from a fallback chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.arrange import diversified, one_variant
from recommender.eligibility import Mask

Codes = NDArray[np.int32]

#: Diversity chooses among this many candidates, or five times the count if that is more.
_POOL = 50


class Pick(NamedTuple):
    """A product and where it came from. Level 0 is the placement's own source.

    ``propensity``: the probability that the product stands where it stands.
    """

    code: int
    score: float
    source: str
    fallback_level: int = 0
    propensity: float = 1.0


@dataclass(frozen=True)
class Shelf:
    """What choosing needs to know of a catalogue: int32[products] codes of variant group and category, -1 for none."""

    variant: Codes
    category: Codes

    def choose(self, codes: Codes, scores: NDArray[np.float32], count: int, diversity: float) -> NDArray[np.int64]:
        """Places of the ``count`` candidates to show, best first: ties by code, one variant, categories mixed."""
        pool = max(_POOL, 5 * count) if diversity else count
        order = _best_first(codes, scores, 4 * pool if self._varied else pool)
        if self._varied:
            best = order
            order = _first_variants(best, self.variant[codes[best]], pool)
            if len(order) < min(pool, len(scores)):  # too many of them are variants of each other
                best = _best_first(codes, scores, len(scores))
                order = _first_variants(best, self.variant[codes[best]], pool)
        order = order[:pool]
        if not diversity:
            return order
        return order[diversified(scores[order], self.category[codes[order]], count, diversity)]

    @cached_property
    def _varied(self) -> bool:
        """Whether any product has variants."""
        return bool((self.variant >= 0).any())

    def pin(self, picks: list[Pick], pins: Iterable[tuple[int, int]], out: Mask, count: int) -> list[Pick]:
        """The list with pinned products (position from 1, code) at their places, other variants of them gone."""
        for position, code in pins:
            if not out[code]:
                picks = [pick for pick in picks if not self._same(pick.code, code)]
                picks.insert(position - 1, Pick(code, 0.0, "pin"))
        return picks[:count]

    def add(self, picks: list[Pick], more: Iterable[Pick], out: Mask, count: int) -> list[Pick]:
        """The list with more behind it, up to ``count``, without what ``out`` (bool[products]) names and variants."""
        picks = list(picks)
        listed = {pick.code for pick in picks}
        variants = {int(self.variant[pick.code]) for pick in picks} - {-1}
        for pick in more:
            if len(picks) >= count:
                break
            variant = int(self.variant[pick.code])
            if not out[pick.code] and pick.code not in listed and variant not in variants:
                picks.append(pick)
                listed.add(pick.code)
                variants.update({variant} - {-1})
        return picks

    def beside(self, picks: list[Pick], codes: Codes) -> Codes:
        """Those of some products that are no variant of what is listed, one of each group."""
        listed = self.variant[[pick.code for pick in picks]]
        groups = self.variant[codes]
        codes = codes[(groups < 0) | ~np.isin(groups, listed)]
        return codes[one_variant(np.arange(len(codes)), self.variant[codes])]

    def _same(self, one: int, other: int) -> bool:
        return one == other or (self.variant[one] >= 0 and bool(self.variant[one] == self.variant[other]))


def _first_variants(order: NDArray[np.int64], groups: Codes, count: int) -> NDArray[np.int64]:
    """The first ``count`` places of ``order`` whose group (of each, -1 for none) does not stand further up already."""
    listed: set[int] = set()
    found: list[int] = []
    for place, group in zip(order.tolist(), groups.tolist(), strict=True):
        if group not in listed:
            if len(found) == count:
                break
            found.append(place)
            if group >= 0:
                listed.add(group)
    return np.array(found, dtype=np.int64)


def _best_first(codes: Codes, scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Places of at least the ``count`` highest scores, ties by code."""
    near = np.arange(len(scores))
    if len(scores) > count:
        near = np.flatnonzero(scores >= np.partition(scores, len(scores) - count)[len(scores) - count])
    return near[np.lexsort((codes[near], -scores[near]))]


def down(chain: list[tuple[str, NDArray[np.int64]]], out: Mask) -> Iterator[Pick]:
    """Products of a fallback chain (name, codes in order), lazily, one ranking after the other; levels start at 1."""
    for level, (name, order) in enumerate(chain, start=1):
        for start in range(0, len(order), 256):
            part = order[start : start + 256]
            for code in part[~out[part]].tolist():
                yield Pick(code, 0.0, name, level)
