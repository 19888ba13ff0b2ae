"""Figures of scores: how often what was told happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from training.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability_figure(curves: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> Figure:
    """Calibration curves by model, as `training.score_metrics.reliability` gives them; the diagonal is right."""
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    for name, curve in curves.items():
        axes.plot(curve["told"], curve["happened"], marker="o", label=name)
    axes.set_xlabel("chance told, mean of a tenth of the customers")
    axes.set_ylabel("share that it happened to")
    axes.set_title(title)
    axes.legend()
    return figure
