"""What rankers learn from: lists as they would have been asked for, and what shoppers went for then.

Sources must not have seen what a ranker learns to predict. So a block is cut off the end of the log, sources are fitted
on what was known before, and the ranker learns which of their candidates were taken up in the block. What is cut off
depends on when lists will be asked for: at the end of the log for everybody (``last``), then a block is a stretch of
time; or at the end of what each person did (``customer``), then it is the last order of everybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from features.events import INTEREST, EventLog, Kind
from features.histories import Histories, Ragged, gather, rows_of
from features.past import before_rows, end_of, events_before, just_before, known_before, target_events, target_kind
from recommender import signals
from recommender.blend import as_seen, blend, proposals
from recommender.config import PlacementConfig
from recommender.exposure import Exposure
from recommender.queries import AsOf, Queries, Questions
from recommender.ranker import RankerConfig
from recommender.signals import VISIT, Facts
from recommender.sources.base import Source
from recommender.sources.scores import Scores

#: Fewest lists in which something was taken up; below, nothing is learned.
LEAST = 50

#: Moments of one person in a block: heavy customers would be all there is to learn from.
_EACH = 5

_CHUNK = 256

#: Of the lists in which nothing was taken up, one of so many is learned from, in place of them all.
_QUIET = 4


@dataclass(frozen=True)
class Block:
    """A part of the log that is cut off, and the rest.

    Attributes:
        whole: the log that it is cut off.
        rest: rows of ``whole`` that are cut off.
        log: what sources are fitted on.
        at: microseconds UTC, just after it.
    """

    whole: EventLog
    rest: NDArray[np.int64]
    log: EventLog
    at: int


@dataclass(frozen=True)
class Lessons:
    """Lists to ask for and what was right.

    Attributes:
        questions: n of them.
        truth: a row a question; grade: int8, at least 1, of each entry of it.
        since, until: int64[n], microseconds UTC: from when to when what the shopper was shown may have led them.
    """

    questions: Questions
    truth: Ragged
    grade: NDArray[np.int8]
    since: NDArray[np.int64]
    until: NDArray[np.int64]


def blocks_of(log: EventLog, at: int, as_of: AsOf, number: int, share: float) -> list[Block]:
    """Blocks cut off a log, the newest first, each before the one that was cut off already.

    Args:
        log: events before ``at``.
        at: microseconds UTC.
        as_of: see the module.
        number: how many; fewer where the log is too short.
        share: of the events in a block of time.
    """
    found: list[Block] = []
    end = at
    rest = log
    for place in range(number):
        if as_of == "customer":
            people, first = _last_moments(rest)
            if not len(people):
                break
            before = before_rows(rest, people, first)
            found.append(Block(rest, first, before, end_of(before)))
            rest = before
            continue
        if not len(log):
            break
        cut = int(np.sort(log.time)[int((1 - share) ** (place + 1) * len(log))])
        before = known_before(log, cut)
        if not len(before):
            break
        found.append(Block(log, np.flatnonzero((log.time >= cut) & (log.time < end)), before, cut))
        end = cut
    return found


def _last_moments(log: EventLog) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """People with a target event after something else, and the first row of their last order (or view)."""
    rows = np.flatnonzero(target_events(log))
    rows = rows[np.argsort(log.person[rows], kind="stable")]
    person = log.person[rows]
    if not len(rows):
        return np.zeros(0, dtype=np.int64), rows
    ends = np.append(np.flatnonzero(person[1:] != person[:-1]), len(rows) - 1)
    moment = _moment(log, rows)
    first = np.searchsorted(moment, moment[ends])
    people, found = person[ends].astype(np.int64), rows[first]
    before = np.full(len(log.people), len(log), dtype=np.int64)
    interest = np.flatnonzero(log.of_kind(*INTEREST))
    np.minimum.at(before, log.person[interest], interest)
    some = before[people] < found
    return people[some], found[some]


def _moment(log: EventLog, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number a target event, ascending, the same for the lines of one order."""
    fresh = np.ones(len(rows), dtype=np.bool_)
    order, person = log.order[rows], log.person[rows]
    fresh[1:] = (person[1:] != person[:-1]) | (order[1:] != order[:-1]) | (order[1:] < 0)
    return np.cumsum(fresh)


def lessons_of(block: Block, as_of: AsOf, config: RankerConfig) -> Lessons:
    """The lists of a block: what to ask, and what was right."""
    if config.learns == "steps":
        return _steps(block, config)
    return _starts(block, config) if as_of == "last" else _orders(block, config)


def _orders(block: Block, config: RankerConfig) -> Lessons:
    """A list just before each order of the block."""
    log = block.whole
    rows = np.flatnonzero(target_events(log))
    rows = rows[np.argsort(log.person[rows], kind="stable")]
    moment = _moment(log, rows)
    inside = np.isin(rows, block.rest)
    starts = np.flatnonzero(np.append(True, moment[1:] != moment[:-1])) if len(rows) else rows
    starts = starts[inside[starts]]
    starts = starts[_some(log, rows[starts], config.questions)]
    lines = np.searchsorted(moment, [moment[starts], moment[starts] + 1])
    indptr, entries = _spans(lines[0], lines[1])
    truth = Ragged(indptr, log.product[rows[entries]])
    asked = rows[starts]
    at = just_before(log, asked)
    questions = _asked_at(log, asked, at, events_before(log, log.person[asked], asked))
    return Lessons(questions, truth, np.ones(len(truth.values), dtype=np.int8), at - VISIT, at)


def _starts(block: Block, config: RankerConfig) -> Lessons:
    """A list for everybody who orders in the block, at its start: the first order with something that may be right."""
    log = block.whole
    rows = block.rest[target_events(log)[block.rest]]
    if not config.repeats:
        had = block.log.of_kind(target_kind(log))
        known = block.log.person[had].astype(np.int64) * len(log.products) + block.log.product[had]
        rows = rows[~np.isin(log.person[rows].astype(np.int64) * len(log.products) + log.product[rows], known)]
    rows = rows[np.argsort(log.person[rows], kind="stable")]
    moment = _moment(log, rows)
    firsts = np.flatnonzero(np.append(True, log.person[rows[1:]] != log.person[rows[:-1]])) if len(rows) else rows
    firsts = firsts[_some(log, rows[firsts], config.questions)]
    indptr, entries = _spans(*np.searchsorted(moment, [moment[firsts], moment[firsts] + 1]))
    truth = Ragged(indptr, log.product[rows[entries]])
    people, n = log.person[rows[firsts]].astype(np.int64), len(firsts)
    histories = Histories.of(block.log)
    at, seen = np.full(n, block.at, dtype=np.int64), np.diff(histories.indptr)[people]
    questions = Questions(at, histories, people, seen, Ragged.empty(n), Ragged.empty(n))
    until = np.full(n, end_of(log), dtype=np.int64)
    return Lessons(questions, truth, np.ones(len(truth.values), dtype=np.int8), at, until)


def _steps(block: Block, config: RankerConfig) -> Lessons:
    """At each step of a visit the next product, beside the one that is looked at."""
    log = block.whole
    rows = np.flatnonzero(log.of_kind(*INTEREST))
    rows = rows[np.argsort(log.session[rows], kind="stable")]
    number, product = log.session[rows], log.product[rows]
    follows = np.zeros(len(rows), dtype=np.bool_)
    follows[1:] = (number[1:] == number[:-1]) & (product[1:] != product[:-1])
    places = np.flatnonzero(follows & np.isin(rows, block.rest))
    places = places[_some(log, rows[places], config.questions)]
    asked, current = rows[places], product[places - 1]
    at = np.maximum(just_before(log, asked), log.time[asked])
    questions = _asked_at(log, asked, at, events_before(log, log.person[asked], asked))
    each = np.arange(len(asked) + 1, dtype=np.int64)
    anchors = Ragged(each, current.astype(np.int32))
    questions = Questions(
        questions.at, questions.histories, questions.shopper, questions.seen, anchors, questions.exclude
    )
    grade = np.ones(len(asked), dtype=np.int8)
    kind = log.kind[asked]
    grade[(kind == Kind.CART) | (kind == Kind.WISHLIST)] = 2
    grade[kind == Kind.PURCHASE] = 3
    return Lessons(questions, Ragged(each, product[places].astype(np.int32)), grade, at - VISIT, at)


def _asked_at(log: EventLog, rows: NDArray[np.int64], at: NDArray[np.int64], seen: NDArray[np.int64]) -> Questions:
    """One question about the person of each row, just before it."""
    # A removal from the cart says nothing of the moments before it, and histories are asked at many.
    histories = Histories.of(log.take(log.kind != Kind.REMOVE_FROM_CART))
    n = len(rows)
    shopper = log.person[rows].astype(np.int64)
    return Questions(at, histories, shopper, seen, Ragged.empty(n), Ragged.empty(n))


def _some(log: EventLog, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Places of at most ``most`` rows, in the order of time: the newest `_EACH` of a person, of these some evenly.

    Nothing is drawn, and it does not depend on what people are called.
    """
    newest = np.lexsort((-rows, log.person[rows]))
    person = log.person[rows[newest]]
    kept = newest[np.arange(len(newest)) - np.searchsorted(person, person) < _EACH]
    if len(kept) > most:
        by_time = kept[np.argsort(log.time[rows[kept]], kind="stable")]
        kept = by_time[np.linspace(0, len(by_time) - 1, most).astype(np.int64)]
    return kept[np.argsort(rows[kept])]


def _spans(start: NDArray[np.int64], stop: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row pointer and entries of spans of numbers."""
    lengths = stop - start
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return indptr, np.arange(indptr[-1]) + np.repeat(start - indptr[:-1], lengths)


@dataclass(frozen=True)
class Taught:
    """Rows to learn from, those of each list best first by the blend.

    Attributes:
        table: float32[rows, signals].
        grade: int8[rows], 0 where it was not taken up.
        share: float32[rows], score in the blend as a share of the best of the list.
        shown: bool[rows], whether the shopper was shown it.
        sizes: int64[lists], how many rows belong to each.
        weight: float32[lists], how many lists each stands for.
    """

    table: NDArray[np.float32]
    grade: NDArray[np.int8]
    share: NDArray[np.float32]
    shown: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    weight: NDArray[np.float32]


def taught(
    lessons: Lessons,
    sources: Mapping[str, Source],
    placement: PlacementConfig,
    asked: Sequence[str],
    facts: Facts,
    config: RankerConfig,
    kind: Kind,
    exposure: Exposure,
) -> Taught:
    """Candidates of the lists of a block: those lists in which something was taken up, and some of the others.

    Args:
        lessons: the lists.
        sources: fitted on what was before the block.
        placement: whose blend chooses the candidates.
        asked: sources whose opinion is a signal.
        facts: of products, as of the block's start.
        config: of the ranker.
        kind: what the shop's target events are: what somebody had is left out unless the ranker learns of repeats.
        exposure: who was shown what.
    """
    n = len(facts.first)
    parts: list[Taught] = []
    quiet = 0
    for start in range(0, len(lessons.questions), _CHUNK):
        stop = min(start + _CHUNK, len(lessons.questions))
        queries = lessons.questions.queries(start, stop)
        seen = as_seen(queries, placement)
        proposed = proposals(sources, placement.sources, seen)
        total, _ = blend(sources, placement.sources, seen, proposed)
        total = total.where(~np.isin(rows_of(total.indptr) * n + total.product, _left_out(queries, config, kind, n)))
        right, entries = gather(lessons.truth.indptr, np.arange(start, stop))
        truth = rows_of(right) * n + lessons.truth.values[entries]
        order = np.argsort(truth, kind="stable")
        truth, grade = truth[order], lessons.grade[entries][order]
        chosen, _ = total.first(config.candidates)
        key = rows_of(chosen.indptr) * n + chosen.product
        place = np.minimum(truth.searchsorted(key), max(len(truth) - 1, 0))
        mark = np.where(truth[place] == key, grade[place], 0) if len(truth) else np.zeros(len(key))
        some = np.bincount(rows_of(chosen.indptr), weights=mark, minlength=len(chosen)) > 0
        silent = np.flatnonzero(~some & (np.diff(chosen.indptr) > 0))
        if config.learns_to == "probability":
            some[silent[(quiet + np.arange(len(silent))) % _QUIET == 0]] = True
        quiet += len(silent)
        if not some.any():
            continue
        rows = np.flatnonzero(some)
        kept = some[rows_of(chosen.indptr)]
        indptr = np.concatenate([[0], np.cumsum(np.diff(chosen.indptr)[rows])])
        chosen = Scores(indptr, chosen.product[kept], chosen.value[kept])
        # LambdaRank begins with the order that rows stand in: that of the blend, not that of the products' codes.
        order = chosen.best_first
        table = signals.table(seen.take(rows), chosen, proposed.take(rows), sources, asked, config.latest, facts)
        marks = mark[kept][order].astype(np.int8)
        which = start + rows[rows_of(chosen.indptr)]
        shown = exposure.shown(
            lessons.questions.shopper[which], chosen.product, lessons.since[which], lessons.until[which]
        )
        weight = np.where(np.isin(rows, silent), np.float32(_QUIET), np.float32(1))
        share = chosen.shares[order]
        parts.append(Taught(table[order], marks, share, shown[order], np.diff(indptr), weight))
    return joined(parts)


def joined(parts: Sequence[Taught]) -> Taught:
    """The rows of several."""
    if not parts:
        nothing = np.zeros(0, dtype=np.float32)
        no_marks, no_lists = np.zeros(0, dtype=np.int8), np.zeros(0, dtype=np.int64)
        return Taught(nothing.reshape(0, 0), no_marks, nothing, nothing.astype(np.bool_), no_lists, nothing)
    return Taught(
        np.concatenate([part.table for part in parts]),
        np.concatenate([part.grade for part in parts]),
        np.concatenate([part.share for part in parts]),
        np.concatenate([part.shown for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )


def _left_out(queries: Queries, config: RankerConfig, kind: Kind, n: int) -> NDArray[np.int64]:
    """Keys (question · products + product), ascending, of what may not stand in the list."""
    anchors = rows_of(queries.anchors.indptr) * n + queries.anchors.values
    if config.repeats or config.learns == "steps":
        return np.unique(anchors)
    had = queries.history.of_kinds((kind,))
    return np.unique(np.concatenate([anchors, had.row * n + had.product]))


def learn(parts: Sequence[Taught], config: RankerConfig, names: tuple[str, ...], seed: int) -> tuple[str, float, float]:
    """LightGBM's model, empty where there is too little to learn from; slope and intercept as in `Ranker`.

    * probability: boosting of the logistic likelihood of being taken up, from what the blend says: a logistic
      regression on the logarithm of the share is the score that trees begin with (an offset, as in Friedman 2001), so
      that with nothing to add the order is that of the blend, and a sum is a calibrated log-odds. Where impressions
      are logged, having been shown is in the offset too, so that trees do not take for taste what was in front of the
      shopper; lists are ordered as if everything in them were shown (position as a factor of its own, as in Guo et al.,
      PAL, 2019; events do not tell the place in a list).
    * order: LambdaRank (Burges 2010) on the lists in which something was taken up, from nothing.

    Deterministic: one thread, fixed seed.
    """
    import lightgbm

    every = joined([part for part in parts if len(part.sizes)])
    number = np.repeat(np.arange(len(every.sizes)), every.sizes)
    told = np.bincount(number, weights=every.grade > 0, minlength=len(every.sizes)) > 0
    if np.count_nonzero(told) < LEAST:
        return "", 0.0, 0.0
    gains = np.array([1.0, 1.0, config.cart_gain, config.purchase_gain])
    weight = every.weight[number] * gains[every.grade]
    parameters: dict[str, Any] = {
        "num_leaves": config.leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": config.rows_a_leaf,
        "feature_fraction": 0.5,
        "lambda_l2": config.shrinkage,
        "max_bin": 127,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    binning = {"max_bin": 127, "verbosity": -1}
    if config.learns_to == "order":
        kept = told[number]
        grade, group = every.grade[kept].astype(np.int32), every.sizes[told]
        data = lightgbm.Dataset(every.table[kept], grade, group=group, feature_name=list(names), params=binning)
        parameters |= {
            "objective": "lambdarank",
            "label_gain": [0.0, *gains[1:]],
            "lambdarank_truncation_level": 20,
        }
        return str(lightgbm.train(parameters, data, config.trees).model_to_string()), 0.0, 0.0
    slope, intercept, lift = calibration(every.share, every.shown, every.grade > 0, weight)
    start = slope * np.log(every.share) + intercept + lift * every.shown
    data = lightgbm.Dataset(
        every.table, every.grade > 0, weight=weight, init_score=start, feature_name=list(names), params=binning
    )
    parameters |= {"objective": "binary"}
    return str(lightgbm.train(parameters, data, config.trees).model_to_string()), slope, intercept + lift


def calibration(
    share: NDArray[np.float32], shown: NDArray[np.bool_], taken: NDArray[np.bool_], weight: NDArray[np.floating]
) -> tuple[float, float, float]:
    """Slope and intercept of the log-odds of being taken up by the logarithm of the share (Platt 1999), and what being
    shown adds; 0 where too little of what was shown was taken up."""
    told = np.count_nonzero(shown & taken) >= LEAST
    columns = [np.ones(len(share)), np.log(share), *([shown] if told else [])]
    table, share_of = np.column_stack(columns).astype(np.float64), weight / weight.sum()
    penalty = np.append(0.0, np.full(len(columns) - 1, 1 / weight.sum()))  # keeps what separates finite

    def loss(by: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        raw = table @ by
        value = share_of @ (np.logaddexp(0, raw) - taken * raw) + penalty @ by**2 / 2
        return float(value), table.T @ (share_of * (expit(raw) - taken)) + penalty * by

    intercept, slope, *lift = minimize(loss, np.zeros(len(columns)), jac=True, method="L-BFGS-B").x.tolist()
    return max(slope, 0.0), intercept, lift[0] if lift else 0.0
