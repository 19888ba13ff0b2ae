"""People by the digests of their names: found as by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.encode import encode_events
from features.people import Digests, digest, find_person
from tests.logs import START


def test_who_is_found_by_name_is_found_by_digest() -> None:
    events = pd.DataFrame(
        {
            "event": "view",
            "timestamp": START,
            "product_id": "p",
            "customer_id": ["a", "session:s", None, None, None],
            "anonymous_id": [None, None, "a", "v", None],
            "session_id": [None, None, None, None, "s"],
        }
    )
    log = encode_events(events)
    digests = np.array([digest(name) for name in log.people])
    order = np.argsort(digests)
    people, anonymous = Digests(digests[order]), log.anonymous[order]
    assert len(people) == len(log.people) == 5
    asked: list[dict[str, str]] = [
        *({"customer_id": name} for name in ("a", "session:s", "v", "nobody")),
        *({"anonymous_id": name} for name in ("a", "v", "session:s", "nobody")),
        *({"session_id": name} for name in ("s", "nobody")),
        {"customer_id": "nobody", "anonymous_id": "v"},
    ]
    for question in asked:
        by_name = find_person(log.people, log.anonymous, **question)
        by_digest = find_person(people, anonymous, **question)
        assert by_digest == (-1 if by_name < 0 else order.tolist().index(by_name)), question


@pytest.mark.parametrize("name", ["", "c", "💄", "x" * 10_000])
def test_nobody_is_found_among_none(name: str) -> None:
    assert Digests(np.zeros(0, dtype=np.int64)).code(name) == -1
