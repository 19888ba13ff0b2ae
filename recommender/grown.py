"""A recommender over the catalogue as it is now, without training: prices, stock, descriptions, new products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from features.catalogue import Catalogue
from features.store.base import Json
from features.vocabulary import Codes, GrownVocabulary
from recommender.engine import Recommender
from recommender.groups import Groups
from recommender.laid_over import laid_over
from recommender.sources.base import Growth, Source
from recommender.sources.text import TextSource


def grown(
    base: Recommender,
    product_ids: Sequence[str],
    changes: Mapping[str, Json | None],
    *,
    like: Recommender | None = None,
) -> Recommender:
    """The recommender with more products and changes of its catalogue laid over it.

    Products keep their codes; those that ``base`` does not know stand behind them in the order given, so that among
    equals they come last. New and newly described products are recommended by what is said of them (source ``text``),
    as new arrivals and on sale; what people did with products is as it was (`recommender.trends` adds to it). They
    belong to the categories and brands there are; new ones wait for training. The same arguments give the same
    recommender, and large arrays are shared with ``base``.

    Args:
        base: as read from a bundle, not itself grown.
        product_ids: products to add; those of ``base`` are passed over.
        changes: product id -> all of its attributes, JSON-ready, as in the dataset contract; None: it left the shop.
            Products that are named here alone are added last.
        like: what was grown before, if no text or list of any product has changed since: what reads alike, which is
            most of the work, is then not searched for again.
    """
    ids = GrownVocabulary(base.catalogue.ids, [*product_ids, *changes])
    if len(ids) == len(base.catalogue) and not changes:
        return base
    before = base.catalogue
    catalogue, rewritten = laid_over(before, ids, changes)
    changed = ids.codes(identifier for identifier, attributes in changes.items() if attributes is not None)
    growth = Growth(before, catalogue, rewritten)
    return replace(
        base,
        catalogue=catalogue,
        sources={
            name: _grown(source, growth, None if like is None else like.sources[name])
            for name, source in base.sources.items()
        },
        groups=_regrouped(base.groups, catalogue, changed),
        rankers={name: ranker.over(catalogue) for name, ranker in base.rankers.items()},
    )


def _grown(source: Source, growth: Growth, like: Source | None) -> Source:
    return like.padded(len(growth.catalogue)) if isinstance(like, TextSource) else source.grown(growth)


def _regrouped(groups: Groups, catalogue: Catalogue, changed: Codes) -> Groups:
    """The same groups with their members as they are now."""
    members = np.full((len(groups.members), len(catalogue)), -1, dtype=np.int32)
    members[:, : groups.members.shape[1]] = groups.members
    members[:, changed] = groups.members_of(catalogue, changed)
    return replace(groups, members=members)
