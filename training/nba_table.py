"""A training, and an evaluation, of decisions as tables to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from training.evaluate_table import cell, colour

if TYPE_CHECKING:
    from training.nba_pipeline import Trained

#: How policies are called for people.
NAMES = {
    "learned": "learned",
    "response": "highest response",
    "best_constant": "best constant",
    "ladder": "best ladder of rules",
    "hold": "hold",
    "logged": "as logged",
    "random": "random",
    "oracle": "ceiling (simulated)",
}


def training_table(trained: Trained) -> Table:
    """What was learned of each action, and what decides."""
    model, log = trained.model, trained.log
    learned = model.learned
    decides: str = model.rule.name
    if model.rule.name == "constant":
        constant, channel = log.arms.pair(model.rule.arm)
        decides = f"one action for everybody: {constant}" + (f" by {channel}" if channel else "")
    table = Table(
        title=f"{len(log):,} decisions, reward {learned.reward}; what decides: {decides}",
        caption=f"What an attended contact adds at the average customer, with its 95% interval. Gains are learned from "
        f"attended contacts, times {learned.trust:.2f}, which is what the drawing of contacts confirms."
        if np.isfinite(learned.trust)
        else "What a contact adds at the average customer, with its 95% interval.",
    )
    for name, side in (("action", "left"), ("contacts", "right"), ("attended", "right"), ("gain", "right")):
        table.add_column(name, justify="right" if side == "right" else "left")
    action = log.arms.action[log.arm]
    answered = log.clicked | log.opened
    mean = learned.gains.mean + learned.prior
    error = 1.96 * np.sqrt(np.maximum(learned.gains.covariance[:, 0, 0], 0.0))
    for place, name in enumerate(log.arms.actions):
        rows = action == place
        low, high = mean[place] - error[place], mean[place] + error[place]
        share = f"{answered[rows].mean():.1%}" if rows.any() else ""
        table.add_row(name, f"{rows.sum():,}", share, cell(mean[place], (low, high)), style=colour((low, high)))
    return table


def evaluation_tables(result: Mapping[str, Any]) -> list[Table]:
    """Policies beside each other, and whom actions help."""
    table = Table(
        title=f"{result['reward']} a decision, {result['rows']:,} rows of {result['customers']:,} customers",
        caption=f"{result['estimator']}. In brackets: 95% intervals, clustered by customer. Effective rows behind the "
        f"learned policy: {result['effective_sample_size']:,.0f}; choices beyond the log: {result['unsupported']:.1%}. "
        f"What decided in the folds: {', '.join(result['deciders'])}.",
    )
    table.add_column("policy")
    for name in ("value", "learned less this", "snips"):
        table.add_column(name, justify="right")
    for name, found in result["policies"].items():
        if found is None:
            continue
        label = NAMES[name]
        if name == "best_constant":
            label += f" ({found['action']}" + (f", {found['channel']})" if found["channel"] else ")")
        less = result["difference"].get(name)
        table.add_row(
            label,
            cell(found["value"], found["ci"]),
            cell(less["value"], less["ci"], sign="+") if less else "",
            cell(found["snips"]["value"], found["snips"]["ci"]) if "snips" in found else "",
            style=colour(tuple(less["ci"])) if less else "",
        )
    uplift = Table(
        title="whom actions help",
        caption="ate: what the action adds to everybody. qini: how well the learned gain tells whom it adds most to; "
        "0 is chance. In brackets: 95% intervals, clustered by customer.",
    )
    uplift.add_column("action")
    for name in ("rows", "ate", "qini", "response qini"):
        uplift.add_column(name, justify="right")
    for name, found in result["uplift"].items():
        uplift.add_row(
            name,
            f"{found['rows']:,}",
            cell(found["ate"], found["ate_ci"], sign="+"),
            cell(found["qini"], found["qini_ci"]),
            cell(found["response_qini"], found["response_qini_ci"]),
            style=colour(tuple(found["qini_ci"])),
        )
    return [table, uplift] if result["uplift"] else [table]
