"""A small bundle of decisions under the configuration that ships. What it learned from is SIMULATED."""

from __future__ import annotations

import fcntl
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from features.dataset import read_dataset
from features.encode import encode_catalogue, encode_events
from nba import bundle
from nba.config import NbaConfig
from nba.model import DecisionModel, Rule
from nba.scores import ScoreModels, ScoresConfig, fit_scores
from nba.selection import fit
from nba.simulation.files import write
from nba.simulation.parameters import ShopParameters
from nba.simulation.shop import simulate
from tests import shops
from training.crowds import people_of
from training.decision_log import decision_log
from training.nba_pipeline import before
from training.score_rows import score_rows, tastes_of

CUSTOMERS = 1500
ROUNDS = 6
SEED = 5

#: What a friend who comes along is worth is not in the log, so the shop says it.
CHANGES = {"actions": {"referral_ask": {"value": 5.0}}}

#: After all that happens in these shops.
LATER = datetime(2026, 1, 1, tzinfo=UTC)


def put_model(folder: Path) -> Path:
    """The bundle in ``folder``, written by whichever process comes first; the others wait for it."""
    made = folder / "bundle"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock, threadpool_limits(1):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            config = NbaConfig.default(CHANGES)
            model = _model(folder, config)
            bundle.write(model, config, _scores(folder), made, {"simulated": True})
    return made


def _model(folder: Path, config: NbaConfig) -> DecisionModel:
    """Learned gains decide, whatever rule would have earned more, so that customers differ."""
    shop = simulate(_parameters(), customers=CUSTOMERS, decisions=CUSTOMERS * ROUNDS, seed=SEED)
    write(shop, folder / "simulated")
    more = [config.arms.pair(arm) for arm in range(1, len(config.arms))]
    log = decision_log(read_dataset(folder / "simulated", now=LATER), more=more, cache_folder=folder / "compiled")
    fitted = fit(log, "value", config.learning, seed=SEED, before=before(config, log))
    return DecisionModel(fitted.learned, fitted.response, np.zeros(len(log.arms.channels) + 1), Rule("learned"))


def _parameters() -> ShopParameters:
    """Those that ship, but for ads at a cent: who shows few of them to whom it knows pays little for each."""
    parameters = ShopParameters.default()
    ads = parameters.channels["ads"].model_copy(update={"cost": 0.01})
    return parameters.model_copy(update={"channels": {**parameters.channels, "ads": ads}})


def _scores(folder: Path) -> ScoreModels:
    """Of a shop whose customers come back whenever something is used up, which those above do not."""
    shops.write(folder / "regular", events=_regular_orders())
    dataset, config = read_dataset(folder / "regular", now=LATER), ScoresConfig(trees=20)
    events = encode_events(dataset.events, dataset.products, dataset.customers)
    end = int(events.known.max()) + 1
    rows = score_rows(people_of(dataset), events, end, config, seed=SEED, cache_folder=folder / "compiled")
    assert rows is not None
    tastes = tastes_of(events, encode_catalogue(dataset.products, events), end)
    return fit_scores(rows, config, tastes=tastes, seed=SEED)


def _regular_orders(*, customers: int = 200, days: int = 600) -> pd.DataFrame:
    """A view and an order of one product, every 25 to 90 days for each customer, give or take a tenth."""
    rng = np.random.default_rng(SEED)
    rows: list[tuple[object, ...]] = []
    for customer in range(customers):
        gap = rng.uniform(25, 90)
        day = rng.uniform(0, gap)
        while day < days:
            at = pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(seconds=round(day * 86_400))
            who, product = f"c{customer:03}", f"p{customer % 9}"
            rows.append(("view", at - pd.Timedelta(minutes=9), who, product, None, np.nan))
            rows.append(("purchase", at, who, product, f"{who}-{len(rows)}", 12.0))
            day += gap * rng.normal(1, 0.1)
    return pd.DataFrame(rows, columns=["event", "timestamp", "customer_id", "product_id", "order_id", "price"])
