"""What every candidate source has in common."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.sparse import csr_array

from recommender.queries import Queries

Reason = dict[str, Any]


class Config(BaseModel):
    """Base of every configuration: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Protocol):
    """Proposes products. Fitted sources are frozen dataclasses of arrays, so a bundle can hold them.

    Each source module has a configuration with the hyper-parameters and a ``fit`` beside it.
    """

    def score(self, queries: Queries) -> csr_array:
        """Scores of candidates, float32 of shape (queries, products): positive where proposed, absent elsewhere.

        Row q depends on question q alone, and indices of a row ascend.
        """
        ...

    def reasons(self, queries: Queries, row: int, products: NDArray[np.int32]) -> list[Reason]:
        """Why each of these products may stand in the list of question ``row``: ``{"code": …}`` and what belongs to it.

        A product named in a reason is its code, under ``product``; the caller turns it into an id.
        """
        ...


def rows_of(indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row number of every entry of a ragged array."""
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


def empty_scores(queries: int, products: int) -> csr_array:
    """No candidate for anyone."""
    return csr_array((queries, products), dtype=np.float32)
