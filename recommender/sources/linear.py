"""Closed-form linear models between products, for catalogues small enough to solve exactly."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import cho_factor, cho_solve, get_lapack_funcs
from scipy.sparse import csr_array

from features.config import Config
from features.events import EventLog
from features.histories import Histories
from recommender.sources.item_item import interest_matrix
from recommender.sources.neighbours import NeighbourSource
from recommender.sources.transitions import step_matrix

Floats = NDArray[np.float32]

_COLUMNS = 1_000  # solved for at once


class LinearConfig(Config):
    """Hyper-parameters of `fit`."""

    kind: Literal["linear"] = "linear"
    predicts: Literal["same", "next"] = "same"
    """What else the same people take an interest in, or what they go for next."""
    regularization: float = Field(200.0, gt=0)
    """Weight of the squared coefficients."""
    products: int = Field(4_000, ge=2)
    """Only so many products, those of most people, are in it: the cost grows with the cube of their number."""
    newest: int = Field(300, ge=2)
    """Only so many of a person's newest events count."""
    reach: int = Field(5, ge=1)
    """next: how many steps ahead are predicted; each counts half as much as the one before."""
    neighbours: int = Field(200, ge=1)
    """Largest coefficients kept for each product."""
    profile_decay: float = Field(0.7, gt=0, le=1)
    """Weight of a step of the shopper's history relative to the next newer one."""
    profile_steps: int = Field(20, ge=1)
    """How many steps of the history count."""


def fit(log: EventLog, config: LinearConfig) -> NeighbourSource:
    """Fit on everything in the log.

    With X the interests of people (people × products, 0 or 1) and λ the regularization:

    * same: EASE (Steck 2019). P = (XᵀX + λI)⁻¹, weight(i, j) = −P(i, j) / P(j, j), 0 on the diagonal.
    * next: a ridge regression from what was done up to a step, decayed, to what was done after it, decayed
      (SLIT of SLIST, Choi et al. 2021): (XᵀX + λI)⁻¹ XᵀY.

    Memory: two square matrices of float32 over `LinearConfig.products`.
    """
    n = len(log.products)
    given = interest_matrix(log, config.newest)
    popularity = np.bincount(given.indices, minlength=n)
    kept = np.sort(np.argsort(-popularity, kind="stable")[: config.products])
    kept = kept[popularity[kept] > 0]
    if len(kept) < 2:
        return NeighbourSource(csr_array((n, n), dtype=np.float32), config.profile_decay, config.profile_steps, _CODE)
    given = csr_array(given[:, kept])
    weights = _same(given, config) if config.predicts == "same" else _next(log, kept, config)
    np.fill_diagonal(weights, 0)
    k = min(config.neighbours, len(kept) - 1)
    near = np.argpartition(weights, len(kept) - k, axis=1)[:, len(kept) - k :]
    value = np.take_along_axis(weights, near, axis=1).ravel()
    kept = kept.astype(np.int32)
    row, column = np.repeat(kept, k), kept[near.ravel()]
    there = value > 0
    table = csr_array((value[there], (row[there], column[there])), shape=(n, n), dtype=np.float32)
    return NeighbourSource(table, config.profile_decay, config.profile_steps, _CODE)


_CODE = "people_also_like"


def _gram(matrix: csr_array, regularization: float) -> Floats:
    gram = np.asarray((matrix.T @ matrix).todense(), dtype=np.float32)
    gram[np.diag_indices(len(gram))] += np.float32(regularization)
    return gram


def _same(given: csr_array, config: LinearConfig) -> Floats:
    factor, _ = cho_factor(_gram(given, config.regularization), lower=True, overwrite_a=True, check_finite=False)
    (potri,) = get_lapack_funcs(("potri",), (factor,))
    inverse, _ = potri(factor, lower=1, overwrite_c=1)
    lower = np.tril(inverse, -1)
    diagonal = np.diag(inverse).copy()
    weights: Floats = -(lower + lower.T) / diagonal[None, :]
    return weights


def _next(log: EventLog, kept: NDArray[np.int64], config: LinearConfig) -> Floats:
    matrix, person, _ = step_matrix(Histories.of(log), len(log.products))
    matrix = csr_array(matrix[:, kept])
    before = csr_array(_band(person, config.profile_decay, 0, config.profile_steps - 1) @ matrix)
    after = csr_array(csr_array(_band(person, 0.5, 1, config.reach).T) @ matrix)
    steps = np.bincount(person)[person] if len(person) else person
    weight = (1 / np.sqrt(np.maximum(steps, 1))).astype(np.float32)[:, None]
    before, after = csr_array(before.multiply(weight)), csr_array(after.multiply(weight))
    factor = cho_factor(_gram(before, config.regularization), lower=True, overwrite_a=True, check_finite=False)
    target = csr_array(before.T @ after).tocsc()
    weights = np.empty((len(kept), len(kept)), dtype=np.float32)
    for start in range(0, len(kept), _COLUMNS):
        columns = np.asarray(target[:, start : start + _COLUMNS].todense(), dtype=np.float32)
        weights[:, start : start + _COLUMNS] = cho_solve(factor, columns, overwrite_b=True, check_finite=False)
    return weights


def _band(person: NDArray[np.int64], decay: float, first: int, last: int) -> csr_array:
    """float32 (steps, steps): the weight decay^(d − first) of the step d before each, of the same person."""
    n = len(person)
    rows, columns, data = [], [], []
    for d in range(first, min(last, n - 1) + 1):
        near = np.flatnonzero(person[d:] == person[: n - d])
        rows.append(near + d)
        columns.append(near)
        data.append(np.full(len(near), decay ** (d - first), dtype=np.float32))
    if not rows:
        return csr_array((n, n), dtype=np.float32)
    return csr_array((np.concatenate(data), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n))
