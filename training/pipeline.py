"""``segue train recommender``: read, evaluate, judge, fit on everything, log, register."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.config import ConfigError
from features.events import EventLog
from features.gate import ModelVersion, Verdict, describe
from features.histories import Ragged
from recommender import bundle as bundles
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, descriptions, fit
from recommender.queries import Queries
from recommender.sources.base import Source
from training.asking import lists_of
from training.configuration import parse_config
from training.evaluate import (
    JUDGEMENTS,
    Measured,
    Report,
    ask,
    fit_recommender,
    measure_baseline,
    paired_verdict,
    silent,
    summary,
)
from training.loading import Shop, load_telling
from training.plots import beside_baselines, exposure, gain_over_popularity
from training.plots import trade_off as trade_off_figure
from training.split import EvaluationError, Split
from training.splits import rolling
from training.threads import single_threaded
from training.tracking import Tracking, TrainingRecord, flat_metrics, flat_parameters
from training.trade_off import trade_off

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

MODEL = "recommender"
SPLIT = "temporal"
#: What the model takes and gives in MLflow: the columns of `training.pyfunc_model`.
TAKES = {
    "placement": "string",
    "customer_id?": "string",
    "product_id?": "string",
    "product_ids?": "[string]",
    "category?": "string",
    "count?": "long",
    "filter?": "string",
    "at?": "string",
}
GIVES = {
    "question": "long",
    "rank": "long",
    "kind": "string",
    "id": "string",
    "score": "double",
    "source": "string",
    "fallback_level": "long",
}
#: Logs of so many events are fitted on two at a time: one takes some 5 GB.
TWO_AT_A_TIME = 5_000_000
#: People whose lists are counted for the figure of exposure.
EXPOSURE_SAMPLE = 1_000
EXPOSURE_COUNT = 10


@dataclass(frozen=True)
class Judged:
    """What the past says of a configuration.

    Attributes:
        evaluation: the JSON of the temporal split, or None where the data is too little.
        verdict: the evidence for the gate, or None where there is nothing to compare.
        why_not: why one of them is missing.
        trade_off: what the ranker's lists cost and are worth (`training.trade_off`), where it learned anything.
    """

    evaluation: dict[str, Any] | None
    verdict: Verdict | None
    why_not: str | None
    trade_off: dict[str, Any] | None = None


@dataclass(frozen=True)
class Trained:
    """A registered version and how it came about."""

    version: ModelVersion
    judged: Judged
    shop: Shop
    config: RecommenderConfig

    def summary(self, *, promoted: bool) -> dict[str, Any]:
        """As JSON."""
        return {
            "model": self.version.name,
            "version": self.version.version,
            "run": self.version.run_id,
            "promoted": promoted,
            "verdict": self.judged.verdict.model_dump(mode="json") if self.judged.verdict else None,
            "why_not_judged": self.judged.why_not,
            "evaluation": self.judged.evaluation,
            "events": len(self.shop.log),
            "people": len(self.shop.log.people),
            "products": len(self.shop.catalogue),
            "bad_rows": self.shop.bad_rows,
            "data": self.shop.dataset.fingerprint,
        }


def train_recommender(
    data: Path,
    config: RecommenderConfig,
    *,
    tracking: Tracking,
    home: Path,
    now: datetime,
    rejected: Path | None = None,
    bundle: Path | None = None,
    seed: int = 0,
    note: Callable[[str], None] = lambda text: None,
    progress: Report = silent,
) -> Trained:
    """Train on a dataset and register the result as challenger.

    Args:
        data: the dataset folder.
        config: sources and placements.
        tracking: where runs and versions are kept, and who is champion.
        home: SEGUE_HOME; whom the live shop there erased is left out.
        now: with a time zone; rows after it are bad rows.
        rejected: where bad rows go; None: the usual folder in ``home``.
        bundle: a folder that does not exist yet, for a copy of the bundle.
        seed: of fitting and of resampling.
        note: told in words what happens.
        progress: told how far the evaluation is.

    Raises:
        features.dataset.DatasetError: a table is at fault.
        FileExistsError: ``bundle`` is there already.
        training.tracking.TrackingError: MLflow could not be reached.
    """
    if bundle is not None and bundle.exists():
        raise FileExistsError(f"{bundle} is there already; name a folder that is not")
    shop = load_telling(data, home=home, now=now, rejected=rejected, note=note)
    note(f"{len(shop.log):,} events, {len(shop.log.people):,} people, {len(shop.catalogue):,} products")

    note("fitting and judging …")
    champion = tracking.champion(MODEL)
    given = descriptions(shop.catalogue, config)
    known = shop.log.known_before(shop.end)
    with side_by_side(len(shop.log)) as pool:
        whole = pool.submit(fit, known, shop.catalogue, config, at=shop.end, seed=seed, given=given)
        judged = judge(shop, config, champion, seed=seed, progress=progress, given=given, pool=pool)
        recommender = whole.result()

    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "bundle"
        bundles.write(recommender, made, manifest(shop, judged, seed))
        note("logging to MLflow …")
        version = tracking.log_training(MODEL, record(data, made, shop, config, judged, recommender, seed))
        if bundle is not None:
            shutil.copytree(made, bundle)
    return Trained(version, judged, shop, config)


def judge(
    shop: Shop,
    config: RecommenderConfig,
    champion: ModelVersion | None,
    *,
    seed: int,
    progress: Report = silent,
    given: Mapping[str, Source],
    pool: Executor,
) -> Judged:
    """Evaluate a configuration on the temporal split, and compare it with the champion at several cuts in time.

    Both configurations are fitted on the same parts before the cuts and asked the same questions. Equal configurations
    are measured once: their difference is exactly 0. Without a champion, popularity takes its place.

    Args:
        shop: what was loaded.
        config: of the challenger.
        champion: who is to be beaten, or None.
        seed: of fitting and of resampling.
        progress: told how far it is.
        given: the challenger's sources that need not be fitted (`recommender.engine.descriptions`).
        pool: where configurations are fitted and asked.
    """
    try:
        splits = rolling(shop.log, shop.catalogue)
    except EvaluationError as error:
        return Judged(None, None, str(error))

    ours, fitted = measured(splits, shop.catalogue, config, given, pool, seed=seed, progress=progress)
    newest = splits[-1]
    cost = trade_off(newest, fitted, seed=seed, progress=progress)
    rivals = {name: measure_baseline(newest, name, progress=progress) for name in JUDGEMENTS[SPLIT].rivals}
    evaluation = summary(newest, ours[-1], rivals, items=len(shop.catalogue), seed=seed)
    if champion is None:
        popular = [measure_baseline(split, "popularity", progress=progress) for split in splits]
        verdict = paired_verdict(splits, ours, popular, champion_version=None, seed=seed)
        return Judged(evaluation, verdict, None, cost)
    try:
        theirs = champion_config(champion)
    except ConfigError as error:
        return Judged(evaluation, None, str(error), cost)
    reference = ours
    if theirs != config:
        known = descriptions(shop.catalogue, theirs)
        reference, _ = measured(splits, shop.catalogue, theirs, known, pool, seed=seed, progress=progress)
    verdict = paired_verdict(splits, ours, reference, champion_version=champion.version, seed=seed)
    return Judged(evaluation, verdict, None, cost)


def measured(
    splits: Sequence[Split],
    catalogue: Catalogue,
    config: RecommenderConfig,
    given: Mapping[str, Source],
    pool: Executor,
    *,
    seed: int,
    progress: Report,
) -> tuple[list[Measured], Recommender]:
    """What a configuration reaches on each split, and what was fitted for the last."""

    def reached(number: int) -> tuple[Measured, Recommender | None]:
        def told(step: str, done: int, total: int) -> None:
            progress(f"{step}, cut {number + 1} of {len(splits)}", done, total)

        split = splits[number]
        fitted, seconds = fit_recommender(split, catalogue, config, seed=seed, progress=told, given=given)
        lists = lists_of(fitted, JUDGEMENTS[split.name])
        found = ask(split, lists, step="ask the recommender", fit_seconds=seconds, progress=told)
        return found, fitted if split is splits[-1] else None

    found = list(pool.map(reached, range(len(splits))))
    fitted = found[-1][1]
    assert fitted is not None  # noqa: S101  # it is that of the last
    return [one for one, _ in found], fitted


@contextmanager
def side_by_side(events: int) -> Iterator[Executor]:
    """Threads that fit two recommenders at a time, each on one core; one at a time where two may not fit in memory.

    Most of fitting is in libraries that let other threads run meanwhile. What has not begun when an error comes never
    does; what has is waited for.
    """
    two = events <= TWO_AT_A_TIME
    with single_threaded() if two else nullcontext(), ThreadPoolExecutor(2 if two else 1) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def champion_config(champion: ModelVersion) -> RecommenderConfig:
    """The configuration the champion was trained with.

    Raises:
        ConfigError: it was not kept, or it has settings that are gone.
    """
    cure = f"remove the alias champion from {champion.name} in MLflow to be judged against popularity"
    if champion.config is None:
        raise ConfigError(f"the champion, version {champion.version}, was registered without its configuration; {cure}")
    try:
        return parse_config(champion.config)
    except ConfigError as error:
        raise ConfigError(
            f"the configuration of the champion, version {champion.version}, cannot be used any more ({error}); {cure}"
        ) from error


def manifest(shop: Shop, judged: Judged, seed: int) -> dict[str, Any]:
    """What training adds to the manifest of the bundle."""
    return {
        "data": shop.dataset.fingerprint,
        "learned_until": shop.end,
        "seed": seed,
        "metrics": judged.evaluation["metrics"] if judged.evaluation else {},
        "split": SPLIT,
    }


def record(
    data: Path,
    made: Path,
    shop: Shop,
    config: RecommenderConfig,
    judged: Judged,
    recommender: Recommender,
    seed: int,
) -> TrainingRecord:
    """Everything that MLflow keeps of the training."""
    shown, bought = exposures(shop, recommender, np.random.default_rng(seed))
    metrics = {"products_shown": float(np.count_nonzero(shown)), "events": float(len(shop.log))}
    plots: dict[str, Figure] = {"exposure.png": exposure(shown, bought)}
    documents: dict[str, Any] = {"config.json": config.model_dump(mode="json")}
    if judged.evaluation is not None:
        metrics |= flat_metrics(judged.evaluation)
        plots["beside_baselines.png"] = beside_baselines(judged.evaluation)
        plots["gain_over_popularity.png"] = gain_over_popularity(judged.evaluation)
        documents["evaluation.json"] = judged.evaluation
    if judged.trade_off is not None:
        plots["trade_off.png"] = trade_off_figure(judged.trade_off)
        documents["trade_off.json"] = judged.trade_off
    if judged.verdict is not None:
        documents["verdict.json"] = judged.verdict.model_dump(mode="json")
    return TrainingRecord(
        parameters=flat_parameters(config.model_dump(mode="json")) | {"seed": seed, "data": shop.dataset.fingerprint},
        metrics=metrics,
        plots=plots,
        documents=documents,
        data=data,
        fingerprint=shop.dataset.fingerprint,
        bundle=made,
        example=example(recommender, shop.log),
        config=config.model_dump_json(),
        verdict=judged.verdict,
        code=Path(__file__).with_name("pyfunc_model.py"),
        takes=TAKES,
        gives=GIVES,
    )


def exposures(
    shop: Shop, recommender: Recommender, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How often each product stands in the lists of a sample of people, and how often it was a target event."""
    n = len(shop.catalogue)
    bought = np.bincount(shop.log.product[shop.log.targets()], minlength=n)
    placement, people = JUDGEMENTS[SPLIT].placement, len(recommender.people)
    if placement not in recommender.config.placements or not people:
        return np.zeros(n, dtype=np.int64), bought
    rows = np.sort(rng.choice(people, min(EXPOSURE_SAMPLE, people), replace=False))
    at = np.full(len(rows), shop.end, dtype=np.int64)
    queries = Queries(at, recommender.histories.take(rows), Ragged.empty(len(rows)), shop.catalogue.available(shop.end))
    product = recommender.lists(placement, queries, EXPOSURE_COUNT).product
    return np.bincount(product[product >= 0], minlength=n), bought


def example(recommender: Recommender, log: EventLog) -> dict[str, list[Any]]:
    """Two questions for the model: one of a customer, one beside a product, where there are such."""
    products = {
        name: placement for name, placement in recommender.config.placements.items() if placement.of == "products"
    }
    personal = [name for name, placement in products.items() if placement.per == "customer"]
    beside = [name for name, placement in products.items() if placement.per == "product"]
    customers = np.flatnonzero(~log.anonymous)
    customer = log.people[int(customers[0])] if len(customers) else None
    product = recommender.catalogue.ids[0] if len(recommender.catalogue) else None
    rows = [(name, customer, None) for name in personal[:1]] + [(name, None, product) for name in beside[:1]]
    asked = {"placement": [name for name, _, _ in rows], "count": [5] * len(rows)}
    if customer is not None:
        asked["customer_id"] = [customer for _, customer, _ in rows]
    if product is not None:
        asked["product_id"] = [product for _, _, product in rows]
    return asked


def report(trained: Trained) -> Sequence[RenderableType]:
    """What people read of a training: metrics beside the baselines, the verdict, run and version."""
    from training.evaluate_table import render

    parts: list[RenderableType] = []
    if trained.judged.evaluation is not None:
        parts.append(render(trained.judged.evaluation))
    if trained.judged.verdict is not None:
        parts.append(f"verdict: {describe(trained.judged.verdict)}")
    if trained.judged.why_not is not None:
        parts.append(f"not judged: {trained.judged.why_not}")
    version = trained.version
    return [*parts, f"MLflow run {version.run_id}: {version.name} version {version.version}, alias challenger"]
