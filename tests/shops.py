"""Small shops with a known right answer, as tables and as dataset folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

START = pd.Timestamp("2026-01-01", tz="UTC")


def planted_tastes(
    *, customers: int = 60, products: int = 24, tastes: int = 3, orders: int = 6, order_size: int = 1, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Events and products of a shop where every customer keeps to one taste.

    Product ``p007`` belongs to taste 7 % tastes, customer ``c007`` has taste 7 % tastes. A customer walks through the
    products of the taste in a fixed cycle from a random start, one purchase every few days: what comes next is certain
    given what came last, and popularity, which is flat, says nothing. ``order_size`` purchases in a row name the same
    order.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[object, ...]] = []
    for customer in range(customers):
        own = [product for product in range(products) if product % tastes == customer % tastes]
        first, when = int(rng.integers(len(own))), START + pd.Timedelta(hours=int(rng.integers(24 * 60)))
        for step in range(orders):
            product = own[(first + step) % len(own)]
            bought = when + pd.Timedelta(days=5 * step)
            rows.append(("view", bought - pd.Timedelta(minutes=10), f"c{customer:03}", f"p{product:03}", None, np.nan))
            rows.append(
                (
                    "purchase",
                    bought,
                    f"c{customer:03}",
                    f"p{product:03}",
                    f"o{customer:03}-{step // order_size}",
                    10.0 + product,
                )
            )
    events = pd.DataFrame(rows, columns=["event", "timestamp", "customer_id", "product_id", "order_id", "price"])
    return events, catalogue(products, tastes)


def catalogue(products: int, tastes: int) -> pd.DataFrame:
    """Products ``p000`` … with a category and brand a taste."""
    numbers = np.arange(products)
    return pd.DataFrame(
        {
            "product_id": [f"p{number:03}" for number in numbers],
            "title": [f"Taste {number % tastes} thing {number}" for number in numbers],
            "category": [f"All > Taste {number % tastes}" for number in numbers],
            "brand": [f"Brand {number % tastes}" for number in numbers],
            "price": 10.0 + numbers,
        }
    )


def companions(*, orders: int = 40) -> pd.DataFrame:
    """Orders of two products: ``shampoo`` goes with ``conditioner``, ``brush`` with ``paste``, and never across."""
    rows = []
    for order in range(orders):
        pair = ("shampoo", "conditioner") if order % 2 else ("brush", "paste")
        at = START + pd.Timedelta(hours=order)
        rows += [("purchase", at, f"c{order:03}", product, f"o{order:03}", 5.0) for product in pair]
    return pd.DataFrame(rows, columns=["event", "timestamp", "customer_id", "product_id", "order_id", "price"])


def staples(*, customers: int = 20, orders: int = 6) -> pd.DataFrame:
    """Customers who buy ``milk`` every week and ``soap`` every fourth week, each from another day on."""
    rows = [
        ("purchase", START + pd.Timedelta(days=customer + 7 * week), f"c{customer:03}", product, 2.0)
        for customer in range(customers)
        for week in range(orders)
        for product in (("milk", "soap") if week % 4 == 0 else ("milk",))
    ]
    return pd.DataFrame(rows, columns=["event", "timestamp", "customer_id", "product_id", "price"])


def one_product() -> pd.DataFrame:
    """Three customers who bought the only product there is."""
    at = [START + pd.Timedelta(days=day) for day in range(3)]
    return pd.DataFrame({"event": "purchase", "timestamp": at, "customer_id": ["a", "b", "c"], "product_id": "only"})


def one_customer() -> pd.DataFrame:
    """One customer who bought four products."""
    at = [START + pd.Timedelta(days=day) for day in range(4)]
    return pd.DataFrame({"event": "purchase", "timestamp": at, "customer_id": "a", "product_id": ["w", "x", "y", "z"]})


def no_events() -> pd.DataFrame:
    """The events of a shop that opens tomorrow."""
    return pd.DataFrame({"event": pd.Series(dtype=str), "timestamp": pd.Series(dtype="datetime64[us, UTC]")})


def write(folder: Path, **tables: pd.DataFrame) -> Path:
    """A dataset folder of Parquet tables; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder
