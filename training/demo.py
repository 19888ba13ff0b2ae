"""What the demo remembers between two runs, and what it tells people to try."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.dataset import Dataset
from features.events import EventLog, Kind
from training.completejourney import write_example
from training.demo_messages import add_messages

#: Customers whose history the live shop of the demo is given, so that it can decide about them.
LIVE = 200

#: The visitor of the made-up visit.
VISITOR = "demo-visitor"

#: Packages whose code a trained model depends on.
PACKAGES = ("features", "recommender", "nba", "training")


@dataclass(frozen=True)
class Samples:
    """Ids from the data for the examples: two products of one large recent order, and a customer with many orders."""

    product: str
    beside: str
    customer: str


@dataclass(frozen=True)
class DemoState:
    """What a run left behind. A run whose ``made_from`` is the same has nothing to make anew.

    version, decisions: of the models ``recommender`` and ``nba``.
    as_of: RFC 3339, where the data ends: the clock of the demo is set to it when it is first served, not to today.
    """

    made_from: str
    version: int
    decisions: int
    samples: Samples
    as_of: str


def read_state(file: Path) -> DemoState | None:
    """What the last run left, or None if there was none or it was another version of the demo."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        samples = Samples(**stored.pop("samples"))
        return DemoState(samples=samples, **stored)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_state(file: Path, state: DemoState) -> None:
    """Remember for the next run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")


def made_from(root: Path, data: Path, config: str, tracking_uri: str) -> str:
    """SHA-256, hexadecimal, of everything the demo's model is made from and of where it is registered.

    Args:
        root: the folder that holds the packages.
        data: the dataset folder; an absent one counts as empty.
        config: the configuration as JSON.
        tracking_uri: where models are registered.
    """
    digest = hashlib.sha256(f"{config}\n{tracking_uri}\n".encode())
    code = [
        file
        for package in PACKAGES
        for file in sorted((root / package).rglob("*"))
        if file.suffix in (".py", ".toml", ".lark")
    ]
    tables = sorted(file for file in data.rglob("*") if file.is_file())
    for base, files in ((root, code), (data, tables)):
        for file in files:
            digest.update(f"{file.relative_to(base)}\n".encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def write_data(folder: Path) -> None:
    """The demo's dataset: the public example, a made-up visit and simulated messages."""
    write_example(folder)
    add_visit(folder)
    add_messages(folder)


def add_visit(folder: Path) -> None:
    """Put a made-up visit beside the example's orders, which know of no views: `VISITOR` looks at six best sellers.

    Args:
        folder: the example as `training.completejourney.write_example` wrote it; its events become a folder of parts.
    """
    orders = folder / "events" / "orders.parquet"
    orders.parent.mkdir(exist_ok=True)
    (folder / "events.parquet").replace(orders)
    bought = pd.read_parquet(orders, columns=["product_id", "timestamp"])
    end = bought["timestamp"].max()
    counts = bought.loc[bought["timestamp"] > end - pd.Timedelta(days=28), "product_id"].value_counts()
    viewed = sorted(counts.index, key=lambda product: (-counts[product], product))[:6]
    minutes = pd.to_timedelta(range(len(viewed), 0, -1), unit="min")
    visit = {"event": "view", "timestamp": end - minutes, "anonymous_id": VISITOR, "product_id": viewed}
    pd.DataFrame(visit).to_parquet(orders.with_name("visit.parquet"), index=False)


def live_part(dataset: Dataset, first: str, number: int = LIVE) -> Dataset:
    """A dataset of some customers only, for the live shop of the demo to know them.

    Args:
        dataset: the whole.
        first: a customer who is among them.
        number: how many.
    """
    known = dataset.customers if dataset.customers is not None else dataset.events
    chosen = {first} if known is None else {first, *known["customer_id"].drop_duplicates().head(number - 1)}

    def theirs(table: pd.DataFrame | None) -> pd.DataFrame | None:
        return None if table is None else table[table["customer_id"].isin(chosen)].reset_index(drop=True)

    return replace(
        dataset,
        events=theirs(dataset.events),
        customers=theirs(dataset.customers),
        messages=theirs(dataset.messages),
        products=None,
    )


def samples(log: EventLog, catalogue: Catalogue, at: int) -> Samples:
    """Ids worth asking about: the best sellers that are in stock and were bought together, and the busiest customer.

    Args:
        log: with at least one order of two products.
        catalogue: its products.
        at: microseconds UTC, when they must be available.
    """
    rows = log.of_kind(Kind.PURCHASE)
    rows &= catalogue.available(at)[np.maximum(log.product, 0)]
    sold = np.bincount(log.product[rows], minlength=len(catalogue))
    product = int(sold.argmax())
    orders = log.order[rows & (log.product == product)]
    with_it = rows & np.isin(log.order, orders) & (log.product != product)
    beside = int(np.bincount(log.product[with_it], minlength=len(catalogue)).argmax())
    customer = int(np.bincount(log.person[rows & ~log.anonymous[log.person]], minlength=len(log.people)).argmax())
    return Samples(log.products[product], log.products[beside], log.people[customer])


def lines_to_paste(address: str, ids: Samples) -> Sequence[tuple[str, str]]:
    """What a line shows, and the line: one for each page a shop would ask from, an event, and a look behind."""
    asked = (
        ("a product page: what is bought with it", "frequently_bought_together", {"product_id": [ids.product]}),
        ("a product page: what is like it", "similar_products", {"product_id": [ids.product]}),
        ("a cart", "complete_the_cart", {"product_id": [ids.product, ids.beside]}),
        ("a home page", "recommended_for_you", {"customer_id": [ids.customer]}),
        ("what a visitor looked at last (a made-up visit)", "recently_viewed", {"anonymous_id": [VISITOR]}),
        ("what the customer is due to buy again", "buy_it_again", {"customer_id": [ids.customer]}),
    )
    lines = [(what, _ask(address, placement, {**named, "count": [5]})) for what, placement, named in asked]
    seen = _ask(address, "recently_viewed", {"anonymous_id": ["me"]})
    event = json.dumps({"event": "view", "anonymous_id": "me", "product_id": ids.product}).replace("'", "\\u0027")
    found = f"""{seen} | sed 's/.*"decision_id":"\\([^"]*\\)".*/\\1/'"""
    return [
        *lines,
        ("an event: you look at a product", f"curl -s {address}/v1/events -d '{event}'"),
        ("what you looked at last", seen),
        ("a decision: what was asked, from which model, and why", f'curl -s "{address}/v1/decisions/$({found})"'),
    ]


def decision_lines(address: str, ids: Samples) -> Sequence[tuple[str, str]]:
    """The same of next best actions."""
    asked = json.dumps({"customer_id": ids.customer}).replace("'", "\\u0027")
    return [
        (
            "what to do next for the customer: which action, channel and hour, or hold (from simulated messages)",
            f"curl -s {address}/v1/decisions -d '{asked}'",
        ),
        (
            "what is known of them: state, stage, segments, scores",
            f"curl -s '{address}/v1/customers/{quote(ids.customer, safe='')}'",
        ),
    ]


def _ask(address: str, placement: str, parameters: Mapping[str, Sequence[str | int]]) -> str:
    return f"curl -s '{address}/v1/recommendations/{placement}?{urlencode(parameters, doseq=True)}'"
