"""BG/NBD and Gamma-Gamma: what a customer will buy, from how often, how lately and how dearly they bought. Baselines.

BG/NBD (Fader, Hardie & Lee, "Counting your customers the easy way", Marketing Science 24(2), 2005): a customer orders
at a rate of their own, λ ~ Gamma(r, α), and after each order is lost with a probability of their own, p ~ Beta(a, b).
Gamma-Gamma (Fader, Hardie & Lee, "RFM and CLV", Journal of Marketing Research 42(4), 2005; Fader & Hardie, "The
Gamma-Gamma model of monetary value", 2013): the value of a customer's orders is Gamma(p, ν) distributed,
ν ~ Gamma(q, γ), whatever the number of orders. Unit of time: days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln, hyp2f1

Floats = NDArray[np.float64]

#: Log-parameters are looked for within these bounds.
LOWEST, HIGHEST = -12.0, 12.0


@dataclass(frozen=True)
class Purchases:
    """What is known of n customers who ordered at least once.

    Attributes:
        repeats: float64[n], x, orders after the first.
        last: float64[n], t_x, days from the first order to the last.
        age: float64[n], T, days from the first order to now.
        mean: float64[n], mean value of all x + 1 orders; NaN if unknown.
    """

    repeats: Floats
    last: Floats
    age: Floats
    mean: Floats


@dataclass(frozen=True)
class BgNbd:
    """A fitted model: r, α (days), a, b of the paper."""

    r: float
    alpha: float
    a: float
    b: float

    def alive(self, known: Purchases) -> Floats:
        """P(not lost yet), float64[n].

        1 / (1 + [x > 0] a / (b + x − 1) · ((α + T) / (α + t_x))^(r + x)): the ratio of the two terms of the likelihood.
        """
        x = known.repeats
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            growth = (self.r + x) * (np.log(self.alpha + known.age) - np.log(self.alpha + known.last))
            odds = np.where(x > 0, self.a / (self.b + x - 1) * np.exp(growth), 0.0)
        return 1 / (1 + odds)

    def orders(self, known: Purchases, days: float) -> Floats:
        """E[orders in the next ``days``], float64[n]: equation 10 of the paper.

        With z = t / (α + T + t), its ((α + T) / (α + T + t))^(r + x) · ₂F₁(r + x, b + x; a + b + x − 1; z) is
        (1 − z)^(a − 1) · ₂F₁(a + b − 1 − r, a − 1; a + b + x − 1; z) by Euler's transformation, which does not overflow
        for large x.
        """
        x = known.repeats
        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6  # the singularity at 1 can be removed
        z = days / (self.alpha + known.age + days)
        c = a + self.b + x - 1
        inner = (1 - z) ** (a - 1) * hyp2f1(a + self.b - 1 - self.r, a - 1, c, z)
        expected: Floats = c / (a - 1) * (1 - inner) * self.alive(known)
        return expected

    def buys(self, known: Purchases, days: float) -> Floats:
        """P(at least one order in the next ``days``), float64[n].

        A customer who is not lost has a rate λ ~ Gamma(r + x, α + T), and does not order in t with probability
        ((α + T) / (α + T + t))^(r + x); a customer cannot be lost before an order.
        """
        ratio = np.log(self.alpha + known.age) - np.log(self.alpha + known.age + days)
        some: Floats = -np.expm1((self.r + known.repeats) * ratio)
        return self.alive(known) * some


@dataclass(frozen=True)
class GammaGamma:
    """A fitted model of the value of orders: p, q, γ."""

    p: float
    q: float
    gamma: float

    def mean(self, known: Purchases) -> Floats:
        """E[mean value of an order], float64[n]: p (γ + x m) / (p x + q − 1), shrunk to everybody's mean.

        Those whose mean is not known, or 0, get everybody's, p γ / (q − 1).
        """
        told = known.mean > 0
        n = np.where(told, known.repeats + 1, 0)
        spent = np.where(told, known.mean, 0) * n
        return self.p * (self.gamma + spent) / (self.p * n + self.q - 1)


def fit_bg_nbd(known: Purchases) -> BgNbd:
    """The parameters of greatest likelihood.

    Raises:
        ValueError: there is nobody to fit on.
    """
    if not len(known.repeats):
        raise ValueError("BG/NBD needs customers who bought")
    scale = max(float(known.age.mean()), 1e-6)  # near 1 in the units of the search
    x, last, age = known.repeats, known.last / scale, known.age / scale

    def loss(logs: Floats) -> float:
        return -float(_log_likelihood(logs, x, last, age).mean())

    r, alpha, a, b = np.exp(
        _least(loss, [[0.0, 0.0, 0.0, 0.0], [0.0, -1.0, -2.0, 1.0], [1.0, 0.0, -1.0, 2.0]])
    ).tolist()
    return BgNbd(r, alpha * scale, a, b)


def fit_gamma_gamma(known: Purchases) -> GammaGamma:
    """The parameters of greatest likelihood, from customers whose orders are worth something.

    q is kept above 1, below which there is no mean.

    Raises:
        ValueError: there are none.
    """
    told = known.mean > 0
    if not told.any():
        raise ValueError("Gamma-Gamma needs orders that are worth something")
    scale = float(known.mean[told].mean())
    n, mean = known.repeats[told] + 1, known.mean[told] / scale

    def loss(logs: Floats) -> float:
        p, q, gamma = np.exp(logs[0]), 1 + np.exp(logs[1]), np.exp(logs[2])
        found = gammaln(p * n + q) - gammaln(p * n) - gammaln(q) + q * np.log(gamma)
        found += (p * n - 1) * np.log(mean) + p * n * np.log(n) - (p * n + q) * np.log(gamma + n * mean)
        return -float(found.mean())

    p, q, gamma = np.exp(_least(loss, [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])).tolist()
    return GammaGamma(p, 1 + q, gamma * scale)


def log_likelihood(model: BgNbd, known: Purchases) -> Floats:
    """ln L of each customer, float64[n]: equation 6 of the paper."""
    logs = np.log([model.r, model.alpha, model.a, model.b])
    return _log_likelihood(logs, known.repeats, known.last, known.age)


def _log_likelihood(logs: Floats, x: Floats, last: Floats, age: Floats) -> Floats:
    r, alpha, a, b = np.exp(logs)
    shared = gammaln(r + x) - gammaln(r) + r * logs[1]
    shared += gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
    here = -(r + x) * np.log(alpha + age)
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.where(x > 0, logs[2] - np.log(b + x - 1) - (r + x) * np.log(alpha + last), -np.inf)
    found: Floats = shared + np.logaddexp(here, lost)
    return found


def _least(loss: Callable[[Floats], float], starts: list[list[float]]) -> Floats:
    """Where a loss of log-parameters is least, of what is found from some starts."""
    found = [minimize(loss, start, method="L-BFGS-B", bounds=[(LOWEST, HIGHEST)] * len(start)) for start in starts]
    best: Floats = min(found, key=lambda one: float(one.fun)).x
    return best
