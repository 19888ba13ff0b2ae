"""A model small enough to know by heart, in bundle folders of its own, and the service around it.

`Shelf` is a second implementation of what serving asks of a model (`serving.champion.Answers`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from features.catalogue import Column, Number, Text
from features.filters import evaluate
from features.vocabulary import Vocabulary
from recommender.answers import Asked, Block, BlockRequest, Item, UnknownPlacement
from recommender.live_shop import Answered, Basis
from serving.app import create_app
from serving.champion import Answers
from serving.settings import Settings

DUE = "2026-01-01T00:00:00Z"
PLACEMENTS = ["best_sellers", "buy_it_again", "frequently_bought_together"]


class Shelf:
    """Answers every placement with the products of one shelf, in order. Product n costs n."""

    def __init__(self, products: list[str]) -> None:
        self.products = products
        self.placements = PLACEMENTS
        self.rules_text = ""
        ids = Vocabulary(products)
        price = np.array([float(products.index(one) + 1) for one in ids])
        self._columns: dict[str, Column] = {
            "product_id": Text(np.arange(len(ids), dtype=np.int32), ids),
            "price": Number(price),
        }
        self._ids = ids

    def answer(self, asked: Asked, *, draw: str = "", past: bool = False) -> Answered:
        taken: set[str] = set()
        blocks = [self._block(asked, block, taken) for block in asked.blocks]
        return Answered(blocks, Basis(0, 0, 0, 0))

    def product(self, product_id: str) -> dict[str, Any] | None:
        return {"product_id": product_id} if product_id in self.products else None

    def keep_up(self) -> None:
        """A shelf never changes."""

    def fallback(self, asked: Asked) -> list[Block]:
        return [
            Block(block.placement, [_item(self.products[0], 1, "fallback_popularity", 1)], [("fallback", 1, 1)])
            for block in asked.blocks
        ]

    def _block(self, asked: Asked, block: BlockRequest, taken: set[str]) -> Block:
        if block.placement not in self.placements:
            raise UnknownPlacement(block.placement, self.placements)
        kept = set(self.products) - taken - set(block.exclude) - set(block.product_ids)
        if block.filter is not None:
            mask = evaluate(block.filter, self._columns, len(self.products))
            kept &= {self._ids[int(code)] for code in np.flatnonzero(mask)}
        chosen = [one for one in self.products if one in kept][: block.count]
        taken.update(chosen)
        level = 0 if asked.shopper.customer_id == "known" else 1
        items = [_item(one, rank, "shelf", level) for rank, one in enumerate(chosen, start=1)]
        if block.placement == "buy_it_again":
            for item in items:
                item.extra.update(due_at=DUE, due_probability=0.5)
        if asked.explain:
            for item in items:
                item.extra["asked"] = {"shopper": vars(asked.shopper), "category": block.category, "at": asked.at}
        extra = {"bundle_total": 3.5} if block.placement == "frequently_bought_together" else {}
        return Block(block.placement, items, [("shelf", len(self.products), len(chosen))], extra)


class Frail(Shelf):
    """Passes its warm-up and then raises for the customer ``frail``."""

    def answer(self, asked: Asked, *, draw: str = "", past: bool = False) -> Answered:
        if asked.shopper.customer_id == "frail":
            raise ZeroDivisionError("a fault of the model")
        return super().answer(asked, draw=draw, past=past)


def _item(product: str, rank: int, source: str, level: int) -> Item:
    known = {"product_id": product, "title": product.title()}
    return Item("product", product, rank, 1 / rank, 1.0, source, level, [{"code": source}], known)


def put_shelf(folder: Path, products: list[str]) -> Path:
    """Write a bundle of the shelf; returns the folder. It appears whole, for a service may be looking."""
    draft = folder.with_name(f"{folder.name}.draft")
    draft.mkdir(parents=True)
    (draft / "manifest.json").write_text(json.dumps({"products": products}), encoding="utf-8")
    return draft.rename(folder)


def read_shelf(folder: Path) -> Answers:
    """The shelf of a folder. One with a product called ``broken`` cannot answer."""
    products = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["products"]
    if "broken" in products:
        raise ValueError("this bundle is broken")
    return Frail(products)


@asynccontextmanager
async def serving(
    settings: Settings, *, build: Callable[[Path], Answers] = read_shelf, **parts: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A started service and a client of it."""
    app = create_app(settings, build=build, **parts)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
    ):
        yield client
