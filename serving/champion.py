"""The model that answers: followed in its origin, and swapped without failing a request."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Generic, Protocol, TypeVar

from features.store.base import Json
from recommender.answers import Asked, Block
from recommender.live_shop import Answered
from serving.keeping import Keeping
from serving.metrics import Metrics
from serving.origins import Origin, OriginError, Release

log = logging.getLogger(__name__)

#: Pause before a release that could not be loaded is tried again.
_RETRY_SECONDS = 30


class Served(Protocol):
    """What is asked of whatever answers."""

    @property
    def rules_text(self) -> str:
        """The rules it answers under."""
        ...

    def keep_up(self) -> None:
        """Take in what the shop logged since."""
        ...


class Answers(Served, Protocol):
    """What serving asks of a model of lists. `recommender.live_shop.LiveShop` is one; see there."""

    @property
    def placements(self) -> Collection[str]:
        """Names of the placements it answers."""
        ...

    def answer(self, asked: Asked, *, draw: str = "", past: bool = False) -> Answered:
        """One block for each that was asked for."""
        ...

    def fallback(self, asked: Asked) -> list[Block]:
        """The same from popularity alone, labelled so: what is left when ``answer`` fails."""
        ...

    def product(self, product_id: str) -> Json | None:
        """What the bundle knows of a product, None if it does not know it."""
        ...


Model = TypeVar("Model", bound=Served)


@dataclass(frozen=True)
class Loaded(Generic[Model]):
    """A release, ready to answer.

    Attributes:
        answers: the model.
        edition: see `Champion`.
        bundle: folder name of its bundle among those that are kept.
        rules: digest of the rules it answers under.
    """

    release: Release
    edition: object
    answers: Model
    loaded_at: datetime
    bundle: str
    rules: str


class Champion(Generic[Model]):
    """The release of one model that this process serves.

    A request takes `loaded` once and keeps it to its end; a swap puts another object in its place. So a request is
    answered by one release throughout, and the old one is freed with the last request that holds it.

    Args:
        name: the registered model.
        origin: where to follow it.
        build: makes the model from its bundle folder.
        edition: a value that changes whenever something else does that the model is made from, such as the rules file;
            the model is built anew then.
        keeping: keeps bundles and rules for as long as decisions refer to them.
        metrics: counts swaps and failures.
        clock: now, in microseconds since 1970 UTC.
        optional: there may be no such model: that is no fault, and nobody waits for it.

    Attributes:
        loaded: what answers now, or None.
        last_check: when the origin was last looked at.
        last_error: what went wrong then, or None. Whatever it is, ``loaded`` stays.
        absent: an optional model that its origin does not have.
    """

    def __init__(
        self,
        name: str,
        origin: Origin,
        build: Callable[[Path], Model],
        edition: Callable[[], object],
        keeping: Keeping,
        metrics: Metrics,
        clock: Callable[[], int],
        *,
        optional: bool = False,
    ) -> None:
        self.name = name
        self.optional = optional
        self.loaded: Loaded[Model] | None = None
        self.last_check: datetime | None = None
        self.last_error: str | None = None
        self.absent = False
        self._origin = origin
        self._build = build
        self._edition = edition
        self._keeping = keeping
        self._metrics = metrics
        self._clock = clock
        self._failed: tuple[Release, object, int] | None = None  # release, edition, when it may be tried again

    def check(self) -> None:
        """Look at the origin once, and swap if there is another release or edition. Never raises."""
        self.absent = False
        try:
            release, edition = self._origin.latest(self.name), self._edition()
            if self.loaded is not None and (self.loaded.release, self.loaded.edition) == (release, edition):
                self.last_error = None
            elif not self._failed_lately(release, edition):
                self._swap(release, edition)
        except OriginError as error:
            self.absent = self.optional and self.loaded is None
            self._report(str(error))
        self.last_check = _utc(self._clock())
        self._metrics.checked(self._clock() / 1e6)

    def _failed_lately(self, release: Release, edition: object) -> bool:
        return self._failed is not None and self._failed[:2] == (release, edition) and self._clock() < self._failed[2]

    def _swap(self, release: Release, edition: object) -> None:
        try:
            folder = self._keeping.bundle(self._origin.fetch(release))
            answers = self._build(folder)
            answers.keep_up()
            rules = self._keeping.text(answers.rules_text)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with a new model, the old one goes on
            self._failed = (release, edition, self._clock() + _RETRY_SECONDS * 1_000_000)
            self._metrics.load_failed()
            self._report(
                f"{release.name} version {release.version} could not be loaded: {type(error).__name__}: {error}"
            )
            return
        previous = self.loaded
        gc.collect()
        gc.freeze()  # what a model holds is not looked through again: a full collection would pause every request
        self.loaded = Loaded(release, edition, answers, _utc(self._clock()), folder.name, rules)
        self._failed = None
        self.last_error = None
        self._metrics.swapped(release.name, release.version, previous.release.version if previous else None)
        log.info("serving %s version %s", release.name, release.version)

    def _report(self, error: str) -> None:
        if error != self.last_error:  # once, not at every poll
            log.log(logging.INFO if self.absent else logging.ERROR, "%s", error)
        self.last_error = error


def follow(champion: Champion[Model], seconds: float, looked: Event, stop: Event) -> None:
    """Check again and again until told to stop: the body of a thread. ``looked`` is set after the first time."""
    while True:
        champion.check()
        looked.set()
        if stop.wait(seconds):
            return


def _utc(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
