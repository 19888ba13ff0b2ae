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
    figure, [axes] = figure_of(1)
    return figure, axes


def figure_of(panels: int) -> tuple[Figure, list[Axes]]:
    """A figure that no window will ever show, and the axes of its panels, side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8 if panels == 1 else 5.5 * panels, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


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


def trade_off(found: Mapping[str, Any]) -> Figure:
    """How good lists are by what they cost, as `training.trade_off` found it; the star is the ranker as configured.

    Bars are 95% intervals of the paired difference to it. The dotted line is the blend alone, which costs nothing here.
    """
    figure, axes = new_figure()
    blend, *points = found["points"]
    for candidates in sorted({point["candidates"] for point in points}):
        line = [point for point in points if point["candidates"] == candidates]
        values = np.array([point["value"] for point in line])
        apart = np.array([[point["difference"]["value"], *point["difference"]["ci"]] for point in line])
        whiskers = np.abs(apart[:, 1:] - apart[:, :1]).T
        costs = [point["cost"] for point in line]
        axes.errorbar(costs, values, whiskers, marker="o", elinewidth=1, capsize=3, label=f"{candidates} candidates")
    axes.axhline(blend["value"], color="grey", linestyle=":", label="the blend alone")
    chosen = points[-1]
    label = f"as configured: {chosen['trees']} trees × {chosen['candidates']} candidates"
    axes.plot(chosen["cost"], chosen["value"], color="black", marker="*", markersize=15, linestyle="", label=label)
    axes.set_xscale("log")
    axes.set_xlabel("what a list costs: trees × candidates")
    axes.set_ylabel(found["metric"])
    axes.set_title(f"{found['ranker']} ({found['split']}, {found['part']} part, {found['questions']:,} lists)")
    figure.legend(loc="outside lower center", ncols=3, fontsize="small")  # on the axes it would hide some of the bars
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
