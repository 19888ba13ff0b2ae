"""What is bought once is not pushed again, and what runs out comes back when it is due."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.config import ConfigError
from features.events import DAY
from recommender import bundle
from recommender.answering import Answerer
from recommender.answers import BlockRequest, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from recommender.grown import grown
from recommender.rules import Rules
from recommender.sources.repurchase import RepurchaseSource
from tests import logs

MATTRESSES = [f"mattress-{letter}" for letter in "abcd"]
SHAMPOOS = ["shampoo-a", "shampoo-b"]
SWEETS = [f"sweet-{letter}" for letter in "abcdef"]
LAST = 200  # the day on which the log ends


def bedroom_shop(placement: dict[str, object]) -> Recommender:
    """Everybody buys one mattress, their shampoo every 30 days, give or take 4, and sweets every week, in turn.

    Three people bought a lamp. Customer ``c07`` bought ``mattress-d`` on day 107 and the last ``shampoo-b`` on day 187.
    """
    rows: list[tuple[str, float, str, str]] = []
    for number in range(60):
        name = f"c{number:02}"
        rows.append(("purchase", 100 + number, name, MATTRESSES[number % 4]))
        rows += [
            ("purchase", day + (number + day) % 9 - 4, name, SHAMPOOS[number % 2])
            for day in range(4 + number % 30, LAST, 30)
        ]
        rows += [("purchase", day, name, SWEETS[(number + day // 7) % 6]) for day in range(number % 7, LAST, 7)]
    rows += [("purchase", 150, name, "lamp") for name in ("x", "y", "z")]
    names = [*MATTRESSES, *SHAMPOOS, *SWEETS, "lamp"]
    kinds = ["Beds > Mattresses"] * 4 + ["Bath"] * 2 + ["Food > Sweets"] * 6 + ["Lights"]
    log, catalogue = logs.log_of(rows, pd.DataFrame({"product_id": names, "category": kinds}))
    config = RecommenderConfig.default({"placements": {"best_sellers": placement}})
    return fit(log, catalogue, config, at=logs.day(LAST), placements={"best_sellers"})


@pytest.fixture(scope="module")
def careful() -> Recommender:
    return bedroom_shop({"leave_out_bought": "until_due", "category_restraint": True})


def listed(model: Recommender, customer: str, day: float, count: int = 13) -> list[str]:
    answerer = Answerer(model, Rules((), model.catalogue))
    [block] = answerer.answer(Shopper(customer), [BlockRequest("best_sellers", count)], logs.day(day))
    return [item.id for item in block.items if item.fallback_level == 0]


def test_what_runs_out_comes_back_when_it_is_due(careful: Recommender) -> None:
    on = {days: listed(careful, "c07", 187 + days) for days in (3, 20, 32, 300)}
    assert "shampoo-b" not in on[3]
    assert "shampoo-b" not in on[20]
    assert "shampoo-b" in on[32]
    assert "shampoo-b" in on[300]


def test_what_is_bought_once_never_comes_back(careful: Recommender) -> None:
    for day in (108, 150, 200, 1000):
        assert "mattress-d" not in listed(careful, "c07", day)


def test_after_a_mattress_other_mattresses_sink() -> None:
    plain, careful = (
        bedroom_shop({"leave_out_bought": True, "category_restraint": restraint}) for restraint in (False, True)
    )
    mattresses = {*MATTRESSES} - {"mattress-d"}
    assert listed(plain, "c07", 110)[-1] == "lamp"
    for day in (107.1, 110, 150, 900):
        found = listed(careful, "c07", day)
        assert set(found) == {*mattresses, "shampoo-a", "lamp"}
        assert found.index("lamp") < min(found.index(name) for name in mattresses)
    for other, day in (("nobody", 110), ("x", 170)):
        assert listed(careful, other, day) == listed(plain, other, day)


def test_settings_that_are_off_change_nothing() -> None:
    off = bedroom_shop({"leave_out_bought": True, "category_restraint": False})
    assert "repurchase" not in off.sources
    assert not {"mattress-d", *SHAMPOOS[1:], *SWEETS} & set(listed(off, "c07", 199))


def rhythms(model: Recommender) -> RepurchaseSource:
    source = model.sources["repurchase"]
    assert isinstance(source, RepurchaseSource)
    return source


@given(person=st.integers(0, 59), day=st.floats(0, 1000))
def test_restraint_is_a_share_and_only_where_something_was_bought(
    careful: Recommender, person: int, day: float
) -> None:
    at, everything = logs.day(day), np.arange(13, dtype=np.int32)
    history = careful.history(person, at)
    kept = rhythms(careful).restraint(history, at, everything)
    assert ((kept > 0) & (kept <= 1)).all()
    bought = np.isin(everything, history.bought.product)
    category = careful.catalogue.text("category").codes
    touched = np.isin(category, category[bought])
    assert (kept[bought | ~touched] == 1).all()
    assert set(rhythms(careful).resting(history, at).tolist()) <= set(everything[bought].tolist())


def test_restraint_is_what_the_category_is_to_the_usual_one(careful: Recommender) -> None:
    at = logs.day(199)
    history = careful.history(careful.people.code("c07"), at)
    mattress, shampoo = (careful.catalogue.ids.codes([name]) for name in ("mattress-a", "shampoo-a"))
    source = rhythms(careful)
    assert source.restraint(history, at, mattress)[0] < 0.05
    assert source.restraint(history, at, shampoo)[0] < 0.8  # twelve days after another shampoo
    assert source.restraint(history, at + 20 * DAY, shampoo)[0] == 1


def test_new_products_sink_with_their_category(careful: Recommender) -> None:
    changes = {"mattress-e": {"category": "Beds > Mattresses"}, "axe": {"category": "A new one"}, "x": {"title": "X"}}
    more = grown(careful, [], changes)
    at = logs.day(199)
    history = more.history(more.people.code("c07"), at)
    kept = rhythms(more).restraint(history, at, more.catalogue.ids.codes(["mattress-a", "mattress-e", "axe", "x"]))
    assert kept[1] == kept[0] < 0.05
    assert kept[2:].tolist() == [1, 1]


def test_a_shop_without_categories_has_nothing_to_hold_back() -> None:
    log, catalogue = logs.log_of([("purchase", day, "a", f"p{day % 3}") for day in range(9)])
    config = RecommenderConfig.default({"placements": {"best_sellers": {"category_restraint": True}}})
    model = fit(log, catalogue, config, at=logs.end_of(log), placements={"best_sellers"})
    assert (
        rhythms(model).restraint(model.history(0, model.at), model.at, np.arange(3, dtype=np.int32)).tolist() == [1] * 3
    )


def test_a_bundle_keeps_it(careful: Recommender, tmp_path: Path) -> None:
    bundle.write(careful, tmp_path / "bundle", {})
    again, _ = bundle.read(tmp_path / "bundle")
    assert listed(again, "c07", 199) == listed(careful, "c07", 199)


def test_it_needs_the_source_that_knows_when() -> None:
    default = RecommenderConfig.default().model_dump(mode="json")
    for setting in ({"leave_out_bought": "until_due"}, {"category_restraint": True}):
        changes = {"placements": {"best_sellers": setting}}
        assert RecommenderConfig.default(changes).placements["best_sellers"].needs_rhythms
        without = {**default, "sources": {k: v for k, v in default["sources"].items() if k != "repurchase"}}
        shown = {**default["placements"]["best_sellers"], **setting}
        without["placements"] = {"best_sellers": shown}
        with pytest.raises(ConfigError, match="source named repurchase"):
            RecommenderConfig.of({**without, "rankers": {}})
        groups = {"placements": {"similar_categories": setting}}
        with pytest.raises(ConfigError, match=r"placements.similar_categories"):
            RecommenderConfig.default(groups)
