"""The gate: a version of a model becomes champion only with evidence, stored when it was trained.

The evidence is a `Verdict`: the configurations of the challenger and of the champion, both fitted on the part before
the cut of the same data, compared person by person. The first champion is compared with popularity. A version that was
champion before may return at any time: rolling back must never wait for an evaluation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

#: How much worse than the champion a challenger may be, as a share of the champion's value.
MARGIN = 0.01


class UnknownModelError(LookupError):
    """No model of that name, no such version of it, or no version with that alias."""


class GateRefused(Exception):  # a refusal, not a fault
    """The gate stays shut.

    Attributes:
        reason: "no-evidence" (training stored no verdict), "not-better" (the verdict failed) or "stale-evidence" (the
            champion is not the one the challenger was compared with).
        verdict: the evidence, where there is any.
    """

    def __init__(
        self, reason: Literal["no-evidence", "not-better", "stale-evidence"], message: str, verdict: Verdict | None
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.verdict = verdict


class Difference(BaseModel):
    """A paired difference, challenger less reference, with its 95% interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    ci: tuple[float, float]


class Verdict(BaseModel):
    """What training found when it compared a challenger with the champion. Stored with the version, as JSON.

    Unknown fields are ignored, so that a later Segue may say more without shutting out an earlier one.
    """

    model_config = ConfigDict(frozen=True)

    champion_version: int | None
    """The version that was champion then; null when there was none."""
    against: Literal["champion", "popularity", "logged"]
    metric: str
    split: str
    challenger: float
    champion: float
    """The value of what the challenger was compared with: the champion, popularity, or the policy of the log."""
    difference: Difference
    margin: float
    """In units of the metric: by how much the lower bound of the difference may lie below zero."""
    passed: bool
    rows: int
    """How many questions were compared."""
    effective_sample_size: float | None = None
    """Of decisions: rows of the log that stand behind the challenger's value, see `nba.offpolicy`."""
    unsupported: float | None = None
    """Of decisions: share of the challenger's choices that the log could never have made."""
    refusals: tuple[str, ...] = ()
    """Of decisions: why it did not pass, see `nba.evidence`."""

    @staticmethod
    def of(
        *,
        champion_version: int | None,
        metric: str,
        split: str,
        challenger: float,
        champion: float,
        difference: Difference,
        rows: int,
        share: float = MARGIN,
    ) -> Verdict:
        """Judge. Passes if the lower bound of the paired difference is at least -``share`` of the champion's value."""
        margin = share * abs(champion)
        return Verdict(
            champion_version=champion_version,
            against="popularity" if champion_version is None else "champion",
            metric=metric,
            split=split,
            challenger=challenger,
            champion=champion,
            difference=difference,
            margin=margin,
            passed=no_worse(difference, margin),
            rows=rows,
        )


def no_worse(difference: Difference, margin: float) -> bool:
    """The rule. A bound that is not a number (nothing was compared) never passes."""
    low = difference.ci[0]
    return math.isfinite(low) and low >= -margin


@dataclass(frozen=True)
class ModelVersion:
    """One registered version of a model.

    Attributes:
        verdict: the evidence as stored (JSON text), or None.
        was_champion: it held the alias ``champion`` at some time.
        config: the configuration it was trained with (JSON text), or None if it was registered by other means.
        data: fingerprint of the dataset it was trained on, or None.
        created: milliseconds since 1970 UTC.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    was_champion: bool
    verdict: str | None
    config: str | None
    data: str | None
    run_id: str | None
    created: int


class Registry(Protocol):
    """Where versions live.

    MLflow in production (`training.tracking`, and `serving.registry`), a dictionary in the tests of the gate.
    """

    def version(self, name: str, version: int) -> ModelVersion:
        """One version.

        Raises:
            UnknownModelError: there is none.
        """
        ...

    def champion(self, name: str) -> ModelVersion | None:
        """The version with the alias ``champion``, or None."""
        ...

    def crown(self, name: str, version: int) -> None:
        """Move the alias ``champion``, in one step: a reader sees the old champion or the new one.

        Both the dethroned and the crowned version are marked as having been champion.
        """
        ...


@dataclass(frozen=True)
class Promotion:
    """A champion was crowned. ``previous`` is the version that was champion before, ``returned`` marks a roll-back."""

    name: str
    version: int
    previous: int | None
    returned: bool
    verdict: Verdict | None


def promote(registry: Registry, name: str, version: int) -> Promotion:
    """Make a version champion, if the evidence allows it.

    Raises:
        UnknownModelError: no such version.
        GateRefused: no evidence, not better, or compared with what is no longer champion.
    """
    candidate = registry.version(name, version)
    champion = registry.champion(name)
    previous = champion.version if champion else None
    verdict = evidence(candidate)
    returning = candidate.was_champion or previous == version
    if not returning:
        check(candidate, verdict, previous)
    if previous != version:
        registry.crown(name, version)
    return Promotion(name, version, previous, returning, verdict)


def check(candidate: ModelVersion, verdict: Verdict | None, champion_version: int | None) -> None:
    """Refuse unless the verdict is there, was reached against today's champion, and passed."""
    label = f"{candidate.name} version {candidate.version}"
    if verdict is None:
        raise GateRefused(
            "no-evidence", f"{label} has no stored verdict; train it again on data with enough purchases", None
        )
    if verdict.champion_version != champion_version:
        then = "no champion" if verdict.champion_version is None else f"version {verdict.champion_version}"
        now = "there is none" if champion_version is None else f"version {champion_version} is"
        raise GateRefused("stale-evidence", f"{label} was compared with {then} but {now} now; train it again", verdict)
    if not (verdict.passed and no_worse(verdict.difference, verdict.margin)):
        raise GateRefused("not-better", f"{label}: {describe(verdict)}", verdict)


def evidence(candidate: ModelVersion) -> Verdict | None:
    """The stored verdict; None where there is none or it cannot be read."""
    if candidate.verdict is None:
        return None
    try:
        return Verdict.model_validate_json(candidate.verdict)
    except ValidationError:
        return None


def describe(verdict: Verdict) -> str:
    """The verdict in one line."""
    low, high = verdict.difference.ci
    return (
        f"{verdict.metric} {verdict.challenger:.4f} against {verdict.champion:.4f} of {verdict.against} "
        f"on {verdict.split} ({verdict.rows} rows), difference {verdict.difference.value:+.4f} "
        f"[{low:+.4f}, {high:+.4f}], "
        f"{'passes' if verdict.passed else 'fails'}: the lower bound must be at least {-verdict.margin:.4f}"
        f"{_behind(verdict)}"
    )


def _behind(verdict: Verdict) -> str:
    """What stands behind a verdict on decisions."""
    if verdict.effective_sample_size is None or verdict.unsupported is None:
        return ""
    refused = f"; refused: {', '.join(verdict.refusals)}" if verdict.refusals else ""
    size = f"{verdict.effective_sample_size:,.0f} effective rows"
    return f"; {size}, {verdict.unsupported:.1%} of choices beyond the log{refused}"
