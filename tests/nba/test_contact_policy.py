"""Caps and cooldowns by hand: which slots are closed."""

from __future__ import annotations

import numpy as np
import pytest

from nba.asked import Asked
from nba.config import CapsConfig, NbaConfig
from nba.contact_policy import capped, cooling
from nba.decide import weighed
from nba.slots import grid
from tests.nba.simple_models import PriorModel, contacts_of, crowd_of, moment

HOUR = 3_600_000_000
AT = moment("2026-03-02 10:00")


def closed(caps: CapsConfig, *hours: float, horizon: int = 72) -> list[int]:
    """Slots closed to one customer who has contacts at these hours from now."""
    time = np.array([AT + round(hour * HOUR) for hour in hours], dtype=np.int64)
    mask = capped(caps, np.zeros(len(hours), dtype=np.int64), time, grid(np.array([AT]), [None], horizon))
    return [] if mask is None else np.flatnonzero(mask[0]).tolist()


def test_one_a_day_means_a_day_between_two() -> None:
    assert closed(CapsConfig(per_day=1), -4) == list(range(20))


def test_exactly_a_day_later_is_another_day() -> None:
    assert closed(CapsConfig(per_day=1), -24) == []
    assert closed(CapsConfig(per_day=1), -23.5) == [0]


def test_what_is_planned_for_later_counts_from_both_sides() -> None:
    assert closed(CapsConfig(per_day=1), 30) == list(range(7, 54))


def test_two_a_day_close_only_what_is_near_to_both() -> None:
    # A third one lies within 24 hours of both from 10 − 24 = −14 to 0 + 24 hours.
    assert closed(CapsConfig(per_day=2), 0, 10) == list(range(24))
    assert closed(CapsConfig(per_day=2), -23, 0) == [0]
    assert closed(CapsConfig(per_day=2), -24, 0) == []


def test_a_week_is_seven_times_24_hours() -> None:
    assert closed(CapsConfig(per_week=1), -7 * 24 + 5) == list(range(5))


def test_both_caps_hold() -> None:
    assert closed(CapsConfig(per_day=1, per_week=2), -100, -80) == list(range(68))
    assert closed(CapsConfig(per_day=1, per_week=2), -100, -10) == list(range(68))


def test_zero_is_never_and_absent_is_any_number() -> None:
    assert closed(CapsConfig(per_week=0), horizon=3) == [0, 1, 2, 3]
    assert closed(CapsConfig(), -1, -2, -3) == []


def test_others_contacts_do_not_count() -> None:
    owner, time = np.array([0, 1]), np.array([AT, AT])
    mask = capped(CapsConfig(per_day=2), owner, time, grid(np.array([AT, AT]), [None, None], 5))
    assert mask is None


@pytest.mark.parametrize(
    ("hour", "expected"), [(-5, []), (-4.5, [0]), (2, [0, 1, 2, 3, 4, 5, 6]), (5, [1, 2, 3, 4, 5, 6])]
)
def test_cooldown_reaches_both_ways(hour: float, expected: list[int]) -> None:
    mask = cooling(5, np.array([0]), np.array([AT + round(hour * HOUR)]), grid(np.array([AT]), [None], 6))
    assert mask is not None
    assert np.flatnonzero(mask[0]).tolist() == expected


def test_now_need_not_be_a_full_hour() -> None:
    slots = grid(np.array([AT + HOUR // 4]), [None], 3)
    mask = cooling(1, np.array([0]), np.array([AT - HOUR // 2]), slots)
    assert mask is not None
    assert mask[0].tolist() == [True, False, False, False]


def test_a_channel_that_no_arm_uses_may_still_not_count() -> None:
    for counts in (True, False):
        config = NbaConfig.of(
            {
                "contact": {"per_day": 1},
                "channels": {"email": {}, "ads": {"counts": counts}},
                "actions": {"news": {"channels": ["email"]}},
            }
        )
        contacts = contacts_of([[(AT - HOUR, "news", "ads", False)]])
        crowd = crowd_of([AT], channels=["email"], contacts=contacts)
        found = weighed(Asked(horizon_hours=2), crowd, PriorModel(config), config)
        assert found.open[0, 1] == (not counts)
