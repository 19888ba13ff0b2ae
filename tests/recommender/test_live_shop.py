"""A bundle over a live log: what is logged shows where it should, at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from features.events import DAY, HOUR, MINUTE
from features.store.base import Event, Person, Watermark
from features.store.memory import MemoryEvents
from recommender.answering import Answerer
from recommender.answers import Asked, BlockRequest, Item, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import Recommender
from recommender.live_shop import LiveShop
from recommender.rules import Rules

VISITOR = Shopper(anonymous_id="v")


class Counter:
    """The shop: a clock after the training data, a log, and the bundle over it."""

    def __init__(self, recommender: Recommender, store: MemoryEvents | None = None) -> None:
        self.now = recommender.at + DAY
        self.store = MemoryEvents() if store is None else store
        self.shop = LiveShop(recommender, "", self.store)

    def log(self, name: str, product: str | None = None, **who: Any) -> None:
        self.now += MINUTE
        who = who or {"anonymous_id": "v"}
        self.store.append([Event(name, self.now, self.now, product_id=product, **who)])

    def ask(
        self,
        placement: str,
        shopper: Shopper = VISITOR,
        *,
        products: Sequence[str] = (),
        count: int = 5,
        filter: str | None = None,  # noqa: A002
        at: int | None = None,
    ) -> list[Item]:
        request = BlockRequest(placement, count, tuple(products), filter=filter)
        moment = self.now + MINUTE if at is None else at
        answered = self.shop.answer(Asked(shopper, [request], moment), draw="d", past=at is not None)
        return answered.blocks[0].items

    def ids(self, placement: str, shopper: Shopper = VISITOR, *, products: Sequence[str] = ()) -> list[str]:
        return [item.id for item in self.ask(placement, shopper, products=products)]


@pytest.fixture
def counter(small_recommender: Recommender) -> Counter:
    return Counter(small_recommender)


def test_what_a_visitor_looks_at_is_recently_viewed_newest_first(counter: Counter) -> None:
    assert counter.ids("recently_viewed") == []
    counter.log("view", "p003")
    counter.log("view", "p004")
    assert counter.ids("recently_viewed") == ["p004", "p003"]
    counter.log("view", "p003")
    assert counter.ids("recently_viewed") == ["p003", "p004"]


def test_what_was_bought_leaves_recently_viewed(counter: Counter) -> None:
    counter.log("view", "p003")
    counter.log("view", "p004")
    counter.log("purchase", "p004")
    assert counter.ids("recently_viewed") == ["p003"]


def test_a_click_turns_the_personal_list(counter: Counter) -> None:
    counter.log("view", "p003")
    [first, *_] = counter.ask("recommended_for_you")
    assert (first.id, first.fallback_level) == ("p003", 0)  # what was looked at may be bought
    assert "p006" in counter.ids("recommended_for_you")[:3]  # what follows it in that taste


def test_the_live_log_adds_to_what_was_trained(counter: Counter) -> None:
    known = Shopper(customer_id="c000")
    before = counter.ids("recently_viewed", known)
    counter.log("view", "p005", customer_id="c000")
    assert counter.ids("recently_viewed", known)[0] == "p005"
    assert set(before[:4]) <= set(counter.ids("recently_viewed", known))


def test_events_the_bundle_was_trained_on_count_once(counter: Counter, small_recommender: Recommender) -> None:
    known = Shopper(customer_id="c001")
    counter.log("view", "p005", customer_id="c001")
    before = counter.ask("recommended_for_you", known)
    history = small_recommender.history(small_recommender.person(known), small_recommender.at)
    ids = small_recommender.catalogue.ids
    names = {5: "view", 10: "purchase"}
    counter.store.append(
        [
            Event(names[int(kind)], int(time), int(time), customer_id="c001", product_id=ids[int(code)])
            for code, kind, time in zip(history.product, history.kind, history.time, strict=True)
        ]
    )
    assert counter.ask("recommended_for_you", known) == before


def test_a_visitor_who_logs_in_brings_along_what_they_looked_at(counter: Counter) -> None:
    counter.log("view", "p003")
    counter.log("identify", None, customer_id="new", anonymous_id="v")
    assert counter.ids("recently_viewed", Shopper(customer_id="new")) == ["p003"]
    counter.log("view", "p004", customer_id="new")
    assert counter.ids("recently_viewed") == ["p004", "p003"]


def test_a_cart_is_completed_until_it_is_emptied(counter: Counter) -> None:
    counter.log("cart", "p003")
    counter.log("cart", "p004")
    assert not {"p003", "p004"} & set(counter.ids("complete_the_cart"))
    counter.log("remove_from_cart", "p003")
    assert "p004" not in counter.ids("complete_the_cart")
    counter.log("purchase", "p004")
    counter.log("refund", "p004")
    assert "p004" in counter.ids("recently_viewed")  # taken back, so it may be bought


class Unasked(MemoryEvents):
    """A store that is not to be asked who somebody is."""

    def person(self, **_: object) -> Person:
        raise AssertionError


def test_who_asks_is_looked_up_only_where_it_matters(small_recommender: Recommender) -> None:
    counter = Counter(small_recommender, Unasked())
    assert len(counter.ask("best_sellers", Shopper("c000"))) == 5
    assert len(counter.ask("frequently_bought_together", Shopper("c000"), products=["p003"])) == 5
    for placement in ("frequently_bought_together", "recommended_for_you", "recently_viewed"):
        with pytest.raises(AssertionError):
            counter.ask(placement, Shopper("c000"))
    counter.log("view", "never heard of")
    with pytest.raises(AssertionError):
        counter.ask("best_sellers")
    counter.shop.keep_up()
    assert len(counter.ask("best_sellers")) == 5


@pytest.mark.parametrize("placement", RecommenderConfig.default().placements)
@pytest.mark.parametrize("products", [(), ("p003",)])
def test_what_is_not_personal_is_the_same_for_everybody(
    small_recommender: Recommender, placement: str, products: tuple[str, ...]
) -> None:
    answerer = Answerer(small_recommender, Rules((), small_recommender.catalogue))
    request = BlockRequest(placement, 10, products)
    lists = [answerer.answer(Shopper(f"c{n:03}"), [request], small_recommender.at) for n in range(40)]
    assert answerer.is_personal([request]) or all(one == lists[0] for one in lists)
    assert answerer.is_personal([request], explain=True)


def test_rankings_follow_after_keeping_up(counter: Counter) -> None:
    assert counter.ids("best_sellers")[0] != "p009"
    for number in range(200):
        counter.log("purchase", "p009", anonymous_id=f"v{number}")
    counter.shop.keep_up()
    assert counter.ids("best_sellers")[0] == "p009"
    assert counter.ids("trending")[0] == "p009"


def test_stock_and_price_count_at_once(counter: Counter) -> None:
    best = counter.ids("best_sellers")[0]
    counter.store.put_products([(best, {"title": "Gone", "availability": "out_of_stock", "price": 3.0})], counter.now)
    assert best not in counter.ids("best_sellers")
    counter.store.put_products([(best, {"title": "Back", "availability": "in_stock", "price": 2.0})], counter.now)
    [item] = counter.ask("best_sellers", filter="price < 2.5")
    assert item.id == best
    assert item.product is not None
    assert item.product["price"] == 2.0


def test_a_product_that_left_the_catalogue_is_not_shown(counter: Counter) -> None:
    best = counter.ids("best_sellers")[0]
    counter.store.put_products([(best, None)], counter.now)
    assert best not in counter.ids("best_sellers")


def test_a_new_product_is_recommended_by_its_attributes(counter: Counter) -> None:
    attributes = {"title": "Taste 1 thing 100", "category": "All > Taste 1", "brand": "Brand 1", "price": 9.0}
    counter.store.put_products([("new/1", attributes)], counter.now)
    found = [item.id for item in counter.ask("similar_products", products=["p001"], count=24)]
    assert "new/1" in found
    assert all(int(one[1:]) % 3 == 1 for one in counter.ids("similar_products", products=["new/1"]))
    assert [item.id for item in counter.ask("best_sellers", filter="product_id = 'new/1'")] == ["new/1"]


def test_a_product_that_only_an_event_names_is_not_for_sale(counter: Counter) -> None:
    counter.log("view", "never heard of")
    counter.shop.keep_up()
    for placement in ("recently_viewed", "new_arrivals", "trending", "best_sellers"):
        assert "never heard of" not in [item.id for item in counter.ask(placement, count=50)]
    counter.store.put_products([("never heard of", {"title": "Heard of"})], counter.now)
    assert counter.ids("recently_viewed") == ["never heard of"]  # and what was done with it counts


def test_without_a_catalogue_products_are_what_events_name(small_recommender: Recommender) -> None:
    bare = replace(small_recommender.catalogue, columns={})
    counter = Counter(replace(small_recommender, catalogue=bare))
    counter.log("view", "never heard of")
    assert counter.ids("recently_viewed") == ["never heard of"]


def test_a_moment_in_the_past_knows_nothing_of_what_came_later(counter: Counter) -> None:
    counter.log("view", "p003")
    then = counter.now + 1
    counter.now += HOUR
    counter.log("view", "p004")
    counter.store.append([Event("view", then - 2, counter.now, anonymous_id="v", product_id="p005")])  # told late
    imported = Event("view", then - 3 * HOUR, then - 2 * HOUR, anonymous_id="v", product_id="p006")
    counter.store.append([imported])  # known before, though it stands behind what came later
    assert [item.id for item in counter.ask("recently_viewed", at=then)] == ["p003", "p006"]
    assert set(counter.ids("recently_viewed")) == {"p003", "p004", "p005", "p006"}


def test_who_was_erased_is_a_stranger(counter: Counter) -> None:
    known, nobody = Shopper(customer_id="c000"), Shopper(customer_id="never seen")
    counter.log("view", "p003", customer_id="c000")
    assert counter.ask("recommended_for_you", known) != counter.ask("recommended_for_you", nobody)
    counter.store.erase(customer_id="c000", at=counter.now)
    counter.shop.keep_up()
    assert counter.ask("recommended_for_you", known) == counter.ask("recommended_for_you", nobody)
    assert counter.ids("recently_viewed", known) == []


def test_erasing_one_owner_of_a_shared_device_leaves_the_other_their_history(counter: Counter) -> None:
    known = Shopper(customer_id="c000")
    counter.log("identify", None, customer_id="other", anonymous_id="v")
    counter.log("identify", None, customer_id="c000", anonymous_id="v")
    before = counter.ask("recommended_for_you", known)
    counter.store.erase(customer_id="other", at=counter.now)
    assert counter.ask("recommended_for_you", known) == before


def test_erasing_a_visitor_does_not_erase_a_customer_of_that_id(counter: Counter) -> None:
    known = Shopper(customer_id="c000")
    before = counter.ask("recommended_for_you", known)
    counter.store.erase(anonymous_id="c000", at=counter.now)
    assert counter.ask("recommended_for_you", known) == before


class Meanwhile(MemoryEvents):
    """A store in which something happens right after somebody asked how far it is."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], object]] = []

    def watermark(self) -> Watermark:
        found = super().watermark()
        if self.meanwhile:
            self.meanwhile.pop()()
        return found


def test_what_an_answer_says_it_was_made_from_is_what_it_was_made_from(small_recommender: Recommender) -> None:
    """A product changes, and a request takes that in, while the shop is being followed."""
    counter = Counter(small_recommender, Meanwhile())
    asked = Asked(VISITOR, [BlockRequest("best_sellers", 5)], counter.now)
    best = counter.ids("best_sellers")[0]

    def request() -> None:
        counter.store.put_products([(best, {"title": "changed"})], counter.now)
        counter.shop.answer(asked)

    counter.log("view", "p003")
    assert isinstance(counter.store, Meanwhile)
    counter.store.meanwhile.append(request)
    counter.shop.keep_up()
    answered = counter.shop.answer(asked)
    again = LiveShop(small_recommender, "", counter.store).answer_as_of(
        answered.basis, asked, made_at=asked.at, draw=""
    )
    assert again == answered.blocks


def test_a_list_of_two_processes_is_the_same(counter: Counter, small_recommender: Recommender) -> None:
    """One follows the shop step by step, the other comes late."""
    for number in range(30):
        counter.log("view", f"p{number % 24:03}", anonymous_id=f"v{number}")
        counter.log("purchase", f"p{number % 7:03}", anonymous_id=f"v{number}")
        counter.store.put_products([(f"q{number % 5}", {"title": f"Taste 1 q {number}", "price": 1.0})], counter.now)
        counter.shop.keep_up()
    late = Counter(small_recommender)
    late.shop = LiveShop(small_recommender, "", counter.store)
    late.shop.keep_up()
    late.now = counter.now
    for placement in ("best_sellers", "trending", "recommended_for_you", "new_arrivals"):
        assert late.ask(placement, count=20) == counter.ask(placement, count=20)


def test_a_place_for_a_product_put_since_is_the_same_when_made_again(small_recommender: Recommender) -> None:
    exploring = {"exploration": {"share": 0.2, "reach": 2, "new_share": 0.6, "new_days": 1}}
    config = RecommenderConfig.default({"placements": {"best_sellers": exploring, "trending": exploring}})
    model = replace(small_recommender, config=config)
    counter = Counter(model)
    made, tried = [], set()
    for number in range(40):
        if number % 10 == 0:
            counter.store.put_products([(f"q{number}", {"title": "Just in"})], counter.now)
        counter.log("view", f"p{number % 24:03}")
        asked = Asked(VISITOR, [BlockRequest("best_sellers", 4), BlockRequest("trending", 4)], counter.now + MINUTE)
        made.append((asked, counter.shop.answer(asked, draw=f"d{number}"), f"d{number}"))
        counter.shop.keep_up()
        for block in made[-1][1].blocks:
            for item in block.items:
                if item.source == "exploration":
                    tried.add(item.id)
                    assert item.reasons == [{"code": "new"}]
                    assert item.propensity <= 0.6
    assert tried == {"q0", "q10", "q20", "q30"}
    again = LiveShop(model, "", counter.store)
    for asked, answered, draw in made:
        assert again.answer_as_of(answered.basis, asked, made_at=asked.at, draw=draw) == answered.blocks
