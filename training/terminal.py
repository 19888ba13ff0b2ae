"""Where a command's words go: results to standard output, progress to standard error.

With ``--json`` standard output holds one JSON object and nothing else.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from training.evaluate import Report

#: Columns of a table that is not read on a screen but piped to a file.
PIPE_WIDTH = 160


class Terminal:
    """The two streams of one command."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self._results = console(stderr=False)
        self._notes = console(stderr=True)

    def note(self, text: str) -> None:
        """One line of progress, on standard error."""
        self._notes.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, *parts: RenderableType) -> None:
        """What people read: on standard output, or nowhere with ``--json``."""
        if not self.json:
            for part in parts:
                self._results.print(part, markup=False, highlight=False, soft_wrap=isinstance(part, str))

    def result(self, value: Mapping[str, Any]) -> None:
        """What programs read: one JSON object, only with ``--json``. Numbers that are not finite become null."""
        if self.json:
            text = orjson.dumps(finite(value), option=orjson.OPT_INDENT_2)
            sys.stdout.write(text.decode() + "\n")
            sys.stdout.flush()  # the demo goes on running

    @contextmanager
    def progress(self) -> Iterator[Report]:
        """A bar a step on standard error; nothing at all where that is not a screen."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._notes, transient=True, disable=not self._notes.is_terminal) as bars:
            tasks: dict[str, Any] = {}

            def report(step: str, done: int, total: int) -> None:
                if step not in tasks:
                    tasks[step] = bars.add_task(step, total=total)
                bars.update(tasks[step], completed=done, total=total)

            yield report


def console(*, stderr: bool) -> Console:
    """A console as wide as the screen, or `PIPE_WIDTH` where there is none."""
    made = Console(stderr=stderr, emoji=False)
    return made if made.is_terminal else Console(stderr=stderr, emoji=False, width=PIPE_WIDTH)


def finite(value: Any) -> Any:
    """The same value with NaN and infinities, which JSON does not know, as None."""
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
