"""Stated propensities are the frequencies of the policy, exactly, and the draw is a function of its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import chi2

from recommender.answering import Answerer
from recommender.answers import Block, BlockRequest, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from recommender.exploration import ExplorationConfig, Swap, arrangement, draws, propensities
from recommender.rules import Rule, Rules
from tests import logs, shops

SWAPS: list[Swap] = ["pair", "adjacent", "shuffle"]
SHAPES = [(1, 0), (1, 1), (2, 0), (3, 0), (3, 1), (3, 2), (2, 3), (4, 1)]


def every_draw(swap: Swap, shown: int, below: int) -> list[tuple[Fraction, list[int]]]:
    """Every arrangement that the policy draws if it explores, with its probability, by walking all of its choices."""
    found: list[tuple[Fraction, list[int]]] = []
    config = ExplorationConfig(share=1, swap=swap, reach=below)

    def choices(place: int) -> int:
        slots = shown + below
        pairs = [(i, j) for i in range(slots) for j in range(i + 1, slots) if i < shown]
        neighbours = [(i, i + 1) for i in range(slots - 1) if i < shown]
        return {"pair": len(pairs), "adjacent": len(neighbours), "shuffle": slots - (place - 1)}[swap]

    def walk(chosen: list[float], probability: Fraction) -> None:
        asked: list[int] = []

        def draw(place: int) -> float:
            if place == 0:
                return 0.0
            if place - 1 < len(chosen):
                return chosen[place - 1]
            asked.append(place)
            return 0.0

        arranged = arrangement(config, shown, below, draw)
        if not asked:
            found.append((probability, arranged))
            return
        n = choices(asked[0])
        for choice in range(n):
            walk([*chosen, (choice + 0.5) / n], probability / n)

    walk([], Fraction(1))
    return found


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize(("shown", "below"), SHAPES)
@pytest.mark.parametrize("share", [Fraction(1, 4), Fraction(1)])
def test_propensities_are_the_sums_over_all_draws(swap: Swap, shown: int, below: int, share: Fraction) -> None:
    exact: Counter[tuple[int, int]] = Counter()  # (slot, place) -> probability
    for place in range(shown):
        exact[place, place] += 1 - share  # type: ignore[assignment]  # a Counter of fractions
    everything = every_draw(swap, shown, below)
    assert sum(probability for probability, _ in everything) == 1
    for probability, arranged in everything:
        assert len(set(arranged)) == shown
        for place, slot in enumerate(arranged):
            exact[slot, place] += share * probability  # type: ignore[assignment]
    config = ExplorationConfig(share=float(share), swap=swap, reach=below)
    for _, arranged in [(Fraction(0), list(range(shown))), *everything]:
        stated = propensities(config, shown, below, arranged)
        assert stated == pytest.approx([float(exact[slot, place]) for place, slot in enumerate(arranged)], abs=1e-12)


def test_of_one_product_there_is_one_order() -> None:
    config = ExplorationConfig(share=1, swap="shuffle")
    assert arrangement(config, 1, 0, draws("d", 0)) == [0]
    assert propensities(config, 1, 0, [0]) == [1.0]
    assert arrangement(config, 0, 3, draws("d", 0)) == propensities(config, 0, 3, []) == []


@pytest.mark.parametrize("swap", SWAPS)
def test_hashed_draws_are_as_frequent_as_stated(swap: Swap) -> None:
    config, shown, below, n = ExplorationConfig(share=0.4, swap=swap, reach=2), 3, 2, 20_000
    seen = np.zeros((shown, shown + below))
    stated = np.zeros((shown, shown + below))
    for number in range(n):
        arranged = arrangement(config, shown, below, draws(f"decision-{number}", 1))
        for place, (slot, propensity) in enumerate(
            zip(arranged, propensities(config, shown, below, arranged), strict=True)
        ):
            seen[place, slot] += 1
            stated[place, slot] = propensity
    for place in range(shown):
        possible = stated[place] > 0
        assert stated[place].sum() == pytest.approx(1)  # every product that may stand here was seen here
        expected = n * stated[place][possible]
        distance = float(((seen[place][possible] - expected) ** 2 / expected).sum())
        assert distance < chi2.isf(1e-5, possible.sum() - 1)


def test_a_draw_is_named() -> None:
    one, same, other, elsewhere = (draws(*name) for name in (("a", 0), ("a", 0), ("b", 0), ("a", 1)))
    assert one(3) == same(3)
    assert len({one(3), one(4), other(3), elsewhere(3)}) == 4
    assert all(0 <= one(place) < 1 for place in range(100))


# In answers


@pytest.fixture(scope="module")
def explorer() -> Callable[..., Answerer]:
    events, products = shops.planted_tastes()
    log, catalogue = logs.encoded(events, products)

    def made(*rules: Rule, **exploration: object) -> Answerer:
        exploring = {"exploration": exploration}
        changes = {"placements": {"best_sellers": exploring, "trending": exploring, "similar_categories": exploring}}
        config = RecommenderConfig.default(changes)
        model = fit(log, catalogue, config, at=logs.end_of(log), placements={*changes["placements"], "new_arrivals"})
        return Answerer(model, Rules(rules, catalogue))

    return made


def asked(answerer: Answerer, draw: str, *requests: BlockRequest) -> list[Block]:
    model: Recommender = answerer.recommender
    return answerer.answer(Shopper(), list(requests), model.at, draw=draw)


def ids(block: Block) -> list[str]:
    return [item.id for item in block.items]


def test_without_a_draw_the_list_stands_with_the_propensities_of_the_policy(explorer: Callable[..., Answerer]) -> None:
    request = BlockRequest("best_sellers", 4)
    [plain] = asked(explorer(), "", request)
    [still] = asked(explorer(share=0.5, swap="adjacent"), "", request)
    assert ids(still) == ids(plain)
    assert [item.propensity for item in plain.items] == [1.0] * 4
    assert [item.propensity for item in still.items] == pytest.approx([1 - 0.5 / 3, 1 - 1 / 3, 1 - 1 / 3, 1 - 0.5 / 3])


def test_products_from_below_come_in_and_no_more_than_reach(explorer: Callable[..., Answerer]) -> None:
    answerer, request = explorer(share=1, swap="shuffle", reach=2), BlockRequest("best_sellers", 4)
    [longer] = asked(explorer(), "", BlockRequest("best_sellers", 6))
    seen = {one for number in range(200) for one in ids(asked(answerer, f"{number}", request)[0])}
    assert seen == set(ids(longer))
    [block] = asked(answerer, "x", request)
    assert [item.propensity for item in block.items] == pytest.approx([1 / 6] * 4)
    assert [item.rank for item in block.items] == [1, 2, 3, 4]
    assert block == asked(answerer, "x", request)[0]


def test_pins_stay(explorer: Callable[..., Answerer]) -> None:
    pin = Rule(action="pin", product_ids=("p020",), position=2)
    answerer = explorer(pin, share=1, swap="shuffle", reach=1)
    orders = set()
    for number in range(50):
        [block] = asked(answerer, f"{number}", BlockRequest("best_sellers", 4))
        assert (block.items[1].id, block.items[1].propensity) == ("p020", 1.0)
        assert [item.propensity for item in block.items if item.source != "pin"] == pytest.approx([1 / 4] * 3)
        orders.add(tuple(ids(block)))
    assert len(orders) > 10


def test_fallback_stays(explorer: Callable[..., Answerer]) -> None:
    answerer = explorer(share=1, swap="shuffle", reach=3)
    for number in range(20):
        [block] = asked(answerer, f"{number}", BlockRequest("trending", 24))
        levels = [item.fallback_level for item in block.items]
        assert levels == sorted(levels)
        assert levels[-1] > 0
        own = levels.count(0)
        assert [item.propensity for item in block.items] == pytest.approx([1 / own] * own + [1.0] * (24 - own))


def test_later_blocks_do_not_depend_on_the_draw(explorer: Callable[..., Answerer]) -> None:
    answerer = explorer(share=0.5, swap="shuffle", reach=3)
    requests = BlockRequest("best_sellers", 3), BlockRequest("new_arrivals", 8)
    found = [asked(answerer, f"{number}", *requests) for number in range(30)]
    assert len({tuple(ids(first)) for first, _ in found}) > 3
    assert len({tuple(ids(second)) for _, second in found}) == 1
    assert not {one for first, _ in found for one in ids(first)} & set(ids(found[0][1]))


def test_groups_do_not_explore(explorer: Callable[..., Answerer]) -> None:
    answerer = explorer(share=1, swap="shuffle")
    blocks = [asked(answerer, f"{number}", BlockRequest("similar_categories", 4))[0] for number in range(5)]
    assert all(block == blocks[0] for block in blocks)
    assert {item.propensity for item in blocks[0].items} == {1.0}
