"""How well is the hour known at which somebody opens next?

People with at least five opens; a fifth of each one's is held out, at random or the last ones, and the rest is fitted
on. A model gives each of the 24 hours of the person's day a probability, and is judged by the hour that came:

- hit@k: whether it is among the k likeliest hours. Hours of equal probability stand in random order: the value is the
  chance of a hit, so that no model gains from the order in which hours are written.
- log_loss: −ln of its probability; lower is better.

`global_hour` is everybody's histogram of what was fitted on, each hour with one count more. `personal_histogram` is the
person's own, with α counts more in all, shared evenly by the hours, so that the loss is finite: α is the one under
which each fitted open is likeliest given the person's others (leave-one-out), which favours the baseline most.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.bootstrap import means
from nba.hours import fit_shares
from nba.values import DAY_HOURS
from training.opens import Opens
from training.split import EvaluationError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Holdout = Literal["random", "last"]

#: Who is evaluated, and how much of theirs is held out (at least one).
LEAST_OPENS, HELD_OUT = 5, 0.2

METRICS = ("hit@1", "hit@3", "log_loss")

#: What the α of personal_histogram is chosen from, counts.
ALPHAS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0)


def evaluate_timing(opens: Opens, *, holdout: Holdout = "random", seed: int = 0) -> dict[str, Any]:
    """Fit on what is not held out and judge: the evaluation's JSON (keys in docs/timing.md).

    Args:
        opens: of everybody; people with few opens are fitted on too.
        holdout: which opens of a person are held out.
        seed: draws what is held out, inner validation, and resamples for intervals.

    Raises:
        EvaluationError: nobody has five opens.
    """
    held = held_out(opens, holdout, np.random.default_rng(seed))
    if not held.any():
        raise EvaluationError(
            f"nobody opened {LEAST_OPENS} times (opens within 30 minutes count once): too little to judge hours by"
        )
    people = int(opens.person.max()) + 1
    kept, asked = counts_of(opens, ~held, people), np.flatnonzero(held)
    started = time.perf_counter()
    ours = fit_shares(kept, np.random.default_rng([seed, 1]))
    fit_seconds = time.perf_counter() - started
    started = time.perf_counter()
    shares = {"ours": ours.of(kept.astype(np.float64))}
    score_seconds = time.perf_counter() - started
    alpha = alpha_of(kept)
    shares |= {"global_hour": global_hour(kept), "personal_histogram": personal_histogram(kept, alpha)}
    person, hour = opens.person[asked], opens.hour[asked]
    rows = {name: judged(found[person], hour) for name, found in shares.items()}
    few = people - len(np.unique(person))
    return {
        "split": holdout,
        "customers": people - few,
        "items": len(asked),
        "skipped": few,
        "skipped_why": {f"fewer than {LEAST_OPENS} opens": few},
        **_compared(rows, person, seed),
        "fit_seconds": fit_seconds,
        "score_seconds": score_seconds,
        "opens": {"source": opens.source, "fitted": int(kept.sum()), "merged": opens.merged},
        "model": {"kinds": len(ours.weights), "width": ours.width, "concentration": ours.concentration},
        "personal_histogram_alpha": alpha,
    }


def held_out(opens: Opens, holdout: Holdout, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which opens are held out, bool[n]: of people with at least five a fifth, rounded, and one at least."""
    n = np.bincount(opens.person)
    number = np.where(n >= LEAST_OPENS, np.maximum(1, np.round(HELD_OUT * n)), 0)
    by = rng.random(len(opens)) if holdout == "random" else -opens.time
    order = np.lexsort((by, opens.person))
    place = np.arange(len(opens)) - np.repeat(np.cumsum(n) - n, n)
    held = np.zeros(len(opens), dtype=np.bool_)
    held[order] = place < number[opens.person[order]]
    return held


def counts_of(opens: Opens, rows: NDArray[np.bool_], people: int) -> Counts:
    """Opens of each hour of the day, int64[people, 24]."""
    cell = opens.person[rows] * DAY_HOURS + opens.hour[rows]
    return np.bincount(cell, minlength=people * DAY_HOURS).reshape(people, DAY_HOURS)


def judged(shares: Floats, hour: Counts) -> Floats:
    """`METRICS` of n predictions, float64[n, 3].

    Args:
        shares: float64[n, 24].
        hour: int64[n], what came.
    """
    came = shares[np.arange(len(hour)), hour][:, None]
    above, ties = (shares > came).sum(axis=1), (shares == came).sum(axis=1)
    hits = [np.clip((k - above) / ties, 0.0, 1.0) for k in (1, 3)]
    return np.column_stack([*hits, -np.log(came[:, 0])])


def global_hour(kept: Counts) -> Floats:
    """The baseline of everybody's histogram: float64[people, 24]."""
    everybody = kept.sum(axis=0) + 1.0
    return np.repeat((everybody / everybody.sum())[None], len(kept), axis=0)


def personal_histogram(kept: Counts, alpha: float) -> Floats:
    """The baseline of each person's own histogram: float64[people, 24]."""
    found: Floats = (kept + alpha / DAY_HOURS) / (kept.sum(axis=1, keepdims=True) + alpha)
    return found


def alpha_of(kept: Counts) -> float:
    """The α of `ALPHAS` under which each open is likeliest given the others of its person."""
    others = kept.sum(axis=1, keepdims=True) - 1.0
    likelihood = [
        (kept * np.log((np.maximum(kept - 1.0, 0.0) + alpha / DAY_HOURS) / (np.maximum(others, 0.0) + alpha))).sum()
        for alpha in ALPHAS
    ]
    return ALPHAS[int(np.argmax(likelihood))]


def _compared(rows: dict[str, Floats], person: Counts, seed: int) -> dict[str, Any]:
    """Metrics of all, with intervals, and ours less the best baseline of each metric, paired."""
    rivals = [name for name in rows if name != "ours"]
    value = {name: values.mean(axis=0) for name, values in rows.items()}
    best = {}
    for place, metric in enumerate(METRICS):
        reached = [float(value[name][place]) for name in rivals]
        best[metric] = rivals[int(np.argmin(reached) if metric == "log_loss" else np.argmax(reached))]
    paired = np.column_stack([rows["ours"][:, place] - rows[best[m]][:, place] for place, m in enumerate(METRICS)])
    found = means(np.column_stack([*rows.values(), paired]), person, np.random.default_rng(seed))

    def told(name: str) -> dict[str, Any]:
        first = list(rows).index(name) * len(METRICS)
        places = range(first, first + len(METRICS))
        return {
            "metrics": {metric: float(found.value[at]) for metric, at in zip(METRICS, places, strict=True)},
            "ci": {metric: found.interval[at].tolist() for metric, at in zip(METRICS, places, strict=True)},
        }

    last = len(rows) * len(METRICS)
    return {
        **told("ours"),
        "baselines": {name: told(name) for name in rivals},
        "difference": {
            metric: {
                "value": float(found.value[last + place]),
                "ci": found.interval[last + place].tolist(),
                "against": best[metric],
            }
            for place, metric in enumerate(METRICS)
        },
    }
