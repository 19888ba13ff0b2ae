from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nba.crowd import rows_of
from nba.learning import LearningConfig
from nba.logged import Logged
from nba.model import DecisionModel, Rule, look
from nba.selection import Fitted, fit
from tests.nba.simple_models import crowd_of
from tests.nba.worlds import START, drawn


@pytest.fixture(scope="module")
def log() -> Logged:
    return drawn(n=2_500, gain=((3.0, 0.0), (0.0, 1.0)))


@pytest.fixture(scope="module")
def fitted(log: Logged) -> Fitted:
    return fit(log, "value", LearningConfig(), seed=0)


def model(fitted: Fitted, rule: Rule) -> DecisionModel:
    return DecisionModel(fitted.learned, fitted.response, np.array([0.1, 0.2, 0.3]), rule)


def test_of_each_customer_alone_the_values_are_the_same(fitted: Fitted, log: Logged) -> None:
    learned = model(fitted, Rule("learned"))
    whole = learned.values(log.crowd)
    for row in (0, 100):
        alone = learned.values(rows_of(log.crowd, np.array([row])))
        for name in ("base", "gain", "attend", "lift", "attention"):
            np.testing.assert_allclose(getattr(alone, name)[0], getattr(whole, name)[row], rtol=1e-9, err_msg=name)


def test_nobody(fitted: Fitted, log: Logged) -> None:
    none = rows_of(log.crowd, np.zeros(0, dtype=np.int64))
    for name in ("learned", "response", "means", "assigned", "constant"):
        found = model(fitted, Rule(name)).values(none)
        assert found.gain.shape == (0, 2)
        assert found.preference is None or found.preference.shape == (0, 5)


def test_somebody_of_whom_nothing_is_known_is_the_average(fitted: Fitted) -> None:
    stranger = crowd_of([START], channels=["email", "sms", "other"])
    found = model(fitted, Rule("learned")).values(stranger)
    assert np.isfinite(found.gain).all()
    known = fitted.learned.gains.mean
    assert (np.abs(found.gain[0] - known) < 1.5).all()
    assert found.gain[0, 0] > found.gain[0, 1]


def test_what_was_thought_before_is_added(fitted: Fitted, log: Logged) -> None:
    thinking = replace(fitted, learned=replace(fitted.learned, prior=np.array([0.0, 5.0])))
    without, with_it = (model(one, Rule("learned")).values(log.crowd).gain for one in (fitted, thinking))
    np.testing.assert_allclose(with_it - without, np.tile([0.0, 5.0], (len(log), 1)))


class TestRules:
    def test_means_are_the_same_for_all(self, fitted: Fitted, log: Logged) -> None:
        gain = model(fitted, Rule("means")).values(log.crowd).gain
        assert (gain == gain[0]).all()
        assert (model(fitted, Rule("learned")).values(log.crowd).gain != gain).any()

    def test_a_constant_prefers_one_arm(self, fitted: Fitted, log: Logged) -> None:
        preference = model(fitted, Rule("constant", 3)).values(log.crowd).preference
        assert preference is not None
        assert (preference == [-1, -1, -1, 1, -1]).all()

    def test_hold_for_everybody(self, fitted: Fitted, log: Logged) -> None:
        preference = model(fitted, Rule("constant", 0)).values(log.crowd).preference
        assert preference is not None
        assert (preference[:, 1:] < 0).all()

    def test_the_response_prefers_what_is_followed_by_most_less_its_cost(self, fitted: Fitted, log: Logged) -> None:
        preference = model(fitted, Rule("response")).values(log.crowd).preference
        assert preference is not None
        looked = look(fitted.learned, log.crowd)
        np.testing.assert_allclose(preference, fitted.response.of_arms(looked.matrix) - fitted.learned.cost)

    def test_attention_is_by_channel(self, fitted: Fitted, log: Logged) -> None:
        found = model(fitted, Rule("learned")).values(log.crowd)
        assert found.attention.shape == (len(log), 3)
        assert (found.attention == [0.1, 0.2, 0.3]).all()
