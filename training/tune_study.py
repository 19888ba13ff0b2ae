"""What was tried so far, and what to try next: Optuna. The one module that knows it.

A study is one file, a journal that every trial is added to; it can be broken off at any time and gone on with.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.tune_space import Setting

if TYPE_CHECKING:
    import optuna

#: Trials drawn at random before the sampler learns from what was found.
STARTUP_TRIALS = 10


class TuningError(ValueError):
    """Tuning cannot go on this way; the message says why and what would do."""


@dataclass(frozen=True)
class Trial:
    """One configuration that was measured. ``reached``: split → primary metric; ``objective``: what counts of them."""

    number: int
    values: dict[str, float]
    objective: float
    reached: dict[str, float]


class Study:
    """A study in a file. What comes next depends on seed and trials so far, not on how often it was broken off."""

    def __init__(self, study: optuna.Study, space: Sequence[Setting], seed: int) -> None:
        self._study, self._space, self._seed = study, space, seed
        self._running: dict[int, optuna.Trial] = {}

    @staticmethod
    def open(file: Path, question: Mapping[str, Any], space: Sequence[Setting], seed: int) -> Study:
        """The study of a file, made if it is not there.

        Args:
            file: the journal.
            question: what is tuned, on what; a study only goes on with the question it was begun with.
            space: what is chosen.
            seed: of what is tried.

        Raises:
            TuningError: the file is of another question, or is no study.
        """
        with quiet():
            import optuna
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend

            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                storage = JournalStorage(JournalFileBackend(str(file)))
                study = optuna.create_study(
                    storage=storage, study_name="tune", direction="maximize", load_if_exists=True
                )
            except (ValueError, KeyError, TypeError) as error:
                raise TuningError(f"{file} is no study, or is broken: remove it, or name another --study") from error
            before = study.user_attrs.get("question")
            if before is None:
                study.set_user_attr("question", dict(question))
            for name, value in question.items():
                if before is not None and before.get(name) != value:
                    raise TuningError(
                        f"the study {file.stem} was begun with another {name}; go on as it was begun, "
                        "or name another --study"
                    )
            for stale in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
                study.tell(stale.number, state=optuna.trial.TrialState.FAIL)  # broken off without a word
        return Study(study, space, seed)

    @property
    def run(self) -> str | None:
        """The id of the study's run in MLflow."""
        found = self._study.user_attrs.get("run")
        return None if found is None else str(found)

    def keep_run(self, run: str) -> None:
        """Remember it."""
        self._study.set_user_attr("run", run)

    def trials(self) -> list[Trial]:
        """All that were measured, oldest first; the first is the configuration that was given."""
        import optuna

        found = self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        return [Trial(one.number, one.params, float(one.value or 0.0), one.user_attrs["reached"]) for one in found]

    def failed(self) -> int:
        """How many could not be measured, or were broken off."""
        import optuna

        return len(self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.FAIL,)))

    def ask(self) -> tuple[int, dict[str, float]]:
        """Number and values of the next trial: what was given, as long as that has not been measured."""
        with quiet():
            from optuna.samplers import TPESampler

            given = not self.trials()
            number = len(self._study.get_trials(deepcopy=False))
            [seed] = np.random.SeedSequence([self._seed, number]).generate_state(1).tolist()
            self._study.sampler = TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True)
            if given:
                self._study.enqueue_trial({one.name: chosen(one) for one in self._space})
            trial = self._study.ask()
            self._running[trial.number] = trial
            values: dict[str, float] = {}
            for one in self._space:
                if one.knob.whole:
                    values[one.name] = trial.suggest_int(
                        one.name, round(one.knob.low), round(one.knob.high), log=one.knob.log
                    )
                else:
                    values[one.name] = trial.suggest_float(one.name, one.knob.low, one.knob.high, log=one.knob.log)
        return trial.number, values

    def measured(self, number: int, objective: float, reached: Mapping[str, float]) -> None:
        """What a trial reached."""
        with quiet():
            self._running.pop(number).set_user_attr("reached", dict(reached))
            self._study.tell(number, objective)

    def broken(self, number: int) -> None:
        """A trial that could not be measured."""
        with quiet():
            import optuna

            self._study.tell(number, state=optuna.trial.TrialState.FAIL)

    def importances(self) -> dict[str, float]:
        """How much of what trials differ in each setting explains (fANOVA, Hutter et al. 2014); empty if too few."""
        trials = self.trials()
        if len(trials) <= STARTUP_TRIALS or len({one.objective for one in trials}) < 2 or not self._space:
            return {}
        with quiet():
            from optuna.importance import FanovaImportanceEvaluator, get_param_importances

            found = get_param_importances(self._study, evaluator=FanovaImportanceEvaluator(seed=0))
        return {name: float(value) for name, value in found.items()}


def chosen(one: Setting) -> float:
    """The default as Optuna takes it."""
    return round(one.default) if one.knob.whole else one.default


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its log, and without its warnings of what it calls experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        yield
