"""One answer of the service: blocks of lists, each item with its reasons, each list with its funnel."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.events import DAY
from features.histories import Histories, Ragged
from recommender.anchors import anchors_of
from recommender.answers import Block, BlockRequest, Item, Shopper
from recommender.blend import as_seen, blend, proposals, shares
from recommender.config import PlacementConfig
from recommender.eligibility import Funnel, Mask, MaskCache
from recommender.engine import Recommender
from recommender.exploration import Draws, draws
from recommender.explored import explored
from recommender.group_answers import groups_block
from recommender.margins import by_margin, worth
from recommender.newcomers import newcomers
from recommender.picks import Pick, Shelf, down
from recommender.queries import Queries
from recommender.rules import Rules
from recommender.shopper_history import NO_IMPRESSIONS, Impressions, LiveRows, shopper_history
from recommender.sources.base import Reason, Source
from recommender.sources.neighbours import NeighbourSource
from recommender.sources.ranking import RankingSource
from recommender.sources.repurchase import RepurchaseSource
from recommender.sources.scores import Proposals, Scores

Codes = NDArray[np.int32]

#: What a reason says that the item says too.
_TOLD = ("support", "lift", "due_at", "due_probability")

_NOTHING: Codes = np.zeros(0, dtype=np.int32)

#: So many lists that are the same for everybody are kept.
_MOST_KEPT = 200

#: What a page needs to show a product. Margins and attributes stay inside.
_SHOWN = ("title", "category", "brand", "price", "sale_price", "currency", "availability", "image_link")


@dataclass(slots=True)  # one a block: freezing would cost more than the rest of it
class _Draft:
    """A list as it was made, before chance has its say.

    Attributes:
        request, config, query, parts: what it was made for and from.
        anchors: the products it stands beside.
        steps: of the funnel.
        picks: the list, and behind it what may come into it.
        own: so many picks, the first, are from the list's own sources.
        open: bool[products], what the list could hold; None where new products get no place.
        chance: where chance comes from.
    """

    request: BlockRequest
    config: PlacementConfig
    query: Queries
    parts: Proposals
    anchors: Codes
    steps: list[tuple[str, int, int]]
    picks: list[Pick]
    own: int
    open: Mask | None
    chance: Draws | None


class Answerer:
    """Answers requests from one recommender under one set of rules; holds nothing else but what it found before."""

    def __init__(self, recommender: Recommender, rules: Rules) -> None:
        self.recommender = recommender
        self.rules = rules
        self._masks = MaskCache(recommender.catalogue)
        catalogue = recommender.catalogue
        self._product = lru_cache(maxsize=20_000)(lambda code: catalogue.product(code, _SHOWN))
        histories = recommender.histories
        self._new = lru_cache(maxsize=16)(lambda day, days: newcomers(catalogue, histories, day, days))
        self._worth = lru_cache(maxsize=16)(lambda weight: worth(catalogue, weight))
        self._shelf = Shelf(catalogue.text("item_group_id").codes, catalogue.text("category").codes)
        variant = self._shelf.variant
        self._variants = lru_cache(maxsize=20_000)(lambda group: np.flatnonzero(variant == group))
        rankings = [name for name, source in recommender.sources.items() if isinstance(source, RankingSource)]
        self._personal = {
            name
            for name, config in recommender.config.placements.items()
            if config.of == "groups"
            or config.rankers
            or config.leave_out_bought is not False
            or config.category_restraint
            or config.impression_discount
            or (config.profile != "anchors" and not set(config.sources) <= set(rankings))
        }
        # Of one ranking: it stands as it is, where several would age apart from moment to moment.
        self._common = {
            name
            for name, config in recommender.config.placements.items()
            if name not in self._personal
            and config.default_anchors == "none"
            and len(config.sources) == 1
            and set(config.sources) <= set(rankings)
            and not config.exploration.share
            and not config.exploration.new_share
        }
        self._kept: dict[BlockRequest, tuple[Mask, Block]] = {}
        self._plain = PlacementConfig(sources={}, fallback=tuple(name for name in rankings if name == "best_sellers"))

    def over(self, recommender: Recommender) -> Answerer:
        """An answerer under the same rules for a recommender with the very same catalogue; caches of that are shared.

        Raises:
            ValueError: the catalogue is another one.
        """
        if recommender.catalogue is not self.recommender.catalogue:
            msg = "caches hold for one catalogue: make a new Answerer"
            raise ValueError(msg)
        other = copy.copy(self)
        other.recommender = recommender
        other._kept = {}
        return other

    def is_personal(self, requests: list[BlockRequest], *, explain: bool = False) -> bool:
        """Whether it matters to any of some blocks who asks: not where all that counts is the page or a ranking."""
        placements = self.recommender.config.placements
        return explain or any(
            request.placement in self._personal
            or (not request.product_ids and placements[request.placement].default_anchors != "none")
            for request in requests
            if request.placement in placements
        )

    def answer(
        self,
        shopper: Shopper,
        requests: list[BlockRequest],
        at: int,
        *,
        since: LiveRows | None = None,
        draw: str = "",
        explain: bool = False,
    ) -> list[Block]:
        """Blocks in the order asked for; a product stands in one of them only.

        The same arguments give the same blocks: chance, too, is a hash of ``draw`` and the place of a block.

        Args:
            shopper: who asks; unknown ids are ordinary.
            requests: the blocks.
            at: microseconds UTC: histories end before it.
            since: what is known of the shopper beyond the recommender; who they are is taken from it, then.
            draw: a name for this answer, another one each time, as that of a decision. Without one nothing is explored
                (`recommender.exploration`), and propensities are still those of the policy.
            explain: give each item what every source gave to its score, and how often it was seen in vain.

        Raises:
            UnknownPlacement: no such placement.
            features.filters.FilterError: a filter that cannot be honoured.
        """
        if len(requests) == 1 and not explain and self._is_common(requests[0]):
            return [self._common_block(requests[0], at)]
        return self._blocks(shopper, requests, at, since, draw, explain=explain)

    def _is_common(self, request: BlockRequest) -> bool:
        return request.placement in self._common and not request.product_ids and not request.exclude

    def _common_block(self, request: BlockRequest, at: int) -> Block:
        """A list that is the same for everybody: it is kept until other products may be shown."""
        available = self._masks.available(at)
        kept = self._kept.get(request)
        if kept is None or kept[0] is not available:
            [block] = self._blocks(Shopper(), [request], at, None, "", explain=False)
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            kept = self._kept[request] = available, block
        return kept[1]

    def _blocks(
        self,
        shopper: Shopper,
        requests: list[BlockRequest],
        at: int,
        since: LiveRows | None,
        draw: str,
        *,
        explain: bool,
    ) -> list[Block]:
        if since is None:
            history, impressions = self.recommender.history(self.recommender.person(shopper), at), NO_IMPRESSIONS
        else:
            history, impressions = shopper_history(self.recommender, since, at)
        taken: list[int] = []
        made: list[Block | _Draft] = []
        for place, request in enumerate(requests):
            config = self.recommender.placement(request.placement)
            if config.of == "groups":
                made.append(self._groups_block(request, config, history, at, taken, explain))
                continue
            chance = draws(draw, place) if draw else None
            made.append(self._draft(request, config, history, impressions, at, taken, chance))
        return [
            one if isinstance(one, Block) else self._told(one, new, impressions, explain=explain)
            for one, new in zip(made, self._newcomers(made, at, taken), strict=True)
        ]

    def fallback(self, requests: list[BlockRequest], at: int) -> list[Block]:
        """Blocks from the fallback chain alone, when answering failed: best sellers that a request allows.

        Raises:
            UnknownPlacement: no such placement.
            features.filters.FilterError: a filter that cannot be honoured.
        """
        taken: list[int] = []
        blocks = []
        for request in requests:
            config = self.recommender.placement(request.placement)
            picks = self._plainly(request, config if config.of == "products" else self._plain, at, taken)
            items = [self._item(rank, pick, {"code": "popular"}) for rank, pick in enumerate(picks, start=1)]
            blocks.append(Block(request.placement, items, [("fallback", 0, len(items))]))
        return blocks

    def _plainly(self, request: BlockRequest, config: PlacementConfig, at: int, taken: list[int]) -> list[Pick]:
        """Products from the fallback chain, whoever asks."""
        unwanted = self._codes((*request.exclude, *request.product_ids))
        out = _all_but(self._shown(request, at), unwanted, np.array(taken, dtype=np.int32))
        picks = self._shelf.add([], down(self._chain(config, request.category), out), out, request.count)
        taken += [pick.code for pick in picks]
        return picks

    def _draft(
        self,
        request: BlockRequest,
        config: PlacementConfig,
        history: Histories,
        impressions: Impressions,
        at: int,
        taken: list[int],
        chance: Draws | None,
    ) -> _Draft:
        """A list as it is made, whatever chance then does. What it may show by chance is taken, too."""
        model, rules = self.recommender, self.rules
        anchors = self._anchors(request, config, history)
        category = request.category or self._category_of(anchors)
        available, shown = self._masks.available(at), self._shown(request, at)
        inside = self._masks.category(request.category) if request.category else None

        allowed = shown if inside is None else shown & inside
        query = as_seen(Queries(np.array([at]), history, Ragged(np.array([0, len(anchors)]), anchors), allowed), config)
        ranker = model.ranker(config, repeats=config.repeats)
        proposed = proposals(model.sources, config.sources, query)
        total, parts = blend(model.sources, config.sources, query, proposed)

        funnel = Funnel(*total.row(0), len(model.catalogue))
        funnel.keep("in_stock", available[funnel.codes])
        if request.filter is None:
            funnel.step("filter", len(funnel.codes))
        else:
            funnel.keep("filter", shown[funnel.codes])
        if inside is not None:
            funnel.keep("category", inside[funnel.codes])
        named = np.concatenate([self._codes(request.exclude), anchors, np.array(taken, dtype=np.int32)])
        funnel.drop("excluded", named)
        bought = self._unwanted(history, config, at)
        funnel.drop("bought", bought)
        forbidden = rules.products("exclude", request.placement, category)
        funnel.drop("rules", forbidden)
        instead = self._replacements(anchors, config)
        funnel.drop("substitutes", instead)

        if ranker is not None:
            open_ = Scores(np.array([0, len(funnel.codes)]), funnel.codes, funnel.scores)
            found = ranker.reranked(query, open_, proposed, model.sources)
            earns = self._worth(config.margin_weight) if config.margin_weight and ranker.text else None
            funnel.scores = (found if earns is None else by_margin(found, ranker.config.candidates, earns)).value
            funnel.step("ranked", len(funnel.codes))

        for codes, factor in rules.boosts(request.placement, category):
            funnel.scores = np.where(np.isin(funnel.codes, codes), funnel.scores * np.float32(factor), funnel.scores)
        if config.impression_discount and impressions is not NO_IMPRESSIONS:
            funnel.scores = funnel.scores * impressions.discount(funnel.codes, config.impression_discount)
        if config.category_restraint:
            funnel.scores = funnel.scores * self._rhythms.restraint(history, at, funnel.codes)
        buried = rules.products("bury", request.placement, category)
        high, low = funnel.parted(buried)
        reached = request.count + (config.exploration.reach if config.exploration.share else 0)
        picks = self._chosen(*high, parts, reached, config)
        pins = rules.pins(request.placement, category)
        if pins:
            picks = self._shelf.pin(picks, pins, _all_but(shown, named, forbidden), reached)
        own = len(picks)
        funnel.step("count", min(own, request.count))
        open_to = None
        if config.exploration.new_share:
            open_to = ~_all_but(allowed, named, forbidden, bought, instead, buried)

        if own < request.count:
            out = _all_but(shown, named, forbidden, bought, instead)
            chain = [] if config.may_be_empty else self._chain(config, category)
            risen = out.copy()
            risen[buried] = True
            picks = self._shelf.add(picks, down(chain, risen), risen, request.count)
            picks = self._shelf.add(picks, self._chosen(*low, parts, request.count, config), out, request.count)
            picks = self._shelf.add(picks, down(chain, out), out, request.count)
            if not picks and not config.may_be_empty:  # what they had before is better than nothing
                unwanted = self._codes((*request.exclude, *request.product_ids))
                out = _all_but(shown, unwanted, np.array(taken, dtype=np.int32), forbidden)
                picks = self._shelf.add(picks, down(chain, out), out, request.count)
            funnel.step("fallback", len(picks))
        taken += [pick.code for pick in picks]  # the same for every draw, or later blocks would depend on it
        return _Draft(request, config, query, parts, anchors, funnel.steps, picks, own, open_to, chance)

    def _newcomers(self, made: list[Block | _Draft], at: int, taken: list[int]) -> list[Codes]:
        """For each list the new products that may get a place in it: none that another list could show.

        Several lists share them out among themselves, each day in another way.
        """
        found = [_NOTHING] * len(made)
        trying = [
            (place, one, one.open) for place, one in enumerate(made) if isinstance(one, _Draft) and one.open is not None
        ]
        for turn, (place, draft, open_to) in enumerate(trying):
            day = at // DAY
            codes: Codes = self._new(day, draft.config.exploration.new_days)
            codes = codes[open_to[codes] & ((codes + day) % len(trying) == turn)]
            codes = codes[~np.isin(codes, taken)]
            found[place] = self._shelf.beside(draft.picks[: draft.request.count], codes)
        return found

    def _told(self, draft: _Draft, new: Codes, impressions: Impressions, *, explain: bool) -> Block:
        """The block that is shown."""
        config, request = draft.config, draft.request
        picks = explored(draft.picks, draft.own, request.count, config.exploration, new, draft.chance)
        items = self._items(picks, draft.query, draft.parts, explain=explain)
        if explain and impressions is not NO_IMPRESSIONS:
            seen = impressions.of(np.array([pick.code for pick in picks], dtype=np.int32)).tolist()
            for item, times in zip(items, seen, strict=True):
                item.extra["seen"] = times
        everything = [*draft.anchors.tolist(), *(pick.code for pick in picks)]
        return Block(
            request.placement, items, draft.steps, {"bundle_total": self._total(everything)} if config.bundle else {}
        )

    def _groups_block(
        self,
        request: BlockRequest,
        config: PlacementConfig,
        history: Histories,
        at: int,
        taken: list[int],
        explain: bool,
    ) -> Block:
        shown = self._shown(request, at)
        anchors = self._anchors(request, config, history)
        block = groups_block(self.recommender, request, config, history, anchors, shown, at, explain=explain)
        if block.items:
            return block
        # A catalogue without categories and brands has no groups to show: products, then.
        picks = self._plainly(request, self._plain, at, taken)
        items = self._items(
            picks, Queries(np.array([at]), history, Ragged.empty(1)), Proposals.of({}, 1), explain=explain
        )
        return Block(request.placement, items, [*block.funnel, ("fallback", 0, len(items))])

    # What a request is about

    def _anchors(self, request: BlockRequest, config: PlacementConfig, history: Histories) -> Codes:
        """The products of the page, else what the placement takes from the shopper's history."""
        return self._codes(request.product_ids) if request.product_ids else anchors_of(history, config.default_anchors)

    def _codes(self, identifiers: tuple[str, ...]) -> Codes:
        if not identifiers:
            return _NOTHING
        codes = self.recommender.catalogue.ids.codes(identifiers)
        return codes[codes >= 0]

    def _category_of(self, anchors: Codes) -> str | None:
        """The category of the first anchor that has one."""
        known = [code for code in self._shelf.category[anchors].tolist() if code >= 0] if len(anchors) else []
        return self.recommender.catalogue.text("category").values[known[0]] if known else None

    # What may be shown

    def _shown(self, request: BlockRequest, at: int) -> Mask:
        """bool[products]: in stock and let through by the filter."""
        available = self._masks.available(at)
        return available if request.filter is None else available & self._masks.filter(request.filter)

    @property
    def _rhythms(self) -> RepurchaseSource:
        source = self.recommender.sources["repurchase"]
        assert isinstance(source, RepurchaseSource)  # noqa: S101  # by the check of the configuration
        return source

    def _unwanted(self, history: Histories, config: PlacementConfig, at: int) -> Codes:
        """What the shopper bought and is not to be shown again, or not yet."""
        match config.leave_out_bought:
            case "until_due":
                return self._rhythms.resting(history, at)
            case True:
                return history.bought.product
            case _:
                return _NOTHING

    def _replacements(self, anchors: Codes, config: PlacementConfig) -> Codes:
        """What would be bought instead of an anchor: variants of it, or what is described alike."""
        if not len(anchors):
            return _NOTHING
        groups = set(self._shelf.variant[anchors].tolist()) - {-1}
        found: list[NDArray[Any]] = [self._variants(group) for group in groups]
        text = self.recommender.sources.get("text")
        if config.substitutes == "drop" and isinstance(text, NeighbourSource):
            found += [text.nearer(anchor, self.recommender.config.substitute_similarity) for anchor in anchors.tolist()]
        return np.concatenate(found).astype(np.int32) if found else anchors[:0]

    # What is chosen

    def _chosen(
        self,
        codes: Codes,
        scores: NDArray[np.float32],
        parts: Proposals,
        count: int,
        config: PlacementConfig,
    ) -> list[Pick]:
        """The best of some candidates, each with the source that speaks loudest for it."""
        places = self._shelf.choose(codes, scores, count, config.diversity)
        codes, scores = codes[places], scores[places]
        names = list(parts)
        loudest = [0] * len(codes)
        if len(names) > 1:
            loudest = shares(parts, codes).argmax(axis=0).tolist()
        return [
            Pick(code, score, names[source])
            for code, score, source in zip(codes.tolist(), scores.tolist(), loudest, strict=True)
        ]

    def _chain(self, config: PlacementConfig, category: str | None) -> list[tuple[str, NDArray[np.int64]]]:
        """The fallback chain: each ranking inside the category, then shop-wide, then anything in the catalogue."""
        chain: list[tuple[str, NDArray[np.int64]]] = []
        for name in config.fallback:
            order = self.recommender.ranking(name).order
            if category is not None:
                chain.append((name, order[self._masks.category(category)[order]]))
            chain.append((name, order))
        return [*chain, ("catalogue", np.arange(len(self.recommender.catalogue)))]

    # What is told

    def _items(self, picks: list[Pick], query: Queries, parts: Proposals, *, explain: bool) -> list[Item]:
        reasons: dict[int, Reason] = {}
        for name in {pick.source for pick in picks}:
            listed = [pick.code for pick in picks if pick.source == name]
            told = self._reasons(name, query, np.array(listed, dtype=np.int32))
            reasons.update(zip(listed, told, strict=True))
        items = [self._item(rank, pick, reasons[pick.code]) for rank, pick in enumerate(picks, start=1)]
        if explain and parts:
            codes = np.array([pick.code for pick in picks], dtype=np.int32)
            given = shares(parts, codes).T.tolist()
            for item, scores in zip(items, given, strict=True):
                item.extra["scores"] = dict(zip(parts, scores, strict=True))
        return items

    def _reasons(self, source: str, query: Queries, codes: Codes) -> list[Reason]:
        if source == "pin":
            return [{"code": "pinned"} for _ in codes]
        if source == "exploration":
            return [{"code": "new"} for _ in codes]
        if source == "catalogue":
            return [{"code": "in_catalogue"} for _ in codes]
        fitted: Source = self.recommender.sources[source]
        return fitted.reasons(query, 0, codes)

    def _item(self, rank: int, pick: Pick, reason: Reason) -> Item:
        told = dict(reason)
        if "product" in told:
            told["product_id"] = self.recommender.catalogue.ids[told.pop("product")]
        if "due_at" in told:
            told["due_at"] = _rfc3339(told["due_at"])
        product = self._product(pick.code)
        return Item(
            "product",
            product["product_id"],
            rank,
            pick.score,
            pick.propensity,
            pick.source,
            pick.fallback_level,
            [told],
            product,
            {key: told[key] for key in _TOLD if key in told},
        )

    def _total(self, codes: list[int]) -> float | None:
        """What the products cost together now; None if a price is not known."""
        total = float(self.recommender.catalogue.asked_price[codes].sum())
        return None if np.isnan(total) else round(total, 2)


def _all_but(mask: Mask, *codes: Codes) -> Mask:
    """bool[products]: what must not be listed: all that a mask does not hold, and some products."""
    out = ~mask
    out[np.concatenate(codes)] = True
    return out


def _rfc3339(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).isoformat().replace("+00:00", "Z")
