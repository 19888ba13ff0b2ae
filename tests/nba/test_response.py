from __future__ import annotations

import numpy as np
import pytest

from nba.response import fit_response
from tests.nba.worlds import ARMS, drawn, logged


def test_it_tells_what_follows_contacts_not_what_they_add() -> None:
    """Nobody is moved, but everybody buys: the response is what is bought."""
    log = drawn(base=5.0, gain=((0.0, 0.0), (0.0, 0.0)))
    told = fit_response(ARMS, np.zeros((len(log), 1)), log.arm, log.value, seed=0).of_arms(np.zeros((3, 1)))
    assert told[:, 0].tolist() == [0, 0, 0]
    assert told[:, 1:] == pytest.approx(np.full((3, 4), 5.0), abs=0.2)


def test_arms_are_told_apart() -> None:
    log = drawn(gain=((4.0, 0.0), (4.0, 0.0)), attend=((0.9, 0.1), (0.9, 0.1)))
    told = fit_response(ARMS, np.zeros((len(log), 1)), log.arm, log.value, seed=0).of_arms(np.zeros((1, 1)))[0]
    assert told.argmax() == ARMS.find("a", "email")
    assert told[1] == pytest.approx(1 + 0.9 * 4, abs=0.4)


def test_what_is_not_wanted_is_not_told() -> None:
    log = drawn(base=5.0)
    rows = np.random.default_rng(0).normal(size=(len(log), 2))
    fitted = fit_response(ARMS, rows, log.arm, log.value, seed=0)
    wanted = np.random.default_rng(1).random((20, len(ARMS))) < 0.5
    told = fitted.of_arms(rows[:20], wanted)
    np.testing.assert_array_equal(told, np.where(wanted, fitted.of_arms(rows[:20]), 0.0))


def test_nothing_was_sent() -> None:
    log = logged(ARMS, [0, 0])
    assert (fit_response(ARMS, np.zeros((2, 3)), log.arm, log.value, seed=0).of_arms(np.zeros((2, 3))) == 0).all()
