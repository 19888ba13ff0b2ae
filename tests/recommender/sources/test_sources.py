"""Each source against the contract, and against small worlds whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from features.catalogue import Catalogue
from features.events import EventLog
from features.histories import Histories, Ragged
from recommender.opinions import opinions
from recommender.queries import Queries
from recommender.sources import als, cooccurrence, item_item, ranking, repurchase, text, transitions
from recommender.sources.base import Source
from recommender.sources.neighbours import neighbours_of, product_blocks, strongest
from recommender.sources.own_history import OwnHistoryConfig, OwnHistorySource
from recommender.sources.profile import profile
from recommender.sources.scores import Proposals, Scores, Votes
from tests import logs, shops
from tests.recommender.sources.contract import SourceContract


def order_of(source: Source, queries: Queries, log: EventLog, row: int = 0) -> list[str]:
    """Ids proposed, best first, ties by id."""
    codes, values = logs.scores(source, queries).row(row)
    return [log.products[int(codes[place])] for place in np.lexsort((codes, -values))]


class TestTransitions(SourceContract):
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return transitions.fit(log, logs.end_of(log), transitions.TransitionsConfig())

    def test_what_comes_next_comes_first(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        source = self.fit(log, catalogue)
        # a customer of taste 0 walks p000 → p003 → p006 → p009 → p000
        assert order_of(source, logs.queries_of(log, anchors=[["p003"]]), log)[0] == "p006"

    def test_weights_are_those_of_the_formula(self) -> None:
        log, _ = logs.log_of(
            [("view", 1, "a", "x"), ("view", 2, "a", "y"), ("view", 3, "a", "z"), ("view", 4, "b", "x")]
        )
        config = transitions.TransitionsConfig(distance_decay=0.5, reverse=0.25, damping=0.5)
        table = transitions.fit(log, logs.end_of(log), config).table.toarray()
        once = 1 / np.log2(4)
        x, y, z = (log.products.code(name) for name in "xyz")
        assert table[y, z] == pytest.approx(once)
        assert table[x, y] == pytest.approx(once / np.sqrt(2))
        assert table[y, x] == pytest.approx(0.25 * once / np.sqrt(2))
        assert table[x, z] == pytest.approx(0.5 * once / np.sqrt(2))

    def test_older_pairs_weigh_less(self) -> None:
        rows = [("view", 1, "a", "x"), ("view", 2, "a", "y"), ("view", 31, "b", "x"), ("view", 32, "b", "z")]
        log, _ = logs.log_of([*rows, ("view", 33, "c", "x")])
        source = transitions.fit(log, logs.end_of(log), transitions.TransitionsConfig(half_life_days=10))
        assert order_of(source, logs.queries_of(log, people=["c"]), log) == ["z", "y"]


class TestCooccurrence(SourceContract):
    @pytest.fixture
    def shop(self) -> tuple[EventLog, Catalogue]:
        rows = [
            ("purchase", order, f"c{order % 24:03}", f"p{(3 * order + step) % 12:03}")
            for order in range(48)
            for step in (0, 3, 4)
        ]
        return logs.log_of(rows)

    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return cooccurrence.fit(log, logs.end_of(log), cooccurrence.CooccurrenceConfig())

    def test_companions_are_found_with_support_and_lift(self) -> None:
        log, _ = logs.encoded(shops.companions(orders=40))
        source = cooccurrence.fit(log, logs.end_of(log), cooccurrence.CooccurrenceConfig())
        queries = logs.queries_of(log, anchors=[["shampoo"]])
        assert order_of(source, queries, log) == ["conditioner"]
        (reason,) = source.reasons(queries, 0, log.products.codes(["conditioner"]))
        assert reason["code"] == "bought_together"
        assert reason["orders"] == 20
        assert reason["support"] == pytest.approx(0.5)
        assert reason["lift"] == pytest.approx(2.0)  # 20 · 40 / (20 · 20)

    def test_ten_thousand_products_in_one_order_are_left_out(self) -> None:
        rows = [("purchase", 1, "wholesale", f"p{number:05}") for number in range(10_000)]
        log, _ = logs.log_of([*rows, ("purchase", 2, "a", "p00001"), ("purchase", 2, "a", "p00002")])
        source = cooccurrence.fit(log, logs.end_of(log), cooccurrence.CooccurrenceConfig())
        assert order_of(source, logs.queries_of(log, anchors=[["p00001"]]), log) == ["p00002"]

    def test_pairs_seen_once_go_where_others_are_seen_more(self) -> None:
        often = [("purchase", number, "a", name) for number in range(3) for name in ("x", "y")]
        log, _ = logs.log_of([*often, ("purchase", 9, "a", "x"), ("purchase", 9, "a", "chance")])
        source = cooccurrence.fit(log, logs.end_of(log), cooccurrence.CooccurrenceConfig(support=2))
        assert order_of(source, logs.queries_of(log, anchors=[["x"]]), log) == ["y"]

    def test_a_refunded_purchase_is_none(self) -> None:
        events = shops.companions(orders=4)
        refund = pd.DataFrame(
            {
                "event": "refund",
                "timestamp": shops.START + pd.Timedelta(days=9),
                "customer_id": "c001",
                "order_id": ["o001"],
            }
        )
        log, _ = logs.encoded(pd.concat([events, refund], ignore_index=True))
        kept = log.known_before(logs.day(30))
        source = cooccurrence.fit(kept, logs.day(30), cooccurrence.CooccurrenceConfig(support=1))
        (reason,) = source.reasons(logs.queries_of(log, anchors=[["shampoo"]]), 0, log.products.codes(["conditioner"]))
        assert reason["orders"] == 1


class TestItemItem(SourceContract):
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return item_item.fit(log, item_item.ItemItemConfig())

    def test_tastes_keep_apart(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        found = order_of(self.fit(log, catalogue), logs.queries_of(log, anchors=[["p001"]]), log)
        assert set(found) == {"p004", "p007", "p010"}


class TestAls(SourceContract):
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return als.fit(log, als.AlsConfig(factors=8, iterations=5), seed=0)

    def test_tastes_keep_apart(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        found = order_of(self.fit(log, catalogue), logs.queries_of(log, anchors=[["p001"]]), log)
        assert set(found[:3]) == {"p004", "p007", "p010"}

    def test_neighbours_are_sought_among_products_of_most_people(self) -> None:
        rows = [("view", 1, "a", "x"), ("view", 2, "a", "y"), ("view", 3, "a", "z"), ("view", 4, "b", "x")]
        log, _ = logs.log_of([*rows, ("view", 5, "b", "y")])
        z = log.products.code("z")
        every, some = (als.fit(log, als.AlsConfig(factors=2, among=among), seed=0).table.toarray() for among in (3, 2))
        assert every[:, z].any()
        assert not some[:, z].any()
        np.testing.assert_array_equal(np.delete(some, z, axis=1), np.delete(every, z, axis=1))

    def test_no_product_has_more_neighbours_than_asked_for(self) -> None:
        log, _ = logs.encoded(*shops.planted_tastes())
        for among in (8, 24):
            table = als.fit(log, als.AlsConfig(factors=8, neighbours=5, among=among), seed=0).table
            assert np.diff(table.indptr).max() == 5


class TestText(SourceContract):
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return text.fit(catalogue, text.TextConfig(common=1.0))

    @pytest.fixture
    def products(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "product_id": ["red", "rose", "balm", "comb"],
                "title": ["Matte Lipstick Red", "Matte Lipstick Rose", "Lip Balm", "Wooden Comb"],
                "category": ["Lips > Lipstick", "Lips > Lipstick", "Lips > Balm", "Hair > Combs"],
                "brand": ["OPI", "OPI", "Essie", "Essie"],
                "finish": [["matte", "vegan"], ["matte"], ["vegan"], []],
            }
        )

    def test_reads_alike_comes_first_for_what_nobody_bought(self, products: pd.DataFrame) -> None:
        log, catalogue = logs.encoded(shops.no_events(), products)
        found = order_of(self.fit(log, catalogue), logs.queries_of(log, anchors=[["red"]]), log)
        assert found == ["rose", "balm"]

    def test_columns_can_be_chosen(self, products: pd.DataFrame) -> None:
        log, catalogue = logs.encoded(shops.no_events(), products)
        source = text.fit(catalogue, text.TextConfig(common=1.0, columns=("brand",)))
        assert order_of(source, logs.queries_of(log, anchors=[["comb"]]), log) == ["balm"]

    def test_vectors_have_unit_length(self, products: pd.DataFrame) -> None:
        _, catalogue = logs.encoded(shops.no_events(), products)
        vectors = text.fit(catalogue, text.TextConfig(common=1.0)).products_of.toarray().T
        np.testing.assert_allclose(np.linalg.norm(vectors[:3], axis=1), 1, rtol=1e-6)

    def test_words_of_very_many_products_are_left_out(self) -> None:
        titles = ["soap rare", "brush rare", *["soap"] * 148]
        products = pd.DataFrame({"product_id": [f"p{number:03}" for number in range(150)], "title": titles})
        _, catalogue = logs.encoded(shops.no_events(), products)
        assert text.fit(catalogue, text.TextConfig(common=1.0)).table[2, 3] > 0
        fewer = text.fit(catalogue, text.TextConfig(common=1.0, most_products=100)).table
        assert fewer[[0], :].indices.tolist() == [1]
        assert fewer[[2], :].nnz == 0


class TestOwnViews(SourceContract):
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return OwnHistorySource(len(catalogue), OwnHistoryConfig(of="viewed"))

    @pytest.fixture
    def shop(self) -> tuple[EventLog, Catalogue]:
        return logs.log_of([("view", n, f"c{n % 24:03}", f"p{n % 12:03}") for n in range(48)])

    def test_newest_first_once_each_without_what_was_bought_since(self) -> None:
        log, catalogue = logs.log_of(
            [
                ("view", 1, "a", "old"),
                ("view", 2, "a", "bought"),
                ("view", 3, "a", "again"),
                ("purchase", 4, "a", "bought"),
                ("purchase", 4, "a", "again"),
                ("view", 5, "a", "new"),
                ("view", 6, "a", "again"),
                ("view", 7, "a", "old"),
                ("view", 8, "b", "other"),
            ]
        )
        source = self.fit(log, catalogue)
        assert order_of(source, logs.queries_of(log, people=["a"]), log) == ["old", "again", "new"]


class TestOwnPurchases(SourceContract):
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return OwnHistorySource(len(catalogue), OwnHistoryConfig(of="bought", rank_by="frequency", decay=0.9))

    def test_often_beats_lately(self) -> None:
        log, catalogue = logs.log_of(
            [("purchase", n, "a", "staple") for n in range(4)] + [("purchase", 9, "a", "once")]
        )
        assert order_of(self.fit(log, catalogue), logs.queries_of(log, people=["a"]), log) == ["staple", "once"]


class TestRepurchase(SourceContract):
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return repurchase.fit(log, catalogue, repurchase.RepurchaseConfig())

    def test_due_after_the_usual_interval(self) -> None:
        log, catalogue = logs.encoded(shops.staples(customers=20, orders=8))
        source = self.fit(log, catalogue)
        queries = logs.queries_of(log, people=["c019"])
        assert order_of(source, queries, log)[0] == "milk"
        milk, soap = source.reasons(queries, 0, log.products.codes(["milk", "soap"]))
        assert milk["every_days"] == pytest.approx(7, rel=0.25)
        assert soap["every_days"] == pytest.approx(28, rel=0.35)
        assert milk["due_at"] == pytest.approx(logs.day(19 + 7 * 7 + milk["every_days"]), abs=1_000_000)
        assert milk["due_probability"] > 0.8

    def test_what_is_never_bought_twice_is_not_due(self) -> None:
        rows = [("purchase", customer, f"c{customer}", "phone") for customer in range(200)]
        log, catalogue = logs.log_of([*rows, *[("purchase", 7 * n, "z", "milk") for n in range(20)]])
        source = self.fit(log, catalogue)
        phone, _ = source.reasons(logs.queries_of(log, people=["c5"]), 0, log.products.codes(["phone", "milk"]))
        assert phone["due_probability"] < 0.05

    def test_the_spread_is_that_of_single_intervals_and_not_of_their_means(self) -> None:
        rng = np.random.default_rng(0)
        rows = []
        for customer in range(60):
            days = np.cumsum(np.exp(rng.normal(np.log(20), 0.8, 20))).astype(int)
            rows += [("purchase", int(day), f"c{customer}", "milk") for day in np.unique(days)]
        log, catalogue = logs.log_of(rows)
        source = repurchase.fit(log, catalogue, repurchase.RepurchaseConfig())
        assert source.products.spread == pytest.approx(0.8, abs=0.1)

    def test_probability_falls_with_the_window(self) -> None:
        log, catalogue = logs.encoded(shops.staples())
        queries = logs.queries_of(log, people=["c003"])
        day, month = (
            logs.scores(repurchase.fit(log, catalogue, repurchase.RepurchaseConfig(window_days=days)), queries).dense(2)
            for days in (1, 30)
        )
        assert (day <= month).all()
        assert (month <= 1).all()


class TestPopularity(SourceContract):
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return ranking.popularity(log, logs.end_of(log), ranking.PopularityConfig())

    def test_lately_beats_long_ago(self) -> None:
        rows = [("purchase", 0, f"a{n}", "old") for n in range(5)] + [
            ("purchase", 90, f"b{n}", "new") for n in range(2)
        ]
        log, catalogue = logs.log_of(rows)
        nobody = logs.queries_of(log, anchors=[[]])
        assert order_of(self.fit(log, catalogue), nobody, log) == ["new", "old"]
        always = ranking.popularity(log, logs.end_of(log), ranking.PopularityConfig(half_life_days=None))
        assert order_of(always, nobody, log) == ["old", "new"]

    def test_first_purchases_tell_what_people_try(self) -> None:
        rows = [("purchase", n, "fan", "milk") for n in range(9)] + [
            ("purchase", n, f"c{n}", "oat drink") for n in range(3)
        ]
        log, _ = logs.log_of(rows)
        config = ranking.PopularityConfig(half_life_days=None, first_only=True)
        tried = ranking.popularity(log, logs.end_of(log), config)
        assert order_of(tried, logs.queries_of(log, anchors=[[]]), log) == ["oat drink", "milk"]

    def test_stays_inside_what_is_allowed(self) -> None:
        log, catalogue = logs.log_of([("purchase", n, "a", f"p{n}") for n in range(4)])
        queries = logs.queries_of(log, anchors=[[]])
        only = Queries(queries.at, queries.history, queries.anchors, np.arange(4) == 2)
        assert order_of(self.fit(log, catalogue), only, log) == ["p2"]


class TestTrend(SourceContract):
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return ranking.trend(log, logs.end_of(log), ranking.TrendConfig(prior=0.5))

    def test_change_not_size_counts(self) -> None:
        steady = [("purchase", n, f"a{n}", "steady") for n in range(120)]
        rising = [("purchase", 115 + n, f"b{n}", "rising") for n in range(5)]
        log, catalogue = logs.log_of(steady + rising)
        source = self.fit(log, catalogue)
        assert order_of(source, logs.queries_of(log, anchors=[[]]), log)[0] == "rising"
        rise, still = source.reasons(logs.queries_of(log, anchors=[[]]), 0, log.products.codes(["rising", "steady"]))
        assert rise["change"] > 3
        assert still["change"] == pytest.approx(1, abs=0.5)


class TestNewArrivals(SourceContract):
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return ranking.new_arrivals(log, catalogue, logs.end_of(log), ranking.NewArrivalsConfig())

    def test_first_day_by_catalogue_else_by_events(self) -> None:
        products = pd.DataFrame(
            {
                "product_id": ["launched", "tomorrow", "always"],
                "available_from": pd.to_datetime(pd.Series(["2026-03-20", "2027-01-01", None]), utc=True),
            }
        )
        rows = [("view", 0, "a", "always"), ("view", 60, "a", "seen"), ("view", 90, "a", "always")]
        log, catalogue = logs.log_of(rows, products)
        assert order_of(self.fit(log, catalogue), logs.queries_of(log, anchors=[[]]), log) == ["launched", "seen"]


class TestOnSale(SourceContract):
    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        return ranking.on_sale(log, catalogue, logs.end_of(log), ranking.OnSaleConfig())

    def test_only_what_costs_less_deepest_first(self) -> None:
        products = pd.DataFrame(
            {"product_id": ["a", "b", "c", "d"], "price": [10.0, 10, 10, 10], "sale_price": [9.0, 5, np.nan, 12]}
        )
        log, catalogue = logs.encoded(shops.no_events(), products)
        source = self.fit(log, catalogue)
        assert order_of(source, logs.queries_of(log, anchors=[[]]), log) == ["b", "a"]
        assert source.reasons(logs.queries_of(log, anchors=[[]]), 0, log.products.codes(["b"]))[0]["discount"] == 0.5


def test_lines_of_an_order_and_runs_of_one_product_are_one_step() -> None:
    log, _ = logs.log_of(
        [
            ("view", 1, "a", "x"),
            ("view", 2, "a", "y"),
            ("cart", 3, "a", "y"),
            ("purchase", 4, "a", "y"),
            ("purchase", 4, "a", "z"),
            ("view", 1, "b", "x"),
        ]
    )
    assert Histories.of(log).steps_back.tolist() == [1, 0, 0, 0, 0, 0]


def test_the_page_is_the_newest_step() -> None:
    log, _ = logs.log_of([("view", 1, "a", "x"), ("view", 2, "a", "y"), ("view", 2.5, "b", "z")])
    taste = profile(logs.queries_of(log, people=["a", "b"], anchors=[["z"], []]), decay=0.5, steps=5)
    weights = summed(taste.row, taste.product, taste.weight, 2).dense(3)
    x, y, z = (log.products.code(name) for name in "xyz")
    assert weights[0, [z, y, x]].tolist() == [1, 0.5, 0.25]
    assert weights[1, z] == 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_neighbours_are_the_largest_of_the_whole_product(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    baskets = csr_array((rng.random((9, n)) < 0.4).astype(np.float32) * rng.random((9, n)).astype(np.float32))
    dense = (baskets.T @ baskets).toarray()
    np.fill_diagonal(dense, 0)
    found = neighbours_of(csr_array(baskets.T), baskets, k)
    assert found.indices.dtype == found.indptr.dtype == np.int32
    table = found.toarray()
    for row in range(n):
        best = np.sort(dense[row][dense[row] > 0])[::-1][:k]
        np.testing.assert_allclose(np.sort(table[row][table[row] > 0])[::-1], best, rtol=1e-5)


def test_blocks_of_a_product_are_bounded_and_whole() -> None:
    rng = np.random.default_rng(0)
    left = csr_array((rng.random((40, 30)) < 0.3).astype(np.float32))
    right = csr_array((rng.random((30, 50)) < 0.3).astype(np.float32))
    blocks = list(product_blocks(left, right, entries=200))
    assert len(blocks) > 5
    assert [start for start, _ in blocks] == np.cumsum([0] + [block.shape[0] for _, block in blocks])[:-1].tolist()
    np.testing.assert_allclose(np.vstack([block.toarray() for _, block in blocks]), (left @ right).toarray())


def test_ties_among_neighbours_go_by_id() -> None:
    row = csr_array(np.array([[1, 2, 1, 1]], dtype=np.float32))
    assert strongest(row, 2).indices.tolist() == [0, 1]


def test_an_empty_row_of_anchors_is_no_profile() -> None:
    queries = Queries(np.array([0]), Histories.empty(1), Ragged.empty(1))
    assert len(profile(queries, decay=0.5, steps=3)[0]) == 0


def summed(row: NDArray[np.int64], product: NDArray[np.int32], value: NDArray[np.float32], n: int) -> Scores:
    """The sums of votes on n questions, in any order."""
    order = np.argsort(row, kind="stable")
    return Proposals.of({"it": Votes.of(row[order], product[order], value[order], n)}, n)["it"]


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 40_000), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_sums_do_not_depend_on_how_they_are_taken(seed: int, n: int, products: int, entries: int) -> None:
    rng = np.random.default_rng(seed)
    row, product = rng.integers(n, size=entries), rng.integers(products, size=entries).astype(np.int32)
    value = rng.normal(size=entries).astype(np.float32)
    together = summed(row, product, value, n)
    assert (together.value > 0).all()
    for q in range(n):
        mine = row == q
        alone = summed(row[mine] * 0, product[mine], value[mine], 1)
        np.testing.assert_array_equal(alone.product, together.row(q)[0])
        np.testing.assert_array_equal(alone.value, together.row(q)[1])
    if entries:
        expected = np.zeros((n, products))
        np.add.at(expected, (row, product), value.astype(np.float64))
        np.testing.assert_allclose(together.dense(products), np.maximum(expected, 0), atol=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_the_first_of_a_row_do_not_depend_on_other_rows(seed: int, size: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    products, value = np.arange(size, dtype=np.int32), rng.integers(1, 5, size).astype(np.float32)  # many are equal
    alone, place = Scores(np.array([0, size]), products, value).first(count)
    together, _ = Scores(np.array([0, size, size]), products, value).first(count)
    assert place.tolist() == sorted(np.lexsort((products, -value))[:count].tolist())
    assert together.row(0)[0].tolist() == alone.product.tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 50), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_what_several_say_is_told_of_any_candidates(seed: int, n: int, products: int, sources: int) -> None:
    rng = np.random.default_rng(seed)
    tables = {f"{place}": rng.integers(0, 3, (n, products)).astype(np.float32) for place in range(sources)}
    votes = {}
    for name, table in tables.items():
        row, product = np.nonzero(table)
        votes[name] = Votes.of(row, product.astype(np.int32), table[row, product], n)
    found = Proposals.of(votes, n)
    for name, table in tables.items():
        np.testing.assert_array_equal(found[name].dense(products), table)
    asked = rng.random((n, products)) < 0.5
    row, product = np.nonzero(asked)
    indptr = np.searchsorted(row, np.arange(n + 1))
    chosen = Scores(indptr, product.astype(np.int32), np.ones(len(row), dtype=np.float32))
    told = found.told(list(tables), chosen, products)
    np.testing.assert_array_equal(told, np.reshape([table[asked] for table in tables.values()], (sources, len(row))))
    np.testing.assert_array_equal(opinions(list(votes.values()), chosen, products), told)
    some = rng.integers(n, size=2)
    for name, table in tables.items():
        np.testing.assert_array_equal(found.take(some)[name].dense(products), table[some])
