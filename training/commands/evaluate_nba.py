"""``segue evaluate nba``: what would policies have earned?"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from training.commands.options import Data, Json, Rejected, Seed, Sets
from training.commands.train import Reward
from training.home import segue_home

if TYPE_CHECKING:
    from pathlib import Path

    from nba.crowd import Floats
    from training.loading import Shop


def nba(
    data: Data,
    reward: Reward = "value",
    sets: Sets = None,
    rejected: Rejected = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Evaluate policies of next best actions off-policy, on the log of decisions, cross-fitted by customer.

    Beside what was learned: the highest response, the best single action, the best ladder of rules, hold, the policy of
    the log, and chance; doubly robust values with intervals, and how well each action's gain tells whom it helps.
    --set changes how it is learned, such as learning.cut=0.99. Every evaluation is a run in MLflow, so how often a log
    was looked at can be seen.
    """
    from nba.config import NbaConfig
    from training.configuration import parse_assignments
    from training.decision_log import decision_log
    from training.evaluate_nba import evaluate_nba
    from training.loading import load_telling
    from training.nba_table import evaluation_tables
    from training.plots import gain_curves
    from training.terminal import Terminal
    from training.tracking import flat_parameters, open_tracking

    terminal = Terminal(json=json)
    home = segue_home(os.environ)
    shop = load_telling(data, home=home, now=datetime.now(UTC), rejected=rejected, note=terminal.note)
    log = decision_log(shop.dataset, cache_folder=home / "cache" / "compiled")
    learning = NbaConfig.of_log(log.arms, parse_assignments(sets or [])).learning
    with terminal.progress() as progress:
        result, curves = evaluate_nba(
            log,
            reward,
            learning,
            seed=seed,
            ceiling=lambda: ceiling(data, shop),
            progress=progress,
        )
    parameters = flat_parameters(learning.model_dump(mode="json"))
    asked = {"reward": reward, "seed": seed, "data": shop.dataset.fingerprint}
    plots = {f"gain_{action}.png".replace(":", "_"): gain_curves(action, lines) for action, lines in curves.items()}
    run = open_tracking().log_evaluation(result, parameters | asked, plots=plots)
    terminal.show(*evaluation_tables(result), f"MLflow run {run}")
    terminal.result(result | {"run": run})


def ceiling(data: Path, shop: Shop) -> Floats | None:
    """Of simulated data with its truth beside it: what the best choice that can be observed is worth, by row."""
    import numpy as np

    from nba.simulation.truth import FOLDER, Truth

    if not (data / FOLDER).is_dir() or shop.dataset.messages is None:
        return None
    truth = Truth.read(data)
    rows = truth.rows(shop.dataset.messages["message_id"])
    best = truth.ceiling()
    return truth.expected(rows, best.arm[rows], np.asarray(best.send_at[rows]))


def add_to(group: typer.Typer) -> None:
    """Make it a command of the group."""
    group.command(epilog="Examples:\n\nsegue evaluate nba shop/\n\nsegue evaluate nba shop/ --reward visited --json")(
        nba
    )
