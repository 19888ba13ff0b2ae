"""Ids as numbers: position in a sorted list of strings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
