"""What every source promises, inherited by the tests of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
import pytest

from features.catalogue import Catalogue
from features.events import EventLog
from features.histories import Histories, Ragged
from features.vocabulary import GrownVocabulary
from recommender.laid_over import laid_over
from recommender.queries import Queries
from recommender.sources.base import Growth, Source
from tests import logs, shops


class SourceContract(ABC):
    """Inherit, and say how the source is fitted."""

    @abstractmethod
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        """The source, fitted with a configuration that suits small shops."""

    @pytest.fixture
    def shop(self) -> tuple[EventLog, Catalogue]:
        events, products = shops.planted_tastes(customers=24, products=12)
        products["sale_price"] = np.where(np.arange(len(products)) % 4 == 0, products["price"] - 3, np.nan)
        return logs.encoded(events, products)

    @pytest.fixture
    def queries(self, shop: tuple[EventLog, Catalogue]) -> Queries:
        people = ["c000", "c001", "c005", "c017"]
        return logs.queries_of(shop[0], people=people, anchors=[["p003"], [], ["p004", "p007"], []])

    def test_proposes_something(self, shop: tuple[EventLog, Catalogue], queries: Queries) -> None:
        assert logs.scores(self.fit(*shop), queries).value.size > 0

    def test_scores_are_positive_float32_with_ascending_products(
        self, shop: tuple[EventLog, Catalogue], queries: Queries
    ) -> None:
        scores = logs.scores(self.fit(*shop), queries)
        assert len(scores) == 4
        assert scores.value.dtype == np.float32
        assert scores.product.dtype == np.int32
        assert (scores.value > 0).all()
        assert np.isfinite(scores.value).all()
        for row in range(4):
            assert (np.diff(scores.row(row)[0]) > 0).all()

    def test_a_row_depends_on_its_question_alone(self, shop: tuple[EventLog, Catalogue], queries: Queries) -> None:
        source = self.fit(*shop)
        together = logs.scores(source, queries).dense(len(shop[1]))
        for row in range(len(queries)):
            alone = logs.scores(source, queries.take(np.array([row]))).dense(len(shop[1]))
            np.testing.assert_array_equal(alone[0], together[row])

    def test_fitting_twice_gives_the_same(self, shop: tuple[EventLog, Catalogue], queries: Queries) -> None:
        first, second = (logs.scores(self.fit(*shop), queries).dense(len(shop[1])) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_a_stranger_without_a_page_is_ordinary(self, shop: tuple[EventLog, Catalogue]) -> None:
        nobody = Queries(np.array([logs.day(400)]), Histories.empty(1), Ragged.empty(1))
        assert len(logs.scores(self.fit(*shop), nobody)) == 1

    def test_every_proposal_has_a_reason(self, shop: tuple[EventLog, Catalogue], queries: Queries) -> None:
        source = self.fit(*shop)
        scores = logs.scores(source, queries)
        for row in range(len(queries)):
            proposed, _ = scores.row(row)
            reasons = source.reasons(queries, row, proposed)
            assert len(reasons) == len(proposed)
            assert all(reason["code"] for reason in reasons)

    @pytest.mark.parametrize("events", [shops.no_events(), shops.one_product(), shops.one_customer()])
    def test_tiny_shops_are_ordinary(self, events: object) -> None:
        log, catalogue = logs.encoded(events)  # type: ignore[arg-type]  # parametrize hides the type
        source = self.fit(log, catalogue)
        everyone = list(log.people)
        scores = logs.scores(source, logs.queries_of(log, people=everyone))
        assert len(scores) == len(everyone)

    def test_more_products_change_no_score_of_the_others(
        self, shop: tuple[EventLog, Catalogue], queries: Queries
    ) -> None:
        log, catalogue = shop
        source = self.fit(log, catalogue)
        ids = GrownVocabulary(catalogue.ids, ["b", "a"])
        more, _ = laid_over(catalogue, ids, {})
        grown = source.grown(Growth(catalogue, more, {}))
        scores, before = logs.scores(grown, queries), logs.scores(source, queries)
        np.testing.assert_array_equal(scores.dense(len(more))[:, : len(catalogue)], before.dense(len(catalogue)))
        proposed, _ = scores.row(0)
        assert len(grown.reasons(queries, 0, proposed)) == len(proposed)
        asked = Queries(queries.at, queries.history, Ragged.of([[len(catalogue)]] * len(queries)))
        assert len(logs.scores(grown, asked)) == len(queries)

    def test_more_events_than_products_of_nobody(self, shop: tuple[EventLog, Catalogue], queries: Queries) -> None:
        log, catalogue = shop
        silent = replace(log, product=np.full(len(log), -1, dtype=np.int32))
        assert len(logs.scores(self.fit(silent, catalogue), queries)) == 4
