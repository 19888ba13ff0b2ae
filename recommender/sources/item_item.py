"""Products that the same people take an interest in (cosine between columns of the person × product matrix)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array

from features.config import Config
from features.events import EventLog
from features.histories import Histories, gather
from recommender.sources.neighbours import NeighbourSource, neighbours_of


class ItemItemConfig(Config):
    """Hyper-parameters of `fit`."""

    kind: Literal["item_item"] = "item_item"
    damping: float = Field(0.5, ge=0, le=1)
    """Exponent of the popularity of both products; ½ is the cosine."""
    newest: int = Field(300, ge=2)
    """Only so many of a person's newest events count, so that a heavy customer costs no more than others."""
    neighbours: int = Field(200, ge=1)
    """Most similar products kept for each."""
    profile_decay: float = Field(0.7, gt=0, le=1)
    """Weight of a step of the shopper's history relative to the next newer one."""
    profile_steps: int = Field(20, ge=1)
    """How many steps of the history count."""


def interest_matrix(log: EventLog, newest: int) -> csr_array:
    """Who took an interest in what: binary float32 (people, products)."""
    history = Histories.of(log)
    lengths = np.diff(history.indptr)
    _, entries = gather(history.indptr, np.arange(len(history)))
    recent = entries >= np.repeat(history.indptr[1:] - newest, lengths)
    row, column = history.row[recent], history.product[recent]
    matrix = csr_array((np.ones(len(row), dtype=np.float32), (row, column)), shape=(len(history), len(log.products)))
    matrix.data[:] = 1  # the constructor adds repeats up
    return matrix


def fit(log: EventLog, config: ItemItemConfig) -> NeighbourSource:
    """weight(i, j) = Σ_u 1 / log2(1 + |u|) over people u interested in both, divided by (n_i · n_j)^damping."""
    matrix = interest_matrix(log, config.newest)
    popularity = np.asarray(matrix.sum(axis=0)).ravel()
    weight = 1 / np.log2(1 + np.maximum(np.diff(matrix.indptr), 1))
    damped = csr_array(matrix.multiply(np.maximum(popularity, 1) ** -config.damping), dtype=np.float32)
    weighted = csr_array(damped.multiply(weight[:, None]), dtype=np.float32)
    table = neighbours_of(csr_array(damped.T), weighted, config.neighbours)
    return NeighbourSource(table, config.profile_decay, config.profile_steps, "people_also_like")
