"""What is known of a person, from what identify events said of them. The order of arrival does not matter."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from features.store.base import Event, Json

#: Names of the events that say something of a person.
TELLING = ("identify", "subscribe", "unsubscribe")


def traits_of(events: Iterable[Event]) -> Json:
    """What events said of one person: of each trait what was said last, by (time, event_id).

    Subscribe and unsubscribe events with a channel later than the last ``consents`` change that list. Where no list was
    ever told, a subscribe event begins one, an unsubscribe event an empty one: only what was agreed to is agreed to.
    """
    said: dict[str, tuple[int, str, bytes, object]] = {}
    switches = []
    for event in events:
        told = (event.time, event.event_id or "")
        if event.event == "identify":
            for key, value in ((event.more or {}).get("traits") or {}).items():
                # What is said twice at one moment without an id needs some order that does not depend on arrival.
                entry = (*told, orjson.dumps(value, option=orjson.OPT_SORT_KEYS), value)
                if key not in said or said[key][:3] < entry[:3]:
                    said[key] = entry
        elif event.event in TELLING and event.channel is not None:
            switches.append((*told, event.event, event.channel))
    traits = {key: said[key][3] for key in sorted(said)}
    since = said["consents"][:2] if "consents" in said else None
    later = sorted(switch for switch in switches if since is None or switch[:2] > since)
    if later:
        listed = traits.get("consents")
        consents = [str(channel) for channel in listed] if isinstance(listed, list) else []
        for *_, name, channel in later:
            consents = [other for other in consents if other != channel]
            if name == "subscribe":
                consents.append(channel)
        traits["consents"] = consents
    return traits
