"""A fitted recommender: its sources, and lists made from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.events import EventLog
from features.histories import Histories, Ragged
from features.people import People, find_person
from recommender.answers import Block, BlockRequest, Item, Lists, Shopper, UnknownPlacement
from recommender.blend import blend
from recommender.config import PlacementConfig, RecommenderConfig, SourceConfig
from recommender.groups import Groups
from recommender.queries import Queries
from recommender.sources import als, cooccurrence, item_item, ranking, repurchase, text, transitions
from recommender.sources.base import Source
from recommender.sources.own_history import OwnHistorySource

__all__ = ["Block", "BlockRequest", "Item", "Lists", "Recommender", "Shopper", "UnknownPlacement", "fit"]

Progress = Callable[[str], None]


def fit(
    log: EventLog,
    catalogue: Catalogue,
    config: RecommenderConfig,
    *,
    at: int,
    placements: set[str] | None = None,
    seed: int = 0,
    progress: Progress = lambda step: None,
) -> Recommender:
    """Fit the sources that the placements need (all by default).

    Args:
        log: what may be learned from; its events lie before ``at``.
        catalogue: one row for each of ``log.products``.
        config: sources and placements.
        at: microseconds UTC, from which ages are counted back.
        placements: names of those that will be asked for.
        seed: of random starts.
        progress: told the name of each source before it is fitted.
    """
    chosen = [name for name in config.placements if placements is None or name in placements]
    sources: dict[str, Source] = {}
    for name in _needed(config, chosen, "products"):
        progress(name)
        sources[name] = _fit_source(config.sources[name], log, catalogue, at, seed)
    groups = Groups.of(catalogue)
    group_sources: dict[str, Source] = {}
    needed = _needed(config, chosen, "groups")
    if needed:
        group_log = groups.log(log)
        group_catalogue = Catalogue(groups.ids, {})
        for name in needed:
            progress(f"{name} of groups")
            group_sources[name] = _fit_source(config.group_sources[name], group_log, group_catalogue, at, seed)
    histories = Histories.of(log)
    return Recommender(config, catalogue, log.people, log.anonymous, histories, sources, groups, group_sources, at)


def _needed(config: RecommenderConfig, placements: list[str], of: str) -> list[str]:
    """Sources that some placements use, in the order of the configuration."""
    asked = {
        name
        for place in placements
        if config.placements[place].of == of
        for name in _sources_of(config.placements[place])
    }
    if of == "products" and any(config.placements[place].substitutes == "drop" for place in placements):
        asked.add("text")
    return [name for name in (config.sources if of == "products" else config.group_sources) if name in asked]


def _sources_of(placement: PlacementConfig) -> tuple[str, ...]:
    return (*placement.sources, *placement.fallback)


def _fit_source(config: SourceConfig, log: EventLog, catalogue: Catalogue, at: int, seed: int) -> Source:
    match config.kind:
        case "transitions":
            return transitions.fit(log, at, config)
        case "cooccurrence":
            return cooccurrence.fit(log, at, config)
        case "item_item":
            return item_item.fit(log, config)
        case "als":
            return als.fit(log, config, seed)
        case "text":
            return text.fit(catalogue, config)
        case "own_history":
            return OwnHistorySource(len(catalogue), config)
        case "repurchase":
            return repurchase.fit(log, catalogue, config)
        case "popularity":
            return ranking.popularity(log, at, config)
        case "trend":
            return ranking.trend(log, at, config)
        case "new_arrivals":
            return ranking.new_arrivals(log, catalogue, at, config)
        case "on_sale":
            return ranking.on_sale(log, catalogue, at, config)


@dataclass(frozen=True)
class Recommender:
    """What training writes into a bundle and serving answers from. Nothing in it changes.

    Attributes:
        config: sources and placements it was fitted with.
        catalogue: the products.
        people, anonymous: everyone known, and who of them is no customer. Names after fitting, digests in a bundle.
        histories: what each of ``people`` did.
        sources: fitted, by name.
        groups, group_sources: categories and brands, and the sources over them.
        at: microseconds UTC up to which events were learned from.
    """

    config: RecommenderConfig
    catalogue: Catalogue
    people: People
    anonymous: NDArray[np.bool_]
    histories: Histories
    sources: dict[str, Source]
    groups: Groups
    group_sources: dict[str, Source]
    at: int

    def placement(self, name: str) -> PlacementConfig:
        """The configuration of a placement.

        Raises:
            UnknownPlacement: there is none of that name.
        """
        try:
            return self.config.placements[name]
        except KeyError:
            raise UnknownPlacement(name, sorted(self.config.placements)) from None

    def lists(self, placement: str, queries: Queries, count: int, exclude: Ragged | None = None) -> Lists:
        """Bare lists for many questions: no diversity, rules or substitute filter; best first, ties by product id.

        Anchors never appear, nor does what ``exclude`` names (product codes, a row a question), nor what
        ``queries.allowed`` rules out. The fallback chain fills a list (score 0), so it is shorter than ``count`` only
        where the catalogue is. Questions are scored in chunks; no list depends on which are asked together.

        Raises:
            UnknownPlacement: there is none of that name, or it does not list products.
        """
        config = self.placement(placement)
        if config.of != "products":
            raise UnknownPlacement(
                placement, [name for name, other in self.config.placements.items() if other.of == "products"]
            )
        product = np.full((len(queries), count), -1, dtype=np.int32)
        score = np.zeros((len(queries), count), dtype=np.float32)
        fallback = self.fallback_order(config, queries.allowed)
        banned = np.zeros(len(self.catalogue), dtype=np.bool_)
        step = max(16, min(256, 4_000_000 // max(len(self.catalogue), 1)))  # what adding scores up holds in memory
        for start in range(0, len(queries), step):
            chunk = queries.take(np.arange(start, min(start + step, len(queries))))
            scores, _ = blend(self.sources, config.sources, as_seen(chunk, config), len(self.catalogue))
            for place in range(len(chunk)):
                row = start + place
                out = chunk.anchors[place] if exclude is None else np.concatenate([chunk.anchors[place], exclude[row]])
                banned[out] = True
                codes, values = best(*scores.row(place), banned, queries.allowed, count)
                product[row, : len(codes)], score[row, : len(codes)] = codes, values
                if len(codes) < count and not config.may_be_empty:
                    banned[codes] = True
                    fill = first_not_in(fallback, banned, count - len(codes))
                    product[row, len(codes) : len(codes) + len(fill)] = fill
                    banned[codes] = False
                banned[out] = False
        return Lists(product, score)

    def fallback_order(self, config: PlacementConfig, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Every product that is allowed, in the order of the fallback chain, then by id."""
        orders = [self.ranking(name).order for name in config.fallback]
        chain = np.concatenate([*orders, np.arange(len(self.catalogue))])
        _, first = np.unique(chain, return_index=True)
        chain = chain[np.sort(first)]
        return chain if allowed is None else chain[allowed[chain]]

    def ranking(self, name: str, of: Literal["products", "groups"] = "products") -> ranking.RankingSource:
        """A source that ranks the whole shop, by name."""
        source = self.sources[name] if of == "products" else self.group_sources[name]
        if not isinstance(source, ranking.RankingSource):
            msg = f"the source {name!r} does not rank the whole shop and cannot be a fallback"
            raise TypeError(msg)
        return source

    def answer(self, shopper: Shopper, blocks: list[BlockRequest], at: int, *, explain: bool = False) -> list[Block]:
        """Blocks as served, without a merchandiser's rules: see `recommender.answering.Answerer`."""
        from recommender.answering import Answerer
        from recommender.rules import Rules

        return Answerer(self, Rules((), self.catalogue)).answer(shopper, blocks, at, explain=explain)

    def person(self, shopper: Shopper) -> int:
        """The code of whoever asks, -1 if unknown."""
        return find_person(
            self.people,
            self.anonymous,
            customer_id=shopper.customer_id,
            anonymous_id=shopper.anonymous_id,
            session_id=shopper.session_id,
        )

    def history(self, person: int, at: int) -> Histories:
        """What one person did before a moment, one row; empty for -1."""
        if person < 0:
            return Histories.empty(1)
        past = self.histories
        start, stop = int(past.indptr[person]), int(past.indptr[person + 1])
        row = slice(start, start + int(past.time[start:stop].searchsorted(at)))
        return Histories.of_one(past.product[row], past.kind[row], past.time[row])


def as_seen(queries: Queries, config: PlacementConfig) -> Queries:
    """The questions as a placement's sources see them: with history, anchors or both."""
    n = len(queries)
    match config.profile:
        case "anchors":
            return Queries(queries.at, Histories.empty(n), queries.anchors, queries.allowed)
        case "history":
            return Queries(queries.at, queries.history, Ragged.empty(n), queries.allowed)
        case "both":
            return queries


def best(
    codes: NDArray[np.int32],
    scores: NDArray[np.float32],
    banned: NDArray[np.bool_],
    allowed: NDArray[np.bool_] | None,
    count: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The ``count`` best candidates that may be shown, best first, ties by code."""
    shown = ~banned[codes]
    if allowed is not None:
        shown &= allowed[codes]
    codes, scores = codes[shown], scores[shown]
    if len(codes) > count:
        floor = np.partition(scores, len(scores) - count)[len(scores) - count]
        high = scores >= floor
        codes, scores = codes[high], scores[high]
    order = np.lexsort((codes, -scores))[:count]
    return codes[order], scores[order]


def first_not_in(order: NDArray[np.int64], banned: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """The first ``count`` of an order that are not banned, without walking all of it."""
    found = order[: count * 4]
    found = found[~banned[found]]
    if len(found) < count:
        found = order[~banned[order]]
    return found[:count]
