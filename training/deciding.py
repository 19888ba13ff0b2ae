"""The next best action of everybody in a dataset: ``segue decide``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.config import laid_over
from features.events import EventLog
from nba.arms import HOLD, split_label
from nba.asked import Asked
from nba.choose import NEVER, ON_PAGE
from nba.config import NbaConfig
from nba.crowd import Crowd, rows_of
from nba.decide import Decided, decide
from nba.known import SCORES
from nba.scores import ScoreModels
from nba.settling import Settlement, decide_settled, settle, turns
from nba.tastes import TASTES
from nba.values import ValueModel
from training.configuration import read_toml
from training.crowds import People, crowd_at, people_of
from training.loading import Shop
from training.score_rows import bought_at, codes_of
from training.tables import write_table

#: Customers whose state is read in one go: each time costs a look at all events.
BLOCK = 200_000

#: Customers decided on in one go.
CHUNK = 10_000

#: Told what is done, how many customers it is done for, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Everyone:
    """Customers of a dataset at one moment, in the order of their turns; iterated over in chunks, any number of times.

    Attributes:
        people: of the dataset.
        log: of the same, for what they bought.
        ids: in order.
        at: microseconds since 1970 UTC.
        scores: what is added to the attributes; None: nothing.
        wanted: names of the scores that are asked for.
        cache_folder: where compiled code is kept.
        block, chunk: customers whose state is read, and who are decided on, in one go.
    """

    people: People
    log: EventLog
    ids: pd.Series[Any]
    at: int
    scores: ScoreModels | None = None
    wanted: frozenset[str] = frozenset()
    cache_folder: Path | None = None
    block: int = BLOCK
    chunk: int = CHUNK

    def __len__(self) -> int:
        return len(self.ids)

    def chunks(self) -> Iterator[Crowd]:
        """All of them, in order; one empty chunk if there are none."""
        for first in range(0, max(len(self.ids), 1), self.block):
            ids = self.ids.iloc[first : first + self.block]
            at = np.full(len(ids), self.at, dtype=np.int64)
            crowd = crowd_at(self.people, ids, at, cache_folder=self.cache_folder)
            for begin in range(0, max(len(crowd), 1), self.chunk):
                rows = np.arange(begin, min(begin + self.chunk, len(crowd)))
                yield self._scored(rows_of(crowd, rows))

    def _scored(self, crowd: Crowd) -> Crowd:
        if self.scores is None:
            return crowd
        tastes = not self.wanted.isdisjoint(TASTES)
        bought = bought_at(self.log, codes_of(self.log, crowd), self.at) if tastes else None
        scores = self.scores.score(crowd, bought, only=self.wanted)
        return replace(crowd, attributes={**crowd.attributes, **scores})


def everyone(
    shop: Shop,
    model: ValueModel,
    config: NbaConfig,
    *,
    at: int | None,
    now: int,
    scores: ScoreModels | None = None,
    cache_folder: Path | None = None,
) -> Everyone:
    """Everybody who is in customers, events or messages by a customer id.

    Args:
        shop: any of the tables of its dataset may be missing.
        model: whose channels everybody allows where the dataset has no column that says otherwise.
        config: which scores are asked for; the order of turns follows its salt.
        at: microseconds UTC; None: just after the last thing the dataset knows, or ``now`` if it knows of no event.
        now: microseconds UTC.
        scores: models of scores.
        cache_folder: where compiled code is kept.
    """
    dataset = shop.dataset
    people = people_of(dataset)
    people = replace(people, channels=tuple(sorted({*people.channels, *model.arms.channels})))
    if at is None:
        at = int(people.ledger.known.max()) + 1 if len(people.ledger) else now
    tables = [table for table in (dataset.customers, dataset.events, dataset.messages) if table is not None]
    named = [table["customer_id"].dropna() for table in tables if "customer_id" in table]
    ids = pd.Series(sorted(set().union(*named)), dtype="str")
    order = turns(config.policy, ids.tolist(), at)
    # An expression that names a score has its name in it: what no part of the configuration names is not computed.
    text = config.model_dump_json()
    return Everyone(
        people=people,
        log=shop.log,
        ids=ids.iloc[order].reset_index(drop=True),
        at=at,
        scores=scores,
        wanted=frozenset(name for name in SCORES if name in text),
        cache_folder=cache_folder,
    )


def decide_everyone(
    asked: Asked, everyone: Everyone, model: ValueModel, config: NbaConfig, *, progress: Progress
) -> tuple[pd.DataFrame, Settlement | None]:
    """One row a customer, by customer_id; and how budgets were shared out, where there are any.

    Args:
        asked: the question.
        everyone: the customers.
        model: what arms are worth.
        config: what may be done.
        progress: told what goes on.

    Returns:
        Columns customer_id, action, channel, send_at (UTC; null for hold, and for now on the page), propensity,
        send_at_propensity, expected_value, incremental_value, offer.

    Raises:
        nba.asked.AskedWrongly: the question names something there is not.
    """
    settlement: Settlement | None = None
    if config.budgets:
        settlement = settle(asked, counted(everyone, "weighing", progress), model, config)
        decided = decide_settled(asked, counted(everyone, "deciding", progress), model, config, settlement)
    else:
        decided = (decide(asked, crowd, model, config) for crowd in counted(everyone, "deciding", progress))
    table = pd.concat([table_of(part) for part in decided], ignore_index=True)
    return table.sort_values("customer_id", ignore_index=True), settlement


def counted(everyone: Everyone, step: str, progress: Progress) -> Iterator[Crowd]:
    """The chunks, telling how far they are."""
    done = 0
    for crowd in everyone.chunks():
        yield crowd
        done += len(crowd)
        progress(step, done, len(everyone))


def table_of(decided: Decided) -> pd.DataFrame:
    """What was decided, one row a customer."""
    chosen, arms = decided.chosen, decided.weighed.menu.arms
    pairs = [arms.pair(arm) for arm in range(len(arms))]
    named = [(HOLD, None) if label == HOLD else split_label(label) for label, _ in pairs]
    return pd.DataFrame(
        {
            "customer_id": pd.Series(list(decided.weighed.crowd.ids), dtype="str"),
            "action": texts([action for action, _ in named], chosen.arm),
            "channel": texts([channel for _, channel in pairs], chosen.arm),
            "send_at": times(chosen.send_at),
            "propensity": chosen.propensity,
            "send_at_propensity": chosen.send_at_propensity,
            "expected_value": chosen.expected_value,
            "incremental_value": chosen.incremental_value,
            "offer": texts([offer for _, offer in named], chosen.arm),
        }
    )


def texts(of_arm: Sequence[str | None], arm: NDArray[np.int32]) -> pd.Series[Any]:
    """What each customer's arm is called; null where it has no such name."""
    return pd.Series(np.array(of_arm, dtype=object)[arm], dtype="str")


def times(micros: NDArray[np.int64]) -> pd.Series[Any]:
    """UTC; null where there is no time of sending."""
    moments = micros.astype("datetime64[us]")
    moments[(micros == NEVER) | (micros == ON_PAGE)] = np.datetime64("NaT")
    return pd.Series(moments).dt.tz_localize("UTC")


def configured(base: NbaConfig, file: Path | None, seed: int) -> NbaConfig:
    """The configuration of a model with a TOML file laid over it, and other draws for another seed.

    Raises:
        features.config.ConfigError: the file cannot be read, or names something there is not.
    """
    changes = {} if file is None else read_toml(file)
    config = NbaConfig.of(laid_over(base.model_dump(mode="json"), changes))
    if seed == 0:
        return config
    return NbaConfig.of(laid_over(config.model_dump(mode="json"), {"policy": {"salt": f"{config.policy.salt} {seed}"}}))


def write(table: pd.DataFrame, file: Path) -> None:
    """Write the decisions; times as text (RFC 3339) where the format has no times.

    Raises:
        OSError: the place cannot be written to.
    """
    if file.suffix != ".parquet":
        moments = table["send_at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ").astype("str")
        table = table.assign(send_at=moments.where(table["send_at"].notna(), None))
    write_table(table, file)
