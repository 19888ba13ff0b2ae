"""What MLflow keeps of a training of decisions: parameters, metrics, figures, documents, and questions to try."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.gate import Verdict
from nba.evidence import Judgement
from nba.logged import Logged
from nba.model import DecisionModel, RuleName
from nba.values import DAY_HOURS
from training.loading import Shop
from training.plots import new_figure
from training.plots_scores import reliability_figure
from training.score_curves import Curve
from training.tracking import TrainingRecord, flat_parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TAKES = {
    "customer_id": "string",
    "at?": "string",
    "timezone?": "string",
    "state?": "string",
    "attributes?": "string",
}
GIVES = {
    "customer_id": "string",
    "action": "string",
    "channel?": "string",
    "send_at?": "string",
    "propensity": "double",
    "send_at_propensity": "double",
    "expected_value": "double",
    "incremental_value": "double",
}


def record(
    data: Path,
    made: Path,
    shop: Shop,
    model: DecisionModel,
    log: Logged,
    config: str,
    leads: Mapping[RuleName, tuple[float, float]],
    judgement: Judgement | None,
    verdict: Verdict | None,
    curves: Mapping[str, Curve],
    seed: int,
) -> TrainingRecord:
    """Everything that MLflow keeps of the training.

    Args:
        data: the dataset folder; ``made``: the bundle.
        shop, log, model: what was learned from, and what.
        config: reward and configuration as JSON, what a later challenger is compared by.
        leads: see `nba.selection`.
        judgement, verdict: the evidence.
        curves: of scores that there are, whether they are calibrated.
        seed: of everything random.
    """
    learned = model.learned
    metrics = {
        "rows": float(len(log)),
        "holds": float((log.arm == 0).sum()),
        "trust": learned.trust,
        **{f"lead/{name}": lead for name, (lead, _) in leads.items()},
        **{f"lead/{name}/error": error for name, (_, error) in leads.items()},
    }
    if judgement is not None:
        metrics |= {
            "challenger": judgement.challenger.value,
            "champion": judgement.champion.value,
            "difference": judgement.difference.value,
            "difference/low": judgement.difference.ci[0],
            "difference/high": judgement.difference.ci[1],
            "effective_sample_size": judgement.challenger.effective_sample_size,
            "unsupported": judgement.challenger.unsupported,
        }
    documents: dict[str, Any] = {"config.json": json.loads(config)}
    if verdict is not None:
        documents["verdict.json"] = verdict.model_dump(mode="json")
    plots = {"gains.png": gains(model), "hours.png": hours(model), "channels.png": channels(model)}
    for name, curve in curves.items():
        plots[f"calibration_{name}.png"] = reliability_figure({name: curve}, f"{name}: told and happened")
    if curves:
        documents["calibration.json"] = dict(curves)
    parameters = flat_parameters(json.loads(config)) | {"seed": seed, "data": shop.dataset.fingerprint}
    return TrainingRecord(
        parameters=parameters | {"decides": model.rule.name, "scores": ", ".join(sorted(curves))},
        metrics={name: value for name, value in metrics.items() if np.isfinite(value)},
        plots=plots,
        documents=documents,
        data=data,
        fingerprint=shop.dataset.fingerprint,
        bundle=made,
        example={"customer_id": list(log.crowd.ids[:2]) or ["c-1", "c-2"]},
        config=config,
        verdict=verdict,
        code=Path(__file__).with_name("pyfunc_decisions.py"),
        takes=TAKES,
        gives=GIVES,
    )


def gains(model: DecisionModel) -> Figure:
    """What an attended contact adds, by action, at the average customer, with 95% intervals."""
    figure, axes = new_figure()
    learned = model.learned
    mean = learned.gains.mean + learned.prior
    error = 1.96 * np.sqrt(np.maximum(learned.gains.covariance[:, 0, 0], 0.0))
    places = np.arange(len(mean))
    axes.errorbar(mean, places, xerr=error, fmt="o", capsize=3)
    axes.axvline(0.0, color="grey", linestyle=":")
    axes.set_yticks(places, learned.arms.actions)
    axes.set_xlabel(f"{learned.reward} that an attended contact adds")
    return figure


def hours(model: DecisionModel) -> Figure:
    """By how much the hours of a workday raise the chance to attend, by channel, for everybody."""
    figure, axes = new_figure()
    curve = model.learned.hours.curve[:, :DAY_HOURS]
    for name, line in zip((*model.arms.channels, "all channels"), curve, strict=True):
        axes.plot(np.arange(DAY_HOURS), line, label=name)
    axes.set_xlabel("hour of the customer's own workday")
    axes.set_ylabel("chance to attend, 1 = average hour")
    axes.legend()
    return figure


def channels(model: DecisionModel) -> Figure:
    """Share of contacts that are attended, by channel."""
    figure, axes = new_figure()
    names = model.arms.channels
    axes.bar(np.arange(len(names)), model.learned.attendance.mean[: len(names)])
    axes.set_xticks(np.arange(len(names)), names)
    axes.set_ylabel("share attended")
    return figure
