"""Stated propensities are the frequencies of the policy, exactly, and the draw is a function of its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from features.config import ConfigError
from features.events import DAY
from recommender.answering import Answerer
from recommender.answers import Block, BlockRequest, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from recommender.exploration import ExplorationConfig, Swap, arrangement, draws, propensities
from recommender.explored import explored
from recommender.picks import Pick
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


# New products


def every_list(
    picks: list[Pick], own: int, count: int, config: ExplorationConfig, new: int
) -> list[tuple[float, list[Pick]]]:
    """Every list that the policy shows, with its probability: the first draw by what it decides, the other in 60ths."""
    codes = 100 + np.arange(new, dtype=np.int32)
    found = []
    for probability, first in (
        (config.share, 0.0),
        (config.new_share, config.share + config.new_share / 2),
        (1 - config.share - config.new_share, 1 - 1e-9),
    ):
        for cell in range(60 if probability else 0):
            chances = (first, cell / 60 + 1e-3)
            found.append((probability / 60, explored(picks, own, count, config, codes, chances.__getitem__)))
    return found


@given(
    swap=st.sampled_from(SWAPS[:2]),  # one draw decides; any number of choices here divides sixty
    pinned=st.lists(st.booleans(), min_size=1, max_size=4),
    below=st.integers(0, 1),
    filled=st.integers(0, 2),
    new=st.integers(0, 6),
    shares=st.sampled_from([(0.0, 0.25), (0.25, 0.125), (0.5, 0.5), (0.25, 0.0), (0.0, 1.0)]),
)
def test_every_product_stands_at_every_rank_as_often_as_is_stated(
    swap: Swap, pinned: list[bool], below: int, filled: int, new: int, shares: tuple[float, float]
) -> None:
    reached = 0 if filled else below  # what has products behind it needs nothing to fill it up
    sources = ["pin" if pin else "als" for pin in pinned] + ["als"] * reached + ["best_sellers"] * filled
    picks = [Pick(code, 1.0, source) for code, source in enumerate(sources)]
    own, count = len(pinned) + reached, len(pinned) + filled
    config = ExplorationConfig(share=shares[0], swap=swap, reach=below, new_share=shares[1])

    lists = every_list(picks, own, count, config, new)
    often: dict[tuple[int, int], float] = {}
    stated: dict[tuple[int, int], float] = {}
    for probability, shown in lists:
        assert len({pick.code for pick in shown}) == len(shown) == count
        for rank, pick in enumerate(shown):
            often[rank, pick.code] = often.get((rank, pick.code), 0) + probability
            assert stated.setdefault((rank, pick.code), pick.propensity) == pick.propensity
    assert stated == pytest.approx(often, abs=1e-9)
    for rank in range(count):
        assert sum(chance for (at, _), chance in stated.items() if at == rank) == pytest.approx(1)
    free = [rank for rank in range(count) if sources[rank] != "pin"]
    tried = {(rank, code) for rank, code in stated if code >= 100}
    assert tried == ({(free[-1], 100 + one) for one in range(new)} if shares[1] and free else set())


def test_trading_places_and_new_products_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"exploration: share and new_share"):
        RecommenderConfig.default({"placements": {"trending": {"exploration": {"share": 0.6, "new_share": 0.5}}}})


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


@pytest.fixture(scope="module")
def newcomer_shop() -> Callable[..., Answerer]:
    """Nine products that people know, and behind them products that came yesterday, are coming, or are seen no more."""
    events = [("purchase", day, f"c{day % 20}", f"p{day % 9}") for day in range(100)]
    events += [("view", 99, "c1", "seen-first"), ("purchase", 1, "c2", "old"), ("purchase", 99, "c3", "had")]
    names = [*(f"p{number}" for number in range(9)), *(f"new-{letter}" for letter in "abcdef")]
    names += ["seen-first", "old", "had", "sold-out", "coming", "elsewhere", "reissued"]
    dates = {"coming": logs.START + pd.Timedelta(days=101), "reissued": logs.START + pd.Timedelta(days=90)}
    products = pd.DataFrame(
        {
            "product_id": names,
            "price": 5.0,
            "category": ["Away" if name == "elsewhere" else "Here" for name in names],
            "availability": ["out_of_stock" if name == "sold-out" else "in_stock" for name in names],
            "available_from": pd.Series([dates.get(name) for name in names], dtype="datetime64[us, UTC]"),
            "item_group_id": ["twins" if name in ("new-e", "new-f") else None for name in names],
        }
    )
    log, catalogue = logs.log_of([*events, ("purchase", 2, "c4", "reissued")], products)

    def made(*rules: Rule, **exploration: object) -> Answerer:
        exploring = {"exploration": {"new_days": 14, **exploration}, "leave_out_bought": True}
        config = RecommenderConfig.default({"placements": {"best_sellers": exploring, "trending": exploring}})
        names = {"best_sellers", "trending", "new_arrivals"}
        return Answerer(fit(log, catalogue, config, at=logs.end_of(log), placements=names), Rules(rules, catalogue))

    return made


def tried(answerer: Answerer, request: BlockRequest, shopper: Shopper, n: int = 300) -> set[str]:
    blocks = [answerer.answer(shopper, [request], answerer.recommender.at, draw=f"{number}")[0] for number in range(n)]
    return {item.id for block in blocks for item in block.items if item.source == "exploration"}


def test_new_products_get_the_last_place_if_the_list_could_hold_them(newcomer_shop: Callable[..., Answerer]) -> None:
    answerer = newcomer_shop(new_share=0.9)
    request, c3 = BlockRequest("best_sellers", 4), Shopper("c3")
    everyone = {"new-a", "new-b", "new-c", "new-d", "new-e", "seen-first", "reissued", "elsewhere"}
    assert tried(answerer, request, Shopper()) == everyone | {"had"}
    assert tried(answerer, request, c3) == everyone
    assert tried(answerer, BlockRequest("best_sellers", 4, category="Here"), c3) == everyone - {"elsewhere"}
    wished = BlockRequest("best_sellers", 4, filter="product_id != 'new-b'", exclude=("new-a",))
    assert tried(answerer, wished, c3) == everyone - {"new-a", "new-b"}
    shown = BlockRequest("best_sellers", 4, ("new-f",))
    assert tried(answerer, shown, c3) == everyone - {"new-e"}
    rules = Rule(action="exclude", product_ids=("new-c",)), Rule(action="bury", product_ids=("new-d",))
    assert tried(newcomer_shop(*rules, new_share=0.9), request, c3) == everyone - {"new-c", "new-d"}
    assert tried(newcomer_shop(new_share=0.9, new_days=5), request, c3) == everyone - {"reissued"}


def test_new_products_come_as_often_as_stated(newcomer_shop: Callable[..., Answerer]) -> None:
    answerer, n = newcomer_shop(share=0.2, swap="adjacent", new_share=0.3), 4_000
    seen, stated = Counter[str](), {}
    for number in range(n):
        [block] = asked(answerer, f"{number}", BlockRequest("best_sellers", 4))
        last = block.items[-1]
        seen[last.id] += 1
        stated[last.id] = last.propensity
        if last.source == "exploration":
            assert (last.rank, last.score, last.fallback_level, last.reasons) == (4, 0.0, 0, [{"code": "new"}])
    assert sum(stated.values()) == pytest.approx(1)
    distance = sum((seen[name] - n * chance) ** 2 / (n * chance) for name, chance in stated.items())
    assert distance < chi2.isf(1e-5, len(stated) - 1)
    [still] = asked(answerer, "", BlockRequest("best_sellers", 4))
    assert [item.propensity for item in still.items] == pytest.approx(
        [1 - 0.2 / 3, 1 - 0.4 / 3, 1 - 0.4 / 3, 0.7 - 0.2 / 3]
    )
    assert asked(answerer, "7", BlockRequest("best_sellers", 4)) == asked(
        answerer, "7", BlockRequest("best_sellers", 4)
    )


def test_lists_of_one_request_share_new_products_out(newcomer_shop: Callable[..., Answerer]) -> None:
    answerer = newcomer_shop(new_share=0.9)
    requests = BlockRequest("best_sellers", 3), BlockRequest("trending", 3), BlockRequest("new_arrivals", 2)

    def shares(day: int) -> list[set[str]]:
        found: list[set[str]] = [set(), set(), set()]
        for number in range(200):
            blocks = answerer.answer(Shopper(), list(requests), answerer.recommender.at + day * DAY, draw=f"{number}")
            names = [name for block in blocks for name in ids(block)]
            assert len(names) == len(set(names))
            for place, block in enumerate(blocks):
                found[place] |= {item.id for item in block.items if item.source == "exploration"}
        return found

    today, tomorrow = shares(0), shares(1)
    assert today[2] == set()
    assert (tomorrow[0], tomorrow[1]) == (today[1], today[0])
    assert len(today[0] | today[1]) == len(today[0]) + len(today[1]) > 5


def test_other_lists_do_not_depend_on_what_is_tried(newcomer_shop: Callable[..., Answerer]) -> None:
    answerer = newcomer_shop(new_share=0.5)
    requests = BlockRequest("best_sellers", 3), BlockRequest("new_arrivals", 4)
    found = [asked(answerer, f"{number}", *requests) for number in range(60)]
    assert len({tuple(ids(first)) for first, _ in found}) > 2
    assert len({tuple(ids(second)) for _, second in found}) == 1
    plain = asked(newcomer_shop(), "", *requests)
    assert [ids(block) for block in asked(answerer, "", *requests)] == [ids(block) for block in plain]
