"""What every candidate source has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from recommender.queries import Queries
from recommender.sources.scores import Votes

Reason = dict[str, Any]


@dataclass(frozen=True)
class Growth:
    """What happened to a catalogue since a source was fitted.

    Attributes:
        before: the catalogue that the source was fitted on.
        catalogue: as it is now; products that came later stand behind those of before.
        rewritten: column of texts or lists -> int32 codes of products of which it says something else than before.
    """

    before: Catalogue
    catalogue: Catalogue
    rewritten: Mapping[str, NDArray[np.int32]]


class Source(Protocol):
    """Proposes products. Fitted sources are frozen dataclasses of arrays, so a bundle can hold them.

    A source is never changed: `grown` gives another one.

    Each source module has a configuration with the hyper-parameters and a ``fit`` beside it.
    """

    def votes(self, queries: Queries) -> Votes:
        """What it proposes for each question. Those of question q depend on question q alone."""
        ...

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """Why each of these products may stand in the list of question ``row``: ``{"code": …}`` and what belongs to it.

        A product named in a reason is its code, under ``product``; the caller turns it into an id.
        """
        ...

    def grown(self, growth: Growth) -> Source:
        """The source over a catalogue with more products. It need not propose those it knows nothing of."""
        ...
