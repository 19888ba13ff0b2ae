"""What comes after what: weighted transitions between the steps of each shopper's history."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from features.config import Config
from features.events import DAY, EventLog
from features.histories import Histories
from recommender.sources.neighbours import NeighbourSource, neighbours_of


class TransitionsConfig(Config):
    """Hyper-parameters of `fit`."""

    kind: Literal["transitions"] = "transitions"
    distance: int = Field(20, ge=1)
    """How many steps apart a pair may stand."""
    pairs: int = Field(100_000_000, ge=1)
    """Further distances are left out once so many pairs are counted, so that full orders do not cost without bound."""
    distance_decay: float = Field(0.85, gt=0, le=1)
    """Weight of a pair one step further apart."""
    reverse: float = Field(0.3, ge=0)
    """Weight of the same pair read backwards."""
    damping: float = Field(0.05, ge=0, le=1)
    """Exponent of popularity that both ends are divided by."""
    half_life_days: float | None = Field(None, gt=0)
    """Older pairs weigh less; None: all the same."""
    neighbours: int = Field(200, ge=1)
    """Strongest successors kept for each product."""
    profile_decay: float = Field(0.7, gt=0, le=1)
    """Weight of a step of the shopper's history relative to the next newer one."""
    profile_steps: int = Field(20, ge=1)
    """How many steps of the history count."""


def step_matrix(history: Histories, products: int) -> tuple[csr_array, NDArray[np.int64], NDArray[np.int64]]:
    """Steps of all histories as rows: binary float32 (steps, products), and the person and time (µs) of each step."""
    back, person = history.steps_back, history.row
    n = len(back)
    first = np.ones(n, dtype=np.bool_)
    first[1:] = (back[1:] != back[:-1]) | (person[1:] != person[:-1])
    number = np.cumsum(first) - 1
    steps = int(first.sum())
    matrix = csr_array((np.ones(n, dtype=np.float32), (number, history.product)), shape=(steps, products))
    matrix.data[:] = 1  # the constructor adds duplicates up
    return matrix, person[first], history.time[first]


def fit(log: EventLog, at: int, config: TransitionsConfig) -> NeighbourSource:
    """Fit on everything in the log; ages are counted back from ``at`` (microseconds UTC).

    The pair (i at step s, j at step s + d) of a history of length L, in steps, weighs

        distance_decay^(d − 1) / log2(1 + L) / (|s| · |s + d|)^½

    with |s| the number of products of a step, plus ``reverse`` times the same for (j, i), all divided by
    (popularity_i · popularity_j)^damping. As one sparse product this is Sᵀ (D + reverse · Dᵀ) S, D the banded matrix of
    weights between steps.
    """
    n = len(log.products)
    matrix, person, time = step_matrix(Histories.of(log), n)
    steps = len(person)
    size = np.asarray(matrix.sum(axis=1)).ravel()
    length = np.bincount(person, minlength=len(log.people))[person] if steps else np.zeros(0)
    weight = 1 / np.log2(1 + length)
    if config.half_life_days is not None:
        weight = weight * 0.5 ** ((at - time) / (config.half_life_days * DAY))
    rows: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    data: list[NDArray[np.float64]] = []
    counted = 0.0
    for d in range(1, min(config.distance, steps - 1) + 1):
        pairs = np.flatnonzero(person[d:] == person[:-d])
        counted += float(np.sum(size[pairs] * size[pairs + d]))
        if len(pairs) == 0 or (counted > config.pairs and rows):
            break
        rows.append(pairs)
        columns.append(pairs + d)
        data.append(config.distance_decay ** (d - 1) * weight[pairs + d] / np.sqrt(size[pairs] * size[pairs + d]))
    if not rows:
        return NeighbourSource(
            csr_array((n, n), dtype=np.float32), config.profile_decay, config.profile_steps, "viewed_next"
        )
    band = csr_array(
        (np.concatenate(data), (np.concatenate(rows), np.concatenate(columns))), shape=(steps, steps), dtype=np.float32
    )
    if config.reverse:
        band = csr_array(band + config.reverse * band.T)
    popularity = np.asarray(matrix.sum(axis=0)).ravel()
    damp = csr_array(matrix.multiply(np.maximum(popularity, 1) ** -config.damping), dtype=np.float32)
    table = neighbours_of(csr_array(damp.T), csr_array(band @ damp), config.neighbours)
    return NeighbourSource(table, config.profile_decay, config.profile_steps, "viewed_next")
