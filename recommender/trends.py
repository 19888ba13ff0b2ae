"""Rankings of the whole shop that follow what happens in it, without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from recommender.engine import Recommender
from recommender.sources.base import Source
from recommender.sources.ranking import Ingredients, RankingSource, ranking_of


class Trends:
    """What the rankings of a recommender are made of, kept up with the shop's traffic.

    Every event counts as in training, with two exceptions: a ranking of what people try for the first time stays as it
    is (it would need to know who tried it before), and a refund takes nothing back until training. The same events in
    the same order give the same rankings to the bit, however they were portioned.

    Args:
        base: the recommender as read from its bundle.
    """

    def __init__(self, base: Recommender) -> None:
        self._products = _made_of(base.sources)
        self._groups = _made_of(base.group_sources)
        self._members = base.groups.members
        self._counted = False

    def add(self, products: NDArray[np.int32], kinds: NDArray[np.int8], times: NDArray[np.int64]) -> None:
        """Count events, in the order of the log.

        Args:
            products: codes, those of a grown catalogue included. For categories and brands the products of ``base``
                count, in the groups they were in at training.
            kinds: `features.events.Kind`.
            times: microseconds UTC.
        """
        if len(products) == 0:
            return
        self._counted = True
        n = int(products.max()) + 1
        self._products = {name: one.padded(n).added(products, kinds, times) for name, one in self._products.items()}
        if self._groups:
            known = products < self._members.shape[1]
            group = self._members[:, products[known]].T.ravel()
            each = len(self._members)
            kind, time = np.repeat(kinds[known], each)[group >= 0], np.repeat(times[known], each)[group >= 0]
            self._groups = {name: one.added(group[group >= 0], kind, time) for name, one in self._groups.items()}

    def applied(self, recommender: Recommender) -> Recommender:
        """The recommender with rankings of now.

        Args:
            recommender: ``base``, or what `recommender.grown.grown` made of it with all products counted so far.
        """
        if not self._counted:
            return recommender
        nameless = Catalogue(recommender.groups.ids, {})
        return replace(
            recommender,
            sources=_renewed(recommender.sources, self._products, recommender.catalogue),
            group_sources=_renewed(recommender.group_sources, self._groups, nameless),
        )


def _made_of(sources: Mapping[str, Source]) -> dict[str, Ingredients]:
    return {
        name: source.made_of
        for name, source in sources.items()
        if isinstance(source, RankingSource) and source.made_of is not None
    }


def _renewed(
    sources: Mapping[str, Source], made_of: Mapping[str, Ingredients], catalogue: Catalogue
) -> dict[str, Source]:
    n = len(catalogue)
    renewed = {name: ranking_of(one.padded(n), catalogue) for name, one in made_of.items()}
    return {name: renewed.get(name, source) for name, source in sources.items()}
