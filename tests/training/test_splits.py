from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from features.catalogue import Catalogue, Time
from features.events import EventLog
from features.histories import Ragged
from tests.diaries import ZERO, diary, lines, minute, words
from training.split import EvaluationError, Split
from training.splits import basket, leave_one_out, next_basket, rolling, session, temporal


def asked(log: EventLog, split: Split, row: int) -> dict[str, str | int]:
    """A row as it reads: who, when, history, anchors, exclusion, truth."""
    question = int(split.question[row])
    queries = split.questions.queries()
    return {
        "person": log.people[int(split.person[row])],
        "at": (int(queries.at[question]) - ZERO) / 60e6,
        "history": words(log, queries.history, question),
        "anchors": words(log, queries.anchors, question),
        "exclude": words(log, split.questions.exclude, question),
        "truth": words(log, split.truth, row),
    }


def bare(log: EventLog) -> Catalogue:
    return Catalogue(log.products, {})


def after(number: int) -> object:
    """A microsecond after a minute."""
    return pytest.approx(number + 1 / 60e6, abs=1e-9)


class TestLeaveOneOut:
    DIARY = """
    ann 0 view z
    ann 1 purchase a
    ann 2 purchase b
    ann 3 view c
    ann 4 purchase c
    ann 5 view b
    ann 6 purchase d
    ann 7 view x
    bob 0 purchase a
    bob 9 purchase b
    cat 1 purchase b
    cat 1 purchase a
    cat 1 purchase c
    """

    def test_test_part(self) -> None:
        log = diary(self.DIARY)
        split = leave_one_out(log)
        assert len(split) == 2
        assert asked(log, split, 0) == {
            "person": "ann",
            "at": after(5),
            "history": "z a b c c b",
            "anchors": "",
            "exclude": "a b c",
            "truth": "d",
        }
        # Ties in time go by product id, as in the canonical order.
        assert asked(log, split, 1) | {"at": 0} == {
            "person": "cat",
            "at": 0,
            "history": "a b",
            "anchors": "",
            "exclude": "a b",
            "truth": "c",
        }
        assert split.skipped == {"fewer than three target events": 1}
        assert "ann 6 d" not in lines(split.fit_log)
        assert "ann 7 x" not in lines(split.fit_log)
        assert "bob 9 b" in lines(split.fit_log)
        assert split.fit_at > split.fit_log.time.max()

    def test_validation_part_hides_the_validation_event_and_all_after(self) -> None:
        log = diary(self.DIARY)
        split = leave_one_out(log, part="validation")
        assert asked(log, split, 0) == {
            "person": "ann",
            "at": after(3),
            "history": "z a b c",
            "anchors": "",
            "exclude": "a b",
            "truth": "c",
        }
        assert [line for line in lines(split.fit_log) if line.startswith("ann")] == [
            "ann 0 z",
            "ann 1 a",
            "ann 2 b",
            "ann 3 c",
        ]

    def test_without_refit_the_validation_event_is_known_of_the_customer_but_not_fitted(self) -> None:
        log = diary(self.DIARY)
        split = leave_one_out(log, refit=False)
        assert asked(log, split, 0)["history"] == "z a b c c b"
        assert asked(log, split, 0)["exclude"] == "a b c"
        assert [line for line in lines(split.fit_log) if line.startswith("ann")] == [
            "ann 0 z",
            "ann 1 a",
            "ann 2 b",
            "ann 3 c",
        ]
        assert lines(leave_one_out(log).fit_log) != lines(split.fit_log)

    def test_a_target_had_before_stays_excluded_and_is_counted(self) -> None:
        log = diary("ann 1 purchase a\nann 2 purchase b\nann 3 purchase a")
        found = asked(log, leave_one_out(log), 0)
        assert (found["exclude"], found["truth"]) == ("a b", "a")

    def test_views_are_the_targets_where_nobody_buys(self) -> None:
        log = diary("ann 1 view a\nann 2 cart b\nann 3 view b\nann 4 view c")
        found = asked(log, leave_one_out(log), 0)
        assert (found["history"], found["exclude"], found["truth"]) == ("a b b", "a b", "c")

    def test_refunds(self) -> None:
        log = diary(
            """
            ann 1 purchase a order_id=1
            ann 2 purchase b order_id=2
            ann 3 refund b order_id=2
            ann 4 purchase c order_id=3
            ann 5 purchase d order_id=4
            ann 6 purchase e order_id=5
            ann 7 refund e order_id=5
            """
        )
        split = leave_one_out(log)
        found = asked(log, split, 0)
        # e was sent back, so d is the last; b had been sent back before, so it may come again.
        assert (found["history"], found["exclude"], found["truth"]) == ("a c", "a c", "d")
        assert "ann 2 b" not in lines(split.fit_log)

    def test_a_later_refund_leaks_nothing(self) -> None:
        plain = "\n".join(f"ann {n} purchase {product} order_id={n}" for n, product in enumerate("abcd"))
        kept, refunded = diary(plain), diary(plain + "\nann 9 refund a order_id=0")
        assert asked(refunded, leave_one_out(refunded), 0) == asked(kept, leave_one_out(kept), 0)
        assert lines(leave_one_out(refunded).fit_log) == lines(leave_one_out(kept).fit_log)
        assert (leave_one_out(refunded).fit_log.reversed_at == leave_one_out(kept).fit_log.reversed_at).all()

    def test_visitors_are_not_customers(self) -> None:
        with pytest.raises(EvaluationError, match="no customer has three purchases"):
            leave_one_out(diary("?x 1 purchase a\n?x 2 purchase b\n?x 3 purchase c"))


class TestTemporal:
    DIARY = """
    ann 0 purchase a
    ann 1 purchase a
    bob 2 purchase b
    bob 3 view c
    cat 4 view a
    dan 5 purchase a
    dan 6 purchase b
    dan 7 purchase c
    ann 8 purchase a
    ann 9 purchase n
    """

    def test_cut_at_eighty_percent(self) -> None:
        log = diary(self.DIARY)
        split = temporal(log, bare(log))
        assert split.fit_at == minute(8)
        assert lines(split.fit_log) == lines(log)[:8]
        # a is nothing new to ann; n is.
        assert asked(log, split, 0) == {
            "person": "ann",
            "at": 8,
            "history": "a a",
            "anchors": "",
            "exclude": "a",
            "truth": "n",
        }
        assert split.skipped == {"no target event after the cut": 3, "nothing new after the cut": 0}
        assert {name: mask.tolist() for name, mask in split.slices.items()} == {
            "new_products": [True],
            "tail_products": [True],
            "light_customers": [True],
        }

    def test_validation_part_asks_between_seventy_and_eighty_percent(self) -> None:
        log = diary(self.DIARY)
        split = temporal(log, bare(log), part="validation")
        assert split.fit_at == minute(7)
        assert len(split) == 1
        found = asked(log, split, 0)
        assert (found["person"], found["history"], found["truth"]) == ("dan", "a b", "c")
        assert split.slices["light_customers"].tolist() == [True]

    def test_cut_at_a_date(self) -> None:
        log = diary(self.DIARY)
        split = temporal(log, bare(log), at=minute(2))
        assert [(asked(log, split, row)["person"], asked(log, split, row)["truth"]) for row in range(len(split))] == [
            ("ann", "n"),
            ("bob", "b"),
            ("dan", "a"),
        ]
        assert asked(log, split, 1)["history"] == ""

    def test_head_and_tail(self) -> None:
        log = diary(
            """
            ann 0 purchase a
            bob 0 purchase a
            cat 0 purchase a
            dan 0 purchase a
            eve 0 purchase b
            ann 9 purchase b
            eve 9 purchase a
            """
        )
        split = temporal(log, bare(log), at=minute(5))
        assert split.slices["tail_products"].tolist() == [True, False]  # a alone makes four fifths

    def test_a_product_without_events_may_be_listed_only_if_it_was_there(self) -> None:
        log = diary(self.DIARY, products="old future unsaid")
        opened = np.full(len(log.products), np.iinfo(np.int64).min)
        opened[log.products.code("old")], opened[log.products.code("future")] = minute(8), minute(9)
        split = temporal(log, Catalogue(log.products, {"available_from": Time(opened)}))
        allowed = split.questions.queries().allowed
        assert allowed is not None
        assert [log.products[code] for code in np.flatnonzero(allowed)] == ["a", "b", "c", "old"]

    def test_what_was_not_known_at_the_cut_is_neither_fitted_nor_excluded_nor_a_target(self) -> None:
        log = diary("ann 0 purchase a\nann 1 purchase b known=9\nann 5 purchase b\nann 6 purchase c")
        split = temporal(log, bare(log), at=minute(4))
        found = asked(log, split, 0)
        assert (found["history"], found["exclude"], found["truth"]) == ("a", "a", "c")
        assert lines(split.fit_log) == ["ann 0 a"]

    def test_a_refund_after_the_cut_changes_nothing_before_it(self) -> None:
        plain = "ann 0 purchase a order_id=1\nbob 1 purchase b order_id=2\nann 5 purchase c order_id=3"
        kept, refunded = diary(plain), diary(plain + "\nann 6 refund a order_id=1")
        at = minute(3)
        assert asked(refunded, temporal(refunded, bare(refunded), at=at), 0) == asked(
            kept, temporal(kept, bare(kept), at=at), 0
        )
        assert (temporal(refunded, bare(refunded), at=at).fit_log.reversed_at > minute(9)).all()

    @pytest.mark.parametrize(
        ("text", "at", "message"),
        [
            ("ann 0 purchase a\nann 5 purchase a", 3, "no customer got a product after the cut"),
            ("ann 5 purchase a", 3, "no event was known before the cut"),
        ],
    )
    def test_nobody_to_evaluate(self, text: str, at: int, message: str) -> None:
        log = diary(text)
        with pytest.raises(EvaluationError, match=message):
            temporal(log, bare(log), at=minute(at))

    def test_empty_log(self) -> None:
        log = diary("ann 5 purchase a").take(np.zeros(0, dtype=np.int64))
        with pytest.raises(EvaluationError, match="no events to cut"):
            temporal(log, bare(log))


class TestNextBasket:
    DIARY = """
    ann 1 purchase a order_id=1
    ann 1 purchase b order_id=1
    ann 5 purchase a order_id=2
    ann 6 view c
    ann 7 purchase c order_id=3
    ann 7 purchase a order_id=3
    ann 7 purchase c order_id=3
    ann 8 view d
    bob 1 purchase a order_id=4
    bob 2 purchase b order_id=5
    cat 1 purchase c order_id=6
    """

    def test_test_part(self) -> None:
        log = diary(self.DIARY)
        split = next_basket(log)
        assert [asked(log, split, row)["person"] for row in range(len(split))] == ["ann", "bob"]
        assert asked(log, split, 0) == {
            "person": "ann",
            "at": after(6),
            "history": "a b a c",
            "anchors": "",
            "exclude": "",
            "truth": "a c",
        }
        assert sorted(lines(split.fit_log)) == ["ann 1 a", "ann 1 b", "ann 5 a", "ann 6 c", "bob 1 a", "cat 1 c"]
        assert split.skipped == {"fewer than two orders": 1}

    def test_validation_part_sees_no_order_of_the_test(self) -> None:
        log = diary(self.DIARY)
        split = next_basket(log, part="validation")
        assert len(split) == 1
        found = asked(log, split, 0)
        assert (found["history"], found["truth"], found["at"]) == ("a b", "a", after(1))
        assert sorted(lines(split.fit_log)) == ["ann 1 a", "ann 1 b", "bob 1 a", "cat 1 c"]

    def test_an_order_sent_back_is_none(self) -> None:
        log = diary(
            """
            ann 1 purchase a order_id=1
            ann 2 purchase b order_id=2
            ann 3 purchase c order_id=3
            ann 3 purchase d order_id=3
            ann 4 refund c order_id=3
            ann 5 purchase e order_id=4
            ann 6 refund - order_id=4
            """
        )
        found = asked(log, next_basket(log), 0)
        assert (found["history"], found["truth"]) == ("a b", "d")

    def test_nobody_comes_back(self) -> None:
        with pytest.raises(EvaluationError, match="no customer has 2 orders"):
            next_basket(diary("ann 1 purchase a\nbob 2 purchase b"))


class TestBasket:
    @staticmethod
    def log() -> EventLog:
        early = [f"c{n} {n} purchase early order_id=e{n}" for n in range(18)]
        return diary(
            "\n".join(
                [
                    *early,
                    "ann 50 purchase a order_id=x",
                    "ann 50 purchase b order_id=x",
                    "ann 50 purchase c order_id=x",
                    "ann 50 purchase c order_id=x",
                    "?bob 60 purchase a order_id=y",
                    "?bob 60 purchase d order_id=y",
                    "ann 61 view z",
                ]
            )
        )

    def test_every_product_is_the_anchor_once(self) -> None:
        log = self.log()
        split = basket(log)
        rows = [asked(log, split, row) for row in range(len(split))]
        assert [(row["anchors"], row["truth"]) for row in rows] == [
            ("a", "b c"),
            ("b", "a c"),
            ("c", "a b"),
            ("a", "d"),
            ("d", "a"),
        ]
        assert {(row["history"], row["exclude"], row["at"]) for row in rows} == {("", "", 50)}
        assert split.weight == pytest.approx([1 / 3] * 3 + [1 / 2] * 2)
        assert len(split.questions) == 4  # the list of a is asked for once
        assert lines(split.fit_log) == lines(log)[:18]

    def test_orders_of_other_sizes_count_in_the_tenth_but_are_skipped(self) -> None:
        log = diary(
            "\n".join(f"c{n} {n} purchase p{n % 3} order_id={n}" for n in range(10)) + "\nc9 9 purchase q order_id=9"
        )
        split = basket(log)
        assert len(split) == 2
        big = "\n".join(f"c9 9 purchase q{n} order_id=9" for n in range(21))
        with pytest.raises(EvaluationError, match="2 to 20 products"):
            basket(diary("\n".join(f"c{n} {n} purchase p order_id={n}" for n in range(9)) + "\n" + big))

    def test_validation_part_is_the_tenth_before(self) -> None:
        text = "\n".join(f"c{n} {n} purchase {p} order_id={n}" for n in range(20) for p in ("a", f"p{n:02}"))
        log = diary(text)
        assert [asked(log, basket(log), row)["truth"] for row in range(4)] == ["p18", "a", "p19", "a"]
        split = basket(log, part="validation")
        assert [asked(log, split, row)["truth"] for row in range(4)] == ["p16", "a", "p17", "a"]
        assert split.fit_at == minute(16)
        assert split.fit_log.time.max() < minute(16)


class TestSession:
    DIARY = """
    ann 0 view a
    ann 1 view b
    bob 100 view a
    bob 101 view a
    bob 102 cart a
    ann 200 view c
    ann 201 view c
    ann 202 cart c
    ann 203 view d
    ann 204 view c
    """

    def test_every_step_asks_for_the_next_product(self) -> None:
        log = diary(self.DIARY)
        split = session(log)
        assert [asked(log, split, row) for row in range(len(split))] == [
            {"person": "ann", "at": after(202), "history": "a b c c c", "anchors": "c", "exclude": "c", "truth": "d"},
            {"person": "ann", "at": after(203), "history": "a b c c c d", "anchors": "d", "exclude": "d", "truth": "c"},
        ]
        assert split.fit_at == minute(200)
        assert lines(split.fit_log) == lines(log)[:5]
        assert split.skipped == {"sessions of one product": 1}

    def test_validation_part_is_the_tenth_before(self) -> None:
        log = diary(self.DIARY + "\nbob 300 view x\nbob 301 view y")
        assert asked(log, session(log), 0)["truth"] == "y"
        split = session(log, part="validation")
        assert [asked(log, split, row)["truth"] for row in range(len(split))] == ["d", "c"]

    def test_sessions_that_cross_keep_apart(self) -> None:
        log = diary(
            """
            ann 0 view o
            ann 5 view a session_id=s
            ann 6 view x session_id=t
            ann 7 view b session_id=s
            """
        )
        split = session(log)
        assert len(split) == 1
        found = asked(log, split, 0)
        assert (found["anchors"], found["history"], found["truth"]) == ("a", "o a x", "b")

    def test_a_refund_known_before_takes_the_purchase_out_of_the_history(self) -> None:
        log = diary(
            """
            ann 0 purchase r order_id=1
            ann 1 refund r order_id=1
            ann 1 view q
            ann 100 view a
            ann 101 view b
            """
        )
        assert asked(log, session(log), 0)["history"] == "q a"

    @pytest.mark.parametrize("text", ["ann 0 view a\nann 1 view a", "ann 0 view a\nann 1 view b"])
    def test_nothing_to_evaluate(self, text: str) -> None:
        with pytest.raises(EvaluationError):
            session(diary(text))


def shop() -> EventLog:
    """A hundred days of a shop, large enough that every split has rows in both parts."""
    rng = np.random.default_rng(0)
    rows = []
    for order in range(300):
        who, when = f"c{rng.integers(25):02}", 60 * order
        for product in rng.choice(12, size=rng.integers(1, 4), replace=False):
            rows += [
                f"{who} {when + 2 * (product % 5)} view p{product:02}",
                f"{who} {when + 15} purchase p{product:02} order_id={order}",
            ]
    return diary("\n".join(rows))


SPLITS: dict[str, Callable[[EventLog], Split]] = {
    "leave-one-out": leave_one_out,
    "leave-one-out without refit": lambda log: leave_one_out(log, refit=False),
    "leave-one-out validation": lambda log: leave_one_out(log, part="validation"),
    "temporal": lambda log: temporal(log, bare(log)),
    "temporal validation": lambda log: temporal(log, bare(log), part="validation"),
    "next-basket": next_basket,
    "next-basket validation": lambda log: next_basket(log, part="validation"),
    "basket": basket,
    "basket validation": lambda log: basket(log, part="validation"),
    "session": session,
    "session validation": lambda log: session(log, part="validation"),
}


@pytest.mark.parametrize("make", SPLITS.values(), ids=SPLITS.keys())
class TestEverySplit:
    def test_is_well_formed(self, make: Callable[[EventLog], Split]) -> None:
        log = shop()
        split = make(log)
        assert len(split) == len(split.person) == len(split.weight) == len(split.question) > 0
        assert (np.diff(split.truth.indptr) > 0).all()
        assert (split.fit_log.time < split.fit_at).all()
        queries = split.questions.queries()
        owner = np.repeat(np.arange(len(queries)), np.diff(queries.history.indptr))
        assert (queries.history.time < queries.at[owner]).all()

    def test_has_the_three_slices(self, make: Callable[[EventLog], Split]) -> None:
        split = make(shop())
        assert split.slices.keys() == {"new_products", "tail_products", "light_customers"}
        assert all(mask.shape == (len(split),) for mask in split.slices.values())
        # What nobody knew is no best seller.
        assert not (split.slices["new_products"] & ~split.slices["tail_products"]).any()

    def test_chunks_of_questions_are_the_questions(self, make: Callable[[EventLog], Split]) -> None:
        log = shop()
        questions = make(log).questions
        whole, part = questions.queries(), questions.queries(1, 3)
        for row in range(len(part)):
            assert words(log, part.history, row) == words(log, whole.history, row + 1)
            assert part.at[row] == whole.at[row + 1]

    def test_what_is_not_fitted_on_may_say_anything(self, make: Callable[[EventLog], Split]) -> None:
        log = shop()
        split = make(log)
        again = make(with_other_products(log, hidden(log, split)))
        assert lines(again.fit_log) == lines(split.fit_log)
        assert again.fit_at == split.fit_at
        assert not same(again.truth, split.truth)


@pytest.mark.parametrize("name", ["leave-one-out", "leave-one-out validation", "next-basket", "temporal"])
def test_the_future_changes_no_question(name: str) -> None:
    log = shop()
    split = SPLITS[name](log)
    again = SPLITS[name](with_other_products(log, hidden(log, split)))
    both = np.intersect1d(split.person, again.person)
    assert len(both) > 5
    for person in both:
        one, two = (asked(log, found, int(np.flatnonzero(found.person == person)[0])) for found in (split, again))
        assert one | {"truth": ""} == two | {"truth": ""}


def test_a_step_of_a_session_knows_everything_before_it_and_nothing_after() -> None:
    log = shop()
    split = session(log)
    queries = split.questions.queries()
    for row in range(len(split)):
        own = log.product[log.person == split.person[row]]
        past = int(queries.history.indptr[row + 1] - queries.history.indptr[row])
        assert words(log, queries.history, row).split() == [log.products[int(code)] for code in own[:past]]
        assert log.products[int(own[past])] == words(log, split.truth, row)
        assert log.products[int(own[past - 1])] == words(log, queries.anchors, row)


def with_other_products(log: EventLog, rows: NDArray[np.bool_]) -> EventLog:
    """The log with the next product but four in these rows."""
    return replace(log, product=np.where(rows, (log.product + 5) % len(log.products), log.product).astype(np.int32))


def hidden(log: EventLog, split: Split) -> NDArray[np.bool_]:
    """Rows of the log that are not in the fit."""
    fitted = set(zip(split.fit_log.time, split.fit_log.person, split.fit_log.kind, split.fit_log.product, strict=True))
    return np.array([row not in fitted for row in zip(log.time, log.person, log.kind, log.product, strict=True)])


def same(one: Ragged, two: Ragged) -> bool:
    return np.array_equal(one.indptr, two.indptr) and np.array_equal(one.values, two.values)


class TestSlices:
    """Popular a, rare b and c; what is asked for last says which slice it is in."""

    EARLY = "\n".join(f"p{n} {n} purchase a order_id=p{n}\np{n} {n} purchase b order_id=p{n}" for n in range(8))
    POPULAR = "\n".join(f"q{n} {n} purchase a order_id=q{n}" for n in range(60))

    def test_of_a_row_with_several_right_products_all_must_be_in_it(self) -> None:
        late = ["ann 100 purchase a", "ann 100 purchase b", "ann 100 purchase n", "bob 110 purchase b"]
        late += ["bob 110 purchase c", "bob 110 purchase d", "bob 110 purchase x", "bob 110 purchase y"]
        orders = "\n".join(f"{line} order_id={line[:3]}" for line in late)
        early = self.EARLY + "\n" + "\n".join(f"old 0 purchase {product} order_id=old" for product in "cd")
        log = diary(f"{early}\n{self.POPULAR}\n{orders}")
        split = basket(log)
        rows = [asked(log, split, row) for row in range(len(split))]
        new = [
            f"{row['person']}-{row['anchors']}"
            for row, told in zip(rows, split.slices["new_products"], strict=True)
            if told
        ]
        tail = {
            f"{row['person']}-{row['anchors']}": told
            for row, told in zip(rows, split.slices["tail_products"].tolist(), strict=True)
            if row["person"] in ("ann", "bob")
        }
        assert new == []  # beside n stand a and b, beside x and y others that are known
        # a makes more than four fifths of the purchases: everything else is the tail.
        assert tail == {
            "ann-a": True,
            "ann-b": False,
            "ann-n": False,
            **{f"bob-{anchor}": True for anchor in "bcdxy"},
        }

    def test_targets_nobody_knew_are_new(self) -> None:
        log = diary(f"{self.POPULAR}\nann 90 purchase n order_id=x\nann 90 purchase m order_id=x")
        split = basket(log, part="test")
        assert split.slices["new_products"].tolist() == [True, True]
        assert split.slices["tail_products"].tolist() == [True, True]
        assert split.slices["light_customers"].tolist() == [True, True]

    def test_light_is_by_what_is_fitted_on(self) -> None:
        log = diary(
            "\n".join(f"ann {n} purchase {p}" for n, p in enumerate("abc"))
            + "\n"
            + "\n".join(f"bob {n} purchase {p}" for n, p in enumerate("abcd"))
        )
        assert leave_one_out(log).slices["light_customers"].tolist() == [True, False]
        assert leave_one_out(log, refit=False).slices["light_customers"].tolist() == [True, True]
        assert next_basket(log).slices["light_customers"].tolist() == [True, False]


class TestRolling:
    def test_each_cut_asks_about_what_follows_up_to_the_next(self) -> None:
        log = diary("\n".join(f"{who} {at} purchase p{at}{who}" for at in range(20) for who in ("ann", "bob")))
        found = rolling(log, bare(log))
        assert [split.fit_at for split in found] == [minute(10), minute(12), minute(14), minute(16)]
        for split in found:
            assert len(split) == 2
            assert (split.fit_log.time < split.fit_at).all()
            assert words(log, split.truth, 0) == f"p{(split.fit_at - ZERO) // 60_000_000}ann"

    def test_the_last_is_the_plain_split(self) -> None:
        log = diary("\n".join(f"ann {at} purchase p{at}" for at in range(20)))
        last, plain = rolling(log, bare(log))[-1], temporal(log, bare(log))
        assert last.fit_at == plain.fit_at
        np.testing.assert_array_equal(last.truth.values, plain.truth.values)

    def test_cuts_that_cannot_be_judged_are_left_out(self) -> None:
        log = diary("\n".join(f"ann {at} purchase p{min(at, 6)}" for at in range(10)))
        assert [split.fit_at for split in rolling(log, bare(log))] == [minute(5), minute(6)]

    def test_a_log_without_events_has_none(self) -> None:
        log = diary("ann 0 purchase a").take(np.zeros(1, dtype=np.bool_))
        with pytest.raises(EvaluationError):
            rolling(log, bare(log))
