"""What must not matter does not: the order of rows, the names of things, the future, and asking twice."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.events import EventLog
from recommender import engine
from recommender.answers import BlockRequest, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import Recommender
from tests.journeys.busy_shop import START, Tables, busy_shop
from training.evaluate import evaluate_recommender, make_split
from training.judgements import JUDGEMENTS
from training.listing import make_lists

CONFIG = RecommenderConfig.default()
LISTABLE = [name for name, placement in CONFIG.placements.items() if placement.of == "products"]
CUT = START + pd.Timedelta(days=60)


@pytest.fixture(scope="module")
def shop() -> Tables:
    return busy_shop()


def microseconds(moment: pd.Timestamp) -> int:
    return int(moment.value // 1000)


def fitted(tables: Tables) -> tuple[Recommender, EventLog, int]:
    """A recommender that learned everything, from what, and the moment after it."""
    log, catalogue = tables.encoded()
    end = int(log.known.max()) + 1
    known = log.known_before(end)
    return engine.fit(known, catalogue, CONFIG, at=end), known, end


def everything_told(tables: Tables) -> dict[str, Any]:
    """Lists of every placement and answers to some shoppers and pages, by names."""
    model, known, end = fitted(tables)
    told: dict[str, Any] = {
        name: make_lists(model, known, placement=name, count=8, end=end).to_dict("list") for name in LISTABLE
    }
    people, products = sorted(known.people)[::40], sorted(known.products)[:3]
    for person in people:
        for name in CONFIG.placements:
            request = BlockRequest(name, count=6, product_ids=tuple(products[:1]) if name.startswith("freq") else ())
            told[f"{name} for {person}"] = model.answer(Shopper(person, person), [request], end, explain=True)
    return told


def metrics(tables: Tables, split: str) -> dict[str, Any]:
    """What an evaluation finds, without how long it took."""
    log, catalogue = tables.encoded()
    found = evaluate_recommender(log, catalogue, CONFIG, split)
    return {key: value for key, value in found.items() if not key.endswith("_seconds")}


def names_for(tables: Tables, rng: np.random.Generator | None) -> dict[str, str]:
    """A new name for every id: in the order of the old ones, or at random."""
    ids = sorted(tables.ids())
    places = np.arange(len(ids)) if rng is None else rng.permutation(len(ids))
    return {old: f"né/{place:06} 💄" for old, place in zip(ids, places, strict=True)}


def with_names(value: Any, names: dict[str, str]) -> Any:
    """The same with every id in it replaced."""
    match value:
        case str():
            who, _, person = value.partition(" for ")
            return f"{who} for {names[person]}" if person in names else names.get(value, value)
        case dict():
            return {with_names(key, names): with_names(part, names) for key, part in value.items()}
        case list() | tuple():
            return type(value)(with_names(part, names) for part in value)
        case _ if hasattr(value, "__dataclass_fields__"):
            return type(value)(*(with_names(getattr(value, field.name), names) for field in fields(value)))
        case _:
            return value


@pytest.mark.parametrize("seed", [1, 2])
def test_shuffled_tables_give_the_same_lists_and_answers(shop: Tables, seed: int) -> None:
    assert everything_told(shop.shuffled(np.random.default_rng(seed))) == everything_told(shop)


@pytest.mark.parametrize("split", JUDGEMENTS)
def test_shuffled_tables_give_the_same_metrics(shop: Tables, split: str) -> None:
    assert metrics(shop.shuffled(np.random.default_rng(3)), split) == metrics(shop, split)


def test_names_in_the_same_order_change_nothing_but_names(shop: Tables) -> None:
    names = names_for(shop, None)
    renamed = shop.renamed(names)
    assert everything_told(renamed) == with_names(everything_told(shop), names)
    assert metrics(renamed, "temporal") == metrics(shop, "temporal")


@pytest.mark.parametrize("seed", [1, 2])
def test_any_names_leave_the_metrics_as_they_are(seed: int) -> None:
    # What happens at one moment goes by id, so here nothing does: which of two purchases is the last must not change.
    shop = busy_shop(apart=1)
    renamed = shop.renamed(names_for(shop, np.random.default_rng(seed)))
    one, two = (metrics(tables, "leave-one-out")["metrics"] for tables in (shop, renamed))
    assert one["hr@10"] > 0.5
    # Ranks of equal scores go by id, and trees may then split elsewhere.
    assert two == pytest.approx(one, abs=0.005)


def test_scoring_twice_is_equal(shop: Tables) -> None:
    assert everything_told(shop) == everything_told(shop)
    assert metrics(shop, "basket") == metrics(shop, "basket")


# The future


def lists_at_the_cut(tables: Tables, placement: str = "recommended_for_you") -> dict[str, list[tuple[str, float]]]:
    """Lists of the customers that the temporal split asks about, as they would have been made at `CUT`, by names."""
    log, catalogue = tables.encoded()
    split = make_split(log, catalogue, "temporal", at=microseconds(CUT))
    model = engine.fit(split.fit_log, catalogue, CONFIG, at=split.fit_at, placements={placement})
    lists = model.lists(placement, split.questions.queries(), 20, exclude=split.questions.exclude)
    return {
        log.people[int(person)]: [
            (log.products[int(code)], float(score)) for code, score in zip(codes, scores, strict=True) if code >= 0
        ]
        for person, codes, scores in zip(split.person, lists.product, lists.score, strict=True)
    }


def events_at(moments: pd.Series[Any], **columns: Any) -> pd.DataFrame:
    """Events with these columns, known when they happen unless said otherwise."""
    return pd.DataFrame({"timestamp": moments, "known_at": moments, **columns})


def after_the_cut(shop: Tables) -> pd.DataFrame:
    """What would change a lot, after everything else: everybody buys the least popular product, and a new one."""
    customers = sorted(shop.events["customer_id"].dropna().unique())
    rare = shop.events["product_id"].value_counts().index[-1]
    moments = pd.Series(CUT + pd.to_timedelta(np.arange(len(customers)), unit="min"))
    return pd.concat(
        [
            events_at(moments + pd.Timedelta(days=31), event="purchase", customer_id=customers, product_id=product)
            for product in (rare, "never-seen-before")
        ]
    )


def test_what_comes_after_the_cut_changes_no_list_made_at_it(shop: Tables) -> None:
    before = lists_at_the_cut(shop)
    after = lists_at_the_cut(shop.with_events(after_the_cut(shop)))
    assert len(before) > 100
    assert {person: after[person] for person in before} == before


def test_what_comes_later_changes_no_metric_where_the_targets_stay(shop: Tables) -> None:
    log, catalogue = shop.encoded()
    targets = set(make_split(log, catalogue, "temporal", at=microseconds(CUT)).person.tolist())
    asked = {log.people[person] for person in targets}
    more = after_the_cut(shop)
    longer = shop.with_events(more[more["customer_id"].isin(asked) & (more["product_id"] != "never-seen-before")])
    one, two = (
        evaluate_recommender(*tables.encoded(), CONFIG, "temporal", at=microseconds(CUT)) for tables in (shop, longer)
    )
    assert one["metrics"] == two["metrics"]
    assert one["baselines"] == two["baselines"]


def test_late_news_is_not_used_before_it_is_known(shop: Tables) -> None:
    customers = sorted(shop.events["customer_id"].dropna().unique())
    rare = shop.events["product_id"].value_counts().index[-1]
    moments = pd.Series(CUT - pd.to_timedelta(np.arange(1, len(customers) + 1) * 11, unit="min"))
    news = events_at(moments, event="purchase", customer_id=customers, product_id=rare)
    before, told_in_time = lists_at_the_cut(shop), lists_at_the_cut(shop.with_events(news))
    told_late = lists_at_the_cut(shop.with_events(news.assign(known_at=CUT + pd.Timedelta(days=1))))
    same = told_late.keys() & before.keys()  # who buys it only by that news has no target any more
    assert len(same) > 100
    assert {person: told_late[person] for person in same} == {person: before[person] for person in same}
    assert any(told_in_time[person] != before[person] for person in told_in_time.keys() & same)


def test_a_purchase_counts_until_its_refund_is_known(shop: Tables) -> None:
    bought = shop.events["event"] == "purchase"
    early = shop.events[bought & (shop.events["known_at"] < CUT - pd.Timedelta(days=20))]
    line = early.sort_values(["timestamp", "product_id"]).iloc[:200]
    refund = line.assign(event="refund", quantity=np.nan)
    late = refund.assign(timestamp=CUT - pd.Timedelta(days=1), known_at=CUT + pd.Timedelta(days=1))
    in_time = late.assign(known_at=CUT - pd.Timedelta(hours=1))
    before = lists_at_the_cut(shop)
    unknown, known = (lists_at_the_cut(shop.with_events(refunds)) for refunds in (late, in_time))
    same = before.keys() & unknown.keys() & known.keys()
    assert len(same) > 100
    assert {person: unknown[person] for person in same} == {person: before[person] for person in same}
    assert any(known[person] != before[person] for person in same)
