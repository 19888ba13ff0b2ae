"""When something happened, by clocks that are not ours. All times are microseconds since 1970 UTC.

Whatever a clock said, nothing happened after we were told of it: later times become the moment of receipt.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from features.store.base import Json
from serving.fields import Rejected

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def moment(value: object, field: str) -> int:
    """The moment an ISO 8601 text says; UTC where it names no offset.

    Raises:
        Rejected: it says none.
    """
    if type(value) is not str:
        raise Rejected(f"{field}: not an RFC 3339 time")
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise Rejected(f"{field}: not an RFC 3339 time") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return (found - _EPOCH) // _MICROSECOND


def rfc3339(micros: int) -> str:
    """A moment in UTC, to the microsecond where it is not a whole second: the inverse of `moment`.

    Raises:
        OverflowError: it is not in the years 1 to 9999.
    """
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


def segment_time(message: Json, received: int, sent_at: object = None) -> int:
    """When a Segment message happened.

    A message that Segment forwards has ``receivedAt``, and its ``timestamp`` was corrected there. Otherwise the device
    said when it happened (``originalTimestamp``, else ``timestamp``) and when it sent the message (``sentAt``), both by
    its own clock; so it happened at receipt − (sentAt − originalTimestamp)
    (https://segment.com/docs/connections/spec/common/#timestamps).

    Args:
        message: the message.
        received: when it came in, by our clock.
        sent_at: ``sentAt`` of the batch it came in.

    Raises:
        Rejected: a time is none.
    """
    said, original = message.get("timestamp"), message.get("originalTimestamp")
    if said is not None and message.get("receivedAt") is not None:
        return _at_latest(received, moment(said, "timestamp"))
    if original is not None:
        happened = moment(original, "originalTimestamp")
    elif said is not None:
        happened = moment(said, "timestamp")
    else:
        return received
    sent = message.get("sentAt") or sent_at
    if sent is not None:
        happened = received - (moment(sent, "sentAt") - happened)
    return _at_latest(received, happened)


def ga4_time(fields: Json, otherwise: int, received: int) -> int:
    """When a GA4 event happened: ``timestamp_micros`` of the event or body, a number or numerals; else ``otherwise``.

    Raises:
        Rejected: it is no such time.
    """
    said = fields.get("timestamp_micros")
    if said is None:
        return otherwise
    if type(said) is float and said.is_integer():
        said = int(said)
    if type(said) is not int and not (type(said) is str and said.isascii() and said.isdecimal() and len(said) < 19):
        raise Rejected("timestamp_micros: not a number of microseconds")
    return _at_latest(received, int(said))


def row_time(row: Json, received: int) -> int:
    """When an event row happened: ``timestamp``; at receipt without one.

    Raises:
        Rejected: it is no time.
    """
    said = row.get("timestamp")
    return received if said is None else _at_latest(received, moment(said, "timestamp"))


def _at_latest(received: int, happened: int) -> int:
    if happened < 0:
        raise Rejected("timestamp: before 1970")
    return min(happened, received)
