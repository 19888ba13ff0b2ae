"""One answer about groups: categories and brands that go with a page or suit a shopper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.histories import Histories, Ragged
from recommender.answers import Block, BlockRequest, Item
from recommender.blend import as_seen, blend, proposals, shares
from recommender.config import PlacementConfig
from recommender.eligibility import Funnel, Mask
from recommender.engine import Recommender
from recommender.queries import Queries


def groups_block(
    model: Recommender,
    request: BlockRequest,
    config: PlacementConfig,
    history: Histories,
    anchors: NDArray[np.int32],
    shown: Mask,
    at: int,
    *,
    explain: bool,
) -> Block:
    """Categories and brands, those of the page left out.

    Args:
        model: the recommender.
        request: the block asked for; its category stands before ``anchors``.
        config: its placement.
        history: of the shopper, one row.
        anchors: product codes of the page.
        shown: bool[products]; a group none of whose products may be shown is left out.
        at: microseconds UTC.
        explain: give each item what every source gave to its score.
    """
    groups = model.groups
    own = groups.of_category(request.category) if request.category else []
    own = own or groups.of_products(anchors)
    members = groups.members[:, shown]
    alive = np.zeros(len(groups.ids), dtype=np.bool_)
    alive[members[members >= 0]] = True
    query = as_seen(groups.queries(Queries(np.array([at]), history, Ragged.empty(1)), own), config)
    proposed = proposals(model.group_sources, config.sources, query)
    total, parts = blend(model.group_sources, config.sources, query, proposed)

    funnel = Funnel(*total.row(0), len(groups.ids))
    funnel.keep("in_stock", alive[funnel.codes])
    funnel.drop("excluded", np.array(own, dtype=np.int32))
    order = np.lexsort((funnel.codes, -funnel.scores))[: request.count]
    funnel.steps.append(("count", len(funnel.codes), len(order)))
    codes, names = funnel.codes[order], list(parts)
    loudest = shares(parts, codes).argmax(axis=0)
    chosen = [
        (code, score, names[source], 0)
        for code, score, source in zip(codes.tolist(), funnel.scores[order].tolist(), loudest.tolist(), strict=True)
    ]
    for level, name in enumerate(config.fallback, start=1):
        listed = {code for code, *_ in chosen} | set(own)
        ranked = [
            int(code) for code in model.ranking(name, of="groups").order if alive[code] and int(code) not in listed
        ]
        chosen += [(code, 0.0, name, level) for code in ranked[: request.count - len(chosen)]]

    items = []
    for rank, (code, score, source, level) in enumerate(chosen, start=1):
        reasons = model.group_sources[source].reasons(query, 0, np.array([code], dtype=np.int32))
        for reason in reasons:
            if "product" in reason:
                reason["kind"], reason["id"] = groups.name(reason.pop("product"))
        kind, name = groups.name(code)
        given = shares(parts, np.array([code], dtype=np.int32))[:, 0].tolist()
        extra = {"scores": dict(zip(parts, given, strict=True))} if explain else {}
        items.append(Item(kind, name, rank, score, 1.0, source, level, reasons, None, extra))
    return Block(request.placement, items, funnel.steps)
