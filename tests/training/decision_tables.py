"""Datasets of messages with a known right answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.dataset import Dataset, read_dataset
from nba.logged import Logged
from training.decision_log import decision_log

START = pd.Timestamp("2026-03-02 10:00", tz="UTC")
NOW = pd.Timestamp("2026-09-01", tz="UTC").to_pydatetime()


def day(number: float) -> pd.Timestamp:
    return START + pd.Timedelta(days=number)


def dataset(folder: Path, **tables: pd.DataFrame) -> Dataset:
    """Written down and read again."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return read_dataset(folder, now=NOW)


def message(
    number: int, customer: str = "anna", action: str = "letter", at: float = 0.0, **more: Any
) -> dict[str, Any]:
    """One row; by e-mail unless it is hold."""
    channel = None if action == "hold" else "email"
    return {
        "message_id": f"m{number}", "customer_id": customer, "action": action, "channel": channel, "sent_at": day(at)
    } | more  # fmt: skip


def messages(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def log_of(folder: Path, compiled: Path, *rows: dict[str, Any], **tables: pd.DataFrame) -> Logged:
    return decision_log(dataset(folder, messages=messages(*rows), **tables), cache_folder=compiled)


def planted(
    *, n: int = 3_000, each: int = 3, seed: int = 0, hold: bool = True, gain: float = 3.0, span: float = 100.0
) -> dict[str, pd.DataFrame]:
    """Tables of a shop whose customers of taste 0 are moved by ``a`` on e-mail, those of taste 1 by ``b``.

    Drawn evenly over hold, a and b, each sent at an hour of the day at random. Half of the contacts are attended.
    """
    rng = np.random.default_rng(seed)
    customer = rng.permutation(np.arange(n) // each)
    taste = customer % 2
    actions = np.array(["hold", "a", "b"] if hold else ["a", "b"])
    action = rng.choice(actions, n)
    sent = action != "hold"
    attended = sent & (rng.random(n) < 0.5)
    right = np.where(taste == 0, action == "a", action == "b")
    value = 1.0 + gain * (attended & right) + rng.normal(size=n)
    at = START + pd.to_timedelta(np.sort(rng.uniform(0, span, n)), unit="D")
    clicked = pd.Series(at + pd.Timedelta(hours=1)).where(attended)
    ids = [f"c/{one} ü" for one in range(n // each + 1)]
    table = pd.DataFrame(
        {
            "message_id": [f"m{row}" for row in range(n)],
            "customer_id": [ids[one] for one in customer],
            "action": action,
            "channel": ["email" if one else None for one in sent],
            "sent_at": at,
            "propensity": 1 / len(actions),
            "cost": np.where(sent, 0.1, 0.0),
            "clicked_at": clicked,
            "visited_at": clicked,
            "value": value,
        }
    )
    people = pd.DataFrame({"customer_id": ids, "taste": np.arange(len(ids)) % 2 * 1.0})
    return {"messages": table, "customers": people}
