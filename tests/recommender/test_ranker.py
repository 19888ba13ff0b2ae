"""The learned ranker: what it learns from, what it sees, and that neither holds anything of the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.events import DAY, EventLog
from features.histories import Histories, Ragged
from features.vocabulary import Vocabulary
from recommender import signals
from recommender.blend import blend, proposals
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from recommender.lessons import Block, blocks_of, lessons_of
from recommender.opinions import standings
from recommender.queries import AsOf, Queries
from recommender.ranker import RankerConfig
from recommender.signals import Facts
from recommender.sources.scores import Proposals, Scores
from tests import logs, shops

TINY = {
    "rankers": {
        name: {"rows_a_leaf": 5, "moments": ["last", "customer"]}
        for name in ("next_product", "next_order", "next_step")
    }
}


def thrift(*, customers: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A shop where people keep to their price and nothing else tells what they want: no product is bought by many."""
    rng = np.random.default_rng(seed)
    products = 12 * customers
    price = np.where(np.arange(products) % 2 == 0, 5.0, 500.0)
    rows = []
    for customer in range(customers):
        mine = rng.permutation(np.flatnonzero(price == price[customer % 2]))[:8]
        for step, product in enumerate(mine.tolist()):
            when = logs.START + pd.Timedelta(days=float(8 * step + rng.uniform(0, 8)))
            rows.append(("purchase", when, f"c{customer:04}", f"p{product:05}", price[product]))
    events = pd.DataFrame(rows, columns=["event", "timestamp", "customer_id", "product_id", "price"])
    return events, pd.DataFrame({"product_id": [f"p{number:05}" for number in range(products)]})


def personal(**ranker: object) -> RecommenderConfig:
    return RecommenderConfig.default(
        {
            "rankers": {"next_product": {"rows_a_leaf": 10, "moments": ["last", "customer"], **ranker}},
            "placements": {"recommended_for_you": {"sources": {"best_sellers": 1.0}}},
            "sources": {"best_sellers": {"limit": 5000}},
        }
    )


def share_at_their_price(model: Recommender, events: pd.DataFrame) -> float:
    """Of the first ten of everybody's list, the share that costs what they always pay."""
    assert isinstance(model.people, Vocabulary)
    usual = events.groupby("customer_id")["price"].first()
    paid = events.groupby("product_id")["price"].first()
    n = len(model.people)
    queries = Queries(np.full(n, model.at), model.histories, Ragged.empty(n))
    lists = model.lists("recommended_for_you", queries, 10).product
    at_price = [
        paid.get(model.catalogue.ids[int(code)]) == usual[person]
        for person, row in zip(model.people, lists, strict=True)
        for code in row
    ]
    return float(np.mean(at_price))


@pytest.mark.parametrize("as_of", ["last", "customer"])
def test_what_the_blend_does_not_know_is_learned(as_of: AsOf) -> None:
    events, products = thrift(customers=400)
    log, catalogue = logs.encoded(events, products)
    placements = {"recommended_for_you"}
    at = logs.end_of(log)
    ranked = fit(log, catalogue, personal(candidates=1_500), at=at, placements=placements, as_of=as_of)
    blended = fit(log, catalogue, personal(candidates=1), at=at, placements=placements, as_of=as_of)
    assert share_at_their_price(blended, events) < 0.6
    assert share_at_their_price(ranked, events) > 0.9


def test_with_too_little_to_learn_from_the_blend_decides() -> None:
    events, products = shops.planted_tastes(customers=5)
    log, catalogue = logs.encoded(events, products)
    model = fit(log, catalogue, RecommenderConfig.default(TINY), at=logs.end_of(log))
    assert {name: one.text for name, one in model.rankers.items()} == dict.fromkeys(model.rankers, "")
    assert (model.lists("recommended_for_you", asked(model), 5).score > 0).any()


def shop_window(*, customers: int = 400, seed: int = 0) -> pd.DataFrame:
    """A shop that shows what is cheap to four of ten, what is dear to one; half of those who are shown it buy."""
    rng = np.random.default_rng(seed)
    price = np.where(np.arange(40) % 2 == 0, 5.0, 500.0)
    rows = []
    for customer in range(customers):
        bought = rng.permutation(40)
        for day, product in zip(rng.uniform(0, 60, 12), bought[:12].tolist(), strict=True):
            rows.append(("purchase", day, customer, product))
        for product in bought[12:].tolist():
            if rng.random() < (0.4 if price[product] < 10 else 0.1):
                rows.append(("impression", 61.0, customer, product))
                if rng.random() < 0.5:
                    rows.append(("purchase", rng.uniform(62, 70), customer, product))
    return pd.DataFrame(
        [
            (name, logs.START + pd.Timedelta(days=float(day)), f"c{customer:04}", f"p{product:02}", price[product])
            for name, day, customer, product in rows
        ],
        columns=["event", "timestamp", "customer_id", "product_id", "price"],
    )


def test_what_was_put_before_shoppers_is_not_their_taste() -> None:
    def cheap_over_dear(events: pd.DataFrame, share: float) -> float:
        """How many times as probable an order of what is cheap is said to be."""
        log, catalogue = logs.encoded(events, pd.DataFrame({"product_id": [f"p{number:02}" for number in range(40)]}))
        config = personal(block_share=share)
        model = fit(log, catalogue, config, at=logs.end_of(log), placements={"recommended_for_you"}, repeats=False)
        assert model.rankers["next_product"].text
        lists = model.lists("recommended_for_you", asked(model), 40)
        cheap, ranked = lists.product % 2 == 0, lists.score > 0
        return float(lists.score[cheap & ranked].mean() / lists.score[~cheap & ranked].mean())

    events = shop_window()
    assert cheap_over_dear(events[events["event"] != "impression"], 0.2) > 2, "else there is nothing to see through"
    assert 0.7 < cheap_over_dear(events, 0.45) < 1.4


def test_below_what_is_ranked_the_blend_goes_on() -> None:
    events, products = shops.planted_tastes(customers=300)
    log, catalogue = logs.encoded(events, products)
    at, placements = logs.end_of(log), {"recommended_for_you"}
    heavy = {"sources": {"transitions": 1e6, "text": 2e5, "best_sellers": 1e5}}  # weights may be of any size
    few = {
        "rankers": {"next_product": {"candidates": 3, "rows_a_leaf": 5, "moments": ["last"]}},
        "placements": {"recommended_for_you": heavy},
    }
    model = fit(log, catalogue, RecommenderConfig.default(few), at=at, placements=placements)
    off = {"placements": {"recommended_for_you": {**heavy, "rankers": []}}}
    plain = fit(log, catalogue, RecommenderConfig.default(off), at=at, placements=placements)
    ours, blend = (one.lists("recommended_for_you", asked(one), 8).product for one in (model, plain))
    assert model.rankers["next_product"].text
    assert (ours != blend).any()
    np.testing.assert_array_equal(np.sort(ours[:, :3], axis=1), np.sort(blend[:, :3], axis=1))
    np.testing.assert_array_equal(ours[:, 3:], blend[:, 3:])


def test_repeats_are_ranked_by_their_own_ranker() -> None:
    events = shops.staples(customers=80)
    log, catalogue = logs.encoded(events)
    at, placements = logs.end_of(log), {"recommended_for_you"}
    config = RecommenderConfig.default(TINY)
    both = fit(log, catalogue, config, at=at, placements=placements, as_of="customer")
    assert set(both.rankers) == {"next_product", "next_order"}
    only = fit(log, catalogue, config, at=at, placements=placements, as_of="customer", repeats=True)
    assert set(only.rankers) == {"next_order"}
    lists = only.lists("recommended_for_you", asked(only), 2, repeats=True).product
    had = [set(only.history(person, only.at).product.tolist()) for person in range(len(only.people))]
    assert np.mean([code in mine for row, mine in zip(lists.tolist(), had, strict=True) for code in row]) > 0.9


@pytest.fixture(scope="module")
def planted() -> Recommender:
    """A shop whose ranker has something to learn from."""
    log, catalogue = logs.encoded(*shops.planted_tastes(customers=300))
    return fit(log, catalogue, RecommenderConfig.default(TINY), at=logs.end_of(log), placements={"recommended_for_you"})


def candidates_of(model: Recommender) -> tuple[Queries, Scores, Proposals]:
    """Everybody's question, the first candidates of the blend, and what sources said."""
    config = model.placement("recommended_for_you")
    ranker = model.rankers["next_product"]
    queries = asked(model)
    proposed = proposals(model.sources, config.sources, queries)
    chosen, _ = blend(model.sources, config.sources, queries, proposed)[0].first(ranker.config.candidates)
    return queries, chosen, proposed


def test_signals_that_trees_do_not_split_on_change_no_prediction(planted: Recommender) -> None:
    ranker = planted.rankers["next_product"]
    queries, chosen, proposed = candidates_of(planted)
    arguments = (queries, chosen, proposed, planted.sources, ranker.asked, ranker.config.latest, ranker.facts)
    every, some = signals.table(*arguments), signals.table(*arguments, ranker.used)
    assert 0 < len(ranker.used) < len(ranker.names)
    assert not np.array_equal(every, some, equal_nan=True)
    predicted = np.array([ranker.booster.predict(table, raw_score=True) for table in (every, some)])
    np.testing.assert_array_equal(predicted[0], predicted[1])
    assert np.unique(predicted).size > 1


def test_a_signal_is_the_same_whatever_others_are_told(planted: Recommender) -> None:
    ranker = planted.rankers["next_product"]
    queries, chosen, proposed = candidates_of(planted)
    arguments = (queries, chosen, proposed, planted.sources, ranker.asked, ranker.config.latest, ranker.facts)
    every = signals.table(*arguments)
    assert every.shape == (len(chosen.product), len(ranker.names))
    for place, name in enumerate(ranker.names):
        np.testing.assert_array_equal(signals.table(*arguments, frozenset([name]))[:, place], every[:, place], name)


def visits(*, customers: int) -> pd.DataFrame:
    """Six visits of each customer, in each three products are viewed and the last of them is bought."""
    rng = np.random.default_rng(0)
    rows = []
    for customer in range(customers):
        for visit in range(6):
            when = logs.START + pd.Timedelta(days=10 * visit, minutes=float(rng.integers(10_000)))
            chosen = [f"p{number:02}" for number in rng.permutation(40)[:3]]
            rows += [
                ("view", when + pd.Timedelta(minutes=minute), f"c{customer:02}", product)
                for minute, product in enumerate(chosen)
            ]
            rows.append(("purchase", when + pd.Timedelta(minutes=5), f"c{customer:02}", chosen[-1]))
    return pd.DataFrame(rows, columns=["event", "timestamp", "customer_id", "product_id"])


def asked(model: Recommender) -> Queries:
    n = len(model.people)
    return Queries(np.full(n, model.at), model.histories, Ragged.empty(n))


# What it learns from


@pytest.mark.parametrize("learns", ["orders", "steps"])
@pytest.mark.parametrize("as_of", ["last", "customer"])
def test_no_lesson_is_of_what_its_sources_have_seen(learns: str, as_of: AsOf) -> None:
    log, _ = logs.encoded(visits(customers=30))
    config = RankerConfig.model_validate({"learns": learns, "blocks": 2})
    moments: AsOf = "last" if learns == "steps" else as_of
    blocks = blocks_of(log, logs.end_of(log), moments, 2, 0.2)
    assert len(blocks) == 2
    assert len(blocks[1].log) < len(blocks[0].log) < len(log)
    for block in blocks:
        lessons = lessons_of(block, moments, config)
        assert len(lessons.questions)
        queries = lessons.questions.queries()
        moment, history = queries.at, queries.history
        assert (history.time < moment[history.row]).all()
        if moments == "last":
            assert (moment >= block.at).all()
            assert (block.log.time < block.at).all()
        seen = {
            (int(p), int(q), int(t))
            for p, q, t in zip(block.log.person, block.log.product, block.log.time, strict=True)
        }
        for row in range(len(queries)):
            person = int(lessons.questions.shopper[row])
            later = log.time[(log.person == person) & (log.time >= moment[row])]
            assert len(later), "what was right happened after the question"
            for product in lessons.truth[row].tolist():
                rows = (log.person == person) & (log.product == product) & (log.time >= moment[row])
                assert rows.any()
                if moments == "customer":
                    assert not any((person, product, int(t)) in seen for t in log.time[rows])


def test_what_happens_after_a_moment_changes_nothing_before_it() -> None:
    """Sources, lessons and lists at a moment are the same whatever comes later."""
    events, products = shops.planted_tastes(customers=300)
    log, catalogue = logs.encoded(events, products)
    cut = int(np.quantile(log.time, 0.8))
    config = RecommenderConfig.default(TINY)
    rng = np.random.default_rng(0)
    late = np.flatnonzero(log.time >= cut)
    shuffled = log.product.copy()
    shuffled[late] = rng.permutation(shuffled[late])
    again = EventLog.take(log, np.append(np.arange(len(log)), late[-1:]))  # the last event twice
    found = []
    for other in (log, replace(log, product=shuffled), again):
        known = other.known_before(cut)
        model = fit(known, catalogue, config, at=cut, placements={"recommended_for_you", "you_may_also_like"})
        found.append((model.rankers, model.lists("recommended_for_you", asked(model), 10).product))
    assert found[0][0]["next_product"].text
    for rankers, lists in found[1:]:
        assert {name: one.text for name, one in rankers.items()} == {name: o.text for name, o in found[0][0].items()}
        np.testing.assert_array_equal(lists, found[0][1])


def test_an_event_after_the_block_changes_no_lesson_of_it() -> None:
    events, products = shops.planted_tastes(customers=30)
    log, _ = logs.encoded(events, products)
    at = int(np.quantile(log.time, 0.9))

    def of(whole: EventLog) -> tuple[Block, Queries]:
        [block] = blocks_of(whole.known_before(at), at, "last", 1, 0.2)
        return block, lessons_of(block, "last", RankerConfig()).questions.queries()

    last = events.tail(1)
    longer = pd.concat([events, last.assign(timestamp=last["timestamp"] + pd.Timedelta(days=9), order_id="new")])
    (one, asked_one), (two, asked_two) = of(log), of(logs.encoded(longer, products)[0])
    assert one.at == two.at
    np.testing.assert_array_equal(asked_one.at, asked_two.at)
    np.testing.assert_array_equal(asked_one.history.product, asked_two.history.product)


# What it sees

BASKET = [
    ("purchase", 0, "ann", "soap"),
    ("purchase", 10, "ann", "soap"),
    ("purchase", 10, "ann", "towel"),
    ("view", 25, "ann", "comb"),
    ("cart", 25.001, "ann", "comb"),
]
SHELF = pd.DataFrame(
    {
        "product_id": ["soap", "towel", "comb", "brush", "lamp"],
        "category": ["Bath > Soap", "Bath > Towels", "Hair > Combs", "Hair > Combs", None],
        "brand": ["Ava", "Ava", "Bo", "Ava", None],
    }
)


def seen(at: float, *products: str) -> dict[str, np.ndarray]:
    """Signals of products for Ann at a day, without sources."""
    log, catalogue = logs.log_of(BASKET, SHELF)
    log = replace(log, price=np.where(log.product == log.products.code("soap"), 2.0, 9.0))
    history = Histories.of(log)
    queries = Queries(np.array([logs.day(at)]), history, Ragged.empty(1))
    codes = np.sort(catalogue.ids.codes(products))
    chosen = Scores(np.array([0, len(codes)]), codes, np.linspace(1, 0.5, len(codes)).astype(np.float32))
    table = signals.table(queries, chosen, proposals({}, (), queries), {}, (), (), Facts.of(log, catalogue))
    order = [int(np.flatnonzero(codes == catalogue.ids.code(product))[0]) for product in products]
    return dict(zip(signals.names({}, (), ()), table[order].T, strict=True))


def test_signals_of_what_was_bought() -> None:
    found = seen(20, "soap", "towel", "brush")
    np.testing.assert_allclose(found["times_bought"], [2, 1, 0])
    np.testing.assert_allclose(found["share_of_orders"], [1, 0.5, 0])
    np.testing.assert_allclose(found["decayed_orders"], [1.7, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(found["days_since_bought"], [10, 10, np.nan])
    np.testing.assert_allclose(found["orders_since_bought"], [0, 0, np.nan])
    np.testing.assert_allclose(found["mean_days_between"], [10, np.nan, np.nan])
    np.testing.assert_allclose(found["phase"], [1, np.nan, np.nan])
    np.testing.assert_allclose(found["phase_in_orders"], [1, np.nan, np.nan])


def test_signals_of_what_was_looked_at() -> None:
    found = seen(25 + 1 / 24, "comb", "soap")
    np.testing.assert_allclose(found["times_seen"], [2, 0])
    np.testing.assert_allclose(found["in_cart"], [1, 0])
    assert found["hours_since_seen"][0] == pytest.approx(1 - 0.024, abs=0.001)
    assert np.isnan(found["hours_since_seen"][1])


def test_signals_of_taste() -> None:
    found = seen(25.01, "brush", "soap", "lamp")
    # The comb is the newest step (two events), what was bought the one before it (three lines): weights 0.8 and 0.64.
    total = 2 * 0.8 + 3 * 0.64
    np.testing.assert_allclose(found["category_affinity"], [1.6 / total, 2 * 0.64 / total, np.nan], rtol=1e-5)
    np.testing.assert_allclose(found["department_affinity"], [1.6 / total, 3 * 0.64 / total, np.nan], rtol=1e-5)
    np.testing.assert_allclose(found["brand_affinity"], [3 * 0.64 / total] * 2 + [np.nan], rtol=1e-5)
    np.testing.assert_allclose(found["category_in_visit"], [1, 0, np.nan])
    np.testing.assert_allclose(found["visit_events"], [2, 2, 2])


def test_signals_of_price_age_and_shopper() -> None:
    found = seen(26.25, "soap", "comb", "lamp")
    usual = (2 * np.log1p(2) + np.log1p(9)) / 3  # of what was paid for the products of the history: comb was not bought
    assert found["price"][0] == pytest.approx(np.log1p(2))
    assert np.isnan(found["price"][1:]).all()
    assert found["price_ratio"][0] == pytest.approx(np.log1p(2) - usual, rel=1e-5)
    np.testing.assert_allclose(found["age_days"], [26.25, 1.25, np.nan])
    np.testing.assert_allclose(found["events"], [5] * 3)
    np.testing.assert_allclose(found["orders"], [2] * 3)
    np.testing.assert_allclose(found["days_since_order"], [16.25] * 3)
    np.testing.assert_allclose(found["hour"], [6] * 3)
    np.testing.assert_allclose(found["weekday"], [(pd.Timestamp("2026-01-27").weekday())] * 3)


def test_equal_scores_share_a_rank() -> None:
    scores = np.array([[2, 1, 1, 0, 3, 3], [0, 5, 6, 7, 1, 2]], dtype=np.float32)
    share, rank = standings(scores, np.array([0, 4, 4, 6]))
    np.testing.assert_array_equal(rank, [[0, 1, 1, np.nan, 0, 0], [np.nan, 2, 1, 0, 1, 0]])
    np.testing.assert_allclose(share, [[1, 0.5, 0.5, 0, 1, 1], [0, 5 / 7, 6 / 7, 1, 0.5, 1]], rtol=1e-6)


def test_signals_of_nobody() -> None:
    log, catalogue = logs.log_of(BASKET, SHELF)
    queries = Queries(np.array([logs.day(9)]), Histories.empty(1), Ragged.empty(1))
    chosen = Scores(np.array([0, 2]), np.array([0, 3], dtype=np.int32), np.ones(2, dtype=np.float32))
    table = signals.table(queries, chosen, proposals({}, (), queries), {}, (), (), Facts.of(log, catalogue))
    assert table.shape == (2, len(signals.names({}, (), ())))


def test_signals_do_not_depend_on_ids(small_recommender: Recommender) -> None:
    """Products by other names, in another order of codes, have the same signals."""
    events, products = shops.planted_tastes(customers=40)
    rng = np.random.default_rng(1)
    names = products["product_id"].tolist()
    other = dict(zip(names, rng.permutation([f"x{number:03}" for number in range(len(names))]), strict=True))
    told = []
    for rename in ({name: name for name in names}, other):
        log, catalogue = logs.encoded(
            events.assign(product_id=events["product_id"].map(rename)),
            products.assign(product_id=products["product_id"].map(rename)),
        )
        told.append(signals_by_name(log, catalogue, {new: old for old, new in rename.items()}))
    pd.testing.assert_frame_equal(told[0], told[1], rtol=1e-4)


def signals_by_name(log: EventLog, catalogue: Catalogue, original: dict[str, str]) -> pd.DataFrame:
    """Signals of all products for one customer, by original product id; ranks of ties are left out."""
    at = logs.end_of(log)
    model = fit(log, catalogue, RecommenderConfig.default(TINY), at=at, placements={"recommended_for_you"})
    sources, asked_ = model.sources, ("transitions", "item_item", "two_hop", "followed", "best_sellers")
    queries = Queries(np.array([at]), model.histories.take(np.array([3])), Ragged.empty(1))
    proposed = proposals(sources, asked_[:2], queries)
    n = len(catalogue)
    chosen = Scores(np.array([0, n]), np.arange(n, dtype=np.int32), np.ones(n, dtype=np.float32))
    table = signals.table(queries, chosen, proposed, sources, asked_, ("transitions",), Facts.of(log, catalogue))
    frame = pd.DataFrame(table, columns=list(signals.names(sources, asked_, ("transitions",))))
    frame.index = pd.Index([original[name] for name in catalogue.ids])
    return frame[[name for name in frame if not str(name).endswith("rank")]].sort_index()


def test_a_new_product_has_signals() -> None:
    log, catalogue = logs.log_of(BASKET, SHELF)
    facts = Facts.of(log, catalogue)
    _, more = logs.log_of(BASKET, pd.concat([SHELF, SHELF.assign(product_id="z" + SHELF["product_id"])]))
    grown = facts.over(more)
    assert len(grown.first) == len(more) == 2 * len(catalogue)
    np.testing.assert_array_equal(grown.first[: len(catalogue)], facts.first)
    assert (grown.first[len(catalogue) :] > logs.day(0) + 1000 * DAY).all(), "never seen"
