"""The command ``segue``: what its commands are, and what becomes of their errors.

Exit status 0: done; 1: failed, with one line on standard error; 2: wrong usage. A command is a file in
`training.commands`; what it needs is imported when it runs, so that ``segue --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from training.commands import (
    decide,
    demo,
    evaluate,
    example,
    export,
    import_,
    models,
    promote,
    rebuild,
    recommend,
    replay,
    rows,
    serve,
    simulate,
    train,
    tune,
    validate,
)

COMMANDS = (
    demo,
    example,
    simulate,
    validate,
    train,
    evaluate,
    tune,
    recommend,
    decide,
    promote,
    models,
    serve,
    replay,
    rows,
    rebuild,
    import_,
    export,
)


def application() -> typer.Typer:
    """All commands together."""
    app = typer.Typer(
        name="segue",
        help="Product recommendations for online shops: trained from events, tracked in MLflow, served over HTTP.",
        epilog="Start with:  segue demo",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",  # joins the lines of a docstring into paragraphs
    )
    for command in COMMANDS:
        command.add_to(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave the process with its exit status."""
    try:
        application()(args=None if arguments is None else list(arguments), prog_name="segue")
    except Exception as error:
        if not isinstance(error, expected_errors()):
            raise
        print(f"segue: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


def expected_errors() -> tuple[type[Exception], ...]:
    """What may go wrong without anything being wrong with Segue: told in one line. All else keeps its traceback."""
    from features.config import ConfigError
    from features.dataset import DatasetError
    from features.filters import FilterError
    from features.gate import GateRefused, UnknownModelError
    from features.store.base import StoreError
    from nba.bundle import BundleError as NbaBundleError
    from recommender.answers import UnknownPlacement
    from recommender.bundle import BundleError
    from recommender.decisions import NotReplayableError
    from training.listing import NotListable
    from training.service import ServiceError
    from training.split import EvaluationError
    from training.tracking import TrackingError
    from training.tune_study import TuningError

    return (
        BundleError,
        ConfigError,
        DatasetError,
        ServiceError,
        EvaluationError,
        FilterError,
        GateRefused,
        NbaBundleError,
        NotListable,
        NotReplayableError,
        OSError,  # a full disk, a folder that may not be written to
        StoreError,
        TrackingError,
        TuningError,
        UnknownModelError,
        UnknownPlacement,
    )
