"""What a list costs against how good it is: the same fitted ranker with fewer trees and fewer candidates.

Trees come one after the other, each correcting those before, so the first k are the ranker as it was after k; nothing
is fitted again. A list costs trees × candidates. No tree at all is the blend alone.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from features.bootstrap import means
from recommender.engine import Recommender
from recommender.ranker import Ranker
from training.asking import Report, ask, lists_of, silent
from training.evaluate_candidates import some_of
from training.judgements import JUDGEMENTS
from training.split import Split

#: Lists that each setting makes, at most.
QUESTIONS = 1_000
#: Shares of the ranker's trees.
SHARES = (0.1, 0.25, 0.5, 1.0)
#: Fewest candidates; then twice as many, up to the configured number.
FEWEST = 25


def trade_off(
    split: Split,
    recommender: Recommender,
    *,
    questions: int = QUESTIONS,
    seed: int = 0,
    progress: Report = silent,
) -> dict[str, Any] | None:
    """The split's primary metric of each setting, over evenly spaced questions; None where no ranker learned anything.

    Args:
        split: what is asked.
        recommender: fitted for it.
        questions: that each setting is asked, at most.
        seed: for the resamples.
        progress: told after each setting.

    Returns:
        ``split``, ``part``, ``placement``, ``ranker``, ``metric``, ``questions``, and ``points``, the blend alone first
        and the ranker as it is last: ``trees``, ``candidates``, ``cost`` (their product), ``cpu_ms`` a list, ``value``,
        its ``ci``, and the paired ``difference`` to the ranker as it is, with 95% intervals.
    """
    judgement = JUDGEMENTS[split.name]
    ranker = recommender.ranker(recommender.placement(judgement.placement), repeats=judgement.repeats)
    if ranker is None or not ranker.text:
        return None
    [name] = [name for name, one in recommender.rankers.items() if one is ranker]
    asked = sample(split, questions)
    column = [metric.name for metric in judgement.metrics].index(judgement.primary)
    settings = settings_of(ranker)
    values, cpu_ms = [], []
    for number, (trees, candidates) in enumerate(settings):
        progress("cut the ranker", number, len(settings))
        others = {known: one for known, one in recommender.rankers.items() if known != name}
        rankers = {**others, name: cut(ranker, trees, candidates)} if trees else others
        started = time.process_time()
        values.append(ask(asked, lists_of(replace(recommender, rankers=rankers), judgement)).values[:, column])
        cpu_ms.append(1000 * (time.process_time() - started) / len(asked.questions))
    progress("cut the ranker", len(settings), len(settings))
    table = np.column_stack([*values, *(one - values[-1] for one in values)])
    found = means(table, asked.person, np.random.default_rng(seed), weight=asked.weight)
    value, interval, n = found.value.tolist(), found.interval.tolist(), len(settings)
    return {
        "split": split.name,
        "part": split.part,
        "placement": judgement.placement,
        "ranker": name,
        "metric": judgement.primary,
        "questions": len(asked.questions),
        "points": [
            {
                "trees": trees,
                "candidates": candidates,
                "cost": trees * candidates,
                "cpu_ms": cpu_ms[at],
                "value": value[at],
                "ci": interval[at],
                "difference": {"value": value[n + at], "ci": interval[n + at]},
            }
            for at, (trees, candidates) in enumerate(settings)
        ],
    }


def settings_of(ranker: Ranker) -> list[tuple[int, int]]:
    """Trees and candidates that are tried, by cost: the blend alone first, the ranker as it is last."""
    grown, most = ranker.booster.num_trees(), ranker.config.candidates
    trees = sorted({max(1, round(share * grown)) for share in SHARES})
    candidates = []
    fewer = FEWEST
    while fewer < most:
        candidates.append(fewer)
        fewer *= 2
    pairs = [(some, number) for some in trees for number in (*candidates, most)]
    return [(0, 0), *sorted(pairs, key=lambda pair: (pair[0] * pair[1], pair[0]))]


def cut(ranker: Ranker, trees: int, candidates: int) -> Ranker:
    """The ranker with its first trees, over fewer candidates."""
    text = str(ranker.booster.model_to_string(num_iteration=trees))
    return replace(ranker, text=text, config=ranker.config.model_copy(update={"candidates": candidates}))


def sample(split: Split, most: int) -> Split:
    """The split with at most so many of its questions, evenly spaced, and their rows."""
    number = len(split.questions)
    asked = np.linspace(0, number - 1, min(number, most)).astype(np.int64)
    rows = np.flatnonzero(np.isin(split.question, asked))
    return replace(
        split,
        questions=some_of(split.questions, asked),
        question=np.searchsorted(asked, split.question[rows]),
        truth=split.truth.take(rows),
        person=split.person[rows],
        weight=split.weight[rows],
        slices={name: mask[rows] for name, mask in split.slices.items()},
    )
