"""What a benchmark found: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as a Markdown table.

    >>> print(table([{"what": "a", "ratio": 1.234}, {"what": "bc", "ratio": None}]))
    | what | ratio |
    |------|-------|
    | a    | 1.23  |
    | bc   |       |
    """
    names = list(rows[0])
    cells = [names, *([shown(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(names))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def shown(value: Any) -> str:
    """A cell: three digits that count, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def tell(rows: Sequence[Mapping[str, Any]], *, as_json: bool, **facts: Any) -> None:
    """Print the facts and the table, or both as JSON."""
    if as_json:
        print(json.dumps({**facts, "rows": list(rows)}, indent=2))
        return
    for name, value in facts.items():
        print(f"{name.replace('_', ' ')}: {shown(value)}")
    print(table(rows))
