"""``segue evaluate``: how good would it have been? One command a model, each in a module of its own."""

from __future__ import annotations

import typer

from training.commands import evaluate_nba, evaluate_recommender, evaluate_scores, evaluate_timing


def add_to(app: typer.Typer) -> None:
    """Make it a group of commands."""
    evaluate = typer.Typer(help="Evaluate a model on the past of a dataset.", no_args_is_help=True)
    for command in (evaluate_recommender, evaluate_nba, evaluate_timing, evaluate_scores):
        command.add_to(evaluate)
    evaluate.callback()(lambda: None)  # keeps the name of a single command in the call
    app.add_typer(evaluate, name="evaluate")
