"""A decision as JSON: the fixed answer of ``POST /v1/decisions``, but for its id and the name of the policy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from nba.choose import NEVER, ON_PAGE
from nba.codes import Code
from nba.decide import Decided
from nba.menu import Menu

Json = dict[str, Any]

#: Other arms that an answer names.
ALTERNATIVES = 5

#: What is told of each reason: what it is about, the step, its name.
_REASONS = {int(code): (code.about, code.stage, code.text) for code in Code if code != Code.OPEN}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def told(decided: Decided, row: int) -> Json:
    """What was decided for one customer.

    ``choice`` {action, offer?, channel, send_at, product_ids}, ``propensity``, ``send_at_propensity``,
    ``expected_value``, ``incremental_value``, ``interval`` (95%, of the incremental value), ``alternatives`` (the five
    open arms that are worth most beside the chosen one, hold among them), ``excluded`` {action?, offer?, channel?,
    stage, code}, and for hold ``ask_again_at``. An exclusion without a channel is of all channels,
    one without an action of all actions.

    Args:
        decided: n customers.
        row: which of them.
    """
    chosen, weighed = decided.chosen, decided.weighed
    arm = int(chosen.arm[row])
    answer: Json = {
        "choice": {**weighed.menu.names[arm], "send_at": moment(int(chosen.send_at[row])), "product_ids": []},
        "propensity": float(chosen.propensity[row]),
        "send_at_propensity": float(chosen.send_at_propensity[row]),
        "expected_value": float(chosen.expected_value[row]),
        "incremental_value": float(chosen.incremental_value[row]),
        "interval": [float(chosen.low[row]), float(chosen.high[row])],
        "alternatives": [_alternative(decided, row, other) for other in _others(decided, row)],
        "excluded": list(_excluded(decided, row)),
    }
    if arm == 0:
        answer["ask_again_at"] = moment(int(chosen.ask_again_at[row]))
    return answer


def named(menu: Menu, arm: int) -> Json:
    """What an arm is called: action, offer where there is one, channel (none for hold)."""
    return dict(menu.names[arm])


def moment(time: int) -> str | None:
    """A time of sending in RFC 3339, UTC; None for hold and for now, on the page that asks."""
    if time in (NEVER, ON_PAGE):
        return None
    return (_EPOCH + timedelta(microseconds=time)).isoformat().replace("+00:00", "Z")


def _others(decided: Decided, row: int) -> list[int]:
    open_ = decided.weighed.codes[row] == Code.OPEN
    open_[decided.chosen.arm[row]] = False
    arms = np.flatnonzero(open_)
    worth = decided.weighed.value[row, arms]
    return [int(arm) for arm in arms[np.argsort(-worth, kind="stable")][:ALTERNATIVES]]


def _alternative(decided: Decided, row: int, arm: int) -> Json:
    weighed = decided.weighed
    time = (
        NEVER if arm == 0 or weighed.menu.on_page[arm] else int(weighed.openings.grid.time[row, weighed.slot[row, arm]])
    )
    value = float(weighed.value[row, arm])
    return {
        **weighed.menu.names[arm],
        "send_at": moment(time),
        "expected_value": float(weighed.values.base[row]) + value,
        "incremental_value": value,
    }


def _excluded(decided: Decided, row: int) -> Iterator[Json]:
    names, codes = decided.weighed.menu.names, decided.weighed.codes[row]
    seen: set[tuple[str | None, ...]] = set()
    for name, number in zip(names, codes.tolist(), strict=True):
        if number == Code.OPEN:
            continue
        about, stage, code = _REASONS[number]
        if about == "action":
            name = {"action": name["action"]}
        elif about == "channel" and name["channel"] is not None:
            name = {"channel": name["channel"]}
        key = (code, *name, *name.values())
        if key not in seen:
            seen.add(key)
            yield {**name, "stage": stage, "code": code}
