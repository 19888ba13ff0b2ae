"""The chance that a contact is attended, by channel: gradient-boosted trees over what is known of the customer.

One model for all channels. Each row is a contact: the customer's columns (`nba.encoding`), and of the channel that the
contact is on which it is, how many were sent, opened and clicked there of late, the rate of these shrunk to
everybody's, and how long the last contact and the last answer there are ago. So what is learned on one channel helps
the others, and a channel somebody answers on wins when all else is equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.slots import CHANNELS
from nba.crowd import Crowd, Floats, rows_of
from nba.trees import folds_of

if TYPE_CHECKING:
    from lightgbm import Booster

#: Answers that a channel's own rate is shrunk by, in contacts.
SHRINK = 5.0

#: Contacts by which a channel's mean is shrunk to that of all.
MEAN_SHRINK = 20.0

#: Contacts needed to fit trees; below, every channel has its mean.
LEAST_CONTACTS = 1_000

#: Numbers of the channel that a contact is on.
OWN = ("sends", "opens", "clicks", "rate", "since_send", "since_answer")

#: The chance that is assumed before anything was sent.
USUAL = 0.1

#: No chance is told as nothing or certain.
LOWEST, HIGHEST = 1e-4, 1 - 1e-4

#: People asked about at once: more only take memory.
PART = 1_000

_PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.08,
    "min_data_in_leaf": 50,
    "lambda_l2": 10.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
_TREES = 80


@dataclass(frozen=True)
class Attendance:
    """A fitted model of attending.

    Attributes:
        channels: names of C channels.
        mean: float64[C + 1], share of contacts that were attended, shrunk to that of all channels; the last one is 1:
            where the channel is part of the action, whether it is attended is part of its gain.
        level: float64[C], what makes the trees' chances right on average over each channel's contacts.
        trees: the model as LightGBM text, or None where there were too few contacts.
        told: whether the log drew channels and hours at all; where not, every chance is 1, so gains are per contact.
    """

    channels: tuple[str, ...]
    mean: Floats
    level: Floats
    trees: str | None
    told: bool = True
    booster: Booster | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.trees is not None:
            from lightgbm import Booster

            object.__setattr__(self, "booster", Booster(model_str=self.trees))

    def chance(self, matrix: Floats, crowd: Crowd) -> Floats:
        """float64[n, C + 1], of a contact on each channel at an average hour; the last column is 1.

        Args:
            matrix: float64[n, F], the crowd encoded.
            crowd: the same people.
        """
        n, c = len(matrix), len(self.channels)
        out = np.ones((n, c + 1))
        if not self.told or c == 0 or n == 0:
            return out
        if self.booster is None:
            out[:, :c] = self.mean[:c]
            return out
        own = own_numbers(crowd, self.channels, self.mean)
        for first in range(0, n, PART):
            some = slice(first, first + PART)
            rows = _rows(matrix[some], own[some], np.arange(c))
            chances = np.asarray(self.booster.predict(rows, num_threads=1)).reshape(-1, c)
            out[some, :c] = np.clip(chances * self.level, LOWEST, HIGHEST)
        return out


def chance_on(model: Attendance, matrix: Floats, crowd: Crowd, channel: NDArray[np.int32]) -> Floats:
    """float64[n], as `Attendance.chance`, of each customer on one channel only; 1 where it is -1."""
    c = len(model.channels)
    out = np.append(model.mean[:c], 1.0)[channel]
    if not model.told or c == 0:
        return np.ones(len(channel))
    rows = np.flatnonzero(channel >= 0)
    if model.booster is not None and len(rows):
        own = own_numbers(crowd, model.channels, model.mean)[rows, channel[rows]]
        columns = np.hstack([matrix[rows], own, np.eye(c)[channel[rows]]])
        chances = np.asarray(model.booster.predict(columns, num_threads=1))
        out[rows] = np.clip(chances * model.level[channel[rows]], LOWEST, HIGHEST)
    return out


def unseen_chances(
    matrix: Floats,
    crowd: Crowd,
    channels: tuple[str, ...],
    channel: NDArray[np.int32],
    attended: NDArray[np.bool_],
    customer: NDArray[np.int32],
    *,
    folds: int,
    seed: int,
) -> Floats:
    """float64[n]: the chance of each contact by models that have not seen what its customer attended.

    A model knows its own training rows: whoever attended gets the higher chance. Were gains learned from such chances,
    whatever goes with attending would look like its effect.

    Args:
        matrix, crowd, channels, channel, attended, seed: as of `fit_attendance`.
        customer: int32[n], whose contact it is.
        folds: of customers.
    """
    fold = folds_of(customer, folds, np.random.default_rng(seed))
    out = np.empty(len(channel))
    for number in range(folds):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if not len(inside):  # there is but one customer
            inside = outside
        model = fit_attendance(
            matrix[inside], rows_of(crowd, inside), channels, channel[inside], attended[inside], seed=seed + number
        )
        out[outside] = chance_on(model, matrix[outside], rows_of(crowd, outside), channel[outside])
    return out


def untold(channels: tuple[str, ...]) -> Attendance:
    """Of a log with nothing to tell channels and hours apart by: every contact counts as attended."""
    return Attendance(channels, np.ones(len(channels) + 1), np.ones(len(channels)), None, told=False)


def unlogged(channels: tuple[str, ...]) -> Attendance:
    """Before there is a log: what is usual, on every channel alike."""
    return Attendance(channels, np.append(np.full(len(channels), USUAL), 1.0), np.ones(len(channels)), None)


def level_of(
    channels: int, channel: NDArray[np.int32], attended: NDArray[np.bool_], expected: Floats
) -> NDArray[np.float64]:
    """By what factor more was attended than expected, float64[C], drawn to 1.

    Args:
        channels: C of them.
        channel: int32[n] of contacts that were sent.
        attended: bool[n], what came of them.
        expected: float64[n], what a model and the hours made one expect.
    """
    happened = np.bincount(channel, weights=attended, minlength=channels)
    told = np.bincount(channel, weights=expected, minlength=channels)
    return np.asarray((happened + SHRINK) / (told + SHRINK), dtype=np.float64)


def levelled(model: Attendance, level: Floats) -> Attendance:
    """The model with its chances times a factor, float64[C], which makes them right on average with the hours."""
    if model.trees is not None:  # they know each customer's rate as shrunk to the mean: it must stay what it was
        return replace(model, level=model.level * level)
    return replace(model, mean=np.minimum(model.mean * np.append(level, 1.0), 1.0))


def fit_attendance(
    matrix: Floats,
    crowd: Crowd,
    channels: tuple[str, ...],
    channel: NDArray[np.int32],
    attended: NDArray[np.bool_],
    *,
    seed: int,
) -> Attendance:
    """Learn from contacts that were sent.

    Args:
        matrix, crowd: n contacts, as known when they were decided.
        channels: names of C channels.
        channel: int32[n], place of the channel of each.
        attended: bool[n].
        seed: of drawing rows and columns.
    """
    c = len(channels)
    sent = np.bincount(channel, minlength=c)[:c]
    answered = np.bincount(channel, weights=attended, minlength=c)[:c]
    mean = np.append((answered + MEAN_SHRINK * attended.mean()) / (sent + MEAN_SHRINK), 1.0)
    if len(attended) < LEAST_CONTACTS or not 0 < attended.sum() < len(attended):
        return Attendance(channels, mean, np.ones(c), None)
    import lightgbm

    own = own_numbers(crowd, channels, mean)[np.arange(len(channel)), channel]
    rows = np.hstack([matrix, own, np.eye(c)[channel]])
    booster = lightgbm.train({**_PARAMETERS, "seed": seed}, lightgbm.Dataset(rows, attended.astype(np.float64)), _TREES)
    return Attendance(channels, mean, np.ones(c), booster.model_to_string())


def own_numbers(crowd: Crowd, channels: Sequence[str], mean: Floats) -> Floats:
    """What the state says of each channel: float64[n, C, len(OWN)]; NaN where nothing happened or no slot counts."""
    n, c = len(crowd), len(channels)
    places = _places(crowd.names, tuple(channels))
    out: Floats = np.concatenate([crowd.state, np.full((n, 1), np.nan)], axis=1)[:, places].reshape(n, c, len(OWN))
    sends, opens, clicks = out[:, :, 0], out[:, :, 1], out[:, :, 2]
    out[:, :, 3] = (np.maximum(opens, clicks) + SHRINK * mean[:c]) / (sends + SHRINK)
    return out


@lru_cache(maxsize=16)
def _places(names: tuple[str, ...], channels: tuple[str, ...]) -> NDArray[np.int64]:
    """Where a state has the numbers of each channel, int64[C · len(OWN)]; -1 where it has none, and for the rate."""
    place = {name: at for at, name in enumerate(names)}
    numbers = ("{}_sends_30d", "{}_opens_30d", "{}_clicks_30d", "", "since_{}_send", "since_{}_answer")
    told = [channel if channel in CHANNELS else "" for channel in channels]
    return np.array([place.get(number.format(channel), -1) for channel in told for number in numbers], dtype=np.int64)


def _rows(matrix: Floats, own: Floats, channels: NDArray[np.int64]) -> Floats:
    """Every person on every channel, by person: float64[n · C, F + len(OWN) + C]."""
    n, c = own.shape[0], own.shape[1]
    width = matrix.shape[1]
    rows = np.empty((n, c, width + own.shape[2] + c))
    rows[:, :, :width] = matrix[:, None, :]
    rows[:, :, width : width + own.shape[2]] = own
    rows[:, :, width + own.shape[2] :] = np.eye(c)[channels]
    return rows.reshape(n * c, -1)


def write_attendance(model: Attendance, folder: Path) -> Mapping[str, Any]:
    """Write the trees into a folder; returns the rest, JSON-ready."""
    if model.trees is not None:
        (folder / "attendance.txt").write_text(model.trees, encoding="utf-8")
    return {
        "channels": list(model.channels),
        "mean": model.mean.tolist(),
        "level": model.level.tolist(),
        "trees": model.trees is not None,
        "told": model.told,
    }


def read_attendance(said: Mapping[str, Any], folder: Path) -> Attendance:
    """Back from `write_attendance`."""
    trees = (folder / "attendance.txt").read_text(encoding="utf-8") if said["trees"] else None
    return Attendance(
        tuple(said["channels"]), np.array(said["mean"]), np.array(said["level"]), trees, told=said["told"]
    )
