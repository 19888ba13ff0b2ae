"""One way to cut text into tokens, for training and serving alike."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+")


def tokens(text: str) -> list[str]:
    """Words of a text in lower case: runs of letters and digits of any script, in order.

    >>> tokens("L'Oréal Paris — 24h SPF-50")
    ['l', 'oréal', 'paris', '24h', 'spf', '50']
    """
    return _WORD.findall(text.casefold())
