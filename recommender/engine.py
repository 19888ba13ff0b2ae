"""A fitted recommender: its sources, and lists made from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.events import EventLog
from features.histories import Histories, Ragged, gather, rows_of
from features.past import target_kind
from features.people import People, find_person
from recommender import signals
from recommender.answers import Block, BlockRequest, Item, Lists, Shopper, UnknownPlacement
from recommender.blend import as_seen, blend, proposals
from recommender.config import PlacementConfig, RecommenderConfig, SourceConfig
from recommender.exposure import Exposure
from recommender.groups import Groups
from recommender.lessons import Taught, blocks_of, learn, lessons_of, taught
from recommender.queries import AsOf, Queries
from recommender.ranker import Ranker, RankerConfig
from recommender.signals import Facts
from recommender.sources import als, cooccurrence, item_item, linear, ranking, repurchase, text, transitions, two_hop
from recommender.sources.base import Source
from recommender.sources.item_item import ItemItemConfig
from recommender.sources.neighbours import NeighbourSource
from recommender.sources.own_history import OwnHistorySource
from recommender.sources.scores import Scores
from recommender.sources.text import TextSource
from recommender.sources.transitions import TransitionsConfig
from recommender.sources.two_hop import TwoHopConfig

__all__ = ["Block", "BlockRequest", "Item", "Lists", "Recommender", "Shopper", "UnknownPlacement", "fit"]

Progress = Callable[[str], None]

#: Settings of what a source of neighbours makes of a history; its table does not depend on them.
_OF_HISTORY = {"profile_decay", "profile_steps"}


def fit(
    log: EventLog,
    catalogue: Catalogue,
    config: RecommenderConfig,
    *,
    at: int,
    placements: set[str] | None = None,
    as_of: AsOf = "last",
    repeats: bool | None = None,
    seed: int = 0,
    progress: Progress = lambda step: None,
    given: Mapping[str, Source] = MappingProxyType({}),
) -> Recommender:
    """Fit the sources and rankers that the placements need (all by default).

    Args:
        log: what may be learned from; its events lie before ``at``.
        catalogue: one row for each of ``log.products``.
        config: sources and placements.
        at: microseconds UTC, from which ages are counted back.
        placements: names of those that will be asked for.
        as_of: at which moments lists will be asked for; rankers learn from lists of such (`recommender.lessons`).
        repeats: whether lists will hold what shoppers had before; None: either may be asked for.
        seed: of random starts, and of what rankers learn from.
        progress: told the name of each source before it is fitted.
        given: sources that are there already, as `descriptions` of the same catalogue and configuration.
    """
    chosen = [name for name in config.placements if placements is None or name in placements]
    wanted = _rankers_of(config, chosen, as_of, repeats)
    needed = _needed(config, chosen, wanted)
    sources = _fit_sources(config.sources, needed, log, catalogue, at, seed, progress, given)
    groups = Groups.of(catalogue)
    group_sources: dict[str, Source] = {}
    needed_groups = _needed_groups(config, chosen)
    if needed_groups:
        group_log, group_catalogue = groups.log(log), Catalogue(groups.ids, {})
        group_sources = _fit_sources(
            config.group_sources,
            needed_groups,
            group_log,
            group_catalogue,
            at,
            seed,
            lambda name: progress(f"{name} of groups"),
        )
    histories = Histories.of(log)
    rankers = _fit_rankers(log, catalogue, config, wanted, needed, sources, at, as_of, seed, progress)
    return Recommender(
        config, catalogue, log.people, log.anonymous, histories, sources, groups, group_sources, at, rankers
    )


def descriptions(catalogue: Catalogue, config: RecommenderConfig) -> dict[str, Source]:
    """The sources that no event is in: fitted once, they hold for every part of a shop's log."""
    return {name: text.fit(catalogue, one) for name, one in config.sources.items() if one.kind == "text"}


def _rankers_of(config: RecommenderConfig, placements: list[str], as_of: AsOf, repeats: bool | None) -> dict[str, str]:
    """Rankers that some placements use, each with the first of them: it learns to rank what that one's blend says."""
    found: dict[str, str] = {}
    for place in placements:
        for had in (False, True) if repeats is None else (repeats,):
            name = config.ranker_of(config.placements[place], as_of, repeats=had)
            if name:
                found.setdefault(name, place)
    return found


def _needed(config: RecommenderConfig, placements: list[str], rankers: Mapping[str, str]) -> list[str]:
    """Sources that some placements and rankers use, in the order of the configuration."""
    asked = {
        name
        for place in placements
        if config.placements[place].of == "products"
        for name in _sources_of(config.placements[place])
    }
    asked |= {name for ranker in rankers for name in (*config.rankers[ranker].sources, *config.rankers[ranker].latest)}
    if any(config.placements[place].substitutes == "drop" for place in placements):
        asked.add("text")
    if any(config.placements[place].needs_rhythms for place in placements):
        asked.add("repurchase")
    asked |= _walked(config.sources, asked)
    return [name for name in config.sources if name in asked]


def _needed_groups(config: RecommenderConfig, placements: list[str]) -> list[str]:
    asked = {
        name
        for place in placements
        if config.placements[place].of == "groups"
        for name in _sources_of(config.placements[place])
    }
    asked |= _walked(config.group_sources, asked)
    return [name for name in config.group_sources if name in asked]


def _walked(configs: Mapping[str, SourceConfig], asked: set[str]) -> set[str]:
    """Sources that those of two steps are made of."""
    found = [one for name in asked if isinstance(one := configs[name], TwoHopConfig)]
    return {one.of for one in found} | {one.by for one in found if one.by}


def _sources_of(placement: PlacementConfig) -> tuple[str, ...]:
    return (*placement.sources, *placement.fallback)


def _fit_sources(
    configs: Mapping[str, SourceConfig],
    needed: list[str],
    log: EventLog,
    catalogue: Catalogue,
    at: int,
    seed: int,
    progress: Progress,
    given: Mapping[str, Source] = MappingProxyType({}),
) -> dict[str, Source]:
    """The sources that are needed; those that are given are not fitted."""
    sources = dict(given)
    # What is walked twice is fitted before it is.
    fresh = [name for name in needed if name not in given]
    for name in sorted(fresh, key=lambda name: isinstance(configs[name], TwoHopConfig)):
        progress(name)
        like = _of_same_table(configs[name], {other: sources[other] for other in fresh if other in sources}, configs)
        sources[name] = like or _fit_source(configs[name], log, catalogue, at, seed, sources)
    return {name: sources[name] for name in needed}


def _of_same_table(
    config: SourceConfig, fitted: Mapping[str, Source], configs: Mapping[str, SourceConfig]
) -> Source | None:
    """A source whose table is fitted already, since another one differs in what it makes of a history alone."""
    if not isinstance(config, ItemItemConfig | TransitionsConfig):
        return None
    table = config.model_dump(exclude=_OF_HISTORY)
    for name, source in fitted.items():
        if isinstance(source, NeighbourSource) and configs[name].model_dump(exclude=_OF_HISTORY) == table:
            return replace(source, decay=config.profile_decay, steps=config.profile_steps)
    return None


def _fit_rankers(
    log: EventLog,
    catalogue: Catalogue,
    config: RecommenderConfig,
    wanted: Mapping[str, str],
    needed: list[str],
    sources: Mapping[str, Source],
    at: int,
    as_of: AsOf,
    seed: int,
    progress: Progress,
) -> dict[str, Ranker]:
    """Rankers, each taught from blocks cut off the log; rankers that need the same blocks share their sources."""
    if not wanted:
        return {}
    facts = Facts.of(log, catalogue)
    kind = target_kind(log)
    learned: dict[str, list[Taught]] = {name: [] for name in wanted}
    same = {name: source for name, source in sources.items() if isinstance(source, TextSource)}  # no event is in it
    cuts: dict[tuple[AsOf, int, float], list[str]] = {}
    for name in wanted:
        one = config.rankers[name]
        moments: AsOf = "last" if one.learns == "steps" else as_of
        cuts.setdefault((moments, one.blocks, one.block_share), []).append(name)
    for (moments, number, share), names in cuts.items():
        for block in blocks_of(log, at, moments, number, share):
            before = _fit_sources(config.sources, needed, block.log, catalogue, block.at, seed, lambda step: None, same)
            known, exposure = Facts.of(block.log, catalogue), Exposure.of(block.whole)
            for name in names:
                progress(f"{name}: learn")
                one, place = config.rankers[name], config.placements[wanted[name]]
                lessons = lessons_of(block, moments, one)
                rows = taught(lessons, before, place, asked_by(one, place), known, one, kind, exposure)
                learned[name].append(rows)
    rankers: dict[str, Ranker] = {}
    for name in wanted:
        one = config.rankers[name]
        asked = asked_by(one, config.placements[wanted[name]])
        columns = signals.names(sources, asked, one.latest)
        trees = learn(learned[name], one, columns, seed)
        rankers[name] = Ranker(one, asked, columns, *trees, facts)
    return rankers


def _fit_source(
    config: SourceConfig, log: EventLog, catalogue: Catalogue, at: int, seed: int, fitted: Mapping[str, Source]
) -> Source:
    match config.kind:
        case "transitions":
            return transitions.fit(log, at, config)
        case "cooccurrence":
            return cooccurrence.fit(log, at, config)
        case "item_item":
            return item_item.fit(log, config)
        case "linear":
            return linear.fit(log, config)
        case "two_hop":
            of, by = fitted[config.of], fitted[config.by or config.of]
            assert isinstance(of, NeighbourSource)  # noqa: S101  # by the check of the configuration
            assert isinstance(by, NeighbourSource)  # noqa: S101  # the same
            return two_hop.fit(of, by, config)
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
        rankers: fitted, by name.
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
    rankers: dict[str, Ranker] = field(default_factory=dict)

    def placement(self, name: str) -> PlacementConfig:
        """The configuration of a placement.

        Raises:
            UnknownPlacement: there is none of that name.
        """
        try:
            return self.config.placements[name]
        except KeyError:
            raise UnknownPlacement(name, sorted(self.config.placements)) from None

    def lists(
        self, placement: str, queries: Queries, count: int, exclude: Ragged | None = None, *, repeats: bool = False
    ) -> Lists:
        """Bare lists for many questions: no diversity, rules or substitute filter; best first, ties by product id.

        Anchors never appear, nor does what ``exclude`` names (product codes, a row a question), nor what
        ``queries.allowed`` rules out. The fallback chain fills a list (score 0), so it is shorter than ``count`` only
        where the catalogue is. Questions are scored in chunks; no list depends on which are asked together. With
        ``repeats`` the ranker of lists that hold what shoppers had before decides; where there is none, the blend.

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
            seen = as_seen(chunk, config)
            ranker = self.ranker(config, repeats=repeats)
            proposed = proposals(self.sources, config.sources, seen)
            scores, _ = blend(self.sources, config.sources, seen, proposed)
            if ranker is not None:
                scores = scores.where(self._may_stand(chunk, scores, exclude, start))
                scores = ranker.reranked(seen, scores, proposed, self.sources)
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

    def ranker(self, config: PlacementConfig, *, repeats: bool) -> Ranker | None:
        """The ranker of a placement's lists, if it has one. Only those for the moments asked for are fitted."""
        fitted = (self.rankers[name] for name in config.rankers if name in self.rankers)
        return next((ranker for ranker in fitted if ranker.config.repeats == repeats), None)

    def _may_stand(self, queries: Queries, scores: Scores, exclude: Ragged | None, start: int) -> NDArray[np.bool_]:
        """bool[candidates]: those that a list may hold. ``start``: the first row of ``exclude``."""
        n = len(self.catalogue)
        out = rows_of(queries.anchors.indptr) * n + queries.anchors.values
        if exclude is not None:
            indptr, entries = gather(exclude.indptr, np.arange(start, start + len(queries)))
            out = np.concatenate([out, rows_of(indptr) * n + exclude.values[entries]])
        kept = ~np.isin(rows_of(scores.indptr) * n + scores.product, out)
        return kept if queries.allowed is None else kept & queries.allowed[scores.product]

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


def asked_by(ranker: RankerConfig, placement: PlacementConfig) -> tuple[str, ...]:
    """Sources whose opinion a ranker knows: those of the placement and its own."""
    return tuple(dict.fromkeys((*placement.sources, *ranker.sources)))


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
