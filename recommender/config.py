"""The configuration of a recommender: sources and placements. Defaults stand in ``defaults.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from features.config import Config, ConfigError
from recommender.anchors import DefaultAnchors
from recommender.exploration import ExplorationConfig
from recommender.queries import AsOf
from recommender.ranker import RankerConfig
from recommender.sources.als import AlsConfig
from recommender.sources.cooccurrence import CooccurrenceConfig
from recommender.sources.item_item import ItemItemConfig
from recommender.sources.linear import LinearConfig
from recommender.sources.own_history import OwnHistoryConfig
from recommender.sources.ranking import NewArrivalsConfig, OnSaleConfig, PopularityConfig, TrendConfig
from recommender.sources.repurchase import RepurchaseConfig
from recommender.sources.text import TextConfig
from recommender.sources.transitions import TransitionsConfig
from recommender.sources.two_hop import TwoHopConfig

SourceConfig = Annotated[
    AlsConfig
    | CooccurrenceConfig
    | ItemItemConfig
    | LinearConfig
    | NewArrivalsConfig
    | OnSaleConfig
    | OwnHistoryConfig
    | PopularityConfig
    | RepurchaseConfig
    | TextConfig
    | TransitionsConfig
    | TrendConfig
    | TwoHopConfig,
    Field(discriminator="kind"),
]


#: Sources that are tables of neighbours.
_OF_NEIGHBOURS = (AlsConfig, CooccurrenceConfig, ItemItemConfig, LinearConfig, TextConfig, TransitionsConfig)


class PlacementConfig(Config):
    """One list on a page: where its candidates come from and what happens to them."""

    sources: dict[str, Annotated[float, Field(gt=0)]]
    """Weight of each source in the blend. Scores of a source are relative to its best candidate."""
    rankers: tuple[str, ...] = ()
    """Rankers that put the best of the blend in order, each the lists that it learns from; none: the blend decides."""
    of: Literal["products", "groups"] = "products"
    """What is listed: products, or groups of products (categories and brands)."""
    per: Literal["customer", "product"] = "customer"
    """What a batch of lists is made for."""
    profile: Literal["both", "anchors", "history"] = "both"
    """What the sources look at: the products of the page, the shopper's history, or both."""
    default_anchors: DefaultAnchors = "none"
    """Taken from the shopper's history where the request names no product."""
    leave_out_bought: Literal[True, False, "until_due"] = True
    """Drop what the shopper bought before, for good or until it is due again."""
    category_restraint: bool = False
    """Other products of a category that the shopper bought from sink, until it is usual to buy from it again."""
    substitutes: Literal["keep", "drop"] = "keep"
    """Drop what would be bought instead of an anchor rather than with it."""
    diversity: float = Field(0.0, ge=0, lt=1)
    """How much a candidate loses for each one of its category already in the list."""
    margin_weight: float = Field(0.0, ge=0, le=1)
    """Candidates stand by probability of an order times margin to this power: 1 is expected margin. Needs a ranker."""
    impression_discount: float = Field(0.0, ge=0, lt=1)
    """Share of its score that a product loses each time the shopper saw it without a sign of interest."""
    exploration: ExplorationConfig = ExplorationConfig()
    """How often and how the list is shown in another order."""
    fallback: tuple[str, ...] = ("best_sellers",)
    """Rankings that fill the list when its own sources run out, in this order; then the whole catalogue."""
    may_be_empty: bool = False
    """No fallback: the list is the shopper's own and may be empty."""
    bundle: bool = False
    """Answer with the total price of anchors and items together."""

    @property
    def repeats(self) -> bool:
        """Whether the list may hold what the shopper had before."""
        return self.leave_out_bought is not True

    @property
    def needs_rhythms(self) -> bool:
        """Whether it asks the source ``repurchase`` what is due again, be that among its own sources or not."""
        return self.leave_out_bought == "until_due" or self.category_restraint


class RecommenderConfig(Config):
    """Everything that training a recommender depends on, beside data and seed."""

    sources: dict[str, SourceConfig]
    """Candidate sources by name; several may be of one kind."""
    group_sources: dict[str, SourceConfig]
    """The same over groups (categories and brands) in place of products."""
    rankers: dict[str, RankerConfig] = Field(default_factory=dict)
    """Learned rankers by name."""
    placements: dict[str, PlacementConfig]
    """Lists by name."""
    substitute_similarity: float = Field(0.5, gt=0, le=1)
    """Products whose descriptions are at least this alike (cosine, source ``text``) replace each other."""

    def ranker_of(self, placement: PlacementConfig, as_of: AsOf, *, repeats: bool) -> str:
        """The ranker that orders lists made at such moments, of what shoppers had before or not; empty: none."""
        for name in placement.rankers:
            one = self.rankers.get(name)
            if one is not None and as_of in one.moments and one.repeats == repeats:
                return name
        return ""

    @model_validator(mode="after")
    def _margins_weigh_probabilities(self) -> RecommenderConfig:
        for name, placement in self.placements.items():
            ranker = self.ranker_of(placement, "last", repeats=placement.repeats)
            if placement.margin_weight and not (ranker and _tells_probabilities(self.rankers[ranker])):
                wanted = f"learns_to = 'probability', 'last' among its moments and repeats = {placement.repeats}"
                wanted += " (and gains of 1, where it learns steps)"
                msg = f"placements.{name}.margin_weight weighs probabilities: its rankers must name one with {wanted}"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> RecommenderConfig:
        for name, placement in self.placements.items():
            known = self.sources if placement.of == "products" else self.group_sources
            for source in (*placement.sources, *placement.fallback):
                if source not in known:
                    msg = f"placements.{name} names the source {source!r}; there are: {', '.join(sorted(known))}"
                    raise ValueError(msg)
            for source in placement.fallback:
                if not isinstance(known[source], PopularityConfig | TrendConfig | NewArrivalsConfig | OnSaleConfig):
                    msg = f"placements.{name}.fallback: {source!r} does not rank the whole shop"
                    raise ValueError(msg)
            if placement.needs_rhythms and not (
                placement.of == "products" and isinstance(self.sources.get("repurchase"), RepurchaseConfig)
            ):
                msg = f"placements.{name} lists products by what is due again: there must be a source named repurchase"
                raise ValueError(msg)
            for ranker in placement.rankers:
                if ranker not in self.rankers or placement.of == "groups":
                    msg = f"placements.{name} names the ranker {ranker!r}; there are: {', '.join(sorted(self.rankers))}"
                    raise ValueError(msg)
        for name, ranker_config in self.rankers.items():
            for source in (*ranker_config.sources, *ranker_config.latest):
                if source not in self.sources:
                    msg = f"rankers.{name} names the source {source!r}; there are: {', '.join(sorted(self.sources))}"
                    raise ValueError(msg)
        for sources in (self.sources, self.group_sources):
            for name, source_config in sources.items():
                if not isinstance(source_config, TwoHopConfig):
                    continue
                for field, walked in (("of", source_config.of), ("by", source_config.by)):
                    if walked is not None and not isinstance(sources.get(walked), _OF_NEIGHBOURS):
                        msg = f"sources.{name}.{field}: {walked!r} is no source with a table of neighbours"
                        raise ValueError(msg)
        return self

    @staticmethod
    def default(changes: Mapping[str, Any] | None = None) -> RecommenderConfig:
        """The defaults, with ``changes`` (nested tables, as in a TOML file) laid over them.

        ``sources`` and ``fallback`` of a placement are replaced whole, all other tables are merged.

        Raises:
            ConfigError: naming the first field at fault.
        """
        text = resources.files("recommender").joinpath("defaults.toml").read_text(encoding="utf-8")
        return RecommenderConfig.of(overlay(tomllib.loads(text), changes or {}))

    @staticmethod
    def of(tables: Mapping[str, Any]) -> RecommenderConfig:
        """From nested tables that hold everything, as ``model_dump`` writes them.

        Raises:
            ConfigError: naming the first field at fault.
        """
        try:
            return RecommenderConfig.model_validate(tables)
        except ValidationError as error:
            first = error.errors()[0]
            parts = [str(part) for part in first["loc"]]
            if len(parts) > 2 and parts[0] in ("sources", "group_sources"):
                del parts[2]  # the kind, by which pydantic tells sources apart
            place = ".".join(parts) or "configuration"
            msg = f"{place}: {first['msg'].removeprefix('Value error, ')}"
            raise ConfigError(msg) from None


def _tells_probabilities(ranker: RankerConfig) -> bool:
    weighed = ranker.learns == "steps" and (ranker.cart_gain, ranker.purchase_gain) != (1, 1)
    return ranker.learns_to == "probability" and not weighed


def overlay(base: Mapping[str, Any], changes: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it; the weights of a placement are replaced whole."""
    merged = dict(base)
    for key, value in changes.items():
        here = (*path, key)
        whole = len(here) == 3 and here[0] == "placements" and here[2] == "sources"
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = overlay(merged[key], value, here) if both_tables and not whole else value
    return merged
