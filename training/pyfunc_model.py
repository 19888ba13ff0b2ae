"""The bundle as an MLflow model: `mlflow.pyfunc.load_model` and ``mlflow models serve`` answer from it.

MLflow runs this file when the model is loaded (models from code), so nothing is pickled. A question is a row:

placement
    the only column that must be there.
customer_id, product_id, product_ids (list), category, filter
    as in the HTTP interface; null or absent where they do not apply.
count
    length of the list, 10 by default.
at
    the moment of the question, ISO 8601, UTC where it names no zone; now by default.

The answer has one row an item: question (row number, from 0), rank, kind, id, score, source, fallback_level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from recommender import bundle
from recommender.engine import BlockRequest, Recommender, Shopper

COLUMNS = ("question", "rank", "kind", "id", "score", "source", "fallback_level")
DEFAULT_COUNT = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RecommenderModel(PythonModel):
    """Answers questions from the bundle among the model's artifacts."""

    recommender: Recommender

    def load_context(self, context: PythonModelContext) -> None:
        """Read the bundle."""
        self.recommender, _ = bundle.read(Path(context.artifacts["bundle"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Lists for questions; columns as above.

        Raises:
            recommender.engine.UnknownPlacement: no such placement.
            features.filters.FilterError: a filter that cannot be honoured.
        """
        now = datetime.now(UTC)
        rows: list[tuple[Any, ...]] = []
        for number, question in enumerate(model_input.to_dict("records")):
            given = {str(name): value for name, value in question.items() if not is_null(value)}
            shopper, block = Shopper(customer_id=given.get("customer_id")), request(given)
            [answer] = self.recommender.answer(shopper, [block], moment(given.get("at"), now))
            rows += [
                (number, item.rank, item.kind, item.id, item.score, item.source, item.fallback_level)
                for item in answer.items
            ]
        return pd.DataFrame(rows, columns=list(COLUMNS))


def request(given: Mapping[str, Any]) -> BlockRequest:
    """A question, without its nulls, as a block to ask for."""
    anchor = given.get("product_id")
    return BlockRequest(
        placement=given["placement"],
        count=int(given.get("count", DEFAULT_COUNT)),
        product_ids=tuple(str(identifier) for identifier in given.get("product_ids", ()))
        or ((anchor,) if anchor is not None else ()),
        category=given.get("category"),
        filter=given.get("filter"),
    )


def moment(text: str | None, now: datetime) -> int:
    """Microseconds since 1970 UTC."""
    at = now if text is None else datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (at - EPOCH) // timedelta(microseconds=1)


def is_null(value: Any) -> bool:
    """None or NaN; a list is neither."""
    return value is None or (isinstance(value, float) and math.isnan(value))


mlflow.models.set_model(RecommenderModel())
