"""What a serving process does beside answering: it keeps up with the shop and tidies its log of decisions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Any

from features.events import DAY
from features.store.base import DecisionStore, StoreError
from serving.champion import Champion
from serving.keeping import Keeping

log = logging.getLogger(__name__)

#: Pause between two looks at the shop: rankings lag by this at most, decisions reach the disk within it.
SECONDS = 0.5

_TIDYING_SECONDS = 3600


class Upkeep:
    """Everything that is to be done again and again.

    Args:
        champions: what answers.
        decisions: the log to put on disk, and to prune.
        keeping: the bundles to prune with it.
        days: how long decisions are kept.
        clock: now, in microseconds since 1970 UTC.
    """

    def __init__(
        self,
        champions: Sequence[Champion[Any]],
        decisions: DecisionStore,
        keeping: Keeping,
        days: float,
        clock: Callable[[], int],
    ) -> None:
        self._champions = champions
        self._decisions = decisions
        self._keeping = keeping
        self._days = days
        self._clock = clock
        self._failing: set[str] = set()

    def once(self) -> None:
        """Put decisions on disk and keep up with the shop, the one whatever becomes of the other. Never raises."""
        self._try("decisions cannot be put on disk", self._decisions.flush)
        for champion in self._champions:
            if champion.loaded is not None:
                self._try("the shop cannot be followed", champion.loaded.answers.keep_up)

    def tidy(self) -> None:
        """Forget decisions that are too old, and bundles only they referred to. Never raises."""
        serving = {one.loaded.bundle for one in self._champions if one.loaded is not None}
        try:
            pruned = self._decisions.prune(self._clock() - round(self._days * DAY))
            self._keeping.prune(serving)
        except (StoreError, OSError):
            log.exception("old decisions cannot be removed")
        else:
            if pruned:
                log.info("%s decisions older than %g days were removed", pruned, self._days)

    def run(self, stop: Event) -> None:
        """Until told to stop: the body of a thread."""
        # A thread of its own: decisions of months take longer to remove than the new ones may wait.
        tidying = Thread(target=self._keep_tidy, args=(stop,), name="tidying", daemon=True)
        tidying.start()
        while not stop.wait(SECONDS):
            self.once()
        tidying.join()

    def _keep_tidy(self, stop: Event) -> None:
        while True:
            self.tidy()
            if stop.wait(_TIDYING_SECONDS):
                return

    def _try(self, failure: str, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:  # answers go on from what is known
            if failure not in self._failing:  # once, not twice a second
                log.exception("%s", failure)
            self._failing.add(failure)
        else:
            self._failing.discard(failure)
