"""What every candidate source has in common."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from recommender.queries import Queries
from recommender.sources.scores import Scores

Reason = dict[str, Any]


class Config(BaseModel):
    """Base of every configuration: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Protocol):
    """Proposes products. Fitted sources are frozen dataclasses of arrays, so a bundle can hold them.

    Each source module has a configuration with the hyper-parameters and a ``fit`` beside it.
    """

    def score(self, queries: Queries) -> Scores:
        """Candidates of each question. Row q depends on question q alone."""
        ...

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """Why each of these products may stand in the list of question ``row``: ``{"code": …}`` and what belongs to it.

        A product named in a reason is its code, under ``product``; the caller turns it into an id.
        """
        ...
