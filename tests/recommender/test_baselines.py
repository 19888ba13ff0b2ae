from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import MINUTE, EventLog, Kind
from features.histories import Histories, Ragged
from recommender.baselines import Baseline, Cooccurrence, LastItemTransitions, PersonalTop, Popularity, VSkNN
from recommender.queries import Queries
from tests.diaries import diary

SHOP = """
ann 0 view a
ann 1 view a
ann 2 purchase b order_id=1
ann 2 purchase c order_id=1
bob 3 view a
bob 4 purchase b order_id=2
bob 5 purchase b order_id=3
bob 5 purchase d order_id=3
cat 6 view e
cat 7 purchase d order_id=4
"""


def ask(log: EventLog, history: str = "", anchors: str = "", allowed: str | None = None, gap: int = 1) -> Queries:
    """One question of a shopper who bought these products, ``gap`` minutes apart."""
    seen = log.products.codes(history.split())
    mask = None if allowed is None else np.isin(np.arange(len(log.products)), log.products.codes(allowed.split()))
    return Queries(
        at=np.array([10_000 * MINUTE]),
        history=Histories(
            indptr=np.array([0, len(seen)]),
            product=seen,
            kind=np.full(len(seen), Kind.PURCHASE, dtype=np.int8),
            time=np.arange(len(seen), dtype=np.int64) * gap * MINUTE,
        ),
        anchors=Ragged.of([log.products.codes(anchors.split()).tolist()]),
        allowed=mask,
    )


def listed(log: EventLog, baseline: Baseline, queries: Queries, count: int = 10, exclude: str = "") -> str:
    barred = Ragged.of([log.products.codes(exclude.split()).tolist()]) if exclude else None
    found = baseline.lists(queries, count, barred)
    return " ".join(log.products[int(code)] for code in found.product[0] if code >= 0)


def test_popularity_counts_purchases_and_ties_go_by_id() -> None:
    log = diary(SHOP, products="zz")
    assert listed(log, Popularity.fit(log), ask(log)) == "b d c a e zz"


def test_popularity_counts_views_where_nobody_buys() -> None:
    log = diary("ann 0 view x\nann 1 cart y\nbob 2 view x\nbob 3 view w")
    assert listed(log, Popularity.fit(log), ask(log)) == "x w y"


def test_transitions_follow_the_last_product_past_repeats() -> None:
    log = diary(SHOP)
    # After a (and a again) came b twice; after b came c and d once each, of which d is more popular.
    fitted = LastItemTransitions.fit(log)
    a, b, c, d = log.products.codes("abcd")
    assert fitted.counts[a, b] == 2
    assert (fitted.counts[b, c], fitted.counts[b, d], fitted.counts[b, b]) == (1, 1, 0)
    assert fitted.counts[d].sum() == 0
    assert listed(log, fitted, ask(log, "e b")) == "d c b a e"
    assert listed(log, fitted, ask(log)) == "b d c a e"


def test_personal_top_counts_own_purchases_then_everybodys() -> None:
    log = diary(SHOP)
    assert listed(log, PersonalTop.fit(log), ask(log, "e a e c")) == "e c a b d"
    assert listed(log, PersonalTop.fit(log), ask(log)) == "b d c a e"


def test_cooccurrence_counts_orders_with_the_anchor() -> None:
    log = diary(SHOP)
    assert listed(log, Cooccurrence.fit(log), ask(log, anchors="d")) == "b c a e"
    assert listed(log, Cooccurrence.fit(log), ask(log, anchors="c d"), 1) == "b"
    assert listed(log, Cooccurrence.fit(log), ask(log)) == "b d c a e"


def test_vsknn_by_hand() -> None:
    log = diary(
        """
        ann 0 view a
        ann 1 view x
        bob 100 view b
        bob 101 view y
        cat 200 view a
        cat 201 view b
        cat 202 view z
        """
    )
    scores = VSkNN.fit(log).score(ask(log, "a b")).toarray()[0]
    a, b, x, y, z = log.products.codes("abxyz")
    # Weights: a 1/2, b 2/2. ann shares a: 1/2, a step back, halved; bob shares b: 1; cat both: 3/2.
    assert scores[[x, y, z]] == pytest.approx([0.25, 1.0, 1.5])
    assert scores[[a, b]] == pytest.approx([0.25 + 1.5, 1.0 + 1.5])


def test_vsknn_looks_at_the_current_session_only() -> None:
    log = diary("ann 0 view a\nann 1 view x\nbob 100 view b\nbob 101 view y")
    fitted = VSkNN.fit(log)
    assert listed(log, fitted, ask(log, "a b", gap=20), 3) == "b y a"
    assert fitted.score(ask(log, "a b", gap=40)).toarray()[0, log.products.code("x")] == 0


def test_vsknn_samples_the_most_recent_sessions_then_keeps_the_most_similar() -> None:
    log = diary(
        """
        ann 0 view a
        ann 0 view b
        ann 1 view w
        bob 100 view b
        bob 101 view x
        cat 200 view b
        cat 201 view y
        dan 300 view a
        dan 301 view z
        """
    )
    queries = ask(log, "a b")
    w, x, y, z = log.products.codes("wxyz")

    def voted(*, neighbours: int, sample: int) -> list[bool]:
        scores = VSkNN.fit(log, neighbours=neighbours, sample=sample).score(queries).toarray()[0]
        return [bool(scores[code] > 0) for code in (w, x, y, z)]

    assert voted(neighbours=9, sample=9) == [True, True, True, True]
    assert voted(neighbours=9, sample=2) == [False, False, True, True]
    assert voted(neighbours=1, sample=9) == [True, False, False, False]  # shares both products
    assert voted(neighbours=1, sample=3) == [False, False, True, False]  # as like as bob's, and newer


Fit = Callable[[EventLog], Baseline]
FITTERS: list[Fit] = [Popularity.fit, LastItemTransitions.fit, PersonalTop.fit, Cooccurrence.fit, VSkNN.fit]


@pytest.mark.parametrize("fit", FITTERS)
class TestEveryBaseline:
    def test_honours_exclusions_anchors_and_what_is_allowed(self, fit: Fit) -> None:
        log = diary(SHOP)
        queries = ask(log, "a b", anchors="d", allowed="a b d e")
        assert sorted(listed(log, fit(log), queries, exclude="b").split()) == ["a", "e"]

    def test_is_filled_and_ends_with_the_catalogue(self, fit: Fit) -> None:
        log = diary(SHOP, products="yy zz")
        found = fit(log).lists(ask(log, "a"), 9).product[0]
        assert sorted(found[:7]) == list(range(7))
        assert found[7:].tolist() == [-1, -1]

    def test_empty_shop(self, fit: Fit) -> None:
        log = diary(SHOP).take(np.zeros(0, dtype=np.int64))
        assert listed(log, fit(log), ask(log, "a", anchors="b"), exclude="e") == "a c d"

    def test_scores_do_not_rise(self, fit: Fit) -> None:
        log = diary(SHOP)
        assert (np.diff(fit(log).lists(ask(log, "a b", anchors="c"), 5).score[0]) <= 0).all()

    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_company_changes_nothing(self, fit: Fit, data: st.DataObject) -> None:
        log = diary(SHOP, products="yy zz")
        products = st.lists(st.integers(0, len(log.products) - 1), max_size=6, unique=True)
        rows = data.draw(st.lists(st.tuples(products, products, products), min_size=2, max_size=5))
        histories = Ragged.of([row[0] for row in rows])
        queries = Queries(
            at=np.zeros(len(rows), dtype=np.int64),
            history=Histories(
                histories.indptr,
                histories.values,
                np.full(len(histories.values), Kind.VIEW, dtype=np.int8),
                np.arange(len(histories.values), dtype=np.int64) * MINUTE,
            ),
            anchors=Ragged.of([row[1] for row in rows]),
        )
        exclude = Ragged.of([row[2] for row in rows])
        together = fit(log).lists(queries, 8, exclude).product
        for place, (_, anchors, barred) in enumerate(rows):
            one = np.array([place])
            alone = fit(log).lists(queries.take(one), 8, exclude.take(one)).product[0]
            assert (alone == together[place]).all()
            left = set(range(len(log.products))) - set(anchors) - set(barred)
            assert set(alone[alone >= 0].tolist()) == left


def test_more_questions_than_a_chunk() -> None:
    log = diary(SHOP)
    many = ask(log, "a b").take(np.zeros(1_200, dtype=np.int64))
    found = LastItemTransitions.fit(log).lists(many, 3).product
    assert (found == found[0]).all()
