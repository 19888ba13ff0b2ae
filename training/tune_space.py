"""What ``segue tune`` tries: the weights of a placement's sources, and the settings of the sources that matter most.

Ranges are wide enough for shops of every kind and widened where a configuration lies outside. A setting is named as
``--set`` names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recommender.config import RecommenderConfig


@dataclass(frozen=True)
class Knob:
    """A setting of every source (or ranker) of a kind, and where good values of it lie.

    ``log``: ratios matter, not differences; ``whole``: a whole number; ``where``: only if another field has this value.
    """

    kind: str
    field: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    where: tuple[str, str] | None = None


KNOBS = (
    Knob("transitions", "distance_decay", 0.5, 1),
    Knob("transitions", "reverse", 0, 1),
    Knob("transitions", "damping", 0, 0.5),
    Knob("transitions", "profile_decay", 0.3, 1),
    Knob("item_item", "damping", 0.2, 1),
    Knob("linear", "regularization", 10, 2_000, log=True),
    Knob("two_hop", "damping", 0, 1),
    Knob("cooccurrence", "damping", 0, 1),
    Knob("cooccurrence", "everyday", 0.1, 2, log=True),
    Knob("cooccurrence", "half_life_days", 14, 720, log=True),
    Knob("als", "factors", 16, 128, log=True, whole=True),
    Knob("als", "confidence", 1, 100, log=True),
    Knob("text", "category_weight", 0, 3),
    Knob("text", "attribute_weight", 0, 2),
    Knob("popularity", "half_life_days", 2, 365, log=True),
    Knob("own_history", "decay", 0.5, 1, where=("rank_by", "frequency")),
    Knob("repurchase", "prior", 0.5, 50, log=True),
    Knob("repurchase", "own_prior", 0.2, 20, log=True),
)
#: The same of learned rankers, which have no kinds.
RANKER_KNOBS = (
    Knob("ranker", "leaves", 7, 127, log=True, whole=True),
    Knob("ranker", "trees", 50, 300, log=True, whole=True),
    Knob("ranker", "learning_rate", 0.02, 0.3, log=True),
    Knob("ranker", "candidates", 50, 400, log=True, whole=True),
)
WEIGHT = Knob("placement", "sources", 0.003, 10, log=True)
#: A source that would weigh less is left out.
LEAST_WEIGHT = 0.01


@dataclass(frozen=True)
class Setting:
    """One number to choose. ``path``: where it stands in the configuration; ``default``: what it is there."""

    path: tuple[str, ...]
    knob: Knob
    default: float

    @property
    def name(self) -> str:
        """As ``--set`` names it."""
        return ".".join(self.path)

    @property
    def is_weight(self) -> bool:
        """Whether a low value leaves a source out."""
        return self.path[0] == "placements"


def search_space(config: RecommenderConfig, placements: Sequence[str], *, repeats: bool = False) -> list[Setting]:
    """The settings that lists of these placements depend on most, in the order of the configuration.

    Settings that are None (no half-life) stay so; sources that a placement only falls back on, or only a ranker asks,
    are left alone. ``repeats``: some of the lists hold what the shopper had before: their rankers count, too.
    """
    tables = config.model_dump(mode="json")
    found: list[Setting] = []
    for placement in dict.fromkeys(placements):
        for source, weight in tables["placements"][placement]["sources"].items():
            found.append(setting(("placements", placement, "sources", source), WEIGHT, weight))
    chosen = [tables["placements"][placement] for placement in placements]
    ranking = {name for placement in chosen for name in placement["rankers"]}
    rankers = {
        name: table
        for name, table in tables["rankers"].items()
        if name in ranking and (repeats or not table["repeats"])
    }
    used = {source for placement in chosen for source in placement["sources"]}
    for source, table in tables["sources"].items():
        if source in used:
            found += settings_of(("sources", source), table, [knob for knob in KNOBS if knob.kind == table["kind"]])
    for ranker, table in rankers.items():
        found += settings_of(("rankers", ranker), table, RANKER_KNOBS)
    return found


def settings_of(path: tuple[str, ...], table: Mapping[str, Any], knobs: Sequence[Knob]) -> list[Setting]:
    """The settings of one table that its knobs can turn."""
    return [
        setting((*path, knob.field), knob, table[knob.field])
        for knob in knobs
        if table.get(knob.field) is not None and (knob.where is None or table[knob.where[0]] == knob.where[1])
    ]


def setting(path: tuple[str, ...], knob: Knob, default: float) -> Setting:
    """A setting whose range holds its default."""
    low = min(knob.low, default) if default > 0 or not knob.log else knob.low
    return Setting(path, replace(knob, low=low, high=max(knob.high, default)), float(default))


def with_values(config: RecommenderConfig, space: Sequence[Setting], values: Mapping[str, float]) -> RecommenderConfig:
    """The configuration with these values, by name. A source that weighs next to nothing is left out, but for the last.

    Raises:
        features.config.ConfigError: a value that the configuration does not allow.
    """
    tables = config.model_dump(mode="json")
    for one in space:
        table = tables
        for part in one.path[:-1]:
            table = table[part]
        value = values[one.name]
        table[one.path[-1]] = round(value) if one.knob.whole else float(f"{value:.4g}")
    for placement in {one.path[1] for one in space if one.is_weight}:
        weights = tables["placements"][placement]["sources"]
        kept = {source: weight for source, weight in weights.items() if weight >= LEAST_WEIGHT}
        strongest = max(weights, key=lambda source: weights[source], default=None)
        tables["placements"][placement]["sources"] = kept or ({strongest: weights[strongest]} if strongest else {})
    return RecommenderConfig.of(tables)
