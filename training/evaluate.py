"""How good a recommender's lists are, beside baselines, with intervals.

The flow: a split (`training.splits`) says what may be fitted on and asked; everybody fits on the same log and answers
the same questions; rows of metrics are resampled together, so differences are paired.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.bootstrap import means
from features.catalogue import Catalogue
from features.events import EventLog
from features.gate import MARGIN, Difference, Verdict
from features.histories import Ragged
from features.past import products_by_person, target_kind
from recommender import engine
from recommender.answers import Lists
from recommender.beyond_accuracy import coverage, exposure, gini, intra_list_similarity, novelty
from recommender.config import RecommenderConfig
from recommender.metrics import hits, measure
from recommender.queries import Queries
from training import splits
from training.evaluate_diversity import ListMaker, mixed, price
from training.judgements import JUDGEMENTS as JUDGEMENTS  # those who evaluate need it too
from training.split import EvaluationError, Part, Split

_CHUNK = 2_000  # questions asked together
#: What is beyond accuracy is measured on so many entries of a list, or all that the split asks for.
LENGTH = 10


class Report(Protocol):
    """Takes word of how far a long step is: what is being done, steps done, steps in all."""

    def __call__(self, step: str, done: int, total: int) -> None: ...  # noqa: D102


def silent(step: str, done: int, total: int) -> None:
    """Reports to nobody."""


@dataclass(frozen=True)
class Measured:
    """What one list maker reached on a split.

    Attributes:
        values: float64[rows, metrics of the split's protocol].
        fit_seconds: how long fitting took.
        score_seconds: how long answering all questions took.
        lists: int32[questions, at most `LENGTH`], the first entries of what was answered.
    """

    values: NDArray[np.float64]
    fit_seconds: float
    score_seconds: float
    lists: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int32))


def evaluate_recommender(
    log: EventLog,
    catalogue: Catalogue,
    config: RecommenderConfig,
    split_name: str,
    *,
    part: Part = "test",
    refit: bool = True,
    at: int | None = None,
    diversity: Sequence[float] = (),
    seed: int = 0,
    progress: Report = silent,
) -> dict[str, Any]:
    """Fit, ask, compare with the baselines: the evaluation's JSON (keys in docs/evaluation.md).

    Args:
        log: the whole log; the split decides what is fitted on.
        catalogue: the products of the log.
        config: the recommender to judge.
        split_name: a key of `JUDGEMENTS`.
        part: the test part, or the validation part for tuning.
        refit: leave-one-out only: whether validation targets are fitted on for the test part.
        at: temporal only: the cut in microseconds UTC.
        diversity: values of the placement's ``diversity`` whose price is told, under the key ``diversity``.
        seed: for fitting and for the resamples.
        progress: told after each step.

    Raises:
        EvaluationError: the data cannot be evaluated this way.
    """
    split = make_split(log, catalogue, split_name, part=part, refit=refit, at=at)
    lists, fit_seconds = fit_recommender(split, catalogue, config, seed=seed, progress=progress)
    ours = ask(split, lists, step="ask the recommender", fit_seconds=fit_seconds, progress=progress)
    rivals = {name: measure_baseline(split, name, progress=progress) for name in JUDGEMENTS[split.name].rivals}
    found = summary(split, ours, rivals, items=len(catalogue), catalogue=catalogue, seed=seed)
    if diversity:
        found["diversity"] = [
            prices(split, catalogue, lists, ours, value, seed=seed, progress=progress) for value in diversity
        ]
    return found


def make_split(
    log: EventLog,
    catalogue: Catalogue,
    name: str,
    *,
    part: Part = "test",
    refit: bool = True,
    at: int | None = None,
) -> Split:
    """The split of a name. Arguments as in `evaluate_recommender`.

    Raises:
        EvaluationError: unknown name, an argument that the split has no use for, or data it cannot be made of.
    """
    if name not in JUDGEMENTS:
        raise EvaluationError(f"unknown split {name!r}; there are: {', '.join(JUDGEMENTS)}")
    if at is not None and name != "temporal":
        raise EvaluationError(f"only the temporal split is cut at a date, {name} is not")
    if not refit and name != "leave-one-out":
        raise EvaluationError(f"only leave-one-out can be fitted without the validation events, {name} never sees them")
    match name:
        case "leave-one-out":
            return splits.leave_one_out(log, part=part, refit=refit)
        case "temporal":
            return splits.temporal(log, catalogue, part=part, at=at)
        case "next-basket":
            return splits.next_basket(log, part=part)
        case "basket":
            return splits.basket(log, part=part)
        case _:
            return splits.session(log, part=part)


def measure_recommender(
    split: Split, catalogue: Catalogue, config: RecommenderConfig, *, seed: int = 0, progress: Report = silent
) -> Measured:
    """Fit a configuration on what the split allows and ask it for bare lists."""
    lists, fit_seconds = fit_recommender(split, catalogue, config, seed=seed, progress=progress)
    return ask(split, lists, step="ask the recommender", fit_seconds=fit_seconds, progress=progress)


def fit_recommender(
    split: Split, catalogue: Catalogue, config: RecommenderConfig, *, seed: int = 0, progress: Report = silent
) -> tuple[ListMaker, float]:
    """What makes the bare lists of the split's placement, and how many seconds fitting took."""
    judgement = JUDGEMENTS[split.name]
    placement, repeats = judgement.placement, judgement.repeats
    progress("fit the recommender", 0, 1)
    started = time.perf_counter()
    fitted = engine.fit(
        split.fit_log,
        catalogue,
        config,
        at=split.fit_at,
        placements={placement},
        as_of=judgement.as_of,
        repeats=repeats,
        seed=seed,
    )
    fit_seconds = time.perf_counter() - started
    progress("fit the recommender", 1, 1)

    def lists(queries: Queries, count: int, exclude: Ragged) -> Lists:
        return fitted.lists(placement, queries, count, exclude=exclude, repeats=repeats)

    return lists, fit_seconds


def measure_baseline(split: Split, name: str, *, progress: Report = silent) -> Measured:
    """Fit one of the baselines of the split's judgement and ask it the same questions."""
    started = time.perf_counter()
    fitted = JUDGEMENTS[split.name].rivals[name](split.fit_log)
    fit_seconds = time.perf_counter() - started
    return ask(split, fitted.lists, step=f"ask {name}", fit_seconds=fit_seconds, progress=progress)


def ask(
    split: Split, lists: ListMaker, *, step: str = "ask", fit_seconds: float = 0.0, progress: Report = silent
) -> Measured:
    """Put the questions of a split to a list maker and judge the answers.

    Args:
        split: the questions and right answers.
        lists: called with some queries, how many products are wanted, and what must not be among them.
        step: what `progress` is told.
        fit_seconds: kept with the result.
        progress: told after each chunk of questions.

    Raises:
        EvaluationError: a list holds a product twice or one that was to be left out.
    """
    judgement, questions = JUDGEMENTS[split.name], split.questions
    product = np.full((len(questions), judgement.count), -1, dtype=np.int32)
    started = time.perf_counter()
    for start in range(0, len(questions), _CHUNK):
        stop = min(start + _CHUNK, len(questions))
        exclude = questions.exclude.take(np.arange(start, stop))
        queries = questions.queries(start, stop)
        product[start:stop] = lists(queries, judgement.count, exclude).product
        _check(product[start:stop], queries, exclude)
        progress(step, stop, len(questions))
    score_seconds = time.perf_counter() - started
    values = measure(product[split.question], split.truth, judgement.metrics)
    return Measured(values, fit_seconds, score_seconds, product[:, :LENGTH].copy())


def summary(
    split: Split,
    ours: Measured,
    rivals: Mapping[str, Measured],
    *,
    items: int,
    catalogue: Catalogue | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The evaluation's JSON from rows of metrics.

    Args:
        split: what was asked.
        ours: what the recommender reached.
        rivals: what the baselines reached, by name.
        items: products of the catalogue.
        catalogue: with it, ours and each baseline get the key ``beyond_accuracy``.
        seed: for the resamples.
    """
    everything = np.ones(len(split), dtype=bool)
    found: dict[str, Any] = {
        "split": split.name,
        "part": split.part,
        "placement": JUDGEMENTS[split.name].placement,
        "customers": len(np.unique(split.person)),
        "items": items,
        "rows": len(split),
        "skipped": sum(split.skipped.values()),
        "skipped_why": split.skipped,
        **_compared(split, ours, rivals, everything, seed),
        "fit_seconds": ours.fit_seconds,
        "score_seconds": ours.score_seconds,
    }
    if catalogue is not None:
        found["beyond_accuracy"] = beyond_accuracy(split, catalogue, ours.lists)
        for name, rival in rivals.items():
            found["baselines"][name]["beyond_accuracy"] = beyond_accuracy(split, catalogue, rival.lists)
    if split.name == "temporal":
        found["at"] = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=split.fit_at)).isoformat()
    if split.slices:
        found["slices"] = {
            name: {
                "customers": len(np.unique(split.person[mask])),
                "rows": int(mask.sum()),
                **_compared(split, ours, rivals, mask, seed),
            }
            for name, mask in split.slices.items()
        }
    return found


def beyond_accuracy(split: Split, catalogue: Catalogue, lists: NDArray[np.int32]) -> dict[str, Any]:
    """What the lists are like beside being right; formulas in `recommender.beyond_accuracy`.

    Who had a product is who had it by a target event before what was asked; people who had nothing are not counted.
    """
    log = split.fit_log
    had = products_by_person(log, log.of_kind(target_kind(log)))
    holders, people = np.bincount(had.values, minlength=len(catalogue)), int(np.count_nonzero(np.diff(had.indptr)))
    shown = exposure(lists, len(catalogue))
    return {
        "length": lists.shape[1],
        "lists": len(lists),
        "coverage": coverage(shown),
        "gini": gini(shown),
        "novelty": novelty(lists, holders, people),
        "intra_list_similarity": intra_list_similarity(lists, catalogue),
    }


def prices(
    split: Split,
    catalogue: Catalogue,
    lists: ListMaker,
    bare: Measured,
    diversity: float,
    *,
    seed: int = 0,
    progress: Report = silent,
) -> dict[str, Any]:
    """What a placement's ``diversity`` costs in accuracy, against the bare lists of the same model, and what it buys.

    Args:
        split: what is asked.
        catalogue: its categories are what is mixed.
        lists: makes the bare lists.
        bare: what they reached.
        diversity: from 0 to below 1, as in the configuration.
        seed: for the resamples.
        progress: told after each chunk of questions.
    """
    made = ask(split, mixed(lists, catalogue, diversity), step=f"ask with diversity {diversity:g}", progress=progress)
    names = [metric.name for metric in JUDGEMENTS[split.name].metrics]
    return {
        "diversity": diversity,
        **price(names, bare.values, made.values, split.person, split.weight, seed),
        "beyond_accuracy": beyond_accuracy(split, catalogue, made.lists),
    }


def beyond_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """What an evaluation tells beyond accuracy, as flat numbers: ``coverage@10``, ``popularity/coverage@10`` …"""
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


def paired_verdict(
    splits: Sequence[Split],
    challenger: Sequence[Measured],
    champion: Sequence[Measured],
    *,
    champion_version: int | None,
    margin: float = MARGIN,
    seed: int = 0,
) -> Verdict:
    """The evidence for the promotion gate: the protocol's primary metric, challenger less champion, row by row.

    Args:
        splits: what both were measured on, one protocol at one or more cuts. Rows of a person are resampled together.
        challenger: the new configuration, on each of them.
        champion: the champion's configuration, or popularity where there is no champion yet.
        champion_version: its version, None for popularity.
        margin: how much worse the lower bound may be, as a share of the champion's value.
        seed: for the resamples.
    """
    judgement = JUDGEMENTS[splits[0].name]
    column = [metric.name for metric in judgement.metrics].index(judgement.primary)
    new = np.concatenate([measured.values[:, column] for measured in challenger])
    old = np.concatenate([measured.values[:, column] for measured in champion])
    found = means(
        np.column_stack([new, old, new - old]),
        np.concatenate([split.person for split in splits]),
        np.random.default_rng(seed),
        weight=np.concatenate([split.weight for split in splits]),
    )
    low, high = found.interval[2].tolist()
    return Verdict.of(
        champion_version=champion_version,
        metric=judgement.primary,
        split=splits[0].name,
        challenger=float(found.value[0]),
        champion=float(found.value[1]),
        difference=Difference(value=float(found.value[2]), ci=(low, high)),
        rows=len(new),
        share=margin,
    )


def _check(product: NDArray[np.int32], queries: Queries, exclude: Ragged) -> None:
    """A list with a product twice or one that was to be left out would be judged too well."""
    ordered = np.sort(product, axis=1)
    twice = bool(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any())
    barred = queries.allowed is not None and not queries.allowed[product[product >= 0]].all()
    if twice or barred or hits(product, exclude).any() or hits(product, queries.anchors).any():
        raise EvaluationError(
            "a list holds a product twice or one that was to be left out; this is a fault of the model"
        )


def _compared(
    split: Split, ours: Measured, rivals: Mapping[str, Measured], rows: NDArray[np.bool_], seed: int
) -> dict[str, Any]:
    """Means and intervals of ours, of each rival, and of ours less the best rival, over some rows."""
    if not rows.any():
        return {
            "metrics": {},
            "ci": {},
            "baselines": {name: {"metrics": {}, "ci": {}} for name in rivals},
            "difference": {},
        }
    metrics = [metric.name for metric in JUDGEMENTS[split.name].metrics]
    weight, width = split.weight[rows], len(metrics)
    tables = [ours.values[rows], *(rival.values[rows] for rival in rivals.values())]
    reached = np.array([weight @ table for table in tables[1:]])
    best = reached.argmax(axis=0)
    against = np.stack(tables[1:])[best, :, np.arange(width)].T
    columns = np.column_stack([*tables, tables[0] - against])
    found = means(columns, split.person[rows], np.random.default_rng(seed), weight=weight)

    def named(place: int) -> dict[str, Any]:
        part = slice(place * width, (place + 1) * width)
        return {
            "metrics": dict(zip(metrics, found.value[part].tolist(), strict=True)),
            "ci": dict(zip(metrics, found.interval[part].tolist(), strict=True)),
        }

    difference, names = named(len(tables)), list(rivals)
    return {
        **named(0),
        "baselines": {name: named(place) for place, name in enumerate(names, start=1)},
        "difference": {
            metric: {
                "value": difference["metrics"][metric],
                "ci": difference["ci"][metric],
                "against": names[best[column]],
            }
            for column, metric in enumerate(metrics)
        },
    }
