"""The learned ranker: LightGBM over signals of the candidates that a blend of sources puts first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from features.catalogue import Catalogue
from features.config import Config
from recommender import signals
from recommender.queries import AsOf, Queries
from recommender.signals import Facts
from recommender.sources.base import Source
from recommender.sources.scores import Proposals, Scores

if TYPE_CHECKING:
    from lightgbm import Booster


class RankerConfig(Config):
    """Hyper-parameters of a ranker; `recommender.lessons` fits it."""

    learns: Literal["orders", "steps"] = "orders"
    """What shoppers buy next (or view, where nobody buys); or what they go for next beside what they look at."""
    learns_to: Literal["order", "probability"] = "probability"
    """The probability of each candidate, beginning with what the blend says, as margins need it; or the order alone."""
    moments: tuple[AsOf, ...] = ("last", "customer")
    """Lists that it orders: those made at the end of the log for everybody, as when serving, or at the end of what each
    person did."""
    repeats: bool = False
    """Learn what is bought again, too."""
    sources: tuple[str, ...] = ()
    """Sources that are asked for their opinion beside those of the placement."""
    latest: tuple[str, ...] = ("transitions",)
    """Sources that are asked about the newest step alone, too."""
    candidates: int = Field(100, ge=1)
    """So many are ranked, those that the placement's blend puts first; the others stay behind them."""
    trees: int = Field(100, ge=1)
    """Trees × candidates is what a list costs."""
    leaves: int = Field(15, ge=2)
    """Leaves of a tree."""
    learning_rate: float = Field(0.1, gt=0)
    """How much each tree corrects."""
    rows_a_leaf: int = Field(200, ge=1)
    """Fewest candidates in a leaf."""
    shrinkage: float = Field(5.0, ge=0)
    """Penalty on the squared values of leaves."""
    questions: int = Field(10_000, ge=1)
    """Lists to learn from in each block, at most."""
    blocks: int = Field(1, ge=1)
    """Blocks of time to learn from, each after what its sources were fitted on; each costs fitting all sources."""
    block_share: float = Field(0.1, gt=0, le=0.5)
    """Share of the log's events in a block."""
    cart_gain: float = Field(1.5, ge=0)
    """steps: worth of what is put into the cart next, where one that is viewed counts 1."""
    purchase_gain: float = Field(2.0, ge=0)
    """steps: worth of what is bought next."""


@dataclass(frozen=True)
class Ranker:
    """A fitted ranker. Nothing in it changes.

    Attributes:
        config: how it was fitted.
        asked: names of the sources whose opinion it knows, in the order of its signals.
        names: the signals.
        text: LightGBM's model; empty where there was too little to learn from, and the blend decides.
        slope, intercept: of what trees add to: slope · ln(share of the blend's best) + intercept.
        facts: of products.
    """

    config: RankerConfig
    asked: tuple[str, ...]
    names: tuple[str, ...]
    text: str
    slope: float
    intercept: float
    facts: Facts

    @cached_property
    def booster(self) -> Booster:
        """The trees."""
        from lightgbm import Booster

        return Booster(model_str=self.text)

    @cached_property
    def used(self) -> frozenset[str]:
        """The signals that trees split on. The others change no prediction."""
        splits = self.booster.feature_importance("split").tolist()
        return frozenset(name for name, often in zip(self.names, splits, strict=True) if often)

    def reranked(self, queries: Queries, scores: Scores, proposed: Proposals, sources: Mapping[str, Source]) -> Scores:
        """The same candidates with other scores: the best by the blend by what the ranker says, the others below.

        Args:
            queries: n questions.
            scores: candidates that may be shown, with their score in the blend.
            proposed: what some sources say; others of `asked` are asked.
            sources: by name.
        """
        if not self.text or not len(scores.value):
            return scores
        chosen, place = scores.first(self.config.candidates)
        newest = self.config.latest
        rows = signals.table(queries, chosen, proposed, sources, self.asked, newest, self.facts, self.used)
        raw = self.booster.predict(rows, num_threads=1, raw_score=True)
        raw = raw + (self.slope * np.log(chosen.shares) + self.intercept)
        value = scores.shares * np.float32(1e-5)  # below anything that is ranked, whatever the weights of the blend
        value[place] = 1 / (1 + np.exp(-raw.clip(-10, 10)))
        return Scores(scores.indptr, scores.product, value)

    def over(self, catalogue: Catalogue) -> Ranker:
        """The ranker over a catalogue with more products."""
        return replace(self, facts=self.facts.over(catalogue))
