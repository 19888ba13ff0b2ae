"""``segue train nba``: read the log of decisions, judge, fit on everything, log to MLflow, register."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.config import ConfigError
from features.gate import ModelVersion, Verdict, describe
from nba import bundle as bundles
from nba.arms import split_label
from nba.config import NbaConfig
from nba.evidence import Judgement
from nba.learning import Before
from nba.logged import Logged, RewardName
from nba.model import DecisionModel, RuleName
from nba.scores import ScoreModels, ScoresConfig, fit_scores
from nba.selection import fit_selected
from training.crowds import People, people_of
from training.decision_log import decision_log, empty_log
from training.judging import Challenger, judged
from training.loading import Shop, load_telling
from training.nba_record import record
from training.score_curves import Curve, score_curves
from training.score_rows import score_rows, tastes_of
from training.split import EvaluationError
from training.threads import single_threaded
from training.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

MODEL = "nba"


@dataclass(frozen=True)
class Trained:
    """A registered version and how it came about.

    Attributes:
        leads: of each rule over what stood before it, with its standard error (`nba.selection`).
        judgement, verdict: the evidence for the gate; None where there was too little.
        why_not: why it is missing.
    """

    version: ModelVersion
    model: DecisionModel
    config: NbaConfig
    log: Logged
    shop: Shop
    scores: ScoreModels | None
    leads: Mapping[RuleName, tuple[float, float]]
    judgement: Judgement | None
    verdict: Verdict | None
    why_not: str | None

    def summary(self, *, promoted: bool) -> dict[str, Any]:
        """As JSON."""
        learned = self.model.learned
        return {
            "model": self.version.name,
            "version": self.version.version,
            "run": self.version.run_id,
            "promoted": promoted,
            "reward": learned.reward,
            "rows": len(self.log),
            "actions": list(learned.arms.actions),
            "channels": list(learned.arms.channels),
            "decides": self.model.rule.name,
            "constant": self.log.arms.pair(self.model.rule.arm) if self.model.rule.name == "constant" else None,
            "leads": {name: {"value": lead, "error": error} for name, (lead, error) in self.leads.items()},
            "trust": None if np.isnan(learned.trust) else learned.trust,
            "scores": sorted(self.scores.models) if self.scores is not None else [],
            "verdict": self.verdict.model_dump(mode="json") if self.verdict else None,
            "why_not_judged": self.why_not,
            "bad_rows": self.shop.bad_rows,
            "data": self.shop.dataset.fingerprint,
        }


def train_nba(
    data: Path,
    reward: RewardName,
    changes: Mapping[str, Any] | None,
    *,
    sets: Mapping[str, Any],
    tracking: Tracking,
    home: Path,
    now: datetime,
    rejected: Path | None = None,
    bundle: Path | None = None,
    seed: int = 0,
    note: Callable[[str], None] = lambda text: None,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> Trained:
    """Train on a dataset and register the result as challenger.

    Args:
        data: the dataset folder.
        reward: what decisions are judged by.
        changes: laid over the default catalogue of actions; None: actions and channels are those of the log.
        sets: laid over that.
        tracking: where runs and versions are kept, and who is champion.
        home: SEGUE_HOME; whom the live shop there erased is left out.
        now: with a time zone; rows after it are bad rows.
        rejected: where bad rows go; None: the usual folder in ``home``.
        bundle: a folder that does not exist yet, for a copy of the bundle.
        seed: of everything random.
        note: told in words what happens.
        progress: told how far it is.

    Raises:
        ConfigError: the configuration is at fault.
        EvaluationError: without a configuration there must be decisions to learn from.
        features.dataset.DatasetError: a table is at fault.
        FileExistsError: ``bundle`` is there already.
        training.tracking.TrackingError: MLflow could not be reached.
    """
    if bundle is not None and bundle.exists():
        raise FileExistsError(f"{bundle} is there already; name a folder that is not")
    shop = load_telling(data, home=home, now=now, rejected=rejected, note=note)
    cache = home / "cache" / "compiled"
    with single_threaded():
        return _train(data, shop, reward, changes, sets, tracking, cache, bundle, seed, note, progress)


def _train(
    data: Path,
    shop: Shop,
    reward: RewardName,
    changes: Mapping[str, Any] | None,
    sets: Mapping[str, Any],
    tracking: Tracking,
    cache: Path,
    bundle: Path | None,
    seed: int,
    note: Callable[[str], None],
    progress: Callable[[str, int, int], None],
) -> Trained:
    """`train_nba` of a shop that was read."""
    people = people_of(shop.dataset)
    log, config = log_and_config(shop, people, changes, sets, cache)
    note(f"{len(log):,} decisions, {len(log.arms.actions)} actions, {len(log.arms.channels)} channels")

    champion = tracking.champion(MODEL)
    challenger = Challenger(config, reward, before(config, log))
    judgement, verdict, why_not = judged(
        log, challenger, champion, champion_of(champion, log), seed=seed, progress=progress
    )
    note("fitting on everything …")
    model, leads = fit_selected(
        log,
        reward,
        config.learning,
        seed=seed,
        before=challenger.before,
        progress=lambda done, total: progress("fit", done, total),
    )
    scores, curves = scores_of(shop, people, seed, cache)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "bundle"
        facts = {"data": shop.dataset.fingerprint, "learned_until": shop.end, "seed": seed, "rows": len(log)}
        bundles.write(model, config, scores, made, facts)
        note("logging to MLflow …")
        kept = json.dumps({"reward": reward, "config": config.model_dump(mode="json")})
        logged = record(data, made, shop, model, log, kept, leads, judgement, verdict, curves, seed)
        version = tracking.log_training(MODEL, logged)
        if bundle is not None:
            shutil.copytree(made, bundle)
    return Trained(version, model, config, log, shop, scores, leads, judgement, verdict, why_not)


def log_and_config(
    shop: Shop, people: People, changes: Mapping[str, Any] | None, sets: Mapping[str, Any], cache: Path
) -> tuple[Logged, NbaConfig]:
    """The log with all arms there are to choose from, and the configuration."""
    from features.config import laid_over

    if changes is None:
        log = decision_log(shop.dataset, people=people, cache_folder=cache)
        return log, NbaConfig.of_log(log.arms, sets)
    config = NbaConfig.default(laid_over(changes, sets))
    more = [config.arms.pair(arm) for arm in range(1, len(config.arms))]
    try:
        return decision_log(shop.dataset, people=people, more=more, cache_folder=cache), config
    except EvaluationError:
        if shop.dataset.messages is not None and len(shop.dataset.messages):
            raise  # there are decisions, but none that was watched to its end
        return empty_log(people, more), config


def before(config: NbaConfig, log: Logged) -> Before:
    """What the configuration thinks of the log's arms."""
    actions = [config.actions.get(split_label(text)[0]) for text in log.arms.actions]
    gain = np.array([0.0 if action is None else action.value for action in actions])
    return Before(gain, config.contact_costs(log.arms))


def champion_of(champion: ModelVersion | None, log: Logged) -> Challenger | str | None:
    """How the champion was trained, to be fitted beside the challenger; or why that cannot be told."""
    if champion is None:
        return None
    cure = f"remove the alias champion from {champion.name} in MLflow to be judged against the policy of the log"
    if champion.config is None:
        return f"the champion, version {champion.version}, was registered without its configuration; {cure}"
    try:
        said = json.loads(champion.config)
        config = NbaConfig.of(said["config"])
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        return f"the configuration of the champion, version {champion.version}, cannot be used ({error}); {cure}"
    return Challenger(config, said["reward"], before(config, log))


def scores_of(shop: Shop, people: People, seed: int, cache: Path) -> tuple[ScoreModels | None, dict[str, Curve]]:
    """Scores fitted on everything, None where there is too little to fit them on; and their calibration curves."""
    config = ScoresConfig()
    rows = score_rows(people, shop.log, shop.end, config, seed=seed, cache_folder=cache)
    if rows is None:
        return None, {}
    scores = fit_scores(rows, config, tastes=tastes_of(shop.log, shop.catalogue, shop.end), seed=seed)
    if not scores.models and scores.tastes is None:
        return None, {}
    return scores, score_curves(rows, config, seed=seed)


def report(trained: Trained) -> Sequence[RenderableType]:
    """What people read of a training: what decides and why, the verdict, run and version."""
    from training.nba_table import training_table

    parts: list[RenderableType] = [training_table(trained)]
    if trained.verdict is not None:
        parts.append(f"verdict: {describe(trained.verdict)}")
    if trained.why_not is not None:
        parts.append(f"not judged: {trained.why_not}")
    version = trained.version
    return [*parts, f"MLflow run {version.run_id}: {version.name} version {version.version}, alias challenger"]
