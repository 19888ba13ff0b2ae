"""A real, simple model of what contacts are worth, and crowds by hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from features.catalogue import Column
from features.slots import CUSTOMER
from nba.arms import Arms, split_label
from nba.config import NbaConfig
from nba.crowd import Contacts, Crowd
from nba.values import DAY_HOURS, HOUR_CELLS, Values


@dataclass(frozen=True)
class PriorModel:
    """What the configuration says an action adds, the same for everybody but for what hours they like.

    Attributes:
        config: prior values and costs.
        attend: chance of a contact to be attended, by channel; 0.2 where nothing is said.
        best_hour: hour of the day at which everybody is twice as likely to attend, by channel; none where not said.
        gain: added by label, instead of the prior value.
        base: expected value of holding.
        attention: margin lost to each contact.
    """

    config: NbaConfig
    attend: Mapping[str, float] = field(default_factory=dict)
    best_hour: Mapping[str, int] = field(default_factory=dict)
    gain: Mapping[str, float] = field(default_factory=dict)
    base: float = 1.0
    attention: float = 0.0

    @property
    def arms(self) -> Arms:
        """Those of the configuration."""
        return self.config.arms

    def values(self, crowd: Crowd) -> Values:
        """The same for everybody."""
        arms, n = self.arms, len(crowd)
        gain = [self.gain.get(text, self.config.actions[split_label(text)[0]].value) for text in arms.actions]
        lift = np.ones((n, len(arms.channels) + 1, HOUR_CELLS), dtype=np.float32)
        for place, channel in enumerate(arms.channels):
            hour = self.best_hour.get(channel)
            if hour is not None:
                lift[:, place] = np.where(np.arange(HOUR_CELLS) % DAY_HOURS == hour, 2.0, 22 / 23)
        return Values(
            base=np.full(n, self.base),
            gain=np.tile(np.array(gain, dtype=np.float64), (n, 1)),
            gain_error=lambda rows, action: np.full(len(rows), 0.1),
            attend=np.tile(np.array([*(self.attend.get(name, 0.2) for name in arms.channels), 0.2]), (n, 1)),
            lift=lift,
            cost=self.config.contact_costs(arms),
            attention=np.full((n, len(arms.channels) + 1), self.attention),
        )


@dataclass(frozen=True)
class TableModel:
    """Values written down for every customer by id.

    Attributes:
        arms: what can be chosen.
        ids: of n customers.
        table: their values, n rows.
    """

    arms: Arms
    ids: Sequence[str]
    table: Values

    def values(self, crowd: Crowd) -> Values:
        """The rows of the customers of a crowd."""
        place = {identifier: row for row, identifier in enumerate(self.ids)}
        rows = np.array([place[identifier] for identifier in crowd.ids], dtype=np.int64)
        per_customer = ("base", "gain", "attend", "lift", "attention")
        return replace(
            self.table,
            gain_error=lambda some, action: self.table.gain_error(rows[some], action),
            **{name: getattr(self.table, name)[rows] for name in per_customer},
        )

    @staticmethod
    def random(config: NbaConfig, ids: Sequence[str], seed: int) -> TableModel:
        """Numbers of about the right size, some gains below 0."""
        arms, n, rng = config.arms, len(ids), np.random.default_rng(seed)
        actions, columns = len(arms.actions), len(arms.channels) + 1
        lift = rng.uniform(0.5, 1.5, (n, columns, HOUR_CELLS)).astype(np.float32)
        base, gain, error = rng.uniform(0, 5, n), rng.normal(0.8, 1.0, (n, actions)), rng.uniform(0, 0.5, (n, actions))
        table = Values(
            base=base,
            gain=gain,
            gain_error=lambda rows, action: error[rows, action],
            attend=rng.uniform(0.0, 0.4, (n, columns)),
            lift=lift,
            cost=config.contact_costs(arms),
            attention=rng.uniform(0.0, 0.05, (n, columns)),
        )
        return TableModel(arms, ids, table)


#: Time, label of the action, channel, whether it was answered.
Contact = tuple[int, str | None, str | None, bool]


def moment(text: str) -> int:
    """Microseconds since 1970 of a time in UTC, such as ``2026-03-01 09:30``."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def contacts_of(rows: Sequence[Sequence[Contact]]) -> Contacts:
    """Of each customer (time, label, channel, answered), in any order."""
    actions = sorted({label for row in rows for _, label, _, _ in row if label is not None})
    channels = sorted({channel for row in rows for _, _, channel, _ in row if channel is not None})
    flat = [one for row in rows for one in sorted(row, key=lambda contact: contact[0])]
    return Contacts(
        start=np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64),
        time=np.array([time for time, *_ in flat], dtype=np.int64),
        action=np.array([-1 if label is None else actions.index(label) for _, label, _, _ in flat], dtype=np.int32),
        channel=np.array(
            [-1 if channel is None else channels.index(channel) for _, _, channel, _ in flat], dtype=np.int32
        ),
        answered=np.array([answered for *_, answered in flat], dtype=np.bool_),
        actions=tuple(actions),
        channels=tuple(channels),
    )


def crowd_of(
    at: Sequence[int],
    *,
    channels: Collection[str],
    state: Mapping[str, Sequence[float]] | None = None,
    attributes: Mapping[str, Column] | None = None,
    zones: Sequence[str | None] | None = None,
    consented: Sequence[Sequence[bool]] | None = None,
    reachable: Sequence[Sequence[bool]] | None = None,
    contacts: Contacts | None = None,
    ids: Sequence[str] | None = None,
) -> Crowd:
    """Customers by hand: everybody agreed to everything, counts are 0 and the rest of the state is null."""
    n = len(at)
    table = np.full((n, len(CUSTOMER.features)), np.nan)
    for place, name in enumerate(CUSTOMER.features):
        if not name.startswith(("since_", "known_", "last_", "active_", "opening_")):
            table[:, place] = 0.0
        if state is not None and name in state:
            table[:, place] = state[name]
    everything = np.ones((n, len(channels)), dtype=np.bool_)
    return Crowd(
        ids=[f"c{row}" for row in range(n)] if ids is None else ids,
        at=np.array(at, dtype=np.int64),
        names=CUSTOMER.features,
        state=table,
        attributes=attributes or {},
        zones=[None] * n if zones is None else zones,
        channels=tuple(channels),
        consented=everything if consented is None else np.array(consented, dtype=np.bool_),
        reachable=everything if reachable is None else np.array(reachable, dtype=np.bool_),
        contacts=Contacts.none(n) if contacts is None else contacts,
    )
