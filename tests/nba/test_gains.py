from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import DAY
from nba.crowd import Contacts, Floats
from nba.gains import BASE, MEANS, OWN, Gains, Sums, confirmed, fit_gains, own_numbers, scaled
from nba.gains import _loss as loss_of
from nba.gains import _reduced as reduced
from nba.gains import _solve as solve
from nba.gains import _sums as sums_of
from nba.gains import _with_errors as with_errors
from tests.nba.simple_models import contacts_of, crowd_of
from tests.nba.worlds import START

PENALTIES = (30.0, 70.0, MEANS)


def gains_of(sums: Sums, penalties: tuple[float, float, float]) -> Gains:
    told = reduced(sums, *penalties[1:])
    return with_errors(sums, told, solve(told, penalties[0]))


class Rows:
    """n decisions with F columns over K actions."""

    def __init__(self, n: int = 120, f: int = 3, k: int = 2, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.k = k
        self.matrix = rng.normal(size=(n, f))
        self.own = rng.exponential(size=(n, k, len(OWN)))
        self.action = rng.integers(-1, k, n).astype(np.int32)
        self.dose = np.where(self.action < 0, 0.0, rng.uniform(0.1, 0.9, n))
        self.residual = rng.normal(size=n) + self.dose
        self.customer = (np.arange(n) // 2).astype(np.int32)

    def design(self) -> Floats:
        """All columns written out: base, what actions share (a mean, columns, own numbers), and each action's own."""
        n, f = self.matrix.shape
        g = np.column_stack([np.ones(n), self.matrix])
        h = np.column_stack([g, self.own[np.arange(n), self.action]]) * self.dose[:, None]
        mine = [np.where((self.action == action)[:, None], h[:, : 1 + f], 0.0) for action in range(self.k)]
        return np.column_stack([g, h, *mine])

    def ridge(self, penalties: tuple[float, float, float]) -> Floats:
        """Penalties of these columns, on the diagonal."""
        f, treated = self.matrix.shape[1], self.action >= 0
        unit = float(np.square(self.dose).sum() / treated.sum())
        base = np.array([1e-9, *[BASE] * f])
        shared = np.array([1e-6 * unit, *[penalties[0] * unit] * (f + len(OWN))])
        private = np.array([penalties[2] * unit, *[penalties[1] * unit] * f])
        return np.concatenate([base, shared, *[private] * self.k])


@settings(max_examples=20, deadline=None)
@given(n=st.integers(10, 80), f=st.integers(0, 4), k=st.integers(1, 4), seed=st.integers(0, 100))
def test_blocks_give_what_one_big_ridge_regression_gives(n: int, f: int, k: int, seed: int) -> None:
    rows = Rows(n, f, k, seed)
    if not (rows.action >= 0).any():
        return
    sums = sums_of(rows.matrix, rows.own, rows.action, rows.dose, rows.residual, k)
    design = rows.design()
    inverse = np.linalg.inv(design.T @ design + np.diag(rows.ridge(PENALTIES)))
    right = inverse @ (design.T @ rows.residual)
    found = solve(reduced(sums, *PENALTIES[1:]), PENALTIES[0])
    both = 1 + f + 1 + f + len(OWN)
    private = found.slopes - found.common[1 + f : 2 + 2 * f]
    np.testing.assert_allclose(found.common, right[:both], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(private.ravel(), right[both:], rtol=1e-6, atol=1e-6)

    left = np.square(rows.residual - design @ right).sum()
    assert loss_of(sums, found) == pytest.approx(left, rel=1e-8)

    gains = gains_of(sums, PENALTIES)
    noise = left / (n - 1)
    for action in range(k):
        # (δ + δ_a, β + β_a on columns, β on own numbers) as a map of all coefficients
        pick = np.zeros((1 + f + len(OWN), len(right)))
        pick[:, 1 + f : both] = np.eye(1 + f + len(OWN))
        at = both + action * (1 + f)
        pick[: 1 + f, at : at + 1 + f] = np.eye(1 + f)
        covariance = pick @ inverse @ pick.T * noise
        np.testing.assert_allclose(gains.covariance[action], covariance, rtol=1e-5, atol=1e-7)
        told = gains.predict(rows.matrix, rows.own)[:, action]
        by_hand = np.column_stack([np.ones(n), rows.matrix, rows.own[:, action]]) @ (pick @ right)
        np.testing.assert_allclose(told, by_hand, rtol=1e-6, atol=1e-6)


def test_errors_are_those_of_the_covariance() -> None:
    rows = Rows()
    gains = gains_of(sums_of(rows.matrix, rows.own, rows.action, rows.dose, rows.residual, 2), PENALTIES)
    asked = np.resize([0, 1], len(rows.matrix))
    error = gains.errors(rows.matrix, rows.own, asked)
    for row in (0, 1, 7):
        x = np.array([1.0, *rows.matrix[row], *rows.own[row, asked[row]]])
        assert error[row] == pytest.approx(np.sqrt(x @ gains.covariance[asked[row]] @ x))


def test_parts_add_up() -> None:
    rows = Rows()
    whole, first, rest = (
        sums_of(rows.matrix[one], rows.own[one], rows.action[one], rows.dose[one], rows.residual[one], 2)
        for one in (slice(None), slice(0, 50), slice(50, None))
    )
    for name in ("gg", "gh", "hh", "gr", "hr", "rr", "sent", "n"):
        np.testing.assert_allclose(getattr(first + rest, name), getattr(whole, name), rtol=1e-9)
        np.testing.assert_allclose(getattr(whole - rest, name), getattr(first, name), rtol=1e-6, atol=1e-9)


def fitted(rows: Rows) -> Gains:
    return fit_gains(rows.matrix, rows.own, rows.action, rows.dose, rows.residual, rows.customer, seed=0).gains


class TestFitting:
    def test_few_columns_that_tell_much_are_found_among_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = Rows(n=4000, f=40)
        truth = 1.0 + rows.matrix[:, 0] - rows.matrix[:, 1]
        rows.residual = np.random.default_rng(1).normal(size=4000) * 3 + rows.dose * truth

        def missed() -> float:
            told = fitted(rows).predict(rows.matrix, np.zeros_like(rows.own))
            return float(np.square(told - truth[:, None]).mean())

        with_rounds = missed()
        monkeypatch.setattr("nba.gains.ROUNDS", 0)
        assert with_rounds < 0.6 * missed()

    def test_the_order_of_rows_and_the_codes_of_customers_mean_nothing_but_for_folds(self) -> None:
        rows, other = Rows(), Rows()
        order = np.random.default_rng(1).permutation(len(rows.matrix))
        for name in ("matrix", "own", "action", "dose", "residual", "customer"):
            setattr(other, name, getattr(rows, name)[order])
        one, two = fitted(rows), fitted(other)
        np.testing.assert_allclose(one.mean, two.mean, rtol=1e-9)
        np.testing.assert_allclose(one.private, two.private, rtol=1e-6, atol=1e-9)

    def test_unseen_gains_have_not_seen_the_customer(self) -> None:
        rows = Rows()
        before = fit_gains(rows.matrix, rows.own, rows.action, rows.dose, rows.residual, rows.customer, seed=0).unseen
        rows.residual = rows.residual.copy()
        mine = rows.customer == 3
        rows.residual[mine] += 0.1  # too little to change the penalties
        after = fit_gains(rows.matrix, rows.own, rows.action, rows.dose, rows.residual, rows.customer, seed=0).unseen
        np.testing.assert_allclose(before[mine], after[mine], rtol=1e-10)
        assert np.abs(before[~mine] - after[~mine]).max() > 1e-6

    def test_means_of_few_contacts_are_drawn_to_the_mean_of_all(self) -> None:
        rows = Rows(n=600, f=1)
        rows.action = np.where(np.arange(600) < 5, 1, np.where(np.arange(600) < 300, 0, -1)).astype(np.int32)
        rows.dose = np.where(rows.action < 0, 0.0, 1.0)
        rows.residual = np.where(rows.action == 1, 9.0, np.where(rows.action == 0, 1.0, 0.0))
        found = fitted(rows)
        assert found.mean[0] == pytest.approx(1.0, abs=0.3)
        assert found.mean[0] < found.mean[1] < 4.0, "five contacts are not worth nine"

    def test_nothing_sent_and_no_action_at_all(self) -> None:
        rows = Rows()
        rows.action, rows.dose = np.full(120, -1, dtype=np.int32), np.zeros(120)
        assert (fitted(rows).mean == 0).all()
        rows.own = np.zeros((120, 0, len(OWN)))
        assert fitted(rows).predict(rows.matrix, rows.own).shape == (120, 0)


def test_scaled_gains_keep_what_holding_brings() -> None:
    gains = fitted(Rows())
    rows = Rows()
    half = scaled(gains, 0.5)
    np.testing.assert_allclose(half.predict(rows.matrix, rows.own), 0.5 * gains.predict(rows.matrix, rows.own))
    first = np.zeros(len(rows.matrix), dtype=np.int64)
    np.testing.assert_allclose(
        half.errors(rows.matrix, rows.own, first), 0.5 * gains.errors(rows.matrix, rows.own, first)
    )
    assert (half.missed(rows.matrix) == gains.missed(rows.matrix)).all()


def test_arrays_there_and_back() -> None:
    gains, rows = fitted(Rows()), Rows()
    back = Gains.from_arrays(gains.to_arrays())
    assert (back.predict(rows.matrix, rows.own) == gains.predict(rows.matrix, rows.own)).all()
    assert (back.missed(rows.matrix) == gains.missed(rows.matrix)).all()
    np.testing.assert_allclose(back.covariance, gains.covariance, rtol=1e-6)
    assert back.personal == gains.personal


class TestConfirmed:
    def test_right_gains_are_confirmed_and_gains_twice_as_large_by_half(self) -> None:
        rng = np.random.default_rng(0)
        matrix, dose = rng.normal(size=(20_000, 3)), rng.choice([0.0, 0.2, 0.6], 20_000)
        gain = 1 + matrix[:, 0]
        residual = dose * gain + rng.normal(size=20_000)
        for factor in (1.0, 2.0):
            found, error = confirmed(matrix, dose, factor * gain, residual)
            assert found == pytest.approx(1 / factor, abs=4 * error)
            assert 0 < error < 0.05

    def test_what_columns_say_is_not_confirmed(self) -> None:
        """The outcome goes with a column, and so does whether something is sent."""
        rng = np.random.default_rng(0)
        matrix = rng.normal(size=(20_000, 3))
        dose = np.where(rng.random(20_000) < 1 / (1 + np.exp(-matrix[:, 0])), 0.5, 0.0)
        found, error = confirmed(matrix, dose, np.ones(20_000), matrix[:, 0] + rng.normal(size=20_000))
        assert abs(found) < 4 * error

    def test_gains_of_nothing_have_no_factor(self) -> None:
        found, _ = confirmed(np.zeros((10, 2)), np.ones(10), np.zeros(10), np.arange(10.0))
        assert np.isfinite(found)


class TestOwnNumbers:
    def test_counts_fade_by_half_in_14_days(self) -> None:
        contacts = contacts_of(
            [
                [(START - 14 * DAY, "a", "email", True), (START, "a", "sms", False), (START, "b", "sms", False)],
                [(START - 28 * DAY, "other", "email", True), (START - DAY, None, None, False)],
                [],
            ]
        )
        crowd = crowd_of([START] * 3, channels=["email", "sms"], contacts=contacts)
        found = own_numbers(crowd, ("b", "a"))
        assert found.shape == (3, 2, len(OWN))
        assert found[0].tolist() == [[1.0, 0.0], [1.5, 0.5]]
        assert (found[1:] == 0).all(), "what the model does not know counts for nothing"

    def test_nobody_and_no_action(self) -> None:
        crowd = crowd_of([START] * 2, channels=[], contacts=Contacts.none(2))
        assert own_numbers(crowd, ()).shape == (2, 0, len(OWN))
        contacts = contacts_of([[(START, "a", None, True)], []])
        assert own_numbers(crowd_of([START] * 2, channels=[], contacts=contacts), ()).shape == (2, 0, len(OWN))
