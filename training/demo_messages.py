"""Messages for the demo: the public data has campaigns, but neither who was left alone nor what was drawn.

SIMULATED (`nba.simulation`), on the customers of the example, and so are their time zones, consents and reachable
channels. It is another shop than that of ``segue simulate``: people order less, contacts move them more and cost more,
and what was sent was drawn evenly. With so few customers nothing could be told otherwise.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import pandas as pd

from nba.simulation.files import write
from nba.simulation.parameters import ShopParameters
from nba.simulation.shop import simulate

NOTICE = (
    "Made up: the messages to these customers, what came of them, and their time zones and consents are SIMULATED, "
    "since the data knows of no message with a chance."
)

#: Decisions on each customer, ten days apart.
ROUNDS = 30

#: Share of them that was drawn, to learn from.
EXPLORATION = 1.0

#: Beside the parameters of the simulator: how often people order by themselves, how strongly contacts move them, and
#: what a contact costs more.
ORDERS, MOVED, COST = 0.25, 6.0, 0.4

WINDOW = timedelta(days=7)


def add_messages(folder: Path, *, seed: int = 0) -> None:
    """Put a table of simulated messages beside the example, the last of them watched until its end.

    Args:
        folder: the example; its table of customers gets time zones, consents and reachable channels.
        seed: of everything random.
    """
    customers = pd.read_parquet(folder / "customers.parquet")
    n = len(customers)
    shop = simulate(parameters(), customers=n, decisions=n * ROUNDS, exploration=EXPLORATION, seed=seed)
    with tempfile.TemporaryDirectory() as scratch:
        write(shop, Path(scratch))
        messages = pd.read_parquet(Path(scratch) / "messages.parquet")
        made_up = pd.read_parquet(Path(scratch) / "customers.parquet")
    events = folder / "events"
    files = sorted(events.glob("*.parquet")) if events.is_dir() else [folder / "events.parquet"]
    end = max(pd.read_parquet(file, columns=["timestamp"])["timestamp"].max() for file in files)
    ids = dict(zip(made_up["customer_id"], customers["customer_id"], strict=True))
    late = (messages["sent_at"].max() + WINDOW - end) // timedelta(weeks=1) + 1  # whole weeks keep hours and weekdays
    moments = messages.select_dtypes("datetimetz").columns
    shifted = {str(name): messages[name] - timedelta(weeks=int(late)) for name in moments}
    messages = messages.assign(customer_id=messages["customer_id"].map(ids), **shifted)
    messages.to_parquet(folder / "messages.parquet", index=False)
    for name in ("timezone", "consents", "reachable"):
        customers[name] = made_up[name]
    customers.to_parquet(folder / "customers.parquet", index=False)


def parameters() -> ShopParameters:
    """Of the demo's simulated shop."""
    usual = ShopParameters.default()
    response = {
        name: {**one.model_dump(), "buy": one.buy * ORDERS, "persuaded": one.persuaded * MOVED}
        for name, one in usual.response.items()
    }
    channels = {name: {**one.model_dump(), "cost": one.cost + COST} for name, one in usual.channels.items()}
    return ShopParameters.default({"response": response, "channels": channels})
