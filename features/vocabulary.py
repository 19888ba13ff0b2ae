"""Ids as numbers: position in a sorted list of strings."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]


class Vocabulary(Sequence[str]):
    """Distinct ids in ascending order; the code of an id is its place.

    Codes follow the order of ids, so a tie broken by code is a tie broken by id, whatever order the rows came in.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids = sorted(set(ids))

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, code):  # type: ignore[no-untyped-def]  # the overloads of Sequence add nothing here
        return self._ids[code]

    @cached_property
    def _lookup(self) -> dict[str, int]:
        return {identifier: code for code, identifier in enumerate(self._ids)}

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._lookup

    def code(self, identifier: str) -> int:
        """The code of an id, or -1 if it is unknown."""
        return self._lookup.get(identifier, -1)

    def codes(self, identifiers: Iterable[str]) -> Codes:
        """Codes of many ids, int32, -1 where unknown."""
        lookup = self._lookup
        return np.fromiter((lookup.get(identifier, -1) for identifier in identifiers), dtype=np.int32)

    def found(self, identifiers: Iterable[str]) -> Codes:
        """Codes of ids that are there, by search: quicker than `codes` for a few ids of a large, new vocabulary."""
        return np.fromiter((bisect_left(self._ids, identifier) for identifier in identifiers), dtype=np.int32)

    def merged(self, more: Iterable[str]) -> tuple[Vocabulary, Codes]:
        """The vocabulary with more ids among its own, still in order, and the new code of each of its own.

        Costs a copy of the list and a search an id, so a large vocabulary takes in a few ids in no time.
        """
        found = [(bisect_left(self._ids, identifier), identifier) for identifier in sorted(set(more))]
        new = [(at, one) for at, one in found if at == len(self._ids) or self._ids[at] != one]
        if not new:
            return self, np.arange(len(self), dtype=np.int32)
        merged, start = Vocabulary(), 0
        for at, identifier in new:
            merged._ids += self._ids[start:at]
            merged._ids.append(identifier)
            start = at
        merged._ids += self._ids[start:]
        places = np.array([at for at, _ in new])
        own = np.arange(len(self), dtype=np.int32)
        return merged, own + np.searchsorted(places, own, side="right").astype(np.int32)

    def in_order(self) -> tuple[Vocabulary, Codes]:
        """The ids in ascending order, and the place of each code's id among them."""
        return self, np.arange(len(self), dtype=np.int32)


class GrownVocabulary(Vocabulary):
    """A vocabulary with more ids behind those it had, in the order given: codes that were given out stay as they are.

    Ids that are there already, or named twice, count once. Behind the first ones codes are not in the order of ids.
    """

    def __init__(self, base: Vocabulary, more: Iterable[str]) -> None:
        self._base = base
        self._more = [identifier for identifier in dict.fromkeys(more) if identifier not in base]
        self._places = {identifier: len(base) + place for place, identifier in enumerate(self._more)}

    def __len__(self) -> int:
        return len(self._base) + len(self._more)

    def __getitem__(self, code):  # type: ignore[no-untyped-def]  # the overloads of Sequence add nothing here
        if isinstance(code, slice):
            return [*self._base, *self._more][code]
        place = code + len(self) if code < 0 else code
        return self._base[place] if place < len(self._base) else self._more[place - len(self._base)]

    def __iter__(self) -> Iterator[str]:
        yield from self._base
        yield from self._more

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._base or identifier in self._places

    def code(self, identifier: str) -> int:
        """The code of an id, or -1 if it is unknown."""
        code = self._base.code(identifier)
        return code if code >= 0 else self._places.get(identifier, -1)

    def codes(self, identifiers: Iterable[str]) -> Codes:
        """Codes of many ids, int32, -1 where unknown."""
        return np.fromiter((self.code(identifier) for identifier in identifiers), dtype=np.int32)

    def merged(self, more: Iterable[str]) -> tuple[Vocabulary, Codes]:
        """As of any vocabulary: the result is in ascending order throughout."""
        whole, own = self._base.merged([*self._more, *more])
        return whole, np.concatenate([own, whole.found(self._more)])

    def in_order(self) -> tuple[Vocabulary, Codes]:
        """The ids in ascending order, and the place of each code's id among them."""
        return self.merged(())

    def found(self, identifiers: Iterable[str]) -> Codes:
        """Codes of ids that are there."""
        return self.codes(identifiers)
