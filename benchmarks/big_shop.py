"""A large made-up shop, drawn column by column so that a hundred thousand products take seconds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.encode import encode_catalogue, encode_events
from features.events import EventLog

START = pd.Timestamp("2026-01-01", tz="UTC")
DAYS = 180
CATEGORIES = 500
BRANDS = 2_000
WORDS = 20_000
TASTES = 3


def big_shop(*, products: int, customers: int, orders: int, seed: int = 0) -> tuple[EventLog, Catalogue]:
    """Orders of one to five products, each viewed before, from the three categories that a customer keeps to.

    In a category product n is wanted about as often as 1 / n. Products have a title of six words, a category, a brand
    and a price; two of eight are variants of one thing, one in fifty is out of stock.
    """
    rng = np.random.default_rng(seed)
    table = _products(products, rng)
    tastes = rng.integers(0, CATEGORIES, (customers, TASTES))
    size = rng.integers(1, 6, orders)
    order = np.repeat(np.arange(orders), size)
    customer = rng.integers(0, customers, orders)[order]
    category = tastes[customer, rng.integers(0, TASTES, orders)[order]]
    depth = products // CATEGORIES
    place = np.floor(depth ** rng.random(len(order))).astype(np.int64) - 1  # log-uniform: density 1 / n
    product = np.minimum(category + CATEGORIES * place, products - 1)
    bought = START + pd.to_timedelta(rng.integers(0, DAYS * 86_400, orders)[order], unit="s")
    shared = {
        "customer_id": np.char.add("c", np.char.zfill(customer.astype(str), 7)),
        "product_id": table["product_id"].to_numpy()[product],
        "price": table["price"].to_numpy()[product],
    }
    purchases = pd.DataFrame(shared | {"event": "purchase", "timestamp": bought, "order_id": order.astype(str)})
    minutes = pd.to_timedelta(1 + rng.permutation(len(order)) % 20, unit="min")
    views = pd.DataFrame(shared | {"event": "view", "timestamp": bought - minutes})
    log = encode_events(pd.concat([purchases, views], ignore_index=True), table)
    return log, encode_catalogue(table, log)


def _products(products: int, rng: np.random.Generator) -> pd.DataFrame:
    number = np.arange(products)
    category = number % CATEGORIES
    words = np.array([f"word{word}" for word in range(WORDS)])
    chosen = rng.integers(0, WORDS, (products, 4))
    brand = rng.integers(0, BRANDS, products)
    return pd.DataFrame(
        {
            "product_id": [f"p{one:07}" for one in number],
            "title": [
                f"brand{name} kind{kind} {' '.join(row)}"
                for name, kind, row in zip(brand, category, words[chosen], strict=True)
            ],
            "category": [f"Aisle {one % 20} > Shelf {one}" for one in category],
            "brand": [f"Brand {one}" for one in brand],
            "price": np.round(rng.lognormal(3, 0.6, products), 2),
            "availability": np.where(number % 50 == 7, "out_of_stock", "in_stock"),
            "item_group_id": [f"g{one // 8}" if one % 8 < 2 else None for one in number],
        }
    )
