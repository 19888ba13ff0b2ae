"""Categories and brands as things to recommend: the same sources over groups of products in place of products."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.catalogue import CATEGORY_SEPARATOR, Catalogue
from features.events import EventLog
from features.histories import Histories, Ragged
from features.vocabulary import Vocabulary
from recommender.queries import Queries

_KINDS = ("category", "brand")


@dataclass(frozen=True)
class Groups:
    """Groups of products, named ``category:PATH`` and ``brand:NAME``.

    members: int32 of shape (2, products): the category and the brand of each product, codes in ``ids``, -1 for none.
    """

    ids: Vocabulary
    members: NDArray[np.int32]

    @staticmethod
    def of(catalogue: Catalogue) -> Groups:
        """The groups of a catalogue's products."""
        ids = Vocabulary(f"{kind}:{value}" for kind in _KINDS for value in catalogue.text(kind).values)
        none = Groups(ids, np.zeros((len(_KINDS), 0), dtype=np.int32))
        return replace(none, members=none.members_of(catalogue, np.arange(len(catalogue), dtype=np.int32)))

    def members_of(self, catalogue: Catalogue, products: NDArray[np.int32]) -> NDArray[np.int32]:
        """The groups of some products of a catalogue, int32 of shape (2, products), -1 where these groups lack it."""
        members = np.full((len(_KINDS), len(products)), -1, dtype=np.int32)
        for row, kind in enumerate(_KINDS):
            column = catalogue.text(kind)
            codes = column.codes[products]
            known, place = np.unique(codes[codes >= 0], return_inverse=True)
            members[row, codes >= 0] = self.ids.codes(f"{kind}:{column.values[code]}" for code in known.tolist())[place]
        return members

    def name(self, code: int) -> tuple[str, str]:
        """Kind and name of a group."""
        kind, _, name = self.ids[code].partition(":")
        return kind, name

    def of_category(self, category: str) -> list[int]:
        """Codes of a category and of those below it."""
        whole = f"category:{category}"
        below = whole + CATEGORY_SEPARATOR
        return [code for code, name in enumerate(self.ids) if name == whole or name.startswith(below)]

    def of_products(self, products: NDArray[np.int32]) -> list[int]:
        """Codes of the groups of some products, each once."""
        return sorted(set(self.members[:, products].ravel().tolist()) - {-1})

    def log(self, log: EventLog) -> EventLog:
        """The log with groups for products: an event of a product is one of its category and one of its brand."""
        rows = np.repeat(np.arange(len(log)), len(_KINDS))
        group = self._groups_of(log.product)
        told = group >= 0
        return replace(log.take(rows[told]), products=self.ids, product=group[told])

    def histories(self, history: Histories) -> Histories:
        """Histories with groups in place of products."""
        group = self._groups_of(history.product)
        told = group >= 0
        indptr = np.concatenate([[0], np.cumsum(told)])[history.indptr * len(_KINDS)].astype(np.int64)
        kind, time = np.repeat(history.kind, len(_KINDS)), np.repeat(history.time, len(_KINDS))
        return Histories(indptr, group[told], kind[told], time[told])

    def queries(self, queries: Queries, anchors: list[int]) -> Queries:
        """One question about groups."""
        return Queries(queries.at, self.histories(queries.history), Ragged.of([anchors]))

    def _groups_of(self, products: NDArray[np.int32]) -> NDArray[np.int32]:
        grouped = (
            np.where(products >= 0, self.members[:, products], -1)
            if len(self.members[0])
            else np.full((2, len(products)), -1)
        )
        return grouped.T.ravel().astype(np.int32)
