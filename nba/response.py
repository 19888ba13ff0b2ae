"""The plain response model: what follows contacts, whatever would have come without them. A competitor that stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nba.arms import Arms
from nba.crowd import Floats
from nba.trees import Trees, fit_trees


@dataclass(frozen=True)
class Response:
    """Trees over customers, and which action on which channel a contact is."""

    arms: Arms
    trees: Trees

    def of_arms(self, matrix: Floats, wanted: NDArray[np.bool_] | None = None) -> Floats:
        """float64[n, A], expected outcome of each contact; 0 for hold.

        Args:
            matrix: float64[n, F], customers encoded.
            wanted: bool[n, A], elsewhere it is 0 too; None: all.
        """
        out = np.zeros((len(matrix), len(self.arms)))
        for arm in range(1, len(self.arms)):
            rows = slice(None) if wanted is None else np.flatnonzero(wanted[:, arm])
            some = matrix[rows]
            out[rows, arm] = self.trees.predict(_rows(self.arms, some, np.full(len(some), arm)))
        return out


def fit_response(arms: Arms, matrix: Floats, arm: NDArray[np.int32], target: Floats, *, seed: int) -> Response:
    """Learn from the contacts among n decisions.

    Args:
        arms: A of them.
        matrix: float64[n, F].
        arm: int32[n].
        target: float64[n], outcome without the cost of the contact.
        seed: of drawing rows and columns.
    """
    sent = np.flatnonzero(arm > 0)
    return Response(arms, fit_trees(_rows(arms, matrix[sent], arm[sent]), target[sent], seed=seed))


def _rows(arms: Arms, matrix: Floats, arm: NDArray[np.integer]) -> Floats:
    action = np.eye(len(arms.actions) + 1)[:, :-1][arms.action[arm]]
    channel = np.eye(len(arms.channels) + 1)[:, :-1][arms.channel[arm]]
    return np.hstack([matrix, action, channel])
