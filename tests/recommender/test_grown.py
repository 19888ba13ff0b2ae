"""A bundle under a catalogue that changed: what is new is found, what is old stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.filters import FilterError
from features.histories import Ragged
from features.store.base import Json
from recommender import bundle
from recommender.answering import Answerer
from recommender.answers import Block, BlockRequest, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from recommender.grown import grown
from recommender.queries import Queries
from recommender.rules import Rule, Rules
from recommender.sources.repurchase import RepurchaseSource
from recommender.sources.text import TextSource
from tests import logs, shops

NEW: Json = {
    "title": "Taste 1 thing 100",
    "category": "All > Taste 1",
    "brand": "Brand 1",
    "price": 9.0,
    "vegan": True,
    "skin_type": ["dry", "oily"],
    "item_group_id": 7,
}


@pytest.fixture(scope="module")
def base() -> Recommender:
    events, products = shops.planted_tastes()
    numbers = np.arange(len(products))
    products["sale_price"] = np.where(numbers % 6 == 0, products["price"] - 3, np.nan)
    products["skin_type"] = [["dry"] if n % 2 else ["normal", "oily"] for n in numbers]
    products["available_from"] = pd.Timestamp("2026-01-01", tz="UTC")
    log, catalogue = logs.encoded(events, products)
    changes = {"sources": {"text": {"common": 1.0}}}
    return fit(log, catalogue, RecommenderConfig.default(changes), at=logs.end_of(log))


def of(base: Recommender, product: str) -> Json:
    """All that the catalogue says of a product."""
    attributes = base.catalogue.product(base.catalogue.ids.code(product))
    del attributes["product_id"]
    return attributes


def listed(model: Recommender, placement: str, count: int = 24, rules: tuple[Rule, ...] = (), **wish: object) -> Block:
    request = BlockRequest(placement, count, **wish)  # type: ignore[arg-type]  # of any field
    return Answerer(model, Rules(rules, model.catalogue)).answer(Shopper("c001"), [request], model.at + 1)[0]


def ids(block: Block) -> list[str]:
    return [item.id for item in block.items]


def test_nothing_new_is_nothing_new(base: Recommender) -> None:
    assert grown(base, [], {}) is base
    assert grown(base, ["p003"], {}) is base


@pytest.mark.parametrize("placement", RecommenderConfig.default().placements)
def test_putting_what_is_there_changes_no_answer(base: Recommender, placement: str) -> None:
    same = grown(base, [], {product: of(base, product) for product in list(base.catalogue.ids)[::2]})
    for anchors in ((), ("p004",), ("p003", "p008")):
        assert listed(same, placement, product_ids=anchors) == listed(base, placement, product_ids=anchors)


@pytest.mark.parametrize("placement", RecommenderConfig.default().placements)
def test_products_that_only_events_name_change_no_answer(base: Recommender, placement: str) -> None:
    more = grown(base, ["a", "zz"], {})
    for count in (12, 40):
        before = listed(base, placement, count, product_ids=("p004",))
        assert listed(more, placement, count, product_ids=("p004",)).items == before.items


def test_without_a_catalogue_products_that_events_name_are_shown(base: Recommender) -> None:
    bare = replace(base, catalogue=Catalogue(base.catalogue.ids, {}))
    more = grown(bare, ["a", "zz"], {})
    assert {"a", "zz"} <= set(ids(listed(more, "new_arrivals", 12)))
    assert "a" in ids(listed(more, "best_sellers", 40))


def test_codes_stay_and_names_are_found(base: Recommender) -> None:
    more = grown(base, ["b", "a", "p001"], {"c": NEW})
    n = len(base.catalogue)
    assert more.catalogue.ids[:] == [*base.catalogue.ids, "b", "a", "c"]
    assert more.catalogue.ids.codes(["a", "p003", "c", "?"]).tolist() == [n + 1, 3, n + 2, -1]
    assert more.catalogue.product(n + 2) == {"product_id": "c", **NEW, "item_group_id": "7"}
    assert more.catalogue.product(n) == {"product_id": "b", "availability": "out_of_stock"}  # nobody put it


def test_a_new_product_is_like_its_like_both_ways(base: Recommender) -> None:
    more = grown(base, ["new"], {"new": of(base, "p004")})
    assert set(ids(listed(more, "similar_products", 8, product_ids=("new",)))) == {f"p{n:03}" for n in range(1, 24, 3)}
    [twin] = [item for item in listed(more, "similar_products", 8, product_ids=("p004",)).items if item.id == "new"]
    assert twin.reasons == [{"code": "similar", "product_id": "p004"}]
    assert twin.fallback_level == 0


def test_the_text_source_weighs_as_training_would(base: Recommender) -> None:
    text = grown(base, [], {"new": of(base, "p004")}).sources["text"]
    trained = base.sources["text"]
    assert isinstance(text, TextSource)
    assert isinstance(trained, TextSource)
    new, twin = (np.array([code], dtype=np.int32) for code in (len(base.catalogue), 4))
    [others], [weights] = text.neighbours(new)
    [expected], [expected_weights] = trained.neighbours(twin)
    assert others.tolist() == sorted([*expected.tolist(), 4])
    np.testing.assert_allclose(weights[others != 4], expected_weights, rtol=1e-5)
    assert weights[others == 4] == pytest.approx(1)
    [back], [back_weights] = text.neighbours(twin)
    assert dict(zip(back.tolist(), back_weights.tolist(), strict=True))[int(new[0])] == pytest.approx(1)


def test_new_products_are_like_each_other(base: Recommender) -> None:
    more = grown(base, [], {"n1": NEW, "n2": NEW | {"title": "Taste 1 thing 101", "item_group_id": 8}})
    assert ids(listed(more, "similar_products", 1, product_ids=("n1",))) == ["n2"]
    assert ids(listed(more, "similar_products", 1, product_ids=("n2",))) == ["n1"]


def test_a_product_described_anew_leaves_its_old_neighbours(base: Recommender) -> None:
    more = grown(base, [], {"p004": of(base, "p005")})
    text = more.sources["text"]
    assert isinstance(text, TextSource)

    def near(product: int) -> set[int]:
        return {int(code) % 3 for code in text.neighbours(np.array([product], dtype=np.int32))[0][0]}

    closest = text.nearer(5, 0.9)
    assert 4 in closest
    [others], [weights] = text.neighbours(np.array([1], dtype=np.int32))
    assert dict(zip(others.tolist(), weights.tolist(), strict=True)).get(4, 0) < weights.max() / 2
    back = grown(base, [], {"p004": of(base, "p004")})
    for placement in ("similar_products", "you_may_also_like"):
        assert listed(back, placement, product_ids=("p001",)) == listed(base, placement, product_ids=("p001",))


def test_stock_and_price_count(base: Recommender) -> None:
    best = ids(listed(base, "best_sellers", 3))
    gone = grown(base, [], {best[0]: of(base, best[0]) | {"availability": "out_of_stock"}, best[1]: None})
    assert ids(listed(gone, "best_sellers", 1)) == best[2:]
    assert not set(best[:2]) & set(ids(listed(gone, "best_sellers", 40)))
    cheap = grown(base, [], {"p007": of(base, "p007") | {"price": 20.0, "sale_price": 1.0}})
    assert ids(listed(cheap, "on_sale", 1)) == ["p007"]
    assert ids(listed(cheap, "best_sellers", filter="sale_price < 2")) == ["p007"]
    assert "p006" not in ids(listed(grown(base, [], {"p006": {"price": 9.0}}), "on_sale", 4))


def test_what_a_change_does_not_name_is_null(base: Recommender) -> None:
    bare = grown(base, [], {"p003": {"title": "Bare"}}).catalogue
    assert bare.product(3) == {"product_id": "p003", "title": "Bare"}
    assert bare.product(4) == base.catalogue.product(4)


def test_what_does_not_fit_its_column_is_null(base: Recommender) -> None:
    odd: Json = {"title": 1.5, "price": "dear", "skin_type": "dry", "available_from": "soon", "vegan": True, "x": None}
    after = grown(base, [], {"p003": odd, "p004": {"vegan": "yes", "title": ""}}).catalogue
    assert after.product(3) == {"product_id": "p003", "vegan": True}
    assert after.product(4) == {"product_id": "p004"}
    assert "x" not in after.columns


def test_what_left_may_come_back(base: Recommender) -> None:
    assert "p003" not in ids(listed(grown(base, [], {"p003": None}), "best_sellers", 40))
    assert "p003" in ids(listed(grown(base, [], {"p003": of(base, "p003")}), "best_sellers", 40))
    assert grown(base, [], {"p003": None}).catalogue.product(3)["title"] == of(base, "p003")["title"]


@pytest.mark.parametrize(
    "text",
    [
        "brand = 'Brand 1'",
        "brand = 'Aardvark'",
        "brand in ('Brand 0', 'Aardvark', 'Zebra')",
        "brand > 'Brand 1'",
        "brand <= 'Brand 1'",
        "category = 'All'",
        "category = 'All > Taste 1'",
        "category = 'Other'",
        "title like '%thing 1%'",
        "'dry' in skin_type",
        "'a new one' in skin_type",
        "vegan",
        "not vegan",
        "vegan is null",
        "product_id = 'aaa'",
        "product_id > 'p019'",
        "product_id <= 'b'",
        "product_id like 'p%'",
        "price < 12 or sale_price is not null",
        "available_from > '2026-02-01'",
    ],
)
def test_filters_keep_what_they_say(base: Recommender, text: str) -> None:
    changes: dict[str, Json | None] = {
        "zzz": NEW | {"brand": "Zebra", "category": "Other > Deep", "available_from": "2026-02-02T00:00:00Z"},
        "aaa": NEW | {"brand": "Aardvark", "category": "All > Taste 1 > Below", "item_group_id": 8},
        "p003": of(base, "p003") | {"brand": "Aardvark", "skin_type": ["a new one"], "vegan": False},
    }
    more = grown(base, ["m"], changes)
    kept = set(ids(listed(more, "best_sellers", 40, filter=text)))
    # The same table, encoded at once.
    table = pd.DataFrame([more.catalogue.product(code) for code in range(len(more.catalogue))])
    for name in ("available_from",):
        table[name] = pd.to_datetime(table[name], utc=True)
    table["vegan"] = table["vegan"].astype("boolean")
    lists = [tags if isinstance(tags, list) else None for tags in table["skin_type"]]
    table["skin_type"] = pd.Series(lists, dtype=object)
    table = table.astype(dict.fromkeys(("product_id", "title", "category", "brand", "item_group_id"), "str"))
    log, catalogue = logs.encoded(shops.no_events(), table)
    fresh = fit(log, catalogue, RecommenderConfig.default(), at=base.at)
    assert kept == set(ids(listed(fresh, "best_sellers", 40, filter=text)))


def test_a_column_that_is_not_there_is_still_refused(base: Recommender) -> None:
    with pytest.raises(FilterError):
        listed(base, "best_sellers", filter="vegan")
    with pytest.raises(FilterError):
        listed(grown(base, [], {"new": NEW}), "best_sellers", filter="gluten")


def test_new_arrivals_come_first(base: Recommender) -> None:
    assert ids(listed(grown(base, [], {"new": NEW}), "new_arrivals", 1)) == ["new"]
    tomorrow = pd.Timestamp(base.at, unit="us", tz="UTC") + pd.Timedelta(days=1)
    waiting = grown(base, [], {"new": NEW | {"available_from": tomorrow.isoformat()}})
    assert "new" not in ids(listed(waiting, "new_arrivals", 40))


def test_rules_hold_for_new_products(base: Recommender) -> None:
    more = grown(base, [], {"new": NEW})
    pin = Rule(action="pin", product_ids=("new",))
    assert ids(listed(more, "best_sellers", 2, (pin,)))[0] == "new"
    bury = Rule(action="bury", filter="vegan")
    assert ids(listed(more, "best_sellers", 40, (bury,)))[-1] == "new"


def test_new_products_join_the_groups_there_are(base: Recommender) -> None:
    more = grown(base, [], {"new": NEW, "odd": NEW | {"category": "Other", "brand": "Other"}})
    groups = more.groups
    names = [groups.name(code) for code in groups.of_products(more.catalogue.ids.codes(["new"]))]
    assert names == [("brand", "Brand 1"), ("category", "All > Taste 1")]
    assert groups.of_products(more.catalogue.ids.codes(["odd"])) == []
    block = listed(more, "similar_categories", 4, product_ids=("new",))
    assert "All > Taste 1" not in ids(block)
    assert block.items


def test_a_new_product_is_bought_again_as_its_category_is(base: Recommender) -> None:
    products = pd.DataFrame({"product_id": ["milk", "soap"], "category": ["Food", "Bath"]})
    log, catalogue = logs.encoded(shops.staples(customers=30, orders=9), products)
    model = fit(log, catalogue, RecommenderConfig.default(), at=logs.end_of(log))
    more = grown(model, [], {name: {"category": name} for name in ("Bath", "Food", "Garden")})
    source = more.sources["repurchase"]
    assert isinstance(source, RepurchaseSource)
    bath, food, garden = np.exp(source.products.gap[2:]).tolist()
    assert food < garden < bath
    assert source.usual.gap.tolist() == pytest.approx(np.log([bath, food, garden]))
    assert np.all((source.products.rate[2:] > 0) & (source.products.rate[2:] < 1))


def test_lists_in_batches_grow_too(base: Recommender) -> None:
    more = grown(base, ["a"], {"new": NEW})
    n = len(more.people)
    asked = Queries(np.full(n, more.at), more.histories, Ragged.empty(n))
    for placement, config in more.config.placements.items():
        if config.of == "products":
            found = more.lists(placement, asked, 30).product
            assert found.max() < len(more.catalogue)
            if not config.may_be_empty:
                assert (np.sort(found, axis=1)[:, -26:] == np.arange(26)).all()


def same(one: object, other: object) -> bool:
    """Whether two recommenders, or parts of them, are equal to the bit."""
    match one, other:
        case (np.ndarray() as left, np.ndarray() as right):
            return left.dtype == right.dtype and left.tobytes() == right.tobytes()
        case (Catalogue() as left, Catalogue() as right):
            return left.ids[:] == right.ids[:] and same(left.columns, right.columns)
        case (dict() as left, dict() as right):
            return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
        case _ if hasattr(one, "__dataclass_fields__"):
            return all(same(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)
        case _ if hasattr(one, "indptr"):
            return all(same(getattr(one, name), getattr(other, name)) for name in ("data", "indices", "indptr"))
        case _ if hasattr(one, "code"):
            return list(one) == list(other)  # type: ignore[call-overload,no-any-return]  # vocabularies
        case _:
            return bool(one == other)


def test_growing_twice_gives_the_same_to_the_bit(base: Recommender) -> None:
    changes: dict[str, Json | None] = {"new": NEW, "p003": None, "p005": NEW, "p006": {"title": "Taste 2"}}
    first, second = (grown(base, ["a", "b"], changes) for _ in range(2))
    assert same(first, second)
    assert not same(first, grown(base, ["a", "b"], changes | {"p006": {"title": "Taste 1"}}))


def test_the_base_is_not_touched_and_large_arrays_are_shared(base: Recommender) -> None:
    before = listed(base, "similar_products", product_ids=("p004",))
    more = grown(base, ["a"], {"new": NEW, "p004": NEW})
    assert listed(base, "similar_products", product_ids=("p004",)) == before
    for name in ("transitions", "cooccurrence", "item_item", "text"):
        old, new = base.sources[name].table, more.sources[name].table  # type: ignore[attr-defined]  # neighbour sources
        assert old.nnz == 0 or np.shares_memory(old.indices, new.indices)
        assert old.nnz == 0 or np.shares_memory(old.data, new.data)
    assert more.histories is base.histories


def test_what_was_grown_is_not_written(base: Recommender, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="grown"):
        bundle.write(grown(base, ["a"], {}), tmp_path / "bundle", {})


def test_a_bundle_that_was_read_grows_as_what_was_written(base: Recommender, tmp_path: Path) -> None:
    bundle.write(base, tmp_path / "bundle", {})
    read, _ = bundle.read(tmp_path / "bundle")
    ours, theirs = (grown(model, ["a"], {"new": NEW, "p003": None}) for model in (base, read))
    for placement in ours.config.placements:
        for anchors in ((), ("new",), ("p004",)):
            assert listed(ours, placement, product_ids=anchors) == listed(theirs, placement, product_ids=anchors)


@pytest.mark.parametrize("changes", [{"p001": {"title": "Other words"}, "p002": None}, {"n": NEW}, {}])
def test_what_reads_alike_is_searched_for_once(base: Recommender, changes: dict[str, Json | None]) -> None:
    """Prices, stock and unheard-of products change no description: growing on from before gives the same."""
    before = grown(base, list(changes), changes)
    later = {**changes, "p004": {**of(base, "p004"), "price": 1.0, "availability": "out_of_stock"}}
    whole, like = grown(base, [*changes, "z"], later), grown(base, [*changes, "z"], later, like=before)
    for placement in ("similar_products", "you_may_also_like", "best_sellers"):
        for anchor in ("p001", "p004", "n"):
            assert listed(like, placement, 12, product_ids=(anchor,)) == listed(
                whole, placement, 12, product_ids=(anchor,)
            )
