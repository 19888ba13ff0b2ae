"""Hours of the customer's own day, where days have 23, 24 or 25 of them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nba.config import NbaConfig, QuietHours
from nba.slots import grid, hour_cells, quiet_cells
from tests.nba.simple_models import moment

HOUR = 3_600_000_000


def test_slots_are_now_and_then_full_hours() -> None:
    slots = grid(np.array([moment("2026-03-02 10:17")]), [None], 3)
    expected = ["2026-03-02 10:17", "2026-03-02 11:00", "2026-03-02 12:00", "2026-03-02 13:00"]
    assert slots.time[0].tolist() == [moment(text) for text in expected]


def test_weekends_have_cells_of_their_own() -> None:
    # A Friday and a Saturday in Berlin, an hour ahead of UTC.
    at = np.array([moment("2026-03-06 22:30"), moment("2026-03-06 23:30")])
    assert hour_cells(at, ["Europe/Berlin"] * 2).tolist() == [23, 24 + 0]


def test_a_day_of_23_hours_has_no_hour_of_two() -> None:
    midnight = moment("2026-03-28 23:00")  # 29 March, 0:00 in Berlin
    hours = grid(np.array([midnight]), ["Europe/Berlin"], 22).cell[0] % 24
    assert hours.tolist() == [0, 1, *range(3, 24)]


def test_a_day_of_25_hours_has_two_hours_of_two() -> None:
    midnight = moment("2026-10-24 22:00")  # 25 October, 0:00 in Berlin
    hours = grid(np.array([midnight]), ["Europe/Berlin"], 24).cell[0] % 24
    assert hours.tolist() == [0, 1, 2, 2, *range(3, 24)]


def test_where_clocks_are_half_an_hour_off_a_full_hour_is_half_past() -> None:
    assert hour_cells(np.array([[moment("2026-03-02 15:00")]]), ["Asia/Kolkata"]).tolist() == [[20]]
    # … and Lord Howe moves its clock by half an hour, on 4 April at 15:00 UTC.
    at = np.array([moment("2026-04-04 14:59"), moment("2026-04-04 15:29"), moment("2026-04-04 15:30")])
    assert (hour_cells(at, ["Australia/Lord_Howe"] * 3) % 24).tolist() == [1, 1, 2]


def test_what_is_no_zone_is_utc() -> None:
    at = np.array([moment("2026-03-02 15:00")] * 2)
    assert (hour_cells(at, ["Mars/Olympus", None]) % 24).tolist() == [15, 15]


@given(
    st.integers(moment("1990-01-01 00:00"), moment("2036-01-01 00:00")),
    st.sampled_from(["America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Tehran", "Pacific/Apia"]),
)
def test_cells_are_those_of_the_calendar(at: int, zone: str) -> None:
    local = datetime.fromtimestamp(at // 1_000_000, UTC).astimezone(ZoneInfo(zone))
    assert hour_cells(np.array([at]), [zone]).tolist() == [24 * (local.weekday() >= 5) + local.hour]


@pytest.mark.parametrize(
    ("quiet", "hours"), [((21, 8), [*range(8), 21, 22, 23]), ((1, 3), [1, 2]), ((0, 0), []), ((22, 24), [22, 23])]
)
def test_quiet_hours_may_go_over_midnight(quiet: QuietHours, hours: list[int]) -> None:
    cells = quiet_cells(quiet)
    assert np.flatnonzero(cells[:24]).tolist() == hours
    assert (cells[24:] == cells[:24]).all()


def test_by_default_nobody_is_woken() -> None:
    assert NbaConfig.default().contact.quiet_hours == (21, 8)
