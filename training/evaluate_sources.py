"""Each source of a placement alone, with the same fit and the same questions: what the blend adds to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bootstrap import means
from recommender.engine import Recommender
from training.asking import Measured, Report, ask, lists_of, silent
from training.judgements import JUDGEMENTS
from training.split import Split


def with_one_source(recommender: Recommender, placement: str, source: str) -> Recommender:
    """The same, but that a placement stands on one source alone, in its own order; what fills up stays as it is."""
    changes = {"sources": {source: 1.0}, "rankers": ()}
    one = recommender.config.placements[placement].model_copy(update=changes)
    placements = recommender.config.placements | {placement: one}
    return replace(recommender, config=recommender.config.model_copy(update={"placements": placements}))


def ask_alone(split: Split, recommender: Recommender, source: str, *, progress: Report = silent) -> Measured:
    """What a source reaches alone."""
    judgement = JUDGEMENTS[split.name]
    alone = with_one_source(recommender, judgement.placement, source)
    return ask(split, lists_of(alone, judgement), step=f"ask {source} alone", progress=progress)


def beside_each(split: Split, ours: Measured, alone: Mapping[str, Measured], *, seed: int = 0) -> dict[str, Any]:
    """Source → what it reaches alone, and ours less it, paired. Arguments as in `less`."""
    everything = np.ones(len(split), dtype=np.bool_)
    return {name: less(split, ours, one, everything, seed=seed) for name, one in alone.items()}


def less(split: Split, ours: Measured, other: Measured, rows: NDArray[np.bool_], *, seed: int = 0) -> dict[str, Any]:
    """``metrics`` of another list maker with their intervals ``ci``, and the ``difference``: ours less it, paired.

    Args:
        split: what both were asked.
        ours: what the recommender reached.
        other: what the other one did.
        rows: bool[rows], those that count; without any the tables are empty.
        seed: for the resamples.
    """
    if not rows.any():
        return {"metrics": {}, "ci": {}, "difference": {}}
    names = [metric.name for metric in JUDGEMENTS[split.name].metrics]
    both = np.hstack([other.values, ours.values - other.values])[rows]
    found = means(both, split.person[rows], np.random.default_rng(seed), weight=split.weight[rows])
    value, interval, m = found.value.tolist(), found.interval.tolist(), len(names)
    return {
        "metrics": dict(zip(names, value[:m], strict=True)),
        "ci": dict(zip(names, interval[:m], strict=True)),
        "difference": {name: {"value": value[m + at], "ci": interval[m + at]} for at, name in enumerate(names)},
    }
