"""How each split is judged: the list it asks for, the metrics, the baselines beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from features.events import EventLog
from recommender import baselines
from recommender.metrics import Metric
from recommender.queries import AsOf


@dataclass(frozen=True)
class Judgement:
    """Which list a split asks for and how it is judged.

    Attributes:
        placement: the list.
        metrics: what is computed of each row; lists are as long as the longest needs.
        primary: the metric that models are compared by.
        rivals: name → how to fit the baseline.
        as_of: whether there is one moment for everybody, or one for each customer.
        repeats: lists hold what the shopper had before.
    """

    placement: str
    metrics: tuple[Metric, ...]
    primary: str
    rivals: Mapping[str, Callable[[EventLog], baselines.Baseline]]
    as_of: AsOf = "last"
    repeats: bool = False

    @property
    def count(self) -> int:
        """How many products are asked for."""
        return max(metric.k for metric in self.metrics)


_NEXT_PRODUCT = tuple(Metric(kind, k) for k in (5, 10, 20) for kind in ("hr", "ndcg"))
_POPULARITY: Mapping[str, Callable[[EventLog], baselines.Baseline]] = {"popularity": baselines.Popularity.fit}
_SEQUENCE = {**_POPULARITY, "last_item_transitions": baselines.LastItemTransitions.fit}

JUDGEMENTS: Mapping[str, Judgement] = {
    "leave-one-out": Judgement("recommended_for_you", _NEXT_PRODUCT, "ndcg@10", _SEQUENCE, as_of="customer"),
    "temporal": Judgement("recommended_for_you", _NEXT_PRODUCT, "ndcg@10", _SEQUENCE),
    "next-basket": Judgement(
        "recommended_for_you",
        tuple(Metric(kind, k) for k in (10, 20) for kind in ("recall", "ndcg", "phr")),
        "ndcg@10",
        {"global_top": baselines.Popularity.fit, "personal_top": baselines.PersonalTop.fit},
        as_of="customer",
        repeats=True,
    ),
    "basket": Judgement(
        "frequently_bought_together",
        (Metric("recall", 6), Metric("ndcg", 6, ideal_cut=6), Metric("hr", 6)),
        "ndcg@6",
        {**_POPULARITY, "cooccurrence": baselines.Cooccurrence.fit},
    ),
    "session": Judgement(
        "you_may_also_like",
        (Metric("hr", 20), Metric("mrr", 20)),
        "mrr@20",
        {**_SEQUENCE, "vsknn": baselines.VSkNN.fit},
    ),
}
