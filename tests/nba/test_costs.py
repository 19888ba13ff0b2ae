from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.events import DAY
from nba.arms import Arms
from nba.costs import HORIZON_DAYS, LEAST_CONTACTS, attention_prices, contact_costs, fatigue
from nba.logged import Logged
from tests.nba.simple_models import contacts_of, crowd_of
from tests.nba.worlds import ARMS, START, logged


class TestContactCosts:
    def test_the_median_of_those_that_brought_no_order(self) -> None:
        cost = contact_costs(logged(ARMS, [1, 1, 1, 1], cost=[0.1, 0.2, 0.2, 9.0], converted=[False] * 3 + [True]))
        assert cost[1] == 0.2, "the last one is the discount"

    def test_what_is_not_known_of_an_arm_is_that_of_its_channel_or_action(self) -> None:
        arms = Arms.of([("a", "email"), ("b", "email"), ("b", "sms"), ("c", "letter"), ("a", "letter")])
        cost = contact_costs(logged(arms, [1, 1, 0], cost=[0.1, 0.1, 0.0]))
        assert cost.tolist() == [0, 0.1, 0.1, 0, 0, 0.1]

    def test_hold_costs_nothing_and_nothing_costs_nothing(self) -> None:
        assert contact_costs(logged(ARMS, [0, 0], cost=[5.0, 5.0])).tolist() == [0] * 5
        assert contact_costs(logged(ARMS, [])).tolist() == [0] * 5


def ten_days(left: list[bool]) -> Logged:
    """A hundred contacts of ten customers in ten days, half by e-mail, half by text message."""
    n = 100
    crowd = crowd_of((START + np.arange(n) * 10 * DAY // (n - 1)).tolist(), channels=["email", "sms"])
    return logged(ARMS, np.resize([1, 2], n), crowd=crowd, customer=np.arange(n) % 10, unsubscribed=left)


class TestAttention:
    def test_by_hand(self) -> None:
        log = ten_days([row < 20 and row % 2 == 1 for row in range(100)])  # 10 of 50 leave by text message
        worth = np.full(100, 0.5)
        prices = attention_prices(log, np.full(100, 0.1), worth)
        rate = {"email": 100 * 0.1 / 150, "sms": (10 + 100 * 0.1) / 150, "none": 0.1}
        a_day = 100 / 10 / 10
        assert prices == pytest.approx([one * 0.5 * a_day * HORIZON_DAYS for one in rate.values()], rel=1e-6)

    def test_contacts_that_earn_nothing_take_nothing(self) -> None:
        log = ten_days([True] * 100)
        assert (attention_prices(log, np.full(100, 0.1), np.full(100, -1.0)) == 0).all()

    def test_nobody_leaves_and_nothing_is_sent(self) -> None:
        assert (attention_prices(ten_days([False] * 100), np.full(100, 0.1), np.ones(100)) == 0).all()
        assert (attention_prices(logged(ARMS, [0, 0]), np.zeros(2), np.zeros(2)) == 0).all()
        assert (attention_prices(logged(ARMS, []), np.zeros(0), np.zeros(0)) == 0).all()

    def test_one_moment_is_a_week_at_least(self) -> None:
        log = logged(ARMS, [1, 1], crowd=crowd_of([START, START], channels=["email"]), complained=[True, False])
        assert np.isfinite(attention_prices(log, np.full(2, 0.1), np.ones(2))).all()


class TestFatigue:
    def log(
        self, slope: float, n: int = 2 * LEAST_CONTACTS
    ) -> tuple[Logged, np.ndarray[tuple[int], np.dtype[np.float64]]]:
        """0 to 3 contacts of the last week; each moves the logarithm of the chance to attend."""
        rng = np.random.default_rng(0)
        recent = rng.integers(0, 4, n)
        past = [[(START - (2 + one) * DAY, "a", "email", False) for one in range(count)] for count in recent.tolist()]
        old = [(START - 8 * DAY, "a", "email", False)]
        crowd = crowd_of([START] * n, channels=["email", "sms"], contacts=contacts_of([old + some for some in past]))
        expected = rng.uniform(0.1, 0.3, n)
        clicked = rng.random(n) < expected * np.exp(slope * recent)
        return logged(ARMS, np.ones(n, dtype=int), crowd=crowd, clicked=clicked), expected

    def test_the_slope_is_found_and_older_contacts_do_not_tire(self) -> None:
        log, expected = self.log(-0.3)
        assert fatigue(log, np.arange(len(log)), expected) == pytest.approx(-0.3, abs=0.06)

    def test_nobody_is_refreshed_by_contacts(self) -> None:
        log, expected = self.log(0.2)
        assert fatigue(log, np.arange(len(log)), expected) == 0

    def test_few_contacts_and_contacts_alike_tell_nothing(self) -> None:
        log, expected = self.log(-0.3, n=100)
        assert fatigue(log, np.arange(100), expected) == 0
        log, expected = self.log(-0.3)
        none = replace(log, crowd=crowd_of([START] * len(log), channels=["email"]))
        assert fatigue(none, np.arange(len(log)), expected) == 0

    def test_it_is_priced(self) -> None:
        log, expected = self.log(-0.3)
        tired = attention_prices(log, expected, np.ones(len(log)))
        assert (tired > 0).all()
