"""Chance, as a hash: the same customer in the same window always draws the same, and a replay needs no state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from features.events import HOUR
from nba.config import PolicyConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Draws:
    """Independent uniform draws from [0, 1) for n customers, float64[n] each.

    Attributes:
        explore: below `PolicyConfig.exploration`: an arm is drawn.
        pick: which of the arms.
        explore_slot: below `PolicyConfig.exploration`: the hour is drawn.
        pick_slot: which of the hours.
        holdout: below `PolicyConfig.holdout`: never contacted; the same in all windows.
    """

    explore: Floats
    pick: Floats
    explore_slot: Floats
    pick_slot: Floats
    holdout: Floats


def draws(policy: PolicyConfig, ids: Sequence[str], at: Ints) -> Draws:
    """The draws of n customers at moments of their own: about two microseconds each.

    BLAKE2b (Aumasson et al. 2013, RFC 7693) of salt, window and id; a draw is 53 bits of it.
    """
    numbers = windows(policy, at)
    starts = {number: f"{policy.salt}\0{number}\0".encode() for number in set(numbers.tolist())}
    named = [identifier.encode() for identifier in ids]
    hashed = b"".join(
        blake2b(starts[number] + name, digest_size=32).digest()
        for number, name in zip(numbers.tolist(), named, strict=True)
    )
    explore, pick, explore_slot, pick_slot = _uniform(hashed).reshape(len(ids), 4).T
    holdout = f"{policy.salt}\0holdout\0".encode()
    kept = b"".join(blake2b(holdout + name, digest_size=8).digest() for name in named)
    return Draws(explore, pick, explore_slot, pick_slot, _uniform(kept))


def windows(policy: PolicyConfig, at: Ints) -> Ints:
    """int64[n], the number of the window that each moment lies in."""
    return at // (policy.window_hours * HOUR)


def nth(open_: NDArray[np.bool_], pick: Floats) -> Ints:
    """int64[n], the entry at share ``pick`` (float64[n]) of the true ones of each row; each row has one at least."""
    counted = np.cumsum(open_, axis=1, dtype=np.int32)
    place = np.minimum(pick * counted[:, -1], counted[:, -1] - 1).astype(np.int32)
    return np.asarray((counted > place[:, None]).argmax(axis=1))


def _uniform(hashed: bytes) -> Floats:
    return np.asarray((np.frombuffer(hashed, dtype="<u8") >> 11) * 2.0**-53, dtype=np.float64)
