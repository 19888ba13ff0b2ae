"""``segue tune``: settings that do better on the validation part, one trial after the other.

The flow: the configuration as given is measured first; then the study says what to try, each trial is fitted and asked
as `training.evaluate` does it, on validation parts only, and told to the study and to MLflow. The best is never worse
than what was given, on the part it was chosen on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.bootstrap import means
from features.catalogue import Catalogue
from recommender.config import RecommenderConfig
from training.evaluate import JUDGEMENTS, Measured, Report, make_split, measure_recommender, silent
from training.loading import Shop
from training.split import Split
from training.tune_runs import Runs
from training.tune_space import Setting, search_space, with_values
from training.tune_study import Study, Trial, TuningError

Measure = Callable[[Split, RecommenderConfig], Measured]


@dataclass(frozen=True)
class Task:
    """What is tuned, on what.

    Attributes:
        splits: validation parts.
        config: as given; the first trial.
        space: what is chosen.
        question: what a study may not change while it goes on.
    """

    splits: tuple[Split, ...]
    config: RecommenderConfig
    space: tuple[Setting, ...]
    question: Mapping[str, Any]

    @staticmethod
    def of(shop: Shop, config: RecommenderConfig, names: Sequence[str], seed: int) -> Task:
        """The validation parts of these splits of a shop.

        Raises:
            training.split.EvaluationError: the data cannot be evaluated this way.
        """
        splits = tuple(make_split(shop.log, shop.catalogue, name, part="validation") for name in dict.fromkeys(names))
        judgements = [JUDGEMENTS[split.name] for split in splits]
        repeats = any(one.repeats for one in judgements)
        space = tuple(search_space(config, [one.placement for one in judgements], repeats=repeats))
        question = {
            "data": shop.dataset.fingerprint,
            "split": [split.name for split in splits],
            "configuration": config.model_dump(mode="json"),
            "seed": seed,
            "search space": [[one.name, one.knob.low, one.knob.high, one.knob.log] for one in space],
        }
        return Task(splits, config, space, question)

    def configuration(self, trial: Trial) -> RecommenderConfig:
        """That of a trial; of the first one exactly what was given."""
        given = all(trial.values[one.name] == one.default for one in self.space)
        return self.config if given else with_values(self.config, self.space, trial.values)


@dataclass(frozen=True)
class Tuned:
    """What tuning has found.

    Attributes:
        trials: all of the study that were measured, oldest first.
        new: how many of these, or of those that failed, were made now.
        failed: how many could not be measured or were broken off, over all.
        best: the best of them; the first of equals.
        config: its configuration.
        compared: split → ``metric``, ``given``, ``best``, and the paired ``difference`` with its interval ``ci``.
        importances: setting → share.
        run: of the whole study in MLflow.
    """

    trials: list[Trial]
    new: int
    failed: int
    best: Trial
    config: RecommenderConfig
    compared: dict[str, dict[str, Any]]
    importances: dict[str, float]
    run: str


def tune(
    task: Task,
    study: Study,
    runs: Runs,
    name: str,
    *,
    measure: Measure,
    trials: int | None,
    seconds: float | None,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
    note: Callable[[str], None] = lambda text: None,
) -> Tuned:
    """Make trials until the budget is used up, at least one, and say what came of all that the study holds.

    Args:
        task: what is tuned.
        study: what was tried before.
        runs: where every trial is kept, below one run for the study.
        name: of the study.
        measure: fits a configuration and asks it; see `measured_by`.
        trials: how many more to make; None: as many as there is time for.
        seconds: a trial is only begun if one as long as the last still fits in; None: no limit.
        seed: of the resamples.
        clock: seconds.
        note: told in words what happens.

    Raises:
        TuningError: what was given cannot be improved on: it does not find anything.
        KeyboardInterrupt: broken off before what was given was measured. Later, it only ends the trials.
    """
    described = {"splits": ", ".join(split.name for split in task.splits), "part": "validation", "seed": seed}
    run = runs.family(name, described | {"data": task.question["data"]}, known=study.run)
    study.keep_run(run)
    kept: dict[int, list[Measured]] = {}
    started, last, new = clock(), 0.0, 0
    while new == 0 or ((trials is None or new < trials) and (seconds is None or clock() - started + last <= seconds)):
        begun = clock()
        number, values = study.ask()
        try:
            trial = attempt(task, study, runs, run, number, values, measure, kept, seed)
        except KeyboardInterrupt:
            study.broken(number)
            runs.child(run, f"trial {number}", values, {}, "KILLED", why="broken off")
            if not study.trials():
                runs.close(run, {}, {}, {}, {}, {}, "KILLED")
                raise
            note(f"trial {number} was broken off; what was found before stands")
            break
        except Exception as error:  # one configuration that cannot be fitted must not end the study
            study.broken(number)
            runs.child(run, f"trial {number}", values, {}, "FAILED", why=f"{type(error).__name__}: {error}")
            if not study.trials():  # that is what was given
                runs.close(run, {}, {}, {}, {}, {}, "FAILED")
                raise
            note(f"trial {number} failed and is left out: {type(error).__name__}: {error}")
        else:
            best = max(one.objective for one in study.trials())
            note(f"trial {number}: {trial.objective:.5f}, best {best:.5f}, {clock() - begun:.0f} s")
            runs.step(run, "best", best, number)
        last, new = clock() - begun, new + 1
    return conclude(task, study, run, new, measure, kept, seed)


def measured_by(catalogue: Catalogue, *, seed: int, progress: Report = silent) -> Measure:
    """Measures configurations as `segue evaluate` does."""
    return lambda split, config: measure_recommender(split, catalogue, config, seed=seed, progress=progress)


def attempt(
    task: Task,
    study: Study,
    runs: Runs,
    run: str,
    number: int,
    values: dict[str, float],
    measure: Measure,
    kept: dict[int, list[Measured]],
    seed: int,
) -> Trial:
    """Measure one trial, and tell the study and MLflow. ``kept`` gets what the first and the best trial reached."""
    before = study.trials()
    config = task.configuration(Trial(number, values, 0.0, {}))
    found = [measure(split, config) for split in task.splits]
    metrics: dict[str, float] = {
        "fit_seconds": sum(one.fit_seconds for one in found),
        "score_seconds": sum(one.score_seconds for one in found),
    }
    reached = {}
    for split, one in zip(task.splits, found, strict=True):
        column, metric = primary(split)
        mean = means(one.values[:, [column]], split.person, np.random.default_rng(seed), weight=split.weight)
        reached[split.name] = float(mean.value[0])
        low, high = mean.interval[0].tolist()
        name = f"{split.name}/{metric}"
        metrics |= {name: reached[split.name], f"{name}/low": low, f"{name}/high": high}
    objective = worth(reached, before[0].reached if before else reached)
    study.measured(number, objective, reached)
    if not before or objective > max(one.objective for one in before):
        for old in [old for old in kept if before and old != before[0].number]:
            del kept[old]
        kept[number] = found
    runs.child(run, f"trial {number}", values, metrics | {"objective": objective}, "FINISHED")
    return Trial(number, values, objective, reached)


def worth(reached: Mapping[str, float], given: Mapping[str, float]) -> float:
    """The metric of one split, or of several the mean of ratios to what was given, 1 for that itself.

    Raises:
        TuningError: what was given found nothing at all on a split.
    """
    empty = [name for name, value in given.items() if value == 0]
    if empty:
        raise TuningError(f"the configuration as given finds nothing on {', '.join(empty)}; leave that split out")
    if len(given) == 1:
        return next(iter(reached.values()))
    return float(np.mean([reached[name] / value for name, value in given.items()]))


def conclude(
    task: Task, study: Study, run: str, new: int, measure: Measure, kept: Mapping[int, list[Measured]], seed: int
) -> Tuned:
    """The best trial beside the first, row by row. What an earlier command measured is measured again."""
    trials = study.trials()
    given, best = trials[0], max(trials, key=lambda one: (one.objective, -one.number))
    config = task.configuration(best)
    compared = {}
    for place, split in enumerate(task.splits):
        column, metric = primary(split)
        both = []
        for trial in (given, best):
            known = kept.get(trial.number)
            found = known[place] if known else measure(split, task.configuration(trial))
            both.append(found.values[:, column])
            if best is given:
                both.append(both[0])
                break
        difference = means((both[1] - both[0])[:, None], split.person, np.random.default_rng(seed), weight=split.weight)
        compared[split.name] = {
            "metric": metric,
            "customers": len(np.unique(split.person)),
            "given": given.reached[split.name],
            "best": best.reached[split.name],
            "difference": float(difference.value[0]),
            "ci": difference.interval[0].tolist(),
        }
    return Tuned(trials, new, study.failed(), best, config, compared, study.importances(), run)


def primary(split: Split) -> tuple[int, str]:
    """Column and name of the metric that models are compared by."""
    judgement = JUDGEMENTS[split.name]
    return [metric.name for metric in judgement.metrics].index(judgement.primary), judgement.primary
