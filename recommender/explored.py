"""From a list as it was made to the list that is shown: what chance moves, and how likely that was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.exploration import Draws, ExplorationConfig, arrangement, newcomer, propensities
from recommender.picks import Pick


def explored(
    picks: Sequence[Pick], own: int, count: int, config: ExplorationConfig, new: NDArray[np.int32], chance: Draws | None
) -> list[Pick]:
    """The first ``count`` picks as the policy of `recommender.exploration` shows them. Pins stay where they are.

    Args:
        picks: the list as it was made; where nothing fills it up, behind it what may come into it.
        own: so many of them, the first, may trade places; what fills the list up behind them may not.
        count: how many are shown.
        config: the policy.
        new: int32[m], products that may get the last place; none of them is among ``picks``.
        chance: where chance comes from; None: nothing is explored, and propensities are those of the policy.
    """
    shown = _swapped(picks, own, count, config, chance) if config.share else list(picks[:count])
    if not config.new_share or not len(new):
        return shown
    last = max((place for place, pick in enumerate(shown) if pick.source != "pin"), default=-1)
    if last < 0:
        return shown
    chosen = newcomer(config, len(new), chance)
    if chosen is not None:
        shown[last] = Pick(int(new[chosen]), 0.0, "exploration", propensity=config.new_share / len(new))
    elif shown[last].code == picks[last].code:  # what came there by a trade has its propensity already
        shown[last] = shown[last]._replace(propensity=max(shown[last].propensity - config.new_share, 0.0))
    return shown


def _swapped(
    picks: Sequence[Pick], own: int, count: int, config: ExplorationConfig, chance: Draws | None
) -> list[Pick]:
    free = [place for place, pick in enumerate(picks[:own]) if pick.source != "pin"]
    shown = sum(place < count for place in free)
    below = len(free) - shown
    arranged = arrangement(config, shown, below, chance)
    chances = propensities(config, shown, below, arranged)
    listed = list(picks[:count])
    for place, slot, propensity in zip(free, arranged, chances, strict=False):  # `free` goes on below the list
        listed[place] = picks[free[slot]]._replace(propensity=propensity)
    return listed
