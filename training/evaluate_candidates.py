"""How much of what is right the sources propose at all: the ceiling of whatever puts their candidates in order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.histories import Ragged, rows_of
from recommender.blend import as_seen, blend, proposals
from recommender.engine import Recommender
from recommender.queries import Questions
from recommender.sources.scores import Scores
from training.judgements import JUDGEMENTS
from training.split import Split

#: Questions that are looked at, at most.
QUESTIONS = 2_000
#: Candidates that count as first where no ranker says how many it ranks.
FIRST = 100
_CHUNK = 256  # questions scored together


def candidate_recall(split: Split, recommender: Recommender) -> dict[str, Any]:
    """Recall of the union of a placement's sources and of each of them, over evenly spaced questions.

    What may not be listed is no candidate; the fallback is none either. Right products found ÷ right products of a row,
    averaged as all metrics are: among the ``first`` candidates by the blend (a source: by its own scores), so many as
    the placement's ranker ranks, and among all.

    Returns:
        ``questions`` looked at, ``first``, ``recall_first``, ``recall``, ``candidates`` (mean number of a list), and
        the latter three of each source under ``sources``.
    """
    judgement = JUDGEMENTS[split.name]
    config = recommender.placement(judgement.placement)
    ranker = recommender.ranker(config, repeats=judgement.repeats)
    first = FIRST if ranker is None else ranker.config.candidates
    n = len(recommender.catalogue)
    number = len(split.questions)
    asked = np.linspace(0, number - 1, min(number, QUESTIONS)).astype(np.int64)
    rows = np.flatnonzero(np.isin(split.question, asked))
    place = np.searchsorted(asked, split.question[rows])
    questions = some_of(split.questions, asked)
    names = ("", *config.sources)
    found = {name: np.zeros((len(rows), 2)) for name in names}
    count = dict.fromkeys(names, 0)
    for start in range(0, len(asked), _CHUNK):
        stop = min(start + _CHUNK, len(asked))
        queries = questions.queries(start, stop)
        seen = as_seen(queries, config)
        proposed = proposals(recommender.sources, config.sources, seen)
        total, _ = blend(recommender.sources, config.sources, seen, proposed)
        out = np.concatenate([_keys(queries.anchors, n), _keys(questions.exclude.take(np.arange(start, stop)), n)])
        mine = np.flatnonzero((place >= start) & (place < stop))
        truth = split.truth.take(rows[mine])
        for name, scores in {"": total, **{name: proposed[name] for name in proposed.names}}.items():
            open_ = scores.where(_may_stand(scores, out, queries.allowed, n))
            count[name] += len(open_.product)
            parts = (open_.first(first)[0], open_)
            found[name][mine] = np.column_stack([_recall(truth, place[mine] - start, part, n) for part in parts])
    weight = split.weight[rows]

    def told(name: str) -> dict[str, float]:
        short, whole = (weight @ found[name] / weight.sum()).tolist()
        return {"recall_first": short, "recall": whole, "candidates": count[name] / len(asked)}

    return {
        "questions": len(asked),
        "first": first,
        **told(""),
        "sources": {name: told(name) for name in config.sources},
    }


def some_of(questions: Questions, rows: NDArray[np.int64]) -> Questions:
    """Some of the questions."""
    return replace(
        questions,
        at=questions.at[rows],
        shopper=questions.shopper[rows],
        seen=questions.seen[rows],
        anchors=questions.anchors.take(rows),
        exclude=questions.exclude.take(rows),
    )


def _may_stand(scores: Scores, out: NDArray[np.int64], allowed: NDArray[np.bool_] | None, n: int) -> NDArray[np.bool_]:
    """bool[candidates], those that a list may hold. ``out``: keys of what is left out."""
    kept = ~np.isin(rows_of(scores.indptr) * n + scores.product, out)
    return kept if allowed is None else kept & allowed[scores.product]


def _recall(truth: Ragged, question: NDArray[np.int64], scores: Scores, n: int) -> NDArray[np.float64]:
    """float64[rows], share of the right products of each row among the candidates of its question."""
    row = rows_of(truth.indptr)
    hit = np.isin(question[row] * n + truth.values, rows_of(scores.indptr) * n + scores.product)
    return np.bincount(row, weights=hit, minlength=len(truth)) / np.maximum(np.diff(truth.indptr), 1)


def _keys(products: Ragged, n: int) -> NDArray[np.int64]:
    """Row and product as one number."""
    return rows_of(products.indptr) * n + products.values
