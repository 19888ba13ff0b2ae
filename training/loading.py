"""From a dataset folder to the arrays that everything is fitted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from features.catalogue import Catalogue
from features.dataset import Dataset, read_dataset
from features.encode import encode_catalogue, encode_events
from features.events import SECOND, EventLog
from training.forgetting import erased_people, without_erased
from training.home import rejected_folder


@dataclass(frozen=True)
class Shop:
    """A dataset as read, and as arrays.

    Attributes:
        end: int, microseconds since 1970 UTC: just after the last thing the dataset knows, or the time of reading for a
            shop without events. "Now" for everything fitted on the whole dataset, so that old data gives the same model
            on any day.
        forgotten: rows left out because they are of people who were erased from the live shop.
    """

    dataset: Dataset
    log: EventLog
    catalogue: Catalogue
    end: int
    forgotten: int = 0

    @property
    def bad_rows(self) -> int:
        """Rows set aside, over all tables."""
        return sum(len(report.rejected) for report in self.dataset.report.values())


def load_telling(
    folder: Path, *, home: Path, now: datetime, rejected: Path | None, note: Callable[[str], None]
) -> Shop:
    """`load` as commands do it: without whom the live shop in SEGUE_HOME erased, telling what was left out.

    Args:
        folder: of the dataset.
        home: SEGUE_HOME.
        now: with a time zone; what lies after it is bad.
        rejected: folder for bad rows; None: the usual one in ``home``.
        note: told in words what was left out.

    Raises:
        features.dataset.DatasetError: a table is at fault.
        features.store.base.StoreError: the live shop cannot be read.
    """
    aside = rejected or rejected_folder(home, folder)
    shop = load(folder, now=now, rejected=aside, erased=erased_people(home))
    if shop.bad_rows:
        note(f"{shop.bad_rows:,} bad rows were set aside in {aside}")
    if shop.forgotten:
        note(f"{shop.forgotten:,} rows of erased people were left out")
    return shop


def load(
    folder: Path, *, now: datetime, rejected: Path | None, erased: Mapping[int, int] = MappingProxyType({})
) -> Shop:
    """Read and encode a dataset. Bad rows are written below ``rejected``, and counted.

    Args:
        folder: of the dataset.
        now: with a time zone; what lies after it is bad.
        rejected: folder for bad rows; None: they are only counted.
        erased: people whose rows are left out, see `training.forgetting.erased_people`.

    Raises:
        features.dataset.DatasetError: a table is at fault.
    """
    dataset, forgotten = without_erased(read_dataset(folder, now=now, rejected=rejected), erased)
    log = encode_events(dataset.events, dataset.products, dataset.customers)
    catalogue = encode_catalogue(dataset.products, log)
    end = int(log.known.max()) + 1 if len(log) else int(now.timestamp()) * SECOND
    return Shop(dataset, log, catalogue, end, forgotten)
