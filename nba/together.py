"""Several small models over the same features, asked in one call.

A call of LightGBM costs more than a hundred small trees do. So the trees of all models are written as one model with a
class for each, whose sums of trees come back as columns of one answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nba.boosted import BOUND, Boosted

if TYPE_CHECKING:
    from lightgbm import Booster

Floats = NDArray[np.float64]

#: Of a tree that says 0 to everybody, where one model has fewer trees than another.
_NOTHING = """\
num_leaves=1
num_cat=0
split_feature=
split_gain=
threshold=
decision_type=
left_child=
right_child=
leaf_value=0
leaf_weight=
leaf_count=
internal_value=
internal_weight=
internal_count=
is_linear=0
shrinkage=1
"""


class Together:
    """K models over the same features, at least one."""

    def __init__(self, models: Sequence[Boosted]) -> None:
        self._booster = joined([model.booster for model in models])
        self._shift, self._intercept, self._slope = (
            np.array([getattr(model, name) for model in models]) for name in ("shift", "intercept", "slope")
        )
        kinds = np.array([model.kind for model in models])
        self._median, self._chance = np.flatnonzero(kinds == "median"), np.flatnonzero(kinds == "chance")

    def predict(self, features: Floats, offset: Floats) -> Floats:
        """What `nba.boosted.Boosted.predict` of each model says, float64[n, K].

        Args:
            features: float64[n, F].
            offset: float64[n, K].
        """
        if not len(features):
            return np.zeros((0, len(self._shift)))
        trees = np.asarray(self._booster.predict(features, raw_score=True, num_threads=1), dtype=np.float64)
        total = self._intercept + self._slope * (offset + self._shift + trees.reshape(offset.shape))
        found: Floats = np.exp(np.minimum(np.maximum(total, -BOUND), BOUND))
        found[:, self._chance] /= 1 + found[:, self._chance]
        found[:, self._median] = total[:, self._median]
        return found


def joined(boosters: Sequence[Booster]) -> Booster:
    """One booster whose raw scores have a column for each of some boosters over the same features."""
    from lightgbm import Booster

    if len(boosters) == 1:
        return boosters[0]
    texts = [booster.model_to_string() for booster in boosters]
    trees = [_trees(text) for text in texts]
    rounds = max(len(found) for found in trees)
    head = texts[0].partition("\nTree=0\n")[0]
    # Without the sizes of the trees, LightGBM reads them one after the other.
    head = re.sub(r"^(objective|tree_sizes)=.*\n", "", head, flags=re.MULTILINE)
    head = re.sub(r"^(num_class|num_tree_per_iteration)=.*$", rf"\1={len(boosters)}", head, flags=re.MULTILINE)
    blocks = [found[at] if at < len(found) else _NOTHING for at in range(rounds) for found in trees]
    body = "".join(f"Tree={number}\n{block}\n\n" for number, block in enumerate(blocks))
    return Booster(model_str=f"{head}\n\n{body}end of trees\n")


def _trees(text: str) -> list[str]:
    """The trees of a model as LightGBM writes it, without their numbers."""
    body = text.partition("end of trees")[0]
    return [block.partition("\n")[2].rstrip("\n") + "\n" for block in body.split("\nTree=")[1:]]
