from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import Column, Flag, Number, Tags, Text, Time
from features.events import DAY, HOUR
from features.vocabulary import Vocabulary
from nba.crowd import Crowd, Floats, rows_of
from nba.encoding import CUT, Encoder, hour_cells
from nba.values import DAY_HOURS, HOUR_CELLS
from tests.nba.simple_models import crowd_of, moment
from tests.nba.worlds import START

N = 400


def crowd(**attributes: Column) -> Crowd:
    return crowd_of([START] * N, channels=[], attributes=attributes)


def column(of: Crowd, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The column of a name, of an encoder that was fitted on the same crowd."""
    encoder = Encoder.fit(of)
    found: np.ndarray[tuple[int], np.dtype[np.float64]] = encoder.matrix(of)[:, encoder.names.index(name)]
    return found


class TestNumbers:
    def test_have_mean_0_and_variance_1(self) -> None:
        age = column(crowd(age=Number(np.linspace(-1, 3, N))), "age")
        assert (age.mean(), age.std()) == (pytest.approx(0, abs=1e-9), pytest.approx(1))

    def test_skewed_ones_become_logarithms(self) -> None:
        spent: Floats = np.exp(np.random.default_rng(0).normal(0, 2, N))
        found = column(crowd(spent=Number(spent)), "spent")
        assert np.corrcoef(found, np.log1p(spent))[0, 1] > 0.99

    def test_one_of_10000_is_cut_off(self) -> None:
        values = np.random.default_rng(0).normal(size=N)
        values[0] = -10_000
        assert column(crowd(x=Number(values)), "x").min() == -CUT

    def test_what_is_unknown_is_the_average_and_sets_a_column(self) -> None:
        values = np.linspace(0, 1, N)
        values[: N // 4], values[0], values[1] = np.nan, np.inf, -np.inf
        asked = crowd(x=Number(values))
        assert (column(asked, "x")[: N // 4] == 0).all()
        unknown = column(asked, "x unknown")
        assert unknown.mean() == pytest.approx(0)
        assert (unknown[: N // 4] > 0).all()
        assert (unknown[N // 4 :] < 0).all()

    def test_few_unknown_ones_and_what_does_not_vary_have_no_column(self) -> None:
        values = np.linspace(0, 1, N)
        values[:5] = np.nan
        names = Encoder.fit(crowd(x=Number(values), same=Number(np.full(N, 7.0)))).names
        assert "x" in names
        assert "x unknown" not in names
        assert "same" not in names

    def test_flags_and_times_are_numbers(self) -> None:
        flags = np.resize([1, 0, 0, -1], N).astype(np.int8)
        known = column(crowd(vip=Flag(flags)), "vip")
        assert (known[flags == 1] > 0).all()
        assert (known[flags == 0] < 0).all()
        assert (known[flags == -1] == 0).all()
        born = START - DAY * np.arange(1, N + 1)
        since = column(crowd(born=Time(born)), "born")
        assert (np.diff(since) > 0).all(), "an earlier time is longer ago"

    def test_the_state_wins_over_an_attribute_of_its_name(self) -> None:
        asked = crowd(orders=Number(np.linspace(100, 200, N)), views_30d=Number(np.linspace(0, 1, N)))
        state = asked.state.copy()
        state[:, asked.names.index("orders")] = np.linspace(3, 1, N)
        asked = replace(asked, state=state)
        encoder = Encoder.fit(asked)
        assert len(set(encoder.names)) == len(encoder.names)
        assert (np.diff(column(asked, "orders")) < 0).all()
        assert "views_30d" not in encoder.names, "nobody has viewed anything"


class TestWords:
    def test_common_ones_have_a_column_each(self) -> None:
        words = Text(np.resize([0, 0, 1, -1], N).astype(np.int32), Vocabulary(["/ü 😀", "b", "nobody's"]))
        asked = crowd(city=words)
        names = Encoder.fit(asked).names
        assert {"city /ü 😀", "city b"} <= set(names)
        assert "city nobody's" not in names
        found = column(asked, "city /ü 😀")
        assert found.mean() == pytest.approx(0)
        assert found[:4].tolist() == [0.5, 0.5, -0.5, -0.5]

    def test_tags_may_be_several_or_none(self) -> None:
        tags = Tags(
            np.arange(N + 1) * 2 - (np.arange(N + 1) > N // 2) * 0,
            np.resize([0, 1], 2 * N).astype(np.int32),
            Vocabulary(["a", "b"]),
        )
        assert "skin a" not in Encoder.fit(crowd(skin=tags)).names, "everybody has it"
        half = Tags(np.minimum(np.arange(N + 1), N // 2), np.zeros(N // 2, dtype=np.int32), Vocabulary(["a", "b"]))
        found = column(crowd(skin=half), "skin a")
        assert (found[: N // 2] == 0.5).all()
        assert (found[N // 2 :] == -0.5).all()


def anything() -> Crowd:
    rng = np.random.default_rng(0)
    asked = crowd(
        age=Number(rng.normal(size=N)),
        spent=Number(np.exp(rng.normal(0, 2, N))),
        vip=Flag(rng.integers(-1, 2, N).astype(np.int8)),
        city=Text(rng.integers(-1, 3, N).astype(np.int32), Vocabulary(["a", "b", "c"])),
        skin=Tags(np.arange(N + 1), rng.integers(0, 3, N).astype(np.int32), Vocabulary(["x", "y", "z"])),
        born=Time(START - rng.integers(0, 1000, N) * DAY),
    )
    state = np.where(rng.random(asked.state.shape) < 0.2, np.nan, rng.exponential(size=asked.state.shape))
    return replace(asked, state=state, at=START + HOUR * np.arange(N))


def test_of_each_row_alone_the_matrix_is_the_same() -> None:
    asked = anything()
    encoder = Encoder.fit(asked)
    whole = encoder.matrix(asked)
    assert whole.shape == (N, len(encoder.names))
    assert np.isfinite(whole).all()
    assert np.abs(whole.mean(axis=0)).max() < 0.2
    for row in (0, 17, N - 1):
        assert (encoder.matrix(rows_of(asked, np.array([row]))) == whole[row]).all()


def test_columns_may_come_in_another_order_or_not_at_all() -> None:
    asked = anything()
    encoder = Encoder.fit(asked)
    order = np.random.default_rng(1).permutation(len(asked.names))
    other = replace(
        asked,
        names=tuple(asked.names[place] for place in order),
        state=asked.state[:, order],
        attributes=dict(reversed(list(asked.attributes.items()))),
    )
    assert (encoder.matrix(other) == encoder.matrix(asked)).all()
    bare = encoder.matrix(replace(asked, names=(), state=np.zeros((N, 0)), attributes={}))
    assert np.isfinite(bare).all()
    assert (bare[:, encoder.names.index("age")] == 0).all()
    wrong = encoder.matrix(
        replace(asked, attributes={"age": Flag(np.ones(N, dtype=np.int8)), "city": Number(np.ones(N))})
    )
    assert np.isfinite(wrong).all(), "a column of another kind than at training"


def test_json_there_and_back() -> None:
    encoder = Encoder.fit(anything())
    assert Encoder.from_json(encoder.to_json()) == encoder


def test_nobody() -> None:
    none = rows_of(anything(), np.zeros(0, dtype=np.int64))
    assert Encoder.fit(none).names == ()
    assert Encoder.fit(anything()).matrix(none).shape[0] == 0


class TestHourCells:
    def test_by_hand(self) -> None:
        at = np.array([moment("2026-03-06 23:30"), moment("2026-03-06 23:30"), moment("2026-03-08 12:00")])
        assert hour_cells(at, [None, "Europe/Berlin", "Asia/Kolkata"]).tolist() == [23, 24 + 0, 24 + 17]

    @settings(max_examples=60, deadline=None)
    @given(
        hours=st.integers(0, 24 * 366 * 2),
        zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    )
    def test_as_the_clock_on_the_wall(self, hours: int, zone: str) -> None:
        at = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")) + timedelta(hours=hours)
        wall = at.astimezone(ZoneInfo(zone))
        right = (wall.weekday() >= 5) * DAY_HOURS + wall.hour
        found = hour_cells(np.array([round(at.timestamp()) * 1_000_000]), [zone])
        assert found.tolist() == [right]
        assert 0 <= found[0] < HOUR_CELLS
