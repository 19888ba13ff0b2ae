from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.people import identity_digest
from nba.arms import Arms
from nba.config import NbaConfig
from tests.training.decision_tables import dataset, day, log_of, message, messages, planted
from training.crowds import people_of
from training.decision_log import decision_log, empty_log
from training.forgetting import without_erased
from training.split import EvaluationError


class TestArms:
    def test_what_was_done_and_what_could_have_been(self, tmp_path: Path, compiled: Path) -> None:
        log = log_of(
            tmp_path,
            compiled,
            message(0, eligible=["letter@email", "survey@", "letter:ten@sms"]),
            message(1, action="hold", eligible=["hold@", "survey@"]),
            message(2, offer="ten", eligible=["letter@email"]),
        )
        pairs = [log.arms.pair(arm) for arm in range(len(log.arms))]
        assert set(pairs[1:]) == {("letter", "email"), ("survey", None), ("letter:ten", "sms"), ("letter:ten", "email")}
        assert [pairs[arm] for arm in log.arm] == [("letter", "email"), ("hold", None), ("letter:ten", "email")]
        could = [{pairs[arm] for arm in np.flatnonzero(row)} for row in log.eligible]
        hold, letter, survey = ("hold", None), ("letter", "email"), ("survey", None)
        assert could[0] == {hold, letter, survey, ("letter:ten", "sms")}
        assert could[1] == {hold, survey}
        assert could[2] == {hold, letter, ("letter:ten", "email")}, "what was done could be done"
        assert log.cell.tolist() == [10, -1, 10]

    def test_where_nothing_is_said_consent_says_it(self, tmp_path: Path, compiled: Path) -> None:
        customers = pd.DataFrame({"customer_id": ["anna", "bert"], "consents": [["email"], None]})
        log = log_of(
            tmp_path,
            compiled,
            message(0),
            message(1, channel="sms"),
            message(2, customer="bert"),
            message(3, customer="stranger"),
            customers=customers,
        )
        email, sms = log.arms.find("letter", "email"), log.arms.find("letter", "sms")
        assert log.eligible[:, [email, sms]].tolist() == [[True, False], [True, True], [True, False], [True, True]]

    def test_arms_of_a_configuration_come_on_top(self, tmp_path: Path, compiled: Path) -> None:
        data = dataset(tmp_path, messages=messages(message(0)))
        log = decision_log(data, more=[("letter", "email"), ("new", "ads"), ("new", None)], cache_folder=compiled)
        assert [log.arms.pair(arm) for arm in (1, 2, 3)] == [("letter", "email"), ("new", "ads"), ("new", None)]
        assert log.eligible.all()


class TestWhatCameOfIt:
    def test_within_seven_days_and_not_before_the_decision(self, tmp_path: Path, compiled: Path) -> None:
        log = log_of(
            tmp_path,
            compiled,
            *(
                message(number, at=20, decided_at=day(19), clicked_at=day(when), converted_at=day(when))
                for number, when in enumerate((18.9, 19.5, 20.1, 27.0, 27.1))
            ),
            message(9, action="hold", at=20, converted_at=day(27), visited_at=day(27.1)),
        )
        inside = [False, True, True, True, False]
        assert log.clicked.tolist() == [*inside, False]
        assert log.converted.tolist() == [*inside, True]
        assert not log.visited.any()

    def test_machines_do_not_open(self, tmp_path: Path, compiled: Path) -> None:
        log = log_of(
            tmp_path,
            compiled,
            message(0, opened_at=day(1), machine_opened=True),
            message(1, opened_at=day(1), machine_opened=None),
        )
        assert log.opened.tolist() == [False, True]

    def test_what_is_not_said_is_nothing_and_certain(self, tmp_path: Path, compiled: Path) -> None:
        log = log_of(tmp_path, compiled, message(0), message(1, propensity=None, value=None, cost=None))
        assert log.propensity.tolist() == log.hour_propensity.tolist() == [1, 1]
        assert log.value.tolist() == log.cost.tolist() == [0, 0]

    def test_value_less_cost_is_the_reward(self, tmp_path: Path, compiled: Path) -> None:
        log = log_of(tmp_path, compiled, message(0, value=5.0, cost=0.5, opened_at=day(0.1)))
        assert log.reward("value").tolist() == [4.5]
        assert log.reward("opened").tolist() == [1]
        assert log.reward("converted").tolist() == [0]

    def test_decisions_that_were_not_watched_to_the_end_are_left_out(self, tmp_path: Path, compiled: Path) -> None:
        rows = [
            message(0, observed_until=day(6.9)),
            message(1, observed_until=day(7)),
            message(2, observed_until=None),
            message(3, action="hold", observed_until=day(1)),
        ]
        assert len(log_of(tmp_path, compiled, *rows)) == 2
        with pytest.raises(EvaluationError, match="watched"):
            log_of(tmp_path / "none", compiled, rows[0])

    def test_a_cancelled_contact_stays_but_was_none(self, tmp_path: Path, compiled: Path) -> None:
        log = log_of(tmp_path, compiled, message(0, cancelled_at=day(0.1)), message(1, at=5))
        assert len(log) == 2
        assert len(log.crowd.contacts.time) == 0


class TestWhatWasKnown:
    def known(self, log_folder: Path, compiled: Path, events: pd.DataFrame, feature: str) -> float:
        log = log_of(log_folder, compiled, message(0, at=10), events=events)
        return float(log.crowd.state[0, log.crowd.names.index(feature)])

    def test_what_comes_later_or_is_told_later_is_not_known(self, tmp_path: Path, compiled: Path) -> None:
        events = pd.DataFrame(
            {
                "event": ["view"] * 4,
                "timestamp": [day(9), day(9.5), day(10), day(11)],
                "known_at": [day(9), day(10.5), day(10), day(11)],
                "customer_id": "anna",
                "product_id": "p",
            }
        )
        assert self.known(tmp_path, compiled, events, "views_ever") == 1

    def test_nothing_is_decided_after_it_was_done(self, tmp_path: Path, compiled: Path) -> None:
        """A row that says so would know what came of the contact."""
        rows = message(0, at=10, decided_at=day(12), clicked_at=day(11), opened_at=day(11))
        log = log_of(tmp_path, compiled, rows)
        assert log.crowd.at.tolist() == [day(10).value // 1_000]
        assert len(log.crowd.contacts.time) == 0
        assert log.clicked.tolist() == [True]
        assert np.isnan(log.crowd.state[0, log.crowd.names.index("since_email_answer")])

    def test_messages_before_it_are_contacts(self, tmp_path: Path, compiled: Path) -> None:
        log = log_of(
            tmp_path,
            compiled,
            message(0, at=1, clicked_at=day(1.5)),
            message(1, at=2, clicked_at=day(3.5), known_at=day(2)),
            message(2, at=2.5, known_at=day(5)),
            message(3, at=3),
        )
        contacts = log.crowd.contacts
        mine = slice(contacts.start[3], contacts.start[4])
        assert [(int(one) - day(0).value // 1_000) / 86_400_000_000 for one in contacts.time[mine]] == [1, 2]
        assert contacts.answered[mine].tolist() == [True, False], "answered later, and one is not known yet"


class TestRows:
    def test_their_order_means_nothing(self, tmp_path: Path, compiled: Path) -> None:
        tables = planted(n=200)
        one = decision_log(dataset(tmp_path / "one", **tables), cache_folder=compiled)
        mixed = {name: table.sample(frac=1, random_state=1) for name, table in tables.items()}
        two = decision_log(dataset(tmp_path / "two", **mixed), cache_folder=compiled)
        for name in ("customer", "arm", "cell", "value", "clicked", "eligible"):
            assert (getattr(one, name) == getattr(two, name)).all(), name
        np.testing.assert_array_equal(one.crowd.state, two.crowd.state)

    def test_erased_people_are_left_out(self, tmp_path: Path, compiled: Path) -> None:
        data = dataset(tmp_path, messages=messages(message(0), message(1, customer="bert")))
        left, _ = without_erased(data, {identity_digest("customer", "anna"): day(50).value // 1_000})
        assert decision_log(left, cache_folder=compiled).crowd.ids == ["bert"]

    def test_ids_may_be_anything(self, tmp_path: Path, compiled: Path) -> None:
        names = ["a/b", "😀", 'quote"', "ü"]
        log = log_of(tmp_path, compiled, *(message(row, customer=name, at=row) for row, name in enumerate(names)))
        assert list(log.crowd.ids) == names

    def test_a_customer_of_very_many_messages(self, tmp_path: Path, compiled: Path) -> None:
        """Not all with all: that would be 100 million contacts."""
        log = log_of(tmp_path, compiled, *(message(row, at=row / 200) for row in range(10_000)))
        contacts = log.crowd.contacts
        assert len(contacts.time) < 5_000_000
        last = contacts.time[contacts.start[-2] : contacts.start[-1]]
        assert (np.diff(last) > 0).all()
        assert last[-1] == day(9_998 / 200).value // 1_000, "the newest ones"


class TestNothing:
    @pytest.mark.parametrize("rows", [[], [message(0, action="hold")]])
    def test_is_told(self, tmp_path: Path, compiled: Path, rows: list[dict[str, object]]) -> None:
        table = messages(*rows) if rows else messages(message(0)).iloc[:0]
        with pytest.raises(EvaluationError):
            decision_log(dataset(tmp_path, messages=table), cache_folder=compiled)

    def test_only_holds_are_a_log_where_a_configuration_names_actions(self, tmp_path: Path, compiled: Path) -> None:
        data = dataset(tmp_path, messages=messages(message(0, action="hold")))
        log = decision_log(data, more=[("new", None)], cache_folder=compiled)
        assert log.arm.tolist() == [0]
        assert log.eligible.tolist() == [[True, True]]

    def test_a_shop_that_has_not_begun(self, tmp_path: Path) -> None:
        people = people_of(dataset(tmp_path, customers=pd.DataFrame({"customer_id": ["anna"]})))
        config = NbaConfig.default()
        log = empty_log(people, [config.arms.pair(arm) for arm in range(1, len(config.arms))])
        assert len(log) == 0
        assert len(log.arms) == len(config.arms)
        assert isinstance(log.arms, Arms)
