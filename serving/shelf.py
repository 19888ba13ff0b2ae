"""The products of messages: lists of the recommender, which are decisions of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from features.contract import OUT_OF_STOCK
from features.store.base import DecisionStore, EventStore, StoreError
from nba.questions import Filled, Wanted
from recommender.answers import Asked, BlockRequest, Shopper, UnknownPlacement
from recommender.decisions import decision_of, written
from serving.champion import Answers, Champion

log = logging.getLogger(__name__)


class LiveShelf:
    """`nba.questions.Shelf` over the recommender that serves. Where there is none, messages have no products.

    Args:
        champion: the recommender.
        events: what is known of products.
        decisions: where lists are kept.
        clock: now, in microseconds since 1970 UTC.
        new_id: makes decision ids.
    """

    def __init__(
        self,
        champion: Champion[Answers],
        events: EventStore,
        decisions: DecisionStore,
        *,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._champion = champion
        self._events = events
        self._decisions = decisions
        self._clock = clock
        self._new_id = new_id

    def fill(self, wanted: Wanted, *, keep: bool) -> Filled:
        """The first products of a list for somebody."""
        loaded = self._champion.loaded
        if loaded is None:
            return Filled()
        shopper = Shopper(wanted.who.customer_id, wanted.who.anonymous_id)
        block = BlockRequest(wanted.placement, wanted.count, wanted.anchors, exclude=wanted.exclude)
        asked = Asked(shopper, [block], wanted.at)
        decision_id = self._new_id()
        try:
            answered = loaded.answers.answer(asked, draw=decision_id, past=wanted.past)
        except UnknownPlacement as error:
            log.warning("a message goes without products: %s", error)
            return Filled()
        except Exception:  # the message may go without
            log.exception("%s version %s raised an error", loaded.release.name, loaded.release.version)
            return Filled()
        products = tuple(item.id for item in answered.blocks[0].items if item.kind == "product")
        if not keep:
            return Filled(products)
        name, version = loaded.release.name, loaded.release.version
        decision = decision_of(
            decision_id,
            asked,
            answered.blocks,
            written(answered.blocks, name=name, version=version),
            made_at=self._clock(),
            basis=answered.basis,
            model={"name": name, "version": version, "bundle": loaded.bundle},
            rules=loaded.rules,
        )
        try:
            self._decisions.write(decision)
        except StoreError:
            log.exception("decision %s could not be kept", decision_id)
            return Filled(products)
        return Filled(products, decision_id)

    def gone(self, product_ids: Sequence[str]) -> set[str]:
        """What is out of stock, or left the catalogue."""
        return {product_id for product_id in product_ids if self._is_gone(product_id)}

    def _is_gone(self, product_id: str) -> bool:
        change = self._events.product(product_id)
        if change is not None:
            return change.attributes is None or change.attributes.get("availability") == OUT_OF_STOCK
        loaded = self._champion.loaded
        known = loaded.answers.product(product_id) if loaded is not None else None
        return known is not None and known.get("availability") == OUT_OF_STOCK
