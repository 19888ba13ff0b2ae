from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import Flag, Number, Tags, Text, Time
from features.vocabulary import Vocabulary
from nba.crowd import Contacts, Crowd, rows_of, take
from tests.nba.simple_models import Contact, contacts_of, crowd_of
from tests.nba.worlds import START

PAST: list[list[Contact]] = [
    [(START - 3, "a", "email", True), (START - 1, "b", None, False)],
    [],
    [(START - 2, None, "sms", False)],
]


def three() -> Crowd:
    words = Vocabulary(["x", "y"])
    return crowd_of(
        [START, START + 1, START + 2],
        channels=["email", "sms"],
        state={"orders": [1.0, 2.0, 3.0]},
        attributes={
            "age": Number(np.array([20.0, np.nan, 40.0])),
            "vip": Flag(np.array([1, 0, -1], dtype=np.int8)),
            "city": Text(np.array([0, -1, 1], dtype=np.int32), words),
            "skin": Tags(np.array([0, 2, 2, 3]), np.array([0, 1, 1], dtype=np.int32), words),
            "born": Time(np.array([1, 2, 3])),
            "orders": Number(np.array([7.0, 7.0, 7.0])),
        },
        zones=["Europe/Berlin", None, "UTC"],
        consented=[[True, False], [False, False], [True, True]],
        contacts=contacts_of(PAST),
    )


def told(crowd: Crowd) -> list[tuple[object, ...]]:
    """Everything of each customer."""
    rows = []
    for row in range(len(crowd)):
        age, vip, city, skin, born = (
            take(crowd.attributes[name], np.array([row])) for name in list(crowd.attributes)[:5]
        )
        assert isinstance(age, Number)
        assert isinstance(vip, Flag)
        assert isinstance(city, Text)
        assert isinstance(skin, Tags)
        assert isinstance(born, Time)
        contacts = crowd.contacts
        mine = slice(contacts.start[row], contacts.start[row + 1])
        columns = (age.values, vip.values, city.codes, skin.codes, born.values, crowd.state[row], crowd.consented[row])
        sent = (contacts.time[mine], contacts.action[mine], contacts.channel[mine], contacts.answered[mine])
        rows.append((crowd.ids[row], crowd.zones[row], crowd.at[row], *(str(one) for one in (*columns, *sent))))
    return rows


@given(st.lists(st.integers(0, 2), max_size=6))
def test_some_rows_in_any_order_and_often(rows: list[int]) -> None:
    crowd = three()
    everything = told(crowd)
    assert told(rows_of(crowd, np.array(rows, dtype=np.int64))) == [everything[row] for row in rows]


def test_the_state_wins_over_attributes_of_its_names() -> None:
    orders = three().columns()["orders"]
    assert isinstance(orders, Number)
    assert orders.values.tolist() == [1, 2, 3]


class TestContacts:
    def test_owners(self) -> None:
        assert contacts_of(PAST).owner.tolist() == [0, 0, 2]
        assert Contacts.none(2).owner.tolist() == []

    def test_parts(self) -> None:
        contacts = contacts_of(PAST)
        part = contacts.part(1, 3)
        assert part.start.tolist() == [0, 0, 1]
        assert part.time.tolist() == [START - 2]
        assert len(contacts.part(1, 1).time) == 0
