from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import HOUR
from nba.arms import Arms
from nba.asked import Asked
from nba.config import NbaConfig
from nba.crowd import Crowd
from nba.decide import Decided, decide
from nba.settling import Settlement, decide_settled, settle, turns
from nba.spending import taken
from nba.values import Values
from tests.nba.simple_models import PriorModel, contacts_of, crowd_of, moment

AT = moment("2026-03-03 10:00")
CHANNELS = ("email", "sms", "web_push")
GREEDY, EXPLORING = Asked(explore=False), Asked()


@dataclass(frozen=True)
class Taste:
    """A prior model in which everybody's gains are multiplied by how much they view, and the channels by taste."""

    prior: PriorModel

    @property
    def arms(self) -> Arms:
        return self.prior.arms

    def values(self, crowd: Crowd) -> Values:
        same = self.prior.values(crowd)
        views = crowd.state[:, crowd.names.index("views_7d")]
        taste = 1 + np.sin(np.outer(views, np.arange(1, same.attend.shape[1] + 1)))
        return replace(same, gain=same.gain * views[:, None], attend=same.attend * taste)


def configured(budgets: dict[str, dict[str, object]], **policy: object) -> NbaConfig:
    actions = {
        "survey": {"value": 1.0, "channels": CHANNELS},
        "win_back": {"value": 2.0, "cost": 0.1, "channels": ("email", "sms")},
    }
    channels = {"email": {"cost": 0.01}, "sms": {"cost": 0.05}, "web_push": {}}
    return NbaConfig.of({"actions": actions, "channels": channels, "budgets": budgets, "policy": policy})


def people(n: int, seed: int = 0) -> Crowd:
    rng = np.random.default_rng(seed)
    reached = rng.random((n, len(CHANNELS))) < 0.8
    views = np.round(rng.gamma(1, 2, n), 3)
    return crowd_of([AT] * n, channels=CHANNELS, state={"views_7d": views.tolist()}, reachable=reached.tolist())


def chunks(crowd: Crowd, size: int) -> Iterator[Crowd]:
    for first in range(0, len(crowd), size):
        rows = slice(first, first + size)
        yield replace(
            crowd,
            ids=crowd.ids[rows],
            at=crowd.at[rows],
            state=crowd.state[rows],
            zones=crowd.zones[rows],
            consented=crowd.consented[rows],
            reachable=crowd.reachable[rows],
            contacts=crowd.contacts.part(first, min(first + size, len(crowd))),
        )


def batch(
    asked: Asked, crowd: Crowd, config: NbaConfig, size: int = 1_000_000
) -> tuple[Settlement, list[Decided], np.ndarray]:
    """The settlement, the decisions, and the arms of all."""
    model = Taste(PriorModel(config))
    settled = settle(asked, chunks(crowd, size), model, config)
    decided = list(decide_settled(asked, chunks(crowd, size), model, config, settled))
    return settled, decided, np.concatenate([part.chosen.arm for part in decided])


@pytest.mark.parametrize("asked", [GREEDY, EXPLORING])
def test_with_more_than_enough_everyone_gets_what_they_would_get_alone(asked: Asked) -> None:
    config = configured({"all": {"amount": 1e9, "over": "contacts"}, "money": {"amount": 1e9}})
    crowd = people(500)
    [settled, [together], _] = batch(asked, crowd, config)
    alone = decide(asked, crowd, Taste(PriorModel(config)), config)
    assert settled.plan.price.tolist() == [0, 0]
    for name in ("arm", "send_at", "propensity", "send_at_propensity", "incremental_value", "explored"):
        assert getattr(together.chosen, name).tolist() == getattr(alone.chosen, name).tolist(), name
    assert (alone.chosen.arm > 0).any()


def test_a_hundred_contacts_go_to_those_they_add_most_for() -> None:
    config = configured({"all": {"amount": 100, "over": "contacts"}})
    crowd = people(500)
    _, [decided], arm = batch(GREEDY, crowd, config)
    best = np.where(decided.weighed.open, decided.weighed.value, 0).max(axis=1)
    assert (arm > 0).sum() == 100
    assert best[arm > 0].min() >= best[arm == 0].max()
    assert decided.chosen.propensity.tolist() == [1.0] * 500


def test_where_a_rule_goes_before_the_values_what_it_prefers_is_shared_out() -> None:
    @dataclass(frozen=True)
    class Texts(Taste):
        """Texts to everybody: what one arm for all did best on a log."""

        def values(self, crowd: Crowd) -> Values:
            texts = [1.0 if self.arms.pair(arm) == ("survey", "sms") else -1.0 for arm in range(len(self.arms))]
            return replace(super().values(crowd), preference=np.tile(texts, (len(crowd), 1)))

    config = configured({"texts": {"amount": 9, "over": "contacts", "channels": ["sms"]}})
    model = Texts(PriorModel(config))
    alone = decide(GREEDY, people(100), model, config).chosen.arm
    assert [config.arms.pair(arm) for arm in np.unique(alone)] == [("hold", None), ("survey", "sms")]
    assert (alone > 0).sum() > 60, "everybody who is reached"
    settled = settle(GREEDY, [people(100)], model, config)
    assert [config.arms.pair(arm) for arm in np.unique(settled.plan.arm)] == [("hold", None), ("survey", "sms")]
    assert (settled.plan.arm > 0).sum() == 9


@pytest.mark.parametrize("asked", [GREEDY, EXPLORING])
def test_how_a_crowd_is_cut_into_chunks_changes_nothing(asked: Asked) -> None:
    budgets: dict[str, dict[str, object]] = {
        "sms": {"amount": 30, "over": "contacts", "channels": ["sms"], "exploration_share": 0.1},
        "money": {"amount": 9, "exploration_share": 0.2},
    }
    config = configured(budgets, exploration=0.3)
    crowd = people(400)
    whole, one, arm = batch(asked, crowd, config)
    pieces, many, again = batch(asked, crowd, config, size=33)
    assert whole.plan.arm.tolist() == pieces.plan.arm.tolist()
    assert arm.tolist() == again.tolist()
    told = np.concatenate([part.chosen.propensity for part in many])
    assert one[0].chosen.propensity.tolist() == told.tolist()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    amounts=st.tuples(st.floats(0, 8), st.integers(0, 40), st.integers(0, 80)),
    shares=st.tuples(*[st.sampled_from([0.0, 0.05, 0.3, 1.0])] * 3),
    exploration=st.sampled_from([0.0, 0.04, 0.5]),
)
def test_no_budget_is_ever_exceeded_and_chances_are_chances(
    seed: int, amounts: tuple[float, int, int], shares: tuple[float, float, float], exploration: float
) -> None:
    money, texts, overall = amounts
    config = configured(
        {
            "money": {"amount": money, "exploration_share": shares[0]},
            "texts": {"amount": texts, "over": "contacts", "channels": ["sms"], "exploration_share": shares[1]},
            "all": {"amount": overall, "over": "contacts", "exploration_share": shares[2]},
        },
        exploration=exploration,
        salt=str(seed),
    )
    settled, decided, arm = batch(EXPLORING, people(150, seed), config, size=60)
    chosen = [part.chosen for part in decided]
    explored = np.concatenate([part.explored for part in chosen])
    weight = settled.budgets.weight
    limits = np.array([money, texts, overall])
    almost = 1 + 1e-9
    assert (weight[:, arm].sum(axis=1) <= limits * almost).all()
    assert (weight[:, arm[explored]].sum(axis=1) <= settled.budgets.reserve * almost).all()
    assert (weight[:, arm[~explored]].sum(axis=1) <= settled.budgets.open * almost).all()
    for part in decided:
        rows = np.arange(len(part))
        assert part.weighed.open[rows, part.chosen.arm].all()
        assert ((part.chosen.propensity > 0) & (part.chosen.propensity <= 1)).all()


def test_chances_are_frequencies_over_many_salts_though_the_reserve_runs_out() -> None:
    """Of hold, and of the planned arm: both can always be chosen, so 1 / chance where they are chosen is 1 on average.

    Turns make a martingale of the sums: of 12,000 summands each, z beyond 4.5 has a chance below 1e-5.
    """
    crowd = people(100)
    sums = np.zeros(2)
    variance = np.zeros(2)
    closed = 0
    for salt in range(120):
        budgets: dict[str, dict[str, object]] = {"all": {"amount": 40, "over": "contacts", "exploration_share": 0.3}}
        config = configured(budgets, exploration=0.4, holdout=0.1, salt=str(salt))
        settled, [decided], arm = batch(EXPLORING, crowd, config)
        chance, plan = decided.chosen.propensity, settled.plan.arm
        closed += int(settled.budgets.weight[0, arm[decided.chosen.explored]].sum()) == 12
        for place, wanted in enumerate((np.zeros(100), plan)):
            weight = np.where(arm == wanted, 1 / chance, 0.0)
            sums[place] += (weight - 1).sum()
            # E[weight²] − 1, estimated without bias
            variance[place] += (weight**2 - 1).sum()
    assert closed > 60, "the reserve of 12 contacts runs out in most runs"
    assert (np.abs(sums) < 4.5 * np.sqrt(variance)).all()


def test_what_was_spent_today_is_gone() -> None:
    config = configured({"today": {"amount": 10, "over": "contacts"}, "run": {"amount": 7, "per": "run"}})
    crowd = people(50)
    rows: list[Sequence[tuple[int, str | None, str | None, bool]]] = [[] for _ in range(50)]
    rows[0] = [(AT - 2 * HOUR, "survey", "email", False), (AT - 40 * HOUR, "survey", "email", False)]
    rows[1] = [(AT + HOUR, "win_back", "sms", False), (AT - HOUR, None, "sms", False)]
    settled, _, arm = batch(GREEDY, replace(crowd, contacts=contacts_of(rows)), config, size=20)
    assert settled.budgets.limit.tolist() == [8, 7], "one this morning and one reserved; other tools' sends not"
    assert (arm > 0).sum() == 8
    told = settle(GREEDY, [crowd], Taste(PriorModel(config)), config, used=np.array([9.0, 99.0]))
    assert told.budgets.limit.tolist() == [1, 0]


def test_budgets_cover_channels_and_actions() -> None:
    config = configured(
        {
            "win_back": {"amount": 1, "actions": ["win_back"]},
            "texts": {"amount": 1, "over": "contacts", "channels": ["sms"]},
        }
    )
    arms = config.arms
    pairs = [arms.pair(arm) for arm in range(len(arms))]
    weight = taken(config, arms, config.contact_costs(arms))
    assert dict(zip(pairs, weight.T.round(6).tolist(), strict=True)) == {
        ("hold", None): [0, 0],
        ("survey", "email"): [0, 0],
        ("survey", "sms"): [0, 1],
        ("survey", "web_push"): [0, 0],
        ("win_back", "email"): [0.11, 0],
        ("win_back", "sms"): [0.15, 1],
    }


def test_without_customers_and_without_budgets_nothing_goes_wrong() -> None:
    config = configured({})
    settled = settle(EXPLORING, [], Taste(PriorModel(config)), config)
    assert len(settled.plan.arm) == 0
    _, [decided], _ = batch(EXPLORING, people(30), config)
    assert (
        decided.chosen.arm.tolist()
        == decide(EXPLORING, people(30), Taste(PriorModel(config)), config).chosen.arm.tolist()
    )


def test_turns_are_the_same_whatever_the_order_of_customers_and_others_in_another_window() -> None:
    policy = configured({}).policy
    ids = [f"c{number}" for number in range(50)]
    order = turns(policy, ids, AT)
    assert sorted(order.tolist()) == list(range(50))
    backwards = turns(policy, ids[::-1], AT)
    assert [ids[place] for place in order] == [ids[::-1][place] for place in backwards]
    assert turns(policy, ids, AT + 24 * HOUR).tolist() != order.tolist()
    assert order.tolist() != list(range(50))
