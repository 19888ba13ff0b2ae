"""What tables of messages and opens tell, as rows of the table of events: the live log has no other place for them.

A message that was sent becomes a send event, and its outcomes an event each, all under its decision_id (its message_id
where it has none), so that they belong together as those of a live decision do. Holds and cancelled sends tell of
nothing that happened.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from features.slots import COMPLAINT
from nba.arms import HOLD, label

#: What an event_id begins with that a message was given.
MESSAGE = "import:message:"

#: A visit that a message brought, where no event of the visit itself names the message.
VISIT = "visit"

#: Columns of messages, and the event each of them tells.
OUTCOMES = {
    "opened_at": "open",
    "clicked_at": "click",
    "visited_at": VISIT,
    "unsubscribed_at": "unsubscribe",
    "complained_at": COMPLAINT,
}

MACHINE_OPEN = "machine_open"


def told_by_messages(messages: pd.DataFrame, events: pd.DataFrame | None) -> pd.DataFrame:
    """Events that messages tell of and the table of events does not: columns of that table that have a value, and more.

    An event of the same name and decision_id says the same, and counts.

    Args:
        messages: as read.
        events: as read, or None.
    """
    sent = messages[(messages["action"] != HOLD) & messages["cancelled_at"].isna()]
    decision = sent["decision_id"].where(sent["decision_id"].notna(), sent["message_id"])
    about = [
        {"action": label(action, None if pd.isna(offer) else offer)}
        for action, offer in zip(sent["action"], sent["offer"], strict=True)
    ]
    base = pd.DataFrame(
        {
            "customer_id": sent["customer_id"],
            "channel": sent["channel"],
            "decision_id": decision,
            "message_id": sent["message_id"],
            "more": pd.Series(about, index=sent.index, dtype=object),
        }
    )
    parts = [base.assign(event="send", timestamp=sent["sent_at"], known_at=sent["known_at"])]
    for column, name in OUTCOMES.items():
        rows = sent[column].notna()
        happened = base[rows].assign(event=name, timestamp=sent[column][rows], known_at=sent[column][rows])
        if name == "open":
            machine = sent["machine_opened"][rows].fillna(False).astype(bool)
            happened["event"] = happened["event"].where(~machine, MACHINE_OPEN)
        parts.append(happened)
    told = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    told["event_id"] = MESSAGE + told["message_id"] + ":" + told["event"]
    if events is not None:
        named = events[events["decision_id"].notna()]
        known = set(zip(named["event"], named["decision_id"], strict=True))
        there = [pair in known for pair in zip(told["event"], told["decision_id"], strict=True)]
        told = told[~pd.Series(there, index=told.index, dtype=bool)]
    return told.drop(columns="message_id").reset_index(drop=True)


def told_by_opens(opens: pd.DataFrame) -> pd.DataFrame:
    """Open events, one a row."""
    columns: dict[str, Any] = {
        "customer_id": opens["customer_id"],
        "channel": opens["channel"],
        "timestamp": opens["opened_at"],
        "known_at": opens["opened_at"],
    }
    return pd.DataFrame(columns).assign(event="open")
