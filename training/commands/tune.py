"""``segue tune``: settings that do better on the past of a dataset."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import typer

from training.commands.evaluate_recommender import SplitName
from training.commands.options import Config, Data, Json, Rejected, Seed, Sets
from training.home import segue_home


def file_name(text: str | None) -> str | None:
    """A study's name is that of its file."""
    if text is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", text):
        raise typer.BadParameter(f"{text!r}: write letters, digits, - and _")
    return text


def known_splits(names: list[str] | None) -> list[str]:
    """Splits there are."""
    for name in names or []:
        if name not in get_args(SplitName):
            raise typer.BadParameter(f"{name!r} is none of {', '.join(get_args(SplitName))}")
    return names or []


def toml_file(file: Path | None) -> Path | None:
    """Told before hours of work: where the best configuration cannot be written."""
    if file is not None and file.suffix != ".toml":
        raise typer.BadParameter("the name must end in .toml")
    if file is not None and not file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.parent}")
    return file


def tune(
    data: Data,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            callback=known_splits,
            metavar="|".join(get_args(SplitName)),
            help="On whose validation part; temporal by default. May be repeated: then the mean of the ratios to the "
            "configuration as given counts.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Time for trials; 10 unless --trials is given. The last one may not be begun.", min=0),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="How many trials to make now.", min=1)] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="Name of the study, a file in SEGUE_HOME/tuning: asked again, it goes on. By default a new one.",
            callback=file_name,
            metavar="NAME",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the best configuration here, as TOML for --config.", callback=toml_file, metavar="FILE.toml"
        ),
    ] = None,
    config: Config = None,
    sets: Sets = None,
    rejected: Rejected = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Tune a recommender's configuration on the validation part of a dataset.

    Tries weights of sources and the settings of sources that matter most. The first trial is the configuration as
    given, so the best is never worse on the part it was chosen on; the test part is never touched, and tells
    afterwards, once, whether it is really better. Every trial is a run in MLflow below that of the study. Ctrl-C ends
    the trials and loses only the running one; the same --study goes on where it ended.
    """
    from training.configuration import load_config
    from training.loading import load_telling
    from training.terminal import Terminal
    from training.tracking import open_tracking
    from training.tune import Task, measured_by
    from training.tune import tune as make_trials
    from training.tune_report import changes, document, figures, render, toml
    from training.tune_runs import Runs
    from training.tune_study import Study

    terminal = Terminal(json=json)
    settings = load_config(config, sets or [])
    home, now = segue_home(os.environ), datetime.now(UTC)
    shop = load_telling(data, home=home, now=now, rejected=rejected, note=terminal.note)
    task = Task.of(shop, settings, splits or ["temporal"], seed)
    name = study or f"tune-{now:%Y%m%d-%H%M%S-%f}"
    opened = Study.open(home / "tuning" / f"{name}.journal", task.question, task.space, seed)
    runs = Runs.of(open_tracking())
    terminal.note(f"study {name}: {len(task.space)} settings, {len(opened.trials())} trials so far")
    if minutes is None and trials is None:
        minutes = 10
    with terminal.progress() as progress:
        tuned = make_trials(
            task,
            opened,
            runs,
            name,
            measure=measured_by(shop.catalogue, seed=seed, progress=progress),
            trials=trials,
            seconds=None if minutes is None else 60 * minutes,
            seed=seed,
            note=terminal.note,
        )
    text = f"# The best of {len(tuned.trials)} trials of the study {name}.\n\n{toml(changes(tuned.config))}"
    if out is not None:
        out.write_text(text, encoding="utf-8")
    found = document(task, tuned, name) | {"out": None if out is None else str(out)}
    runs.close(
        tuned.run,
        {"objective": tuned.best.objective, "given": tuned.trials[0].objective, "trials": len(tuned.trials)},
        {f"best.{one.name}": tuned.best.values[one.name] for one in task.space} | {"best": tuned.best.number},
        figures(tuned),
        {"best.toml": text},
        found,
    )
    written = [f"written: {out}"] if out is not None else []
    terminal.show(*render(task, tuned), *written, f"study {name}, MLflow run {tuned.run}")
    terminal.result(found)


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(
        epilog="Examples:\n\n"
        "segue tune shop/ --minutes 30 --study spring --out best.toml\n\n"
        "segue tune shop/ --split temporal --split session --trials 50 --json\n\n"
        "segue train recommender shop/ --config best.toml"
    )(tune)
