"""How good a recommender's lists are, beside baselines, with intervals.

The flow: a split (`training.splits`) says what may be fitted on and asked; everybody fits on the same log and answers
the same questions; rows of metrics are resampled together, so differences are paired.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bootstrap import means
from features.catalogue import Catalogue
from features.events import EventLog
from features.gate import MARGIN, Difference, Verdict
from recommender import engine
from recommender.config import RecommenderConfig
from recommender.sources.base import Source
from training import splits
from training.asking import Measured as Measured  # those who evaluate need these too
from training.asking import Report as Report
from training.asking import ask as ask
from training.asking import lists_of
from training.asking import silent as silent
from training.evaluate_beyond import beyond_accuracy
from training.evaluate_candidates import candidate_recall
from training.evaluate_diversity import prices
from training.evaluate_margin import margin_price
from training.evaluate_sources import ask_alone, beside_each, less
from training.evaluate_substitutes import described, filter_price
from training.evaluate_without import what_they_bring, without
from training.judgements import JUDGEMENTS as JUDGEMENTS
from training.split import EvaluationError, Part, Split


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
    margin: Sequence[float] = (),
    sources: bool = False,
    leave_out: Sequence[str] = (),
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
        margin: values of its ``margin_weight`` whose price is told, under the key ``margin``.
        sources: whether each source of the placement is asked alone, too, under the key ``sources``.
        leave_out: columns of the catalogue without which is fitted and asked again, under the key ``without``.
        seed: for fitting and for the resamples.
        progress: told after each step.

    Raises:
        EvaluationError: the data cannot be evaluated this way.
    """
    split = make_split(log, catalogue, split_name, part=part, refit=refit, at=at)
    poorer = without(catalogue, leave_out)
    fitted, fit_seconds = fit_recommender(split, catalogue, config, seed=seed, progress=progress)
    lists = lists_of(fitted, JUDGEMENTS[split.name])
    ours = ask(split, lists, step="ask the recommender", fit_seconds=fit_seconds, progress=progress)
    earning = [margin_price(split, fitted, lists, ours, value, seed=seed, progress=progress) for value in margin]
    rivals = {name: measure_baseline(split, name, progress=progress) for name in JUDGEMENTS[split.name].rivals}
    placed = fitted.placement(JUDGEMENTS[split.name].placement).sources if sources else {}
    alone = {name: ask_alone(split, fitted, name, progress=progress) for name in placed}
    text = alone.get("text")
    if text is None and described(fitted) is not None:
        text = ask_alone(split, fitted, "text", progress=progress)
    found = summary(split, ours, rivals, items=len(catalogue), catalogue=catalogue, text=text, seed=seed)
    if sources:
        found["sources"] = beside_each(split, ours, alone, seed=seed)
    progress("look at the candidates", 0, 1)
    found["candidates"] = candidate_recall(split, fitted)
    progress("look at the candidates", 1, 1)
    filtered = filter_price(split, fitted, lists, ours, seed=seed, progress=progress)
    if filtered is not None:
        found["substitutes"] = filtered
    if diversity:
        found["diversity"] = [
            prices(split, catalogue, lists, ours, value, seed=seed, progress=progress) for value in diversity
        ]
    if margin:
        found["margin"] = earning
    if leave_out:
        bare = measure_recommender(split, poorer, config, seed=seed, progress=progress)
        found["without"] = what_they_bring(split, ours, bare, leave_out, seed=seed)
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
    fitted, fit_seconds = fit_recommender(split, catalogue, config, seed=seed, progress=progress)
    lists = lists_of(fitted, JUDGEMENTS[split.name])
    return ask(split, lists, step="ask the recommender", fit_seconds=fit_seconds, progress=progress)


def fit_recommender(
    split: Split,
    catalogue: Catalogue,
    config: RecommenderConfig,
    *,
    seed: int = 0,
    progress: Report = silent,
    given: Mapping[str, Source] = MappingProxyType({}),
) -> tuple[engine.Recommender, float]:
    """What makes the lists of the split's placement, and the seconds that fitting took; ``given`` is fitted already."""
    judgement = JUDGEMENTS[split.name]
    progress("fit the recommender", 0, 1)
    started = time.perf_counter()
    fitted = engine.fit(
        split.fit_log,
        catalogue,
        config,
        at=split.fit_at,
        placements={judgement.placement},
        as_of=judgement.as_of,
        repeats=judgement.repeats,
        seed=seed,
        given=given,
    )
    fit_seconds = time.perf_counter() - started
    progress("fit the recommender", 1, 1)
    return fitted, fit_seconds


def measure_baseline(split: Split, name: str, *, progress: Report = silent) -> Measured:
    """Fit one of the baselines of the split's judgement and ask it the same questions."""
    started = time.perf_counter()
    fitted = JUDGEMENTS[split.name].rivals[name](split.fit_log)
    fit_seconds = time.perf_counter() - started
    return ask(split, fitted.lists, step=f"ask {name}", fit_seconds=fit_seconds, progress=progress)


def summary(
    split: Split,
    ours: Measured,
    rivals: Mapping[str, Measured],
    *,
    items: int,
    catalogue: Catalogue | None = None,
    text: Measured | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The evaluation's JSON from rows of metrics.

    Args:
        split: what was asked.
        ours: what the recommender reached.
        rivals: what the baselines reached, by name.
        items: products of the catalogue.
        catalogue: with it, ours and each baseline get the key ``beyond_accuracy``.
        text: what the source ``text`` reached alone; it stands beside the baselines of each slice.
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
                **({} if text is None else {"text": less(split, ours, text, mask, seed=seed)}),
            }
            for name, mask in split.slices.items()
        }
    return found


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
