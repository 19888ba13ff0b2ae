"""Who is calling, what they may do, and how often."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from serving.keys import Keys, Scope
from serving.problems import FORBIDDEN, RATE_LIMITED, UNAUTHENTICATED, ProblemError

SIGNATURE_HEADER = "Segue-Customer-Signature"

#: Callers whose allowance is remembered at most; the longest unseen are forgotten first, which grants them a full one.
_CALLERS = 20_000


class TokenBuckets:
    """An allowance for each caller that fills at ``rate`` requests a second, up to twice as many (at least one).

    Kept in this process: several workers grant an allowance each.

    Args:
        rate: requests a second; 0 grants everything.
        clock: seconds, monotonic.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._most = max(1.0, 2 * rate)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller -> (tokens, when counted)

    def take(self, caller: str) -> float:
        """Take one request from an allowance: 0 if granted, else the seconds until the next one is."""
        if self._rate == 0:
            return 0.0
        now = self._clock()
        tokens, counted = self._buckets.pop(caller, (self._most, now))
        tokens = min(self._most, tokens + (now - counted) * self._rate)
        granted = tokens >= 1
        self._buckets[caller] = (tokens - 1 if granted else tokens, now)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (1 - tokens) / self._rate


@dataclass(frozen=True)
class Caller:
    """Who calls. Without keys everybody is trusted, since only loopback is served then."""

    scope: Scope


class Access:
    """The doorkeeper of every call that is not open to all.

    Args:
        keys: the shop's keys, or None where every caller is trusted.
        rate: requests a second granted to each caller; not applied without keys.
        clock: seconds, monotonic.
    """

    def __init__(self, keys: Keys | None, rate: float, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._buckets = TokenBuckets(rate, clock)

    def admit(self, request: Request, needs: Scope, *, key: str | None = None) -> Caller:
        """Let a request in.

        Args:
            request: the request, with its key as a bearer token.
            needs: the scope it takes.
            key: the key, where one came another way and there is no bearer token.

        Raises:
            ProblemError: unauthenticated, forbidden or rate-limited.
        """
        if self._keys is None:
            return Caller("secret")
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        bearer = presented.strip() if scheme.lower() == "bearer" else key
        known = self._keys.find(bearer) if bearer is not None else None
        if known is None:
            raise ProblemError(
                UNAUTHENTICATED,
                "Send a valid key as `Authorization: Bearer KEY`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if needs == "secret" and known.scope != "secret":
            raise ProblemError(FORBIDDEN, "This call needs a secret key; send it from a server, never from a page.")
        # All pages of a shop carry one public key, so there it is the address that tells callers apart.
        address = request.client.host if request.client else ""
        wait = self._buckets.take(known.name if known.scope == "secret" else f"{known.name} {address}")
        if wait > 0:
            seconds = math.ceil(wait)
            raise ProblemError(RATE_LIMITED, f"Ask again in {seconds} s.", headers={"Retry-After": str(seconds)})
        return Caller(known.scope)

    def check_customer(self, caller: Caller, customer_id: str | None, request: Request) -> None:
        """A public key sees a customer's lists only with that customer's signature, which the shop's server makes.

        Raises:
            ProblemError: forbidden.
        """
        if caller.scope == "secret" or customer_id is None or self._keys is None:
            return
        if not self._keys.signed(customer_id, request.headers.get(SIGNATURE_HEADER, "")):
            raise ProblemError(
                FORBIDDEN,
                f"With a public key a customer_id needs its signature in the header {SIGNATURE_HEADER} "
                "(hex HMAC-SHA256 of the customer_id under the signing secret); or send an anonymous_id instead.",
            )
