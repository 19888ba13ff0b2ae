"""What an evaluation tells beside `training.tracking.flat_metrics`, as flat numbers for MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat_more(result: Mapping[str, Any]) -> dict[str, float]:
    """All of these; what the data says nothing of is left out."""
    parts = (beyond_metrics, candidate_metrics, substitute_metrics, source_metrics, margin_metrics, without_metrics)
    return {name: value for part in parts for name, value in part(result).items()}


def beyond_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """What lists are like beyond accuracy: ``coverage@10``, ``popularity/coverage@10`` …"""
    parts = {"": result}
    parts |= {f"{name}/": rival for name, rival in result["baselines"].items()}
    parts |= {f"diversity-{part['diversity']:g}/": part for part in result.get("diversity", ())}
    flat: dict[str, float | None] = {}
    for prefix, part in parts.items():
        found = part["beyond_accuracy"]
        alike = {f"similarity_{name}": value for name, value in found["intra_list_similarity"].items()}
        told = {name: found[name] for name in ("coverage", "gini", "novelty")} | alike
        flat |= {f"{prefix}{name}@{found['length']}": value for name, value in told.items()}
    for part in result.get("diversity", ()):
        for metric, difference in part["difference"].items():
            flat[f"diversity-{part['diversity']:g}/difference/{metric}"] = difference["value"]
    return {name: value for name, value in flat.items() if value is not None}


def candidate_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """What the sources propose: ``candidates/recall@100``, ``candidates/als/recall@100``, ``candidates/recall`` …"""
    whole = result["candidates"]
    flat: dict[str, float] = {}
    for prefix, part in {"": whole, **{f"{name}/": part for name, part in whole["sources"].items()}}.items():
        flat[f"candidates/{prefix}recall@{whole['first']}"] = part["recall_first"]
        flat[f"candidates/{prefix}recall"], flat[f"candidates/{prefix}mean"] = part["recall"], part["candidates"]
    return flat


def substitute_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The price of the filter of substitutes: ``substitutes/ndcg@6``, ``substitutes/difference/ndcg@6`` …"""
    part = result.get("substitutes")
    if part is None:
        return {}
    flat = {f"substitutes/{metric}": value for metric, value in part["metrics"].items()}
    flat |= {f"substitutes/difference/{metric}": found["value"] for metric, found in part["difference"].items()}
    return flat | {"substitutes/changed": part["changed"]}


def without_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """Lists made without some columns: ``without/ndcg@10``, ``without/difference/ndcg@10`` …"""
    part = result.get("without", {"metrics": {}, "difference": {}})
    flat = {f"without/{metric}": value for metric, value in part["metrics"].items()}
    return flat | {f"without/difference/{metric}": found["value"] for metric, found in part["difference"].items()}


def source_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """Each source alone: ``sources/als/ndcg@10``, ``sources/als/difference/ndcg@10`` …"""
    flat: dict[str, float] = {}
    for name, part in result.get("sources", {}).items():
        flat |= {f"sources/{name}/{metric}": value for metric, value in part["metrics"].items()}
        flat |= {f"sources/{name}/difference/{metric}": one["value"] for metric, one in part["difference"].items()}
    return flat


def margin_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """Lists by expected margin: ``margin-0.5/ndcg@10``, ``margin-0.5/difference/margin@10`` …"""
    flat: dict[str, float] = {}
    for part in result.get("margin", ()):
        name = f"margin-{part['weight']:g}"
        flat |= {f"{name}/{metric}": value for metric, value in part["metrics"].items()}
        flat |= {f"{name}/difference/{metric}": one["value"] for metric, one in part["difference"].items()}
    return flat
