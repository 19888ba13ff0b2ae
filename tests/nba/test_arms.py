from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nba.arms import HOLD, Arms, label, split_label

NAMES = st.text(st.characters(exclude_characters=":"), min_size=1, max_size=5)


def test_arms_by_hand() -> None:
    arms = Arms.of([("b", "sms"), ("a", None), ("b", "sms"), (HOLD, "sms"), ("b", "email")])
    assert [arms.pair(arm) for arm in range(len(arms))] == [(HOLD, None), ("b", "sms"), ("a", None), ("b", "email")]
    assert (arms.actions, arms.channels) == (("b", "a"), ("sms", "email"))
    assert arms.action.tolist() == [-1, 0, 1, 0]
    assert arms.channel.tolist() == [-1, 0, -1, 1]


def test_what_is_not_there_is_not_found() -> None:
    arms = Arms.of([("a", "email")])
    assert [arms.find("a", "email"), arms.find("a", None), arms.find("b", "email")] == [1, -1, -1]
    assert arms.find(HOLD, "email") == 0, "hold is found whatever channel it names"
    assert len(Arms.of([])) == 1


@given(st.lists(st.tuples(NAMES, st.none() | NAMES), max_size=10))
def test_every_arm_is_found_where_it_is(pairs: list[tuple[str, str | None]]) -> None:
    arms = Arms.of(pairs)
    assert {arms.pair(arm) for arm in range(1, len(arms))} == {pair for pair in pairs if pair[0] != HOLD}
    assert [arms.find(*arms.pair(arm)) for arm in range(len(arms))] == list(range(len(arms)))


@given(NAMES, st.none() | NAMES)
def test_labels_there_and_back(action: str, offer: str | None) -> None:
    assert split_label(label(action, offer)) == (action, offer)
