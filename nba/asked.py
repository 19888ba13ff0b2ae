"""What is asked of a decision, beside of whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nba.arms import HOLD, split_label
from nba.config import NbaConfig
from nba.known import Said


class AskedWrongly(ValueError):
    """A question that names something there is not. ``name``: the field at fault."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name


@dataclass(frozen=True)
class Constraints:
    """What the answer has to keep to.

    Attributes:
        max_cost: of the contact.
        min_incremental_value: less than this is not worth a contact.
        not_before, not_after: microseconds since 1970 UTC, of sending.
    """

    max_cost: float | None = None
    min_incremental_value: float | None = None
    not_before: int | None = None
    not_after: int | None = None


@dataclass(frozen=True)
class Asked:
    """One question about any number of customers.

    Attributes:
        horizon_hours: contacts are planned so far ahead, 0 to 336; None: as configured.
        actions: only these, by name or label; None: all.
        channels: only these; None: all.
        journey: only the actions of this journey.
        constraints: see there.
        context: what is known of the page that asks, by names without ``context_`` (``page``, ``device``).
        explore: draw now and then, and leave out the holdout. False: the best for everybody, with certainty.
    """

    horizon_hours: int | None = None
    actions: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    journey: str | None = None
    constraints: Constraints = Constraints()
    context: Mapping[str, Said] = field(default_factory=dict)
    explore: bool = True

    def check(self, config: NbaConfig) -> None:
        """Whether everything that is named exists.

        Raises:
            AskedWrongly: naming the field.
        """
        if self.horizon_hours is not None and not 0 <= self.horizon_hours <= 336:
            raise AskedWrongly("horizon_hours", f"{self.horizon_hours} is not between 0 and 336")
        labels = {text for name, action in config.actions.items() for text in (name, *action.labels(name))}
        _known("actions", self.actions or (), labels | {HOLD})
        _known("channels", self.channels or (), config.channels)
        _known("journey", () if self.journey is None else (self.journey,), config.journeys)

    def wants(self, label: str, config: NbaConfig) -> bool:
        """Whether an action with its offer is among what is asked for."""
        name = split_label(label)[0]
        if self.journey is not None and name not in config.journeys[self.journey].actions:
            return False
        return self.actions is None or label in self.actions or name in self.actions


def _known(field_name: str, names: Iterable[str], there: Iterable[str]) -> None:
    for name in names:
        if name not in there:
            raise AskedWrongly(field_name, f"there is no {name!r}; there are: {', '.join(sorted(there)) or 'none'}")
