"""The model of decisions: what each arm is worth to each customer, and which rule goes before it, if any.

A rule goes before the values where it earned more on the log (`nba.selection`): one arm for everybody, the highest
response, or a ladder of rules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nba.arms import Arms
from nba.attendance import read_attendance, write_attendance
from nba.crowd import Crowd, Floats
from nba.encoding import Encoder
from nba.gains import Gains, own_numbers
from nba.ladders import Ladder
from nba.learning import Learned
from nba.response import Response
from nba.timing import HourModel
from nba.trees import Trees
from nba.values import Values

#: What decides: learned gains; gains from the assignment alone; the actions' mean gains, on everybody's own channels
#: and hours; the highest response; a ladder of rules; one arm.
RuleName = Literal["learned", "assigned", "means", "response", "ladder", "constant"]


@dataclass(frozen=True)
class Rule:
    """What decides. ``arm``: of a constant."""

    name: RuleName
    arm: int = 0


@dataclass(frozen=True)
class Looked:
    """What a model makes of n customers, whatever rule decides.

    Attributes:
        matrix: float64[n, F], encoded.
        outcome: float64[n], m(x).
        columns: float64[n, 1 + F], what gains are predicted from.
        own: float64[n, K, …], contacts with each action of late.
        attend: float64[n, C + 1]; lift: float32[n, C + 1, HOUR_CELLS]; see `nba.values.Values`.
        crowd: the customers.
    """

    matrix: Floats
    outcome: Floats
    columns: Floats
    own: Floats
    attend: Floats
    lift: NDArray[np.float32]
    crowd: Crowd


def look(learned: Learned, crowd: Crowd) -> Looked:
    """Look at customers, once for all rules."""
    matrix = learned.encoder.matrix(crowd)
    outcome = learned.outcome.predict(matrix)
    return Looked(
        matrix,
        outcome,
        learned.levelled(matrix, outcome),
        own_numbers(crowd, learned.arms.actions),
        learned.attendance.chance(matrix, crowd),
        learned.hours.lift(crowd),
        crowd,
    )


@dataclass(frozen=True)
class DecisionModel:
    """Implements `nba.values.ValueModel`.

    Attributes:
        learned: of the log.
        response: what contacts are followed by, whatever would have been without.
        attention: float64[C + 1], price of a contact on each channel, none last.
        rule: what decides.
        ladder: the best rules of marketing tools that the log can tell.
    """

    learned: Learned
    response: Response
    attention: Floats
    rule: Rule
    ladder: Ladder | None = None

    @property
    def arms(self) -> Arms:
        """What it can choose from."""
        return self.learned.arms

    def values(self, crowd: Crowd) -> Values:
        """What each arm would be worth; see `nba.values.Values`."""
        return self.values_of(look(self.learned, crowd))

    def values_of(self, looked: Looked) -> Values:
        """The same of customers who were looked at."""
        learned, n = self.learned, len(looked.matrix)
        gains = learned.assigned if self.rule.name == "assigned" else learned.gains
        gains = replace(gains, personal=False) if self.rule.name == "means" else gains

        def gain_error(rows: NDArray[np.int64], action: NDArray[np.integer]) -> Floats:
            return gains.errors(looked.columns[rows], looked.own[rows], action)

        return Values(
            base=looked.outcome + gains.missed(looked.columns),
            gain=gains.predict(looked.columns, looked.own) + learned.prior,
            gain_error=gain_error,
            attend=looked.attend,
            lift=looked.lift,
            cost=learned.cost,
            attention=np.repeat(self.attention[None], n, axis=0),
            preference=self._preference(looked, n),
        )

    def _preference(self, looked: Looked, n: int) -> Floats | None:
        match self.rule.name:
            case "response":
                return self.response.of_arms(looked.matrix) - self.learned.cost
            case "ladder" if self.ladder is not None:
                return self.ladder.preference(self.arms, looked.crowd)
            case "constant":
                return np.repeat(np.where(np.arange(len(self.arms)) == self.rule.arm, 1.0, -1.0)[None], n, axis=0)
            case _:
                return None


def write_model(model: DecisionModel, folder: Path) -> Mapping[str, Any]:
    """Write arrays and trees into a folder that is there; returns the rest, JSON-ready."""
    learned = model.learned
    trees = {"outcome": learned.outcome, "response": model.response.trees}
    for name, one in trees.items():
        if one.text is not None:
            (folder / f"{name}.txt").write_text(one.text, encoding="utf-8")
    arrays: dict[str, NDArray[np.generic]] = {
        **{f"gains_{name}": array for name, array in learned.gains.to_arrays().items()},
        **{f"assigned_{name}": array for name, array in learned.assigned.to_arrays().items()},
        **{f"hours_{name}": array for name, array in learned.hours.to_arrays().items()},
        "action": model.arms.action,
        "channel": model.arms.channel,
        "cost": learned.cost,
        "prior": learned.prior,
        "attention": model.attention,
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    said = {
        "actions": list(model.arms.actions),
        "channels": list(model.arms.channels),
        "reward": learned.reward,
        "level": list(learned.level),
        "trust": None if np.isnan(learned.trust) else learned.trust,
        "confirmed": None if np.isnan(learned.confirmed) else learned.confirmed,
        "encoder": learned.encoder.to_json(),
        "attendance": write_attendance(learned.attendance, folder),
        "trees": {name: {"fitted": one.text is not None, "mean": one.mean} for name, one in trees.items()},
        "rule": {"name": model.rule.name, "arm": model.rule.arm},
        "ladder": None if model.ladder is None else model.ladder.model_dump(mode="json"),
        "arrays": sorted(arrays),
    }
    (folder / "model.json").write_text(json.dumps(said), encoding="utf-8")
    return said


def read_model(folder: Path) -> DecisionModel:
    """Back from `write_model`."""
    said = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in said["arrays"]}

    def part(prefix: str) -> dict[str, Any]:
        return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

    def trees(name: str) -> Trees:
        one = said["trees"][name]
        return Trees((folder / f"{name}.txt").read_text(encoding="utf-8") if one["fitted"] else None, one["mean"])

    channels = tuple(said["channels"])
    arms = Arms(tuple(said["actions"]), channels, arrays["action"], arrays["channel"])
    learned = Learned(
        arms=arms,
        reward=said["reward"],
        encoder=Encoder.from_json(said["encoder"]),
        outcome=trees("outcome"),
        level=(said["level"][0], said["level"][1]),
        gains=Gains.from_arrays(part("gains_")),
        assigned=Gains.from_arrays(part("assigned_")),
        trust=np.nan if said["trust"] is None else said["trust"],
        confirmed=np.nan if said["confirmed"] is None else said["confirmed"],
        attendance=read_attendance(said["attendance"], folder),
        hours=HourModel.from_arrays(part("hours_"), channels),
        cost=arrays["cost"],
        prior=arrays["prior"],
    )
    ladder = None if said["ladder"] is None else Ladder.model_validate(said["ladder"])
    return DecisionModel(learned, Response(arms, trees("response")), arrays["attention"], Rule(**said["rule"]), ladder)
