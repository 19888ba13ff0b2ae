"""A shop with a bit of everything: several kinds of events, orders, refunds, late news, visitors, a full catalogue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.encode import encode_catalogue, encode_events
from features.events import EventLog

START = pd.Timestamp("2026-01-01", tz="UTC")
DAYS = 90
CATEGORIES = ("Lips > Lipstick", "Lips > Balm", "Eyes", "Nails", "Skin > Cream", "Skin > Mask")
BRANDS = ("Alba", "Boro", "Cleo", "Dune")


@dataclass(frozen=True)
class Tables:
    """The tables of a dataset, clean."""

    events: pd.DataFrame
    products: pd.DataFrame
    customers: pd.DataFrame

    def encoded(self) -> tuple[EventLog, Catalogue]:
        """As arrays."""
        log = encode_events(self.events, self.products, self.customers)
        return log, encode_catalogue(self.products, log)

    def shuffled(self, rng: np.random.Generator) -> Tables:
        """The rows of every table in another order."""
        return Tables(*(table.iloc[rng.permutation(len(table))] for table in self.all()))

    def renamed(self, names: dict[str, str]) -> Tables:
        """Other names for the ids of products, customers, visitors, sessions and orders."""
        return Tables(*(table.assign(**_renamed_ids(table, names)) for table in self.all()))

    def with_events(self, *more: pd.DataFrame) -> Tables:
        """Further events."""
        return replace(self, events=pd.concat([self.events, *more], ignore_index=True))

    def all(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Every table."""
        return self.events, self.products, self.customers

    def ids(self) -> set[str]:
        """Every id of every table."""
        return {
            identifier
            for table in self.all()
            for column in table.columns
            if column.endswith("_id")
            for identifier in table[column].dropna()
        }


def _renamed_ids(table: pd.DataFrame, names: dict[str, str]) -> dict[str, Any]:
    return {column: table[column].map(names) for column in table.columns if column.endswith("_id")}


def busy_shop(*, customers: int = 300, products: int = 90, apart: int = 0, seed: int = 0) -> Tables:
    """Shoppers who keep to two categories, look around, fill carts, buy up to four products, send some back.

    Every tenth shopper is a visitor, every sixth purchase is sent back after nine days, every tenth event is known up
    to five days late. Lines of an order stand ``apart`` seconds apart. Half of the customers' table are people without
    events.
    """
    rng = np.random.default_rng(seed)
    catalogue = _products(products)
    shelves = [catalogue["product_id"][catalogue["category"] == category].to_numpy() for category in CATEGORIES]
    price = catalogue.set_index("product_id")["price"]
    rows: list[dict[str, Any]] = []
    for number in range(customers):
        who = {"anonymous_id": f"v{number:04}"} if number % 10 == 9 else {"customer_id": f"c{number:04}"}
        tastes = rng.choice(len(CATEGORIES), 2, replace=False)
        for visit, day in enumerate(np.sort(rng.uniform(0, DAYS, rng.integers(2, 7)))):
            at = START + pd.Timedelta(seconds=int(day * 86_400))
            here = who | {"session_id": f"s{number:04}-{visit}"}
            seen = [_favourite(shelves[rng.choice(tastes)], rng) for _ in range(rng.integers(2, 6))]
            rows.append(here | {"event": "search", "timestamp": at})
            for step, product in enumerate(seen, start=1):
                kind = rng.choice(["view", "view", "click", "wishlist", "cart"])
                moment = at + pd.Timedelta(seconds=40 * step)
                rows.append(here | {"event": str(kind), "timestamp": moment, "product_id": product})
            moment = at + pd.Timedelta(minutes=15)
            for product in dict.fromkeys(seen[: rng.integers(0, 5)]):
                moment += pd.Timedelta(seconds=apart)
                line = here | {"order_id": f"o{number:04}-{visit}", "product_id": product}
                bought = {"event": "purchase", "quantity": float(rng.integers(1, 3)), "price": price[product]}
                rows.append(line | bought | {"timestamp": moment})
                if rng.random() < 1 / 6:
                    rows.append(line | {"event": "refund", "timestamp": moment + pd.Timedelta(days=9)})
    events = pd.DataFrame(rows)
    delay = np.where(rng.random(len(events)) < 0.1, rng.uniform(0, 5, len(events)), 0.0)
    events["known_at"] = events["timestamp"] + pd.to_timedelta((delay * 86_400).astype("int64"), unit="s")
    listed = pd.DataFrame({"customer_id": [f"c{number:04}" for number in range(customers // 2, customers * 3 // 2)]})
    return Tables(events, catalogue, listed)


def _favourite(shelf: Any, rng: np.random.Generator) -> str:
    """A product of a shelf, the first ones more often."""
    return str(shelf[min(int(rng.exponential(len(shelf) / 3)), len(shelf) - 1)])


def _products(products: int) -> pd.DataFrame:
    """A catalogue with columns of every form: some products of one group, out of stock, on sale, not there yet."""
    number = np.arange(products)
    price = 5.0 + number * 7 % 40
    sold_out = number % 17 == 5
    return pd.DataFrame(
        {
            "product_id": [f"p{one:03}" for one in number],
            "title": [f"{BRANDS[one % 4]} wonder {one % 11} no {one}" for one in number],
            "category": [CATEGORIES[one % len(CATEGORIES)] for one in number],
            "brand": [BRANDS[one // 6 % 4] for one in number],
            "price": price,
            "sale_price": np.where(number % 9 == 2, price * 0.8, np.nan),
            "availability": np.where(sold_out, "out_of_stock", "in_stock"),
            "item_group_id": [f"g{one // 2:03}" if one % 12 < 2 else None for one in number],
            "available_from": START + pd.to_timedelta(np.where(number % 23 == 7, 60, -100), unit="D"),
            "skin_type": [["dry", "oily"][: one % 3] for one in number],
            "vegan": pd.array(number % 2 == 0, dtype="boolean"),
        }
    )
