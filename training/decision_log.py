"""The messages of a dataset as a log of decisions: what was known, eligible and done, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.dataset import Dataset
from nba.arms import Arms, label
from nba.crowd import Crowd
from nba.encoding import hour_cells
from nba.logged import Logged
from training.crowds import People, crowd_at, people_of
from training.split import EvaluationError

#: An outcome belongs to a decision if it happens within so long of it; the same for hold.
WINDOW = timedelta(days=7)

#: Between the label and the channel of an arm in the column ``eligible``.
AT = "@"


def decision_log(
    dataset: Dataset,
    *,
    people: People | None = None,
    more: Iterable[tuple[str, str | None]] = (),
    window: timedelta = WINDOW,
    cache_folder: Path | None = None,
) -> Logged:
    """The log of a dataset, by (decided_at, message_id).

    Rows that were watched for less than the outcome window are left out: what they would have earned is not known.

    Args:
        dataset: with a table of messages.
        people: those of the dataset, if they are at hand.
        more: arms that the log may lack, such as those of a configuration.
        window: how long after the decision an outcome counts.
        cache_folder: where compiled code is kept.

    Raises:
        EvaluationError: there is no decision to learn from, or nothing to choose from but hold.
    """
    messages = _watched(dataset.messages, window)
    if messages is None or messages.empty:
        raise EvaluationError(
            "there is no decision to learn from: messages is absent, or nothing was watched to the end"
        )
    labels = [label(a, None if pd.isna(o) else o) for a, o in zip(messages["action"], messages["offer"], strict=True)]
    channels = [None if pd.isna(channel) else str(channel) for channel in messages["channel"]]
    chosen = list(zip(labels, channels, strict=True))
    offered = _offered(messages["eligible"])
    arms = Arms.of([*sorted({*chosen, *offered}, key=lambda pair: (pair[0], pair[1] or "")), *more])
    if len(arms) == 1:
        raise EvaluationError("all decisions of the log are hold: name actions in a configuration (--config)")
    customer, _ = pd.factorize(messages["customer_id"])
    # Whatever the row says, nothing was decided after it was done: the state would know what came of it.
    decided = messages["decided_at"].where(messages["decided_at"] < messages["sent_at"], messages["sent_at"])
    crowd = crowd_at(people or people_of(dataset), messages["customer_id"], _micros(decided), cache_folder=cache_folder)
    arm = np.array([arms.find(*pair) for pair in chosen], dtype=np.int32)
    cell = hour_cells(_micros(messages["sent_at"]), crowd.zones).astype(np.int16)

    def happened(column: str) -> NDArray[np.bool_]:
        when = messages[column]
        in_time = (when >= decided) & (when - messages["sent_at"] <= window)
        return in_time.to_numpy(dtype=bool)

    machine = messages["machine_opened"].fillna(False).to_numpy(dtype=bool)
    return Logged(
        arms=arms,
        crowd=crowd,
        customer=customer.astype(np.int32),
        arm=arm,
        cell=np.where(arm == 0, np.int16(-1), cell),
        propensity=messages["propensity"].to_numpy(dtype=np.float64),
        hour_propensity=messages["send_at_propensity"].to_numpy(dtype=np.float64),
        eligible=_eligible(messages["eligible"], arms, arm, crowd),
        value=messages["value"].fillna(0.0).to_numpy(dtype=np.float64),
        cost=messages["cost"].fillna(0.0).to_numpy(dtype=np.float64),
        opened=happened("opened_at") & ~machine,
        clicked=happened("clicked_at"),
        visited=happened("visited_at"),
        converted=happened("converted_at"),
        unsubscribed=happened("unsubscribed_at"),
        complained=happened("complained_at"),
    )


def empty_log(people: People, arms: Iterable[tuple[str, str | None]]) -> Logged:
    """A log without a decision, for a shop that has not begun.

    Args:
        people: of the dataset.
        arms: what there is to choose from.
    """
    made = Arms.of(arms)
    nobody = pd.Series([], dtype="str")
    no, flags = np.zeros(0), np.zeros(0, dtype=np.bool_)
    return Logged(
        arms=made,
        crowd=crowd_at(people, nobody, np.zeros(0, dtype=np.int64)),
        customer=np.zeros(0, dtype=np.int32),
        arm=np.zeros(0, dtype=np.int32),
        cell=np.zeros(0, dtype=np.int16),
        propensity=no,
        hour_propensity=no,
        eligible=np.zeros((0, len(made)), dtype=np.bool_),
        value=no,
        cost=no,
        opened=flags,
        clicked=flags,
        visited=flags,
        converted=flags,
        unsubscribed=flags,
        complained=flags,
    )


def _watched(messages: pd.DataFrame | None, window: timedelta) -> pd.DataFrame | None:
    if messages is None:
        return None
    short = messages["observed_until"] < messages["sent_at"] + window
    kept = messages[~short.fillna(False).to_numpy(dtype=bool)]
    return kept.sort_values(["decided_at", "message_id"], kind="stable", ignore_index=True)


def _offered(eligible: pd.Series[Any]) -> set[tuple[str, str | None]]:
    return {_pair(one) for said in eligible.dropna() for one in said}


def _pair(text: str) -> tuple[str, str | None]:
    action, _, channel = text.rpartition(AT)
    return action or channel, channel if action and channel else None


def _eligible(said: pd.Series[Any], arms: Arms, chosen: NDArray[np.int32], crowd: Crowd) -> NDArray[np.bool_]:
    """What the row says; where it says nothing, every arm on a channel that the customer allows. The chosen arm was."""
    number = {channel: at for at, channel in enumerate(crowd.channels)}
    places = np.array([number.get(channel, -1) for channel in arms.channels] + [-1], dtype=np.int64)[arms.channel]
    allowed = np.column_stack([crowd.consented & crowd.reachable, np.ones(len(crowd), dtype=np.bool_)])
    mask = allowed[:, places]
    known: dict[str, int] = {}
    for row in np.flatnonzero(said.notna().to_numpy()):
        mask[row] = False
        for text in said.iloc[row]:
            if text not in known:
                known[text] = arms.find(*_pair(text))
            mask[row, known[text]] = True
    mask[:, 0] = True
    mask[np.arange(len(chosen)), chosen] = True
    return mask


def _micros(times: pd.Series[Any]) -> NDArray[np.int64]:
    naive = times.dt.tz_convert("UTC").dt.tz_localize(None)
    moments: NDArray[np.int64] = naive.to_numpy("datetime64[us]").view(np.int64)
    return moments
