"""Lists in batches: the same whatever they are asked with, and whatever order the rows came in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.histories import Histories, Ragged
from features.vocabulary import Vocabulary
from recommender.answers import UnknownPlacement
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, descriptions, fit
from recommender.queries import Queries
from recommender.sources.neighbours import NeighbourSource
from tests import logs, shops


def everyone(model: Recommender) -> Queries:
    n = len(model.people)
    return Queries(np.full(n, model.at), model.histories, Ragged.empty(n))


def named(model: Recommender, placement: str = "recommended_for_you", count: int = 8) -> dict[str, list[str]]:
    """Lists of everyone, by id."""
    assert isinstance(model.people, Vocabulary)
    lists = model.lists(placement, everyone(model), count)
    return {
        person: [model.catalogue.ids[int(code)] for code in row if code >= 0]
        for person, row in zip(model.people, lists.product, strict=True)
    }


def fitted(events: pd.DataFrame, products: pd.DataFrame | None) -> Recommender:
    log, catalogue = logs.encoded(events, products)
    return fit(log, catalogue, RecommenderConfig.default(), at=logs.end_of(log))


@given(st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_the_order_of_rows_changes_nothing(random: object) -> None:
    events, products = shops.planted_tastes(customers=12, products=9)
    shuffled = events.sample(frac=1, random_state=random.randrange(10**6))  # type: ignore[attr-defined]  # random.Random
    assert named(fitted(events, products)) == named(fitted(shuffled, products))


def test_renaming_that_keeps_the_order_changes_nothing_but_names() -> None:
    events, products = shops.planted_tastes(customers=12, products=9)
    before = named(fitted(events, products))
    renamed = events.assign(product_id="new/" + events["product_id"], customer_id="né " + events["customer_id"])
    after = named(fitted(renamed, products.assign(product_id="new/" + products["product_id"])))
    assert after == {f"né {person}": [f"new/{name}" for name in row] for person, row in before.items()}


def test_lists_do_not_depend_on_the_company_they_are_asked_in(small_recommender: Recommender) -> None:
    queries = everyone(small_recommender)
    many = replace(
        queries,
        at=np.tile(queries.at, 6),
        anchors=Ragged.empty(6 * len(queries)),
        history=queries.history.take(np.tile(np.arange(len(queries)), 6)),
    )
    together = small_recommender.lists("recommended_for_you", many, 10)
    alone = small_recommender.lists("recommended_for_you", queries.take(np.array([7])), 10)
    np.testing.assert_array_equal(together.product[7::60], np.repeat(alone.product, 6, axis=0))
    np.testing.assert_array_equal(together.score[7::60], np.repeat(alone.score, 6, axis=0))


def test_exclusions_anchors_and_what_is_not_allowed_never_appear(small_recommender: Recommender) -> None:
    queries = everyone(small_recommender)
    n, products = len(queries), len(small_recommender.catalogue)
    allowed = np.arange(products) % 5 != 0
    anchors = Ragged.of([[row % products] for row in range(n)])
    exclude = Ragged.of([[(row + 1) % products, (row + 2) % products] for row in range(n)])
    asked = Queries(queries.at, queries.history, anchors, allowed)
    found = small_recommender.lists("you_may_also_like", asked, products, exclude).product
    for row in range(n):
        mine = set(found[row].tolist()) - {-1}
        out = {int(anchors[row][0]), *exclude[row].tolist(), *np.flatnonzero(~allowed).tolist()}
        assert mine == set(range(products)) - out  # the fallback chain fills the rest


def test_scores_never_rise_down_a_list(small_recommender: Recommender) -> None:
    score = small_recommender.lists("recommended_for_you", everyone(small_recommender), 24).score
    assert (np.diff(score, axis=1) <= 0).all()


def test_lists_that_may_be_empty_are_not_filled(small_recommender: Recommender) -> None:
    nobody = Queries(np.array([small_recommender.at]), Histories.empty(1), Ragged.empty(1))
    assert (small_recommender.lists("recently_viewed", nobody, 5).product == -1).all()


def test_groups_have_no_lists_of_products(small_recommender: Recommender) -> None:
    with pytest.raises(UnknownPlacement):
        small_recommender.lists("similar_categories", everyone(small_recommender), 5)


def test_only_what_the_placements_need_is_fitted() -> None:
    events, products = shops.planted_tastes(customers=6, products=6)
    log, catalogue = logs.encoded(events, products)
    told: list[str] = []
    model = fit(
        log,
        catalogue,
        RecommenderConfig.default(),
        at=logs.end_of(log),
        placements={"best_sellers"},
        progress=told.append,
    )
    assert list(model.sources) == told == ["best_sellers"]


def test_what_is_fitted_already_is_taken_as_it_is() -> None:
    events, products = shops.planted_tastes(customers=6, products=6)
    log, catalogue = logs.encoded(events, products)
    config = RecommenderConfig.default()
    told: list[str] = []

    given = descriptions(catalogue, config)
    model = fit(log, catalogue, config, at=logs.end_of(log), progress=told.append, given=given)

    assert set(given) == {"text"}
    assert "text" not in told
    assert model.sources["text"] is given["text"]
    np.testing.assert_array_equal(
        model.lists("similar_products", everyone(model), 3).product,
        fit(log, catalogue, config, at=logs.end_of(log)).lists("similar_products", everyone(model), 3).product,
    )


def test_sources_that_differ_in_the_profile_alone_share_a_table() -> None:
    model = fitted(*shops.planted_tastes(customers=6, products=6))
    once, again = model.sources["item_item"], model.sources["lasting"]
    assert isinstance(once, NeighbourSource)
    assert isinstance(again, NeighbourSource)
    assert again.table is once.table
    assert (once.decay, again.decay) == (0.7, 0.9)


def test_nobody_and_nothing() -> None:
    model = fitted(shops.no_events(), None)
    assert model.lists("best_sellers", everyone(model), 5).product.shape == (0, 5)
