import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nba.offpolicy import Log
from nba.uplift import Trial, curve, effect, qini

Floats = NDArray[np.float64]


def trial(treated: list[int], reward: list[float], propensity: float = 0.5) -> Trial:
    n = len(treated)
    return Trial(np.arange(n), np.array(treated) == 1, np.array(reward, dtype=np.float64), np.full(n, propensity))


def value(given: Trial, *scores: Floats) -> Floats:
    return qini(given, np.column_stack(scores), np.random.default_rng(0), resamples=10).value


def shop(rng: np.random.Generator, people: int) -> tuple[Trial, Floats, Floats]:
    """A quarter each of persuadables, sure things, lost causes and sleeping dogs: effect and response of each row."""
    kind = rng.integers(4, size=people)
    with_action = np.array([0.3, 0.6, 0.02, 0.2])[kind]
    with_hold = np.array([0.1, 0.6, 0.02, 0.4])[kind]
    chance = np.array([0.2, 0.5, 0.3, 0.6])[kind]  # of the action: the log knows people too
    treated = rng.random(people) < chance
    reward = (rng.random(people) < np.where(treated, with_action, with_hold)).astype(np.float64)
    rows = Trial(np.arange(people), treated, reward, np.where(treated, chance, 1 - chance))
    return rows, with_action - with_hold, with_action


def test_by_hand() -> None:
    # Down the score: a treated buyer, a held non-buyer, a treated non-buyer, a held buyer.
    given = trial([1, 0, 1, 0], [1, 0, 0, 1])
    score = np.array([4.0, 3.0, 2.0, 1.0])
    found = curve(given, score)
    assert found.share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    # Y_t − Y_h N_t / N_h: 1, 1, 1, 1 − 1 · 2 / 2, over two treated.
    assert found.gain.tolist() == [0, 0.5, 0.5, 0.5, 0]
    # The ideal order ties the two without reward: points 0, 1/2, 1/2, 0 at shares 0, 1/4, 3/4, 1, so the same area.
    assert value(given, score)[0] == pytest.approx(1)
    # Upside down: nobody treated, then −1 · 1 / 1, −1 · 1 / 2 and 1 − 1 · 2 / 2 over two treated.
    assert curve(given, -score).gain.tolist() == [0, 0, -0.5, -0.25, 0]
    assert value(given, -score)[0] == pytest.approx(-0.25 * (0.25 + 0.375 + 0.125) / 0.375)


def test_equal_scores_are_one_step() -> None:
    given = trial([1, 0, 1, 0, 1, 0], [1, 0, 0, 1, 1, 1])
    assert curve(given, np.zeros(6)).share.tolist() == [0, 1]
    assert value(given, np.zeros(6))[0] == pytest.approx(0)
    turned = np.array([3, 2, 1, 0, 5, 4])
    moved = Trial(given.customer, given.treated[turned], given.reward[turned], given.propensity)
    score = np.array([1.0, 1, 1, 0, 0, 0])
    assert value(given, score) == pytest.approx(value(moved, score[turned]))


def slow(given: Trial, score: Floats) -> float:
    """Area between the curve and its line with equal propensities, row by row, the way scikit-uplift counts."""
    points = [(0.0, 0.0)]
    for cut in sorted(set(score.tolist()), reverse=True):
        reached = score >= cut
        treated, held = reached & given.treated, reached & ~given.treated
        matched = given.reward[held].sum() * treated.sum() / held.sum() if held.any() else 0.0
        points.append((float(reached.sum()), float(given.reward[treated].sum() - matched)))
    x, y = np.array(points).T
    return float(np.trapezoid(y, x) - x[-1] * y[-1] / 2)


@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 5)), min_size=4, max_size=30),
)
def test_with_equal_propensities_it_is_the_known_one(rows: list[tuple[bool, int, int]]) -> None:
    treated, reward, score = ([*column] for column in zip(*rows, strict=True))
    given = trial([1, 0, *map(int, treated)], [1.0, 0.0, *map(float, reward)])
    ordered = np.array([0.0, 0.0, *map(float, score)])
    ideal = np.where(given.treated, given.reward, -given.reward)
    if slow(given, ideal) > 1e-9:
        assert value(given, ordered)[0] == pytest.approx(slow(given, ordered) / slow(given, ideal), abs=1e-9)


def test_last_point_is_the_average_effect_whatever_the_propensities() -> None:
    given, _, _ = shop(np.random.default_rng(0), 200_000)
    # Truth: (0.2 + 0 + 0 − 0.2) / 4; the naive difference of means is far from it.
    assert curve(given, np.zeros(200_000)).gain[-1] == pytest.approx(0, abs=0.01)
    naive = given.reward[given.treated].mean() - given.reward[~given.treated].mean()
    assert abs(naive) > 0.05


def test_effect_ranks_better_than_response_where_there_are_sleeping_dogs() -> None:
    given, helped, response = shop(np.random.default_rng(1), 20_000)
    found = qini(given, np.column_stack([helped, response]), np.random.default_rng(0), resamples=200)
    assert found.ci[0, 0] > 0
    assert found.difference_ci[1, 0] > 0
    assert found.difference[0] == 0


def test_nobody_held_and_nobody_treated() -> None:
    for treated in ([1, 1], [0, 0]):
        found = qini(trial(treated, [1, 0]), np.zeros((2, 1)), np.random.default_rng(0), resamples=5)
        assert np.isnan(found.value).all()
        assert np.isnan(found.ci).all()


def test_interval_is_wider_where_rows_belong_to_few_people() -> None:
    given, helped, _ = shop(np.random.default_rng(2), 3_000)
    few = Trial(np.arange(3_000) // 100, given.treated, given.reward, given.propensity)
    alone = qini(given, helped[:, None], np.random.default_rng(0), resamples=300)
    thrice = np.tile(np.arange(3_000), 3)
    copies = Trial(thrice, given.treated[thrice], given.reward[thrice], given.propensity[thrice])
    copied = qini(copies, helped[thrice, None], np.random.default_rng(0), resamples=300)
    assert copied.value == pytest.approx(alone.value)
    assert np.ptp(copied.ci) == pytest.approx(np.ptp(alone.ci), rel=0.2)
    assert not np.array_equal(qini(few, helped[:, None], np.random.default_rng(0), resamples=300).ci, alone.ci)


def test_thinned_curves_keep_their_ends() -> None:
    given, helped, _ = shop(np.random.default_rng(3), 1_000)
    full = curve(given, helped + np.arange(1_000) * 1e-9)
    few = full.thinned(50)
    assert len(few.share) == 50
    assert (few.share[0], few.share[-1]) == (0, 1)
    assert few.gain[-1] == full.gain[-1]


def test_average_effect_needs_no_good_model_and_gains_by_one() -> None:
    rng = np.random.default_rng(4)
    given, helped, response = shop(rng, 30_000)
    with_hold = response - helped
    expected = np.where(given.treated, response, with_hold)
    seen = Log(given.customer, given.reward + 10 * expected, given.propensity, 11 * expected)
    blind = Log(seen.customer, seen.reward, seen.propensity, np.zeros(len(seen)))
    nothing = np.zeros(len(seen))
    sharp = effect(seen, given.treated, ~given.treated, 11 * response, 11 * with_hold, rng, resamples=200)
    dull = effect(blind, given.treated, ~given.treated, nothing, nothing, rng, resamples=200)
    truth = 11 * helped.mean()
    # Four standard errors: a chance of 1 in 16,000.
    assert abs(sharp.value - truth) < 4 * sharp.error
    assert abs(dull.value - truth) < 4 * dull.error
    assert sharp.error < 0.5 * dull.error
