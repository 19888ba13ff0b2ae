"""Lists for everyone, or beside every product: ``segue recommend``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.events import EventLog, Kind
from features.histories import Histories, Ragged
from features.vocabulary import Vocabulary
from recommender.anchors import DefaultAnchors, anchors_of
from recommender.answers import Lists, UnknownPlacement
from recommender.config import PlacementConfig, RecommenderConfig
from recommender.engine import Recommender
from recommender.queries import AsOf as AsOf  # those who ask for lists need it too
from recommender.queries import Queries

if TYPE_CHECKING:
    import pandas as pd


#: Placements that list what the shopper had before: leaving it out would leave nothing.
OWN = ("buy_it_again", "recently_viewed")


class NotListable(ValueError):  # names what is the matter, as UnknownPlacement does
    """A placement whose answers are no products."""


def make_lists(
    recommender: Recommender,
    log: EventLog,
    *,
    placement: str,
    count: int,
    end: int,
    repeats: bool = False,
    as_of: AsOf = "last",
) -> pd.DataFrame:
    """Lists of one placement for everyone of the log, or for every product where the placement stands beside one.

    Args:
        recommender: it may have been fitted on another log; products it does not know are passed over.
        log: whose people are asked for, with what they did.
        placement: a placement that lists products.
        count: entries a list.
        end: microseconds UTC, the moment of the question with ``as_of="last"``.
        repeats: keep what the person bought. Always so for `OWN`.
        as_of: "customer" asks at each person's own last event, just after it; at ``end`` for people without events.

    Returns:
        Columns customer_id (or anchor_id), rank from 1, product_id, score; by id and rank.

    Raises:
        UnknownPlacement: no such placement.
        NotListable: it lists categories, not products.
    """
    chosen = check_listable(recommender.config, placement)
    if chosen.per == "product":
        lists = recommender.lists(placement, beside_products(recommender, end), count)
        return as_table("anchor_id", recommender.catalogue.ids, lists, recommender.catalogue.ids)
    history = in_codes_of(recommender.catalogue.ids, log)
    queries = of_people(history, end, as_of, chosen.default_anchors, recommender.catalogue.available(end))
    bought = None if repeats or placement in OWN else purchases(history)
    lists = recommender.lists(placement, queries, count, exclude=bought, repeats=bought is None)
    return as_table("customer_id", log.people, lists, recommender.catalogue.ids)


def check_listable(config: RecommenderConfig, placement: str) -> PlacementConfig:
    """The placement's configuration.

    Raises:
        UnknownPlacement: no such placement.
        NotListable: it lists categories, not products.
    """
    placements = config.placements
    if placement not in placements:
        raise UnknownPlacement(placement, sorted(placements))
    if placements[placement].of != "products":
        listable = ", ".join(sorted(name for name, other in placements.items() if other.of == "products"))
        raise NotListable(f"{placement} lists categories; a file of products can be had of: {listable}")
    return placements[placement]


def beside_products(recommender: Recommender, at: int) -> Queries:
    """One question a product of the catalogue, asked by nobody known."""
    n = len(recommender.catalogue)
    anchors = Ragged(np.arange(n + 1, dtype=np.int64), np.arange(n, dtype=np.int32))
    return Queries(np.full(n, at, dtype=np.int64), Histories.empty(n), anchors, recommender.catalogue.available(at))


def of_people(log: EventLog, end: int, as_of: AsOf, anchors: DefaultAnchors, allowed: NDArray[np.bool_]) -> Queries:
    """One question a person of the log, beside the products that serving would take from what the person did."""
    n = len(log.people)
    at = np.full(n, end, dtype=np.int64)
    if as_of == "customer":
        last = np.full(n, -1, dtype=np.int64)
        np.maximum.at(last, log.person, log.time)
        at = np.where(last >= 0, last + 1, end)
    histories = Histories.of(log)
    beside = Ragged.empty(n)
    if anchors != "none":
        beside = Ragged.of([anchors_of(histories.take(np.array([row])), anchors).tolist() for row in range(n)])
    return Queries(at, histories, beside, allowed)


def purchases(log: EventLog) -> Ragged:
    """What each person bought: distinct products, one row a person."""
    rows = log.of_kind(Kind.PURCHASE)
    pairs = np.unique(np.stack([log.person[rows], log.product[rows]], axis=1), axis=0)
    indptr = np.searchsorted(pairs[:, 0], np.arange(len(log.people) + 1)).astype(np.int64)
    return Ragged(indptr, np.ascontiguousarray(pairs[:, 1], dtype=np.int32))


def in_codes_of(products: Vocabulary, log: EventLog) -> EventLog:
    """The log with the product codes of another vocabulary; products unknown there become -1."""
    if log.products is products:
        return log
    codes = np.append(products.codes(log.products), np.int32(-1)).astype(np.int32)
    return replace(log, products=products, product=codes[log.product])


def as_table(column: str, ids: Vocabulary, lists: Lists, products: Vocabulary) -> pd.DataFrame:
    """One row an entry. Rows of the lists belong to ``ids``, in order."""
    import pandas as pd

    row, place = np.nonzero(lists.product >= 0)
    return pd.DataFrame(
        {
            column: names(ids)[row],
            "rank": place.astype(np.int64) + 1,
            "product_id": names(products)[lists.product[row, place]],
            "score": lists.score[row, place].astype(np.float64),
        }
    )


def names(vocabulary: Vocabulary) -> NDArray[np.object_]:
    """Ids as an array, so that codes index it."""
    return np.array(list(vocabulary), dtype=object)
