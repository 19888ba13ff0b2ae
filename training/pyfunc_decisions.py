"""The bundle of decisions as an MLflow model: `mlflow.pyfunc.load_model` and ``mlflow models serve`` answer from it.

MLflow runs this file when the model is loaded (models from code), so nothing is pickled. A question is a customer:

customer_id
    the only column that must be there; draws of exploration are hashes of it.
at
    the moment of the question, ISO 8601, UTC where it names no zone; now by default.
timezone
    IANA name; UTC by default.
state
    JSON object: features of the customer by name, as ``GET /v1/customers/{id}`` and ``segue rows`` give them.
attributes
    JSON object: attributes of the customer, with ``consents`` and ``reachable`` where they are known.

The answer has one row a question: customer_id, action (with its offer, or hold), channel, send_at (RFC 3339),
propensity, send_at_propensity, expected_value, incremental_value. Contacts of the past are not known here, so caps and
cooldowns are not kept: the service keeps them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from features.slots import CUSTOMER
from nba import bundle
from nba.asked import Asked
from nba.bundle import DecisionBundle
from nba.crowd import Contacts, Crowd
from nba.decide import decide
from nba.telling import moment, named
from nba.traits import trait_columns

COLUMNS = (
    "customer_id",
    "action",
    "channel",
    "send_at",
    "propensity",
    "send_at_propensity",
    "expected_value",
    "incremental_value",
)


class DecisionsModel(PythonModel):
    """Answers questions from the bundle among the model's artifacts, without exploring."""

    bundle: DecisionBundle

    def load_context(self, context: PythonModelContext) -> None:
        """Read the bundle."""
        self.bundle = bundle.read(Path(context.artifacts["bundle"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Next best actions; columns as above."""
        asked = [
            {str(name): value for name, value in row.items() if isinstance(value, str)}
            for row in model_input.to_dict("records")
        ]
        crowd = crowd_of(asked, self.bundle, datetime.now(UTC))
        if self.bundle.scores is not None:
            scores = self.bundle.scores.score(crowd)
            crowd = Crowd(**{**vars(crowd), "attributes": {**crowd.attributes, **scores}})
        made = decide(Asked(explore=False), crowd, self.bundle.model, self.bundle.config)
        chosen, menu = made.chosen, made.weighed.menu
        rows = []
        for row, customer_id in enumerate(crowd.ids):
            arm = named(menu, int(chosen.arm[row]))
            rows.append(
                (
                    customer_id,
                    arm["action"] if "offer" not in arm else f"{arm['action']}:{arm['offer']}",
                    arm["channel"],
                    moment(int(chosen.send_at[row])),
                    *(float(getattr(chosen, name)[row]) for name in COLUMNS[4:]),
                )
            )
        return pd.DataFrame(rows, columns=list(COLUMNS))


def crowd_of(asked: list[dict[str, str]], of: DecisionBundle, now: datetime) -> Crowd:
    """The customers of some questions."""
    names = CUSTOMER.features
    states = [json.loads(one.get("state", "{}")) for one in asked]
    traits = [json.loads(one.get("attributes", "{}")) for one in asked]
    channels = tuple(sorted({*of.model.arms.channels, *of.config.channels}))

    def allowed(name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.array(
            [[name not in one or channel in (one[name] or ()) for channel in channels] for one in traits],
            dtype=np.bool_,
        ).reshape(len(asked), len(channels))

    return Crowd(
        ids=[one["customer_id"] for one in asked],
        at=np.array([micros(one.get("at"), now) for one in asked], dtype=np.int64),
        names=names,
        state=np.array(
            [[np.nan if one.get(name) is None else one[name] for name in names] for one in states], dtype=np.float64
        ).reshape(len(asked), len(names)),
        attributes=trait_columns(traits, of.config.attributes),
        zones=[one.get("timezone") for one in asked],
        channels=channels,
        consented=allowed("consents"),
        reachable=allowed("reachable"),
        contacts=Contacts.none(len(asked)),
    )


def micros(text: str | None, now: datetime) -> int:
    """Microseconds since 1970 UTC."""
    at = now if text is None else datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1_000_000)


mlflow.models.set_model(DecisionsModel())
