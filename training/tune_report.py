"""What tuning has found: as JSON, as TOML to lay over the defaults, as tables, and as figures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from recommender.config import RecommenderConfig
from training.evaluate_table import cell, colour
from training.plots import new_figure
from training.tracking import flat_parameters
from training.tune import Task, Tuned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training.tune_study import Trial

#: Said wherever the difference is: it is too good.
FLATTERED = (
    "measured on the validation part that the best was chosen on, which flatters it; "
    "look at the test part once: segue evaluate recommender"
)


def changes(config: RecommenderConfig, base: RecommenderConfig | None = None) -> dict[str, Any]:
    """What must be laid over ``base`` (the defaults) to have the configuration, as nested tables."""
    return differing(dump(base or RecommenderConfig.default()), dump(config), ())


def dump(config: RecommenderConfig) -> dict[str, Any]:
    """The configuration as TOML can hold it: without what is None."""
    return config.model_dump(mode="json", exclude_none=True)


def differing(base: Mapping[str, Any], tables: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Entries of ``tables`` that are not so in ``base``; the weights of a placement are told whole."""
    found: dict[str, Any] = {}
    for key, value in tables.items():
        here = (*path, key)
        if key in base and base[key] == value:
            continue
        whole = len(here) == 3 and here[0] == "placements" and here[2] == "sources"
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        found[key] = differing(base[key], value, here) if both and not whole else value
    return found


def toml(tables: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """Nested tables of numbers, strings, booleans and lists as TOML.

    >>> print(toml({"a": {"b": 1.5, "c": {"d e": "x"}}}), end="")
    [a]
    b = 1.5
    <BLANKLINE>
    [a.c]
    "d e" = "x"
    <BLANKLINE>
    """
    plain = [
        f"{bare(key)} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in tables.items()
        if not isinstance(value, Mapping)
    ]
    head = [f"[{'.'.join(bare(part) for part in path)}]"] if path and (plain or not tables) else []
    text = "".join(f"{line}\n" for line in (*head, *plain))
    text += "\n" if text else ""
    return text + "".join(toml(value, (*path, key)) for key, value in tables.items() if isinstance(value, Mapping))


def bare(key: str) -> str:
    """A key of TOML, in quotes where it needs them."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def document(task: Task, tuned: Tuned, name: str) -> dict[str, Any]:
    """All of it as JSON."""
    return {
        "study": name,
        "part": "validation",
        "splits": tuned.compared,
        "trials": len(tuned.trials),
        "failed": tuned.failed,
        "new_trials": tuned.new,
        "given": told(tuned.trials[0]),
        "best": told(tuned.best),
        "history": [told(trial) for trial in tuned.trials],
        "changes": changes(tuned.config),
        "searched": {
            one.name: {"low": one.knob.low, "high": one.knob.high, "given": one.default} for one in task.space
        },
        "importances": tuned.importances,
        "note": FLATTERED,
        "run": tuned.run,
    }


def told(trial: Trial) -> dict[str, Any]:
    """A trial as JSON."""
    return {"trial": trial.number, "objective": trial.objective, "metrics": trial.reached}


def render(task: Task, tuned: Tuned) -> list[Table]:
    """What people read: the best beside what was given, and which settings changed."""
    table = Table(
        title=f"best of {len(tuned.trials)} trials: trial {tuned.best.number}",
        caption=f"{tuned.failed} failed or were broken off. In brackets: 95% intervals, paired, resampled by customer; "
        f"{FLATTERED}.",
    )
    for column in ("split (validation)", "customers", "metric", "as given", "best", "difference"):
        table.add_column(column)
    for split, one in tuned.compared.items():
        table.add_row(
            split,
            f"{one['customers']:,}",
            one["metric"],
            f"{one['given']:.4f}",
            f"{one['best']:.4f}",
            cell(one["difference"], one["ci"], sign="+"),
            style=colour(one["ci"]),
        )
    before, after = (flat_parameters(dump(config)) for config in (task.config, tuned.config))
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    if not changed:
        return [table]
    settings = Table(title="what the best changes", caption="Importance: share of what trials differ in (fANOVA).")
    for column in ("setting", "as given", "best", "importance"):
        settings.add_column(column)
    for name in changed:
        share = tuned.importances.get(name)
        settings.add_row(
            name, str(before[name]), str(after.get(name, "left out")), "–" if share is None else f"{share:.2f}"
        )
    return [table, settings]


def figures(tuned: Tuned) -> dict[str, Figure]:
    """The history of the study, and which settings mattered, if that is known."""
    found = {"history.png": history(tuned.trials)}
    if tuned.importances:
        found["importances.png"] = importances(tuned.importances)
    return found


def history(trials: Sequence[Trial]) -> Figure:
    """What each trial reached, and the best so far."""
    figure, axes = new_figure()
    numbers, values = [one.number for one in trials], [one.objective for one in trials]
    axes.plot(numbers, values, "o", label="trial")
    axes.step(numbers, np.maximum.accumulate(values), where="post", label="best so far")
    axes.axhline(values[0], color="grey", linestyle=":", label="as given")
    axes.set_xlabel("trial")
    axes.set_ylabel("objective on the validation part")
    axes.legend()
    return figure


def importances(shares: Mapping[str, float]) -> Figure:
    """Share of what trials differ in, by setting."""
    figure, axes = new_figure()
    names = sorted(shares, key=lambda name: shares[name])
    axes.barh(names, [shares[name] for name in names])
    axes.set_xlabel("importance (fANOVA)")
    return figure
