"""A simulated shop as a dataset, with its truth beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.contract import IN_STOCK
from features.events import NEVER, Kind
from nba.arms import split_label
from nba.simulation.equations import Equations, Ints
from nba.simulation.parameters import ShopParameters
from nba.simulation.people import TRAITS
from nba.simulation.shop import SimulatedShop
from nba.simulation.truth import FOLDER, Truth, message_ids

if TYPE_CHECKING:
    import pyarrow as pa

CURRENCY = "EUR"

#: How the policy that made the log is called in it.
POLICY = "simulated-rules"


def write(shop: SimulatedShop, folder: Path) -> None:
    """Write events, products, customers and messages as Parquet into ``folder``, and the truth into ``truth`` below it.

    The same shop gives the same bytes. Folders are made if absent, files written over.
    """
    import pyarrow.parquet as pq

    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    tables = {
        "events": _events(shop),
        "products": _products(shop),
        "customers": _customers(shop),
        "messages": _messages(shop),
        f"{FOLDER}/customers": _hidden(shop),
        f"{FOLDER}/decisions": _truth(shop),
    }
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    numbers = {
        "parameters": shop.equations.parameters.model_dump(mode="json"),
        "margin": shop.equations.margin.tolist(),
        "revenue": shop.equations.revenue.tolist(),
    }
    (folder / FOLDER / "parameters.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


def read_truth(folder: Path) -> Truth:
    """What `write` has put into the folder ``truth`` of a dataset.

    Raises:
        OSError: it is not there.
    """
    import pyarrow.parquet as pq

    numbers = json.loads((folder / "parameters.json").read_text(encoding="utf-8"))
    parameters = ShopParameters.model_validate(numbers["parameters"])
    equations = Equations.of(parameters, np.array(numbers["margin"]), np.array(numbers["revenue"]))
    people = pq.ParquetFile(folder / "customers.parquet").read()
    rows = pq.ParquetFile(folder / "decisions.parquet").read()

    def column(name: str) -> NDArray[np.generic]:
        found: NDArray[np.generic] = rows.column(name).to_numpy()
        return found

    def codes(name: str, values: Sequence[str]) -> Ints:
        places = {value: place for place, value in enumerate(values)}
        found = np.array([places[value] for value in people.column(name).to_pylist()], dtype=np.int64)
        return found[who]

    who = column("customer").astype(np.int64)
    bits = column("eligible").astype(np.int64)
    return Truth(
        equations=equations,
        message_ids=tuple(rows.column("message_id").to_pylist()),
        hidden={name: codes(name, equations.trait(name)) for name in TRAITS},
        attributes={name: codes(name, list(values)) for name, values in parameters.attributes.items()},
        zone=codes("timezone", list(parameters.zones)),
        decided=column("decided_at").astype(np.int64),
        scale=column("scale").astype(np.float64),
        fatigue=column("fatigue").astype(np.float64),
        eligible=(bits[:, None] >> np.arange(len(equations.arms)) & 1).astype(np.bool_),
        ceiling_arm=column("ceiling_arm").astype(np.int64),
        ceiling_sent=column("ceiling_sent").astype(np.int64),
    )


def customer_ids(shop: SimulatedShop) -> list[str]:
    """N ids."""
    return [f"c-{place:06d}" for place in range(1, len(shop.people) + 1)]


def _events(shop: SimulatedShop) -> pa.Table:
    import pyarrow as pa

    events = shop.events
    orders = [f"o-{place:07d}" for place in range(1, int(events.order.max(initial=-1)) + 2)]
    names = {int(kind): kind.name.lower() for kind in Kind}
    return pa.table(
        {
            "event": _named([names[place] for place in range(len(names))], events.kind),
            "timestamp": _times(events.time),
            "customer_id": _named(customer_ids(shop), events.customer),
            "product_id": _named(_product_ids(shop), events.product),
            "order_id": _named(orders, events.order),
            "price": pa.array(events.price, from_pandas=True),
            "currency": _named([CURRENCY], np.where(np.isnan(events.price), -1, 0)),
            "channel": _named(shop.equations.channels, events.channel),
        }
    )


def _products(shop: SimulatedShop) -> pa.Table:
    import pyarrow as pa

    products = shop.products
    categories = [_title(name) for name in shop.equations.trait("taste")]
    return pa.table(
        {
            "product_id": _product_ids(shop),
            "title": [f"{categories[one]} {place:03d}" for place, one in enumerate(products.category.tolist(), 1)],
            "category": _named(categories, products.category),
            "brand": [f"Brand {one + 1:02d}" for one in products.brand.tolist()],
            "price": products.price,
            "margin": products.margin,
            "currency": [CURRENCY] * len(products),
            "availability": [IN_STOCK] * len(products),
        }
    )


def _customers(shop: SimulatedShop) -> pa.Table:
    import pyarrow as pa

    parameters, people = shop.equations.parameters, shop.people
    return pa.table(
        {
            "customer_id": customer_ids(shop),
            "timezone": _named(list(parameters.zones), people.zone),
            "consents": _lists(shop.equations.channels, shop.consented),
            "reachable": _lists(shop.equations.channels, shop.reachable),
            **{name: _named(list(parameters.attributes[name]), values) for name, values in people.attributes.items()},
            "account": people.account,
        }
    )


def _messages(shop: SimulatedShop) -> pa.Table:
    import pyarrow as pa

    decisions, arms = shop.decisions, shop.equations.arms
    pairs = [arms.pair(arm) for arm in range(len(arms))]
    parts = [split_label(text) for text in arms.actions]
    actions = ["hold", *dict.fromkeys(action for action, _ in parts)]
    offers = list(dict.fromkeys(offer for _, offer in parts if offer))
    action = np.array([actions.index(split_label(text)[0]) for text, _ in pairs])
    offer = np.array([offers.index(one) if one else -1 for one in (split_label(text)[1] for text, _ in pairs)])
    return pa.table(
        {
            "message_id": message_ids(len(decisions)),
            "customer_id": _named(customer_ids(shop), decisions.customer),
            "action": _named(actions, action[decisions.arm]),
            "offer": _named(offers, offer[decisions.arm]),
            "channel": _named(arms.channels, arms.channel[decisions.arm]),
            "decided_at": _times(decisions.decided),
            "sent_at": _times(decisions.sent),
            "policy": [POLICY] * len(decisions),
            "propensity": decisions.propensity,
            "send_at_propensity": decisions.slot_propensity,
            "eligible": _lists([f"{text}@{channel or ''}" for text, channel in pairs[1:]], decisions.eligible[:, 1:]),
            "cost": decisions.cost,
            "opened_at": _times(decisions.opened),
            "machine_opened": decisions.machine_opened,
            "clicked_at": _times(decisions.clicked),
            "visited_at": _times(decisions.visited),
            "converted_at": _times(decisions.converted),
            "unsubscribed_at": _times(decisions.unsubscribed),
            "complained_at": _times(decisions.complained),
            "value": decisions.value,
        }
    )


def _hidden(shop: SimulatedShop) -> pa.Table:
    import pyarrow as pa

    parameters, people = shop.equations.parameters, shop.people
    return pa.table(
        {
            "customer_id": customer_ids(shop),
            "timezone": _named(list(parameters.zones), people.zone),
            **{name: _named(list(parameters.attributes[name]), values) for name, values in people.attributes.items()},
            **{name: _named(shop.equations.trait(name), people.hidden[name]) for name in TRAITS},
        }
    )


def _truth(shop: SimulatedShop) -> pa.Table:
    import pyarrow as pa

    decisions, arms = shop.decisions, shop.equations.arms
    return pa.table(
        {
            "message_id": message_ids(len(decisions)),
            "customer": decisions.customer,
            "decided_at": decisions.decided,
            "scale": decisions.scale,
            "fatigue": decisions.fatigue,
            "eligible": (decisions.eligible.astype(np.int64) << np.arange(len(arms))).sum(axis=1),
            "ceiling_arm": decisions.ceiling_arm,
            "ceiling_sent": decisions.ceiling_sent,
            "ceiling_value": decisions.ceiling_value,
        }
    )


def _named(names: Sequence[str], codes: NDArray[np.integer]) -> pa.Array:
    """Texts by their places; null for -1."""
    import pyarrow as pa

    return pa.array(names, pa.string()).take(pa.array(codes, mask=codes < 0))


def _lists(names: Sequence[str], there: NDArray[np.bool_]) -> pa.Array:
    """The names of the true columns of each row."""
    import pyarrow as pa

    start = np.concatenate([[0], there.sum(axis=1).cumsum()])
    return pa.ListArray.from_arrays(pa.array(start, pa.int32()), _named(names, there.nonzero()[1]))


def _times(times: Ints) -> pa.Array:
    """Times in UTC; null for `NEVER`."""
    import pyarrow as pa

    return pa.array(times, mask=times == NEVER).cast(pa.timestamp("us", tz="UTC"))


def _product_ids(shop: SimulatedShop) -> list[str]:
    return [f"p-{place:04d}" for place in range(1, len(shop.products) + 1)]


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()
