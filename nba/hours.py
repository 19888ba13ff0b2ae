"""At which hours of their day people do things: shares of 24 hours, person → people alike → everybody.

A person's counts are a few, so their shares are drawn to those of people alike, and these are learned: everybody's
counts are explained by a few kinds of people, each with its own shares of the day (a mixture of multinomials, fitted by
expectation maximisation; Bishop, Pattern Recognition and Machine Learning (2006), section 9.3), and a person is a mix m
of the kinds by how well each explains what they did. The person's own counts c then bend that mix,

    share(h) ∝ m(h) · (S c(h) + κ · S m(h)) / S m(h)

where S smooths over neighbouring hours: the posterior mean of what they do over what the mix expects of them, under a
Gamma prior of mean 1 that weighs κ counts (Gelman et al., Bayesian Data Analysis (2013), section 2.6). Smoothing the
ratio and not the counts keeps the peaks that everybody's day has. Who has done nothing has the shares of everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from nba.values import DAY_HOURS

Floats = NDArray[np.float64]

#: Numbers of kinds, smoothing widths (hours) and concentrations (counts) that fitting chooses from.
KINDS = (1, 2, 3, 4, 6, 8)
WIDTHS = (0.0, 1.0, 1.5, 2.0, 3.0)
CONCENTRATIONS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)

#: What is held out of the counts to choose, how often, and of whom: people with as many counts.
HELD_OUT, THINNINGS, LEAST = 0.2, 3, 5

_ROUNDS = 200  # of expectation maximisation, at most
_ENOUGH = 1e-6  # gain in log likelihood per count at which it ends
_PRIOR = 24.0  # counts of everybody's that each kind begins with, so that no hour is impossible


@dataclass(frozen=True)
class HourShares:
    """Shares of the 24 hours of the day, for whoever has counts.

    Attributes:
        kinds: float64[K, 24], shares of each kind of people; rows sum to 1.
        weights: float64[K], how common each kind is; sums to 1.
        width: hours, standard deviation of the kernel of S; 0: no smoothing.
        concentration: κ, counts; infinite: only the mix of kinds counts.
    """

    kinds: Floats
    weights: Floats
    width: float
    concentration: float
    everybody: Floats = field(init=False, repr=False, compare=False)
    _per_everybody: Floats = field(init=False, repr=False, compare=False)
    _log_kinds: Floats = field(init=False, repr=False, compare=False)
    _log_weights: Floats = field(init=False, repr=False, compare=False)
    _smoothing: Floats = field(init=False, repr=False, compare=False)
    _own: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "everybody", self.weights @ self.kinds)
        object.__setattr__(self, "_per_everybody", 1.0 / self.everybody)
        object.__setattr__(self, "_log_kinds", np.log(self.kinds).T)
        object.__setattr__(self, "_log_weights", np.log(self.weights))
        object.__setattr__(self, "_smoothing", circular(self.width))
        object.__setattr__(self, "_own", self._smoothing / self.concentration)

    def of(self, counts: Floats) -> Floats:
        """Shares of people by their counts, float64[n, 24] to float64[n, 24]; rows sum to 1, all above 0."""
        mixed = self._mixed(counts)
        if np.isinf(self.concentration):
            return mixed
        expected = mixed @ self._smoothing
        shares: Floats = mixed * (expected + counts @ self._own) / expected
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def ratio(self, counts: Floats) -> Floats:
        """Shares over those of everybody: float64[n, 24]; 1 for who has no counts."""
        return self.of(counts) * self._per_everybody

    def _mixed(self, counts: Floats) -> Floats:
        if len(self.weights) == 1:
            return np.repeat(self.kinds, len(counts), axis=0)
        mixed: Floats = _belonging(counts, self._log_kinds, self._log_weights) @ self.kinds
        return mixed

    def to_arrays(self) -> dict[str, Floats]:
        """What a bundle keeps of it."""
        return {
            "kinds": self.kinds,
            "weights": self.weights,
            "shrinkage": np.array([self.width, self.concentration]),
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, Floats]) -> HourShares:
        """Back from `to_arrays`."""
        width, concentration = arrays["shrinkage"].tolist()
        return HourShares(arrays["kinds"], arrays["weights"], width, concentration)


def flat() -> HourShares:
    """Shares where nothing is known: every hour the same, whoever it is."""
    return HourShares(np.full((1, DAY_HOURS), 1 / DAY_HOURS), np.ones(1), 0.0, np.inf)


def fit_shares(counts: NDArray[np.int64], rng: np.random.Generator) -> HourShares:
    """Learn shares from whole counts, int64[n, 24], one row a person.

    Number of kinds, width and concentration are those with the least log loss on a fifth of the counts of people with
    at least five, held out at random three times from what everything else is fitted on.

    Args:
        counts: of everybody, those with few counts too.
        rng: draws what is held out.
    """
    counts = counts[counts.sum(axis=1) > 0]
    if not len(counts):
        return flat()
    losses = np.zeros((len(KINDS), len(WIDTHS), len(CONCENTRATIONS) + 1))
    for _ in range(THINNINGS):
        held = thinned(counts, rng)
        if held.any():
            losses += _losses((counts - held).astype(np.float64), held)
    # Of equals the first: few kinds, and a concentration without an end, are simpler.
    kind, width, concentration = np.unravel_index(int(losses[:, :, ::-1].argmin()), losses.shape)
    kinds, weights = kinds_of(counts.astype(np.float64), KINDS[int(kind)])
    return HourShares(kinds, weights, WIDTHS[int(width)], (*CONCENTRATIONS, np.inf)[::-1][int(concentration)])


def kinds_of(counts: Floats, number: int) -> tuple[Floats, Floats]:
    """Kinds of people and how common each is: float64[K, 24], float64[K].

    Fitting begins with everybody's shares, tilted to hours that cut everybody's day into K parts, so nothing is drawn.

    Args:
        counts: float64[n, 24], of people with any.
        number: K.
    """
    everybody = counts.sum(axis=0) + 1.0
    everybody /= everybody.sum()
    if number == 1:
        return everybody[None], np.ones(1)
    hours = np.arange(DAY_HOURS)
    centres = np.searchsorted(np.cumsum(everybody), (np.arange(number) + 0.5) / number)
    kinds = everybody * np.exp(0.5 * np.cos(2 * np.pi * (hours - centres[:, None]) / DAY_HOURS))
    kinds /= kinds.sum(axis=1, keepdims=True)
    weights = np.full(number, 1.0 / number)
    before = -np.inf
    for _ in range(_ROUNDS):
        log_kinds, log_weights = np.log(kinds).T, np.log(weights)
        belonging, likelihood = _explained(counts, log_kinds, log_weights)
        weights = (belonging.sum(axis=0) + 1.0) / (len(counts) + number)
        kinds = belonging.T @ counts + _PRIOR * everybody
        kinds /= kinds.sum(axis=1, keepdims=True)
        if likelihood - before < _ENOUGH * counts.sum():
            break
        before = likelihood
    return kinds, weights


def thinned(counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """About a fifth of the counts of people with at least five, drawn at random; int64 of the same shape."""
    enough = counts.sum(axis=1, keepdims=True) >= LEAST
    return rng.binomial(np.where(enough, counts, 0), HELD_OUT)


def circular(width: float) -> Floats:
    """Smoothing over neighbouring hours: float64[24, 24], the normal kernel around the clock; rows sum to 1.

    Args:
        width: its standard deviation in hours; 0: the identity.
    """
    if width == 0.0:
        return np.eye(DAY_HOURS)
    apart = np.abs(np.arange(DAY_HOURS)[:, None] - np.arange(DAY_HOURS))
    kernel = np.exp(-0.5 * (np.minimum(apart, DAY_HOURS - apart) / width) ** 2)
    smoothing: Floats = kernel / kernel.sum(axis=1, keepdims=True)
    return smoothing


def _losses(kept: Floats, held: NDArray[np.int64]) -> Floats:
    """Log loss of what was held out: float64[kinds, widths, concentrations and infinity]."""
    known = kept[kept.sum(axis=1) > 0]
    asked = held.any(axis=1)
    kept, held = kept[asked], held[asked]
    found = np.empty((len(KINDS), len(WIDTHS), len(CONCENTRATIONS) + 1))
    for place, number in enumerate(KINDS):
        kinds, weights = kinds_of(known, number)
        for width, concentration in product(range(len(WIDTHS)), range(len(CONCENTRATIONS) + 1)):
            if concentration == len(CONCENTRATIONS) and width > 0:
                found[place, width, concentration] = found[place, 0, concentration]
                continue
            shares = HourShares(kinds, weights, WIDTHS[width], (*CONCENTRATIONS, np.inf)[concentration]).of(kept)
            found[place, width, concentration] = -(held * np.log(shares)).sum() / held.sum()
    return found


def _belonging(counts: Floats, log_kinds: Floats, log_weights: Floats) -> Floats:
    """How likely each person is of each kind: float64[n, K]."""
    fit = counts @ log_kinds
    fit += log_weights
    fit -= fit.max(axis=1, keepdims=True)
    np.exp(fit, out=fit)
    fit /= fit.sum(axis=1, keepdims=True)
    return fit


def _explained(counts: Floats, log_kinds: Floats, log_weights: Floats) -> tuple[Floats, float]:
    """`_belonging`, and the log likelihood of all counts."""
    fit = counts @ log_kinds + log_weights
    most = fit.max(axis=1, keepdims=True)
    fit = np.exp(fit - most)
    whole = fit.sum(axis=1, keepdims=True)
    return fit / whole, float((most + np.log(whole)).sum())
