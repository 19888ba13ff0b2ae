"""What an attended contact adds: linear in what is known of the customer, drawn together over actions.

For a decision with outcome Y, customer x, action a and chance d to be attended (0 on hold),

    Y = m(x) + φ(x)·α + d · (δ_a + ψ(x, a)·β + φ(x)·β_a) + noise

m is an outcome model without treatments, cross-fitted, so Y − m(x) is a residual; the terms α take up what it missed,
and with that whatever the logging policy knew when it chose (partially linear model: Robinson, Econometrica 56 (1988);
residuals on residuals: Nie & Wager, Biometrika 108 (2021)). The gain of action a for x is the bracket. β is what all
actions have in common, β_a what is an action's own; both are ridge-penalised, β_a harder, δ_a towards the mean of all
(hierarchical shrinkage). These penalties are chosen by cross-validation over customers. Few of many columns matter, so
from there on each column of β gets a penalty of its own, a few times: noise over what the square of its coefficient is
expected to be (automatic relevance determination: MacKay, Neural Computation 4 (1992)). ψ has, beside φ, what is known
of earlier contacts with this very action. Penalised least squares is the posterior mean of a Gaussian model, whose
covariance gives the standard error of a gain.

Only sums over rows are needed, Σ d^k ψψᵀ by action and fold, so fitting costs n · F² once, however many penalties are
tried. Solving costs K · F³ for each private penalty; the shared one then costs F³.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from features.events import DAY
from nba.crowd import Crowd, Floats
from nba.trees import folds_of

#: Numbers of the action itself: contacts with it of late, and how many of them were answered.
OWN = ("recent", "answered")
RECENT_DAYS = 14.0

#: Penalties tried, in units of the residual variance over that of a gain: larger is smoother.
SHARED = (300.0, 3_000.0, 30_000.0, 300_000.0)
PRIVATE = (3_000.0, 30_000.0, 300_000.0, 3e6)
#: … and of the actions' means towards that of all, in contacts: at first, and the least and most that the spread of
#: the means may ask for.
MEANS = 300.0
LEAST_MEANS, MOST_MEANS = 30.0, 1e5
#: What takes up the base is hardly held back.
BASE = 1.0

#: How often the penalties of columns are drawn anew: more would leave out what helps a little.
ROUNDS = 3
#: The least and most of them.
LEAST_COLUMN, MOST_COLUMN = 10.0, 1e8

FOLDS = 3


@dataclass(frozen=True)
class Gains:
    """A fitted model of gains over K actions and F columns.

    Attributes:
        base: float64[1 + F], α with its constant: what m(x) missed of the outcome on hold.
        mean: float64[K], δ_a at the average customer.
        shared: float64[F + len(OWN)], β.
        private: float64[K, F], β_a.
        covariance: float64[K, 1 + F + len(OWN), 1 + F + len(OWN)], of (δ_a, β + β_a).
        personal: whether gains differ between customers; where not, they are the actions' means.
    """

    base: Floats
    mean: Floats
    shared: Floats
    private: Floats
    covariance: Floats
    personal: bool = True
    _slopes: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        width = self.private.shape[1]
        object.__setattr__(self, "_slopes", (self.private + self.shared[:width]).T)

    def predict(self, matrix: Floats, own: Floats) -> Floats:
        """Gain of every action, float64[n, K].

        Args:
            matrix: float64[n, F], φ.
            own: float64[n, K, len(OWN)], from `own_numbers`.
        """
        if not self.personal:
            return np.repeat(self.mean[None], len(matrix), axis=0)
        gain: Floats = self.mean + matrix @ self._slopes + own @ self.shared[matrix.shape[1] :]
        return gain

    def errors(self, matrix: Floats, own: Floats, action: NDArray[np.integer]) -> Floats:
        """Standard error of the gain of one action each, float64[n]: all of them would cost more than all else.

        Args:
            matrix: float64[n, F], φ.
            own: float64[n, K, len(OWN)].
            action: int[n], which.
        """
        if not self.personal:
            error: Floats = np.sqrt(self.covariance[action, 0, 0])
            return error
        error = np.empty(len(action))
        for one in set(action.tolist()):
            mine = action == one
            rows = np.hstack([np.ones((int(mine.sum()), 1)), matrix[mine], own[mine, one]])
            error[mine] = np.einsum("ij,ij->i", rows @ self.covariance[one], rows)
        return np.sqrt(np.maximum(error, 0.0))

    def missed(self, matrix: Floats) -> Floats:
        """float64[n], what is to be added to m(x) for the outcome on hold."""
        missed: Floats = self.base[0] + matrix @ self.base[1:]
        return missed

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """What a bundle keeps."""
        return {
            "base": self.base,
            "mean": self.mean,
            "shared": self.shared,
            "private": self.private,
            "covariance": self.covariance.astype(np.float32),
            "personal": np.array(self.personal),
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Gains:
        """Back from `to_arrays`."""
        named = {
            name: np.asarray(arrays[name], dtype=np.float64)
            for name in ("base", "mean", "shared", "private", "covariance")
        }
        return Gains(**named, personal=bool(arrays["personal"]))


def own_numbers(crowd: Crowd, actions: tuple[str, ...]) -> Floats:
    """Contacts with each action of late: float64[n, K, len(OWN)], decayed counts with a half-life of 14 days."""
    n, k = len(crowd), len(actions)
    contacts = crowd.contacts
    if not len(contacts.time):
        return np.zeros((n, k, len(OWN)))
    number = {action: at for at, action in enumerate(actions)}
    places = np.array([number.get(action, -1) for action in contacts.actions] + [-1])[contacts.action]
    owner = contacts.owner
    known = places >= 0
    faded = np.exp2(-(crowd.at[owner] - contacts.time) / (RECENT_DAYS * DAY))
    cell = owner[known] * k + places[known]
    recent = np.bincount(cell, faded[known], minlength=n * k)
    answered = np.bincount(cell, (faded * contacts.answered)[known], minlength=n * k)
    found: Floats = np.stack([recent, answered], axis=1, dtype=np.float64).reshape(n, k, len(OWN))
    return found


@dataclass(frozen=True)
class Sums:
    """Sums over some rows. g: F columns with a leading 1; h: g and the action's own numbers.

    Attributes:
        gg: float64[G, G], Σ ggᵀ; gh: float64[K, G, H], Σ d ghᵀ of each action's rows; hh: float64[K, H, H], Σ d² hhᵀ.
        gr: float64[G], Σ g r; hr: float64[K, H], Σ d h r. rr: Σ r².
        sent: float64[K], rows of each action. n: number of rows.
    """

    gg: Floats
    gh: Floats
    hh: Floats
    gr: Floats
    hr: Floats
    rr: float
    sent: Floats
    n: int

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __sub__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True)
class CrossFitted:
    """Gains fitted on everything, and float64[n, K], what gains that have not seen a customer say of their rows."""

    gains: Gains
    unseen: Floats


def fit_gains(
    matrix: Floats,
    own: Floats,
    action: NDArray[np.int32],
    dose: Floats,
    residual: Floats,
    customer: NDArray[np.int32],
    *,
    seed: int,
) -> CrossFitted:
    """Learn from decisions.

    Args:
        matrix: float64[n, F], φ.
        own: float64[n, K, len(OWN)].
        action: int32[n], -1 for hold.
        dose: float64[n], chance that the contact is attended, or whether it was; 0 for hold.
        residual: float64[n], Y − m(x).
        customer: int32[n], rows of one are not independent.
        seed: of the folds.
    """
    k = own.shape[1]
    fold = folds_of(customer, FOLDS, np.random.default_rng(seed))
    rows = [np.flatnonzero(fold == number) for number in range(FOLDS)]
    parts = [_sums(matrix[one], own[one], action[one], dose[one], residual[one], k) for one in rows]
    whole = sum(parts[1:], start=parts[0])
    losses = {(shared, private): 0.0 for shared, private in product(SHARED, PRIVATE) if shared <= private}
    for part in parts:
        others = whole - part
        for private in PRIVATE:
            reduced = _reduced(others, private, MEANS)
            for shared in SHARED:
                if shared <= private:
                    losses[shared, private] += _loss(part, _solve(reduced, shared))
    best = min(losses, key=lambda pair: losses[pair] if np.isfinite(losses[pair]) else np.inf)
    unseen = np.empty((len(matrix), k))
    for one, part in zip(rows, parts, strict=True):
        unseen[one] = _gains(_drawn(whole - part, best)[1]).predict(matrix[one], own[one])
    return CrossFitted(_with_errors(whole, *_drawn(whole, best)), unseen)


def scaled(gains: Gains, factor: float) -> Gains:
    """The same gains, all times a factor; the outcome on hold stays."""
    return replace(
        gains,
        mean=gains.mean * factor,
        shared=gains.shared * factor,
        private=gains.private * factor,
        covariance=gains.covariance * factor**2,
    )


def confirmed(matrix: Floats, dose: Floats, said: Floats, residual: Floats) -> tuple[float, float]:
    """How much of what gains say the assignment of contacts confirms: a factor and its standard error.

    It is the coefficient of dose · gain beside φ, by least squares: what was chosen to be sent was drawn, whether it
    was attended was not, so gains that were learned from who attended are only worth what this factor says.

    Args:
        matrix: float64[n, F], φ.
        dose: float64[n], chance that the contact is attended; 0 for hold.
        said: float64[n], gain of the contact that was sent, of gains that have not seen the customer.
        residual: float64[n], Y − m(x).
    """
    columns = np.column_stack([np.ones(len(matrix)), matrix, dose * said])
    left = (
        columns.T @ columns + BASE * np.diag([0.0] + [1.0] * matrix.shape[1] + [0.0]) + 1e-9 * np.eye(columns.shape[1])
    )
    inverse = np.linalg.inv(left)
    found = inverse @ (columns.T @ residual)
    noise = float(np.var(residual - columns @ found))
    return float(found[-1]), float(np.sqrt(max(noise * inverse[-1, -1], 0.0)))


def _sums(matrix: Floats, own: Floats, action: NDArray[np.int32], dose: Floats, residual: Floats, k: int) -> Sums:
    n, f = matrix.shape
    width = 1 + f
    wide = width + own.shape[2]
    g = np.column_stack([np.ones(n), matrix])
    gh, hh, hr = np.zeros((k, width, wide)), np.zeros((k, wide, wide)), np.zeros((k, wide))
    for number in range(k):
        rows = np.flatnonzero(action == number)
        if len(rows):
            h = np.column_stack([g[rows], own[rows, number]]) * dose[rows, None]
            gh[number], hh[number], hr[number] = g[rows].T @ h, h.T @ h, h.T @ residual[rows]
    sent = np.bincount(action[action >= 0], minlength=k).astype(np.float64)
    return Sums(g.T @ g, gh, hh, g.T @ residual, hr, float(residual @ residual), sent, n)


@dataclass(frozen=True)
class Reduced:
    """The equations without the actions' slopes, for one private penalty.

    The slopes b_a = (δ_a, β + β_a) of an action meet those of others only through u = (α, δ, β, β of own numbers), so
    M_a b_a = r_a − C_a u, and for u remains the Schur complement S = U − Σ C_aᵀ M_a⁻¹ C_a.

    Attributes:
        schur: float64[G + H, G + H], S without the penalties of u, which only add to its diagonal.
        right: float64[G + H], its right side.
        own: float64[K, G, G], M_a⁻¹. through: float64[K, G, G + H], M_a⁻¹ C_a. alone: float64[K, G], M_a⁻¹ r_a.
        unit: the mean squared dose of contacts. Doses are small, so penalties are in this unit.
    """

    schur: Floats
    right: Floats
    own: Floats
    through: Floats
    alone: Floats
    unit: float


@dataclass(frozen=True)
class Solution:
    """Coefficients: ``common``, float64[G + H], u; ``slopes``, float64[K, G], b_a; and the ``penalty`` of β."""

    common: Floats
    slopes: Floats
    penalty: float | Floats


def _reduced(sums: Sums, private: float, means: float) -> Reduced:
    k, width, wide = sums.gh.shape
    unit = max(float(sums.hh[:, 0, 0].sum()) / max(float(sums.sent.sum()), 1.0), 1e-9)
    penalty = np.full(width, private * unit)
    penalty[0] = means * unit
    base, slopes, rest = slice(0, width), slice(width, 2 * width), slice(2 * width, width + wide)
    own: Floats = np.asarray(np.linalg.inv(sums.hh[:, :width, :width] + np.diag(penalty)), dtype=np.float64)
    meeting = np.concatenate([sums.gh[:, :, :width].transpose(0, 2, 1), sums.hh[:, :width, width:]], axis=2)
    told = own @ meeting
    through = np.concatenate([told[:, :, :width], -own * penalty, told[:, :, width:]], axis=2)
    alone = (own @ sums.hr[:, :width, None])[:, :, 0]

    crossed = np.tensordot(meeting, told, axes=((0, 1), (0, 1)))  # Σ CᵀM⁻¹C of base and own numbers
    pulled = -penalty[:, None] * told.sum(axis=0)  # … of slopes with these: there C is minus the penalty
    schur = np.empty((width + wide, width + wide))
    schur[base, base] = sums.gg - crossed[:width, :width]
    schur[base, rest] = sums.gh[:, :, width:].sum(axis=0) - crossed[:width, width:]
    schur[rest, rest] = sums.hh[:, width:, width:].sum(axis=0) - crossed[width:, width:]
    schur[slopes, base], schur[slopes, rest] = -pulled[:, :width], -pulled[:, width:]
    schur[slopes, slopes] = k * np.diag(penalty) - penalty[:, None] * own.sum(axis=0) * penalty
    schur[base, slopes], schur[rest, base] = schur[slopes, base].T, schur[base, rest].T
    schur[rest, slopes] = schur[slopes, rest].T
    crossed_right = np.einsum("kgu,kg->u", meeting, alone)
    right = np.concatenate(
        [
            sums.gr - crossed_right[:width],
            penalty * alone.sum(axis=0),
            sums.hr[:, width:].sum(axis=0) - crossed_right[width:],
        ]
    )
    return Reduced(schur, right, own, through, alone, unit)


def _penalised(reduced: Reduced, shared: float | Floats) -> Floats:
    """S with the penalties of what is common; of β one for all columns, or float64[H - 1]."""
    width = reduced.own.shape[1]
    penalty = np.full(len(reduced.right), BASE)
    penalty[width + 1 :] = shared * reduced.unit
    penalty[0], penalty[width] = 1e-9, 1e-6 * reduced.unit
    return reduced.schur + np.diag(penalty)


def _solve(reduced: Reduced, shared: float | Floats) -> Solution:
    """Penalised least squares."""
    common = np.asarray(np.linalg.solve(_penalised(reduced, shared), reduced.right), dtype=np.float64)
    return Solution(common, reduced.alone - reduced.through @ common, shared)


def _loss(sums: Sums, found: Solution) -> float:
    """Σ (r − fitted)² over the rows of some sums."""
    k, width = found.slopes.shape
    base = found.common[:width]
    h = np.hstack([found.slopes, np.tile(found.common[2 * width :], (k, 1))])
    linear = base @ sums.gr + np.sum(h * sums.hr)
    fitted = np.sum(h * (sums.hh @ h[:, :, None])[:, :, 0])
    return float(sums.rr - 2 * linear + base @ sums.gg @ base + 2 * np.sum((base @ sums.gh) * h) + fitted)


def _means(sums: Sums, penalties: tuple[float, float]) -> float:
    """By how much the actions' means are to be drawn to that of all: noise over their spread beyond chance.

    The spread is that of random effects (DerSimonian & Laird, Controlled Clinical Trials 7, 1986), from means that were
    hardly drawn.
    """
    reduced = _reduced(sums, penalties[1], LEAST_MEANS)
    alone = _solve(reduced, penalties[0])
    noise = _noise(sums, alone)
    known = sums.sent > 0
    if known.sum() < 2 or noise == 0:
        return MEANS
    weight = np.maximum(sums.hh[known, 0, 0], 1e-9) / noise
    mean = alone.slopes[known, 0]
    centred = mean - np.average(mean, weights=weight)
    excess = float((weight * centred**2).sum()) - (len(mean) - 1)
    scale = float(weight.sum() - (weight**2).sum() / weight.sum())
    spread = excess / scale if excess > 0 and scale > 0 else 0.0
    return float(np.clip(noise / (spread * reduced.unit) if spread > 0 else MOST_MEANS, LEAST_MEANS, MOST_MEANS))


def _drawn(sums: Sums, penalties: tuple[float, float]) -> tuple[Reduced, Solution]:
    """The actions' means drawn as far as their spread asks for, and of all columns those that tell something."""
    reduced = _reduced(sums, penalties[1], _means(sums, penalties))
    found = _solve(reduced, penalties[0])
    for _ in range(ROUNDS):
        found = _solve(reduced, _relevance(sums, reduced, found))
    return reduced, found


def _relevance(sums: Sums, reduced: Reduced, found: Solution) -> Floats:
    """Penalty of each column of β, float64[H - 1]: noise over what its square is expected to be."""
    slopes = slice(reduced.own.shape[1] + 1, None)
    noise = _noise(sums, found)
    doubt = np.diag(np.linalg.inv(_penalised(reduced, found.penalty)))[slopes] * noise
    square = np.maximum(found.common[slopes] ** 2 + doubt, 1e-300)
    return np.asarray(np.clip(noise / square / reduced.unit, LEAST_COLUMN, MOST_COLUMN), dtype=np.float64)


def _noise(sums: Sums, found: Solution) -> float:
    """Variance of what is left."""
    return max(_loss(sums, found), 0.0) / max(sums.n - 1, 1)


def _with_errors(sums: Sums, reduced: Reduced, found: Solution) -> Gains:
    """Gains with their covariance."""
    k, width, wide = sums.gh.shape
    inverse = np.linalg.inv(_penalised(reduced, found.penalty))
    covariance = np.empty((k, wide, wide))
    for action, through in enumerate(reduced.through):
        told = through @ inverse
        covariance[action, :width, :width] = reduced.own[action] + told @ through.T
        covariance[action, :width, width:] = -told[:, 2 * width :]
        covariance[action, width:, :width] = -told[:, 2 * width :].T
        covariance[action, width:, width:] = inverse[2 * width :, 2 * width :]
    return replace(_gains(found), covariance=covariance * _noise(sums, found))


def _gains(found: Solution) -> Gains:
    """Gains of coefficients, without a covariance."""
    k, width = found.slopes.shape
    shared = found.common[width + 1 :]
    return Gains(
        base=found.common[:width],
        mean=found.slopes[:, 0],
        shared=shared,
        private=found.slopes[:, 1:] - shared[: width - 1],
        covariance=np.zeros((k, 0, 0)),
    )
