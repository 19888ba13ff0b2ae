"""Figures of a training run, drawn from the evaluation's numbers. Drawn off screen; the caller saves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure() -> tuple[Figure, Axes]:
    """A figure that no window will ever show, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def beside_baselines(result: Mapping[str, Any]) -> Figure:
    """Every metric of the evaluation, ours and each baseline's, with 95% intervals."""
    figure, axes = new_figure()
    metrics = list(result["metrics"])
    bars = {"segue": result, **result["baselines"]}
    width = 0.8 / len(bars)
    for number, (name, part) in enumerate(bars.items()):
        values = np.array([part["metrics"][metric] for metric in metrics], dtype=float)
        ends = np.array([part["ci"][metric] for metric in metrics], dtype=float)
        whiskers = np.abs(ends - values[:, None]).T
        axes.bar(np.arange(len(metrics)) + number * width, values, width, yerr=whiskers, capsize=2, label=name)
    axes.set_xticks(np.arange(len(metrics)) + 0.4 - width / 2, metrics)
    axes.set_title(f"{result['split']}: {result['customers']:,} customers, {result['items']:,} products")
    axes.legend()
    return figure


def gain_over_popularity(result: Mapping[str, Any]) -> Figure:
    """How many times as good as popularity, by the length of the list that is looked at."""
    figure, axes = new_figure()
    popularity = result["baselines"]["popularity"]["metrics"]
    families: dict[str, list[tuple[int, float]]] = {}
    for metric, value in result["metrics"].items():
        name, _, length = metric.partition("@")
        if popularity[metric] > 0:
            families.setdefault(name, []).append((int(length), value / popularity[metric]))
    for name, points in families.items():
        lengths, gains = zip(*sorted(points), strict=True)
        axes.plot(lengths, gains, marker="o", label=name)
    axes.axhline(1, color="grey", linestyle=":")
    axes.set_xlabel("length of the list")
    axes.set_ylabel("ours ÷ popularity")
    axes.set_title(f"Gain over popularity ({result['split']})")
    if families:
        axes.legend()
    return figure


def exposure(shown: NDArray[np.int64], bought: NDArray[np.int64]) -> Figure:
    """How concentrated lists are: the share of places that go to the most shown products, beside that of purchases.

    Args:
        shown: int64[products], how often each product stands in a list.
        bought: int64[products], how often each was bought.
    """
    figure, axes = new_figure()
    for label, counts in (("places in lists", shown), ("target events", bought)):
        total = counts.sum()
        if total:
            falling = np.sort(counts)[::-1]
            axes.plot(np.arange(1, len(counts) + 1) / len(counts), np.cumsum(falling) / total, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("share of the catalogue, most frequent products first")
    axes.set_ylabel("share of all")
    axes.set_title(f"Exposure: {np.count_nonzero(shown):,} of {len(shown):,} products are shown")
    if shown.sum() or bought.sum():
        axes.legend()
    return figure


def gain_curves(action: str, lines: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> Figure:
    """Cumulative gain of contacting the first part of everybody, by ranking; the straight line is chance."""
    figure, axes = new_figure()
    for name, (share, gain) in lines.items():
        axes.plot(share, gain, label=f"ranked by {name}")
        axes.plot([0, share[-1]], [0, gain[-1]], color="grey", linestyle=":")
    axes.set_xlabel("share of people contacted")
    axes.set_ylabel("reward added, per person")
    axes.set_title(action)
    axes.legend()
    return figure
