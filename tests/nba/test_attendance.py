from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nba.attendance import (
    LEAST_CONTACTS,
    OWN,
    Attendance,
    chance_on,
    fit_attendance,
    level_of,
    levelled,
    own_numbers,
    read_attendance,
    unlogged,
    unseen_chances,
    untold,
    write_attendance,
)
from nba.crowd import Crowd, Floats, rows_of
from tests.nba.simple_models import crowd_of
from tests.nba.worlds import START

CHANNELS = ("email", "sms", "letter")


class Contacts:
    """n contacts; whoever has a 1 in the only column attends e-mail, who has a 0 text messages, nobody letters."""

    def __init__(self, n: int = 3_000) -> None:
        rng = np.random.default_rng(0)
        self.taste = rng.integers(0, 2, n)
        self.matrix: Floats = np.asarray(self.taste[:, None] - 0.5, dtype=np.float64)
        self.channel = rng.integers(0, 3, n).astype(np.int32)
        self.right = np.array([[0.1, 0.5, 0.02], [0.5, 0.1, 0.02]])[self.taste]
        self.attended = rng.random(n) < self.right[np.arange(n), self.channel]
        self.crowd = crowd_of([START] * n, channels=CHANNELS)

    def fit(self) -> Attendance:
        return fit_attendance(self.matrix, self.crowd, CHANNELS, self.channel, self.attended, seed=0)


@pytest.fixture(scope="module")
def many() -> Contacts:
    return Contacts()


@pytest.fixture(scope="module")
def fitted(many: Contacts) -> Attendance:
    return many.fit()


def test_the_channel_somebody_attends_is_found(many: Contacts, fitted: Attendance) -> None:
    chance = fitted.chance(many.matrix, many.crowd)
    assert chance.shape == (3_000, 4)
    assert np.abs(chance[:, :3] - many.right).max() < 0.1
    assert (chance[:, 3] == 1).all()


def test_on_one_channel_it_is_what_it_is_on_all(many: Contacts, fitted: Attendance) -> None:
    asked = np.resize(np.array([0, 1, -1, 2], dtype=np.int32), 3_000)
    one = chance_on(fitted, many.matrix, many.crowd, asked)
    assert (one == fitted.chance(many.matrix, many.crowd)[np.arange(3_000), asked]).all()


def test_few_contacts_have_the_mean_of_their_channel_drawn_to_that_of_all() -> None:
    few = Contacts(LEAST_CONTACTS - 1)
    model = few.fit()
    assert model.trees is None
    chance = model.chance(few.matrix, few.crowd)
    assert (chance == chance[0]).all()
    own = [few.attended[few.channel == channel].mean() for channel in range(3)]
    for channel in range(3):
        low, high = sorted((own[channel], few.attended.mean()))
        assert low < chance[0, channel] < high


def test_unseen_chances_have_not_seen_what_the_customer_attended(many: Contacts) -> None:
    n = 1_600
    customer = (np.arange(n) // 4).astype(np.int32)
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(n, 10))  # nothing to tell by, but to remember by
    attended = rng.random(n) < 0.3
    crowd = crowd_of([START] * n, channels=CHANNELS)
    rows = matrix, crowd, CHANNELS, many.channel[:n], attended
    seen = chance_on(fit_attendance(*rows, seed=0), matrix, crowd, many.channel[:n])
    unseen = unseen_chances(*rows, customer, folds=3, seed=0)
    assert seen[attended].mean() > seen[~attended].mean() + 0.1, "trees remember"
    assert abs(unseen[attended].mean() - unseen[~attended].mean()) < 0.03


def test_one_customer_has_nobody_to_be_told_by() -> None:
    few = Contacts(50)
    nobody = np.zeros(50, dtype=np.int32)
    found = unseen_chances(few.matrix, few.crowd, CHANNELS, few.channel, few.attended, nobody, folds=3, seed=0)
    assert ((found > 0) & (found < 1)).all()


class TestLevels:
    def test_chances_become_right_on_average(self, many: Contacts, fitted: Attendance) -> None:
        told = chance_on(fitted, many.matrix, many.crowd, many.channel)
        model = levelled(fitted, level_of(3, many.channel, many.attended, told * 3))
        again = chance_on(model, many.matrix, many.crowd, many.channel) * 3
        for channel in (0, 1):
            mine = many.channel == channel
            assert again[mine].mean() == pytest.approx(many.attended[mine].mean(), rel=0.05)

    def test_no_chance_is_above_1(self) -> None:
        few = Contacts(300)
        everything = np.ones(300, dtype=np.bool_)
        model = fit_attendance(few.matrix, few.crowd, CHANNELS, few.channel, everything, seed=0)
        model = levelled(model, level_of(3, few.channel, everything, np.full(300, 0.2)))
        assert model.chance(few.matrix, few.crowd).max() <= 1


def test_without_a_log_all_channels_are_alike() -> None:
    few = Contacts(3)
    assert unlogged(CHANNELS).chance(few.matrix, few.crowd)[0].tolist() == [0.1, 0.1, 0.1, 1.0]
    assert (untold(CHANNELS).chance(few.matrix, few.crowd) == 1).all()
    assert chance_on(untold(CHANNELS), few.matrix, few.crowd, few.channel).tolist() == [1, 1, 1]
    assert unlogged(()).chance(few.matrix, few.crowd).tolist() == [[1], [1], [1]]


def test_the_state_tells_of_each_channel() -> None:
    state = {"email_sends_30d": [10.0], "email_opens_30d": [4.0], "email_clicks_30d": [1.0], "since_email_send": [2.0]}
    crowd: Crowd = crowd_of([START], channels=CHANNELS, state=state)
    found = own_numbers(crowd, CHANNELS, np.array([0.3, 0.1, 0.1, 1.0]))
    assert found.shape == (1, 3, len(OWN))
    assert found[0, 0, :5].tolist() == [10, 4, 1, (4 + 5 * 0.3) / 15, 2]
    assert found[0, 1, 3] == pytest.approx(0.1), "before the first contact it is everybody's"
    assert np.isnan(found[0, 2]).all(), "no slot counts letters"


def test_nobody_is_asked_about(many: Contacts, fitted: Attendance) -> None:
    none = np.zeros(0, dtype=np.int64)
    assert fitted.chance(many.matrix[:0], rows_of(many.crowd, none)).shape == (0, 4)


@pytest.mark.parametrize("kind", ["trees", "means", "untold"])
def test_folder_there_and_back(many: Contacts, fitted: Attendance, tmp_path: Path, kind: str) -> None:
    model = {"trees": fitted, "means": Contacts(40).fit(), "untold": untold(CHANNELS)}[kind]
    back = read_attendance(write_attendance(model, tmp_path), tmp_path)
    assert (back.chance(many.matrix, many.crowd) == model.chance(many.matrix, many.crowd)).all()
