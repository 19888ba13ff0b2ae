"""From a dataset folder to the arrays that everything is fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from features.catalogue import Catalogue
from features.dataset import Dataset, read_dataset
from features.encode import encode_catalogue, encode_events
from features.events import SECOND, EventLog


@dataclass(frozen=True)
class Shop:
    """A dataset as read, and as arrays.

    Attributes:
        end: int, microseconds since 1970 UTC: just after the last thing the dataset knows, or the time of reading for a
            shop without events. "Now" for everything fitted on the whole dataset, so that old data gives the same model
            on any day.
    """

    dataset: Dataset
    log: EventLog
    catalogue: Catalogue
    end: int

    @property
    def bad_rows(self) -> int:
        """Rows set aside, over all tables."""
        return sum(len(report.rejected) for report in self.dataset.report.values())


def load(folder: Path, *, now: datetime, rejected: Path | None) -> Shop:
    """Read and encode a dataset. Bad rows are written below ``rejected``, and counted.

    Raises:
        features.dataset.DatasetError: a table is at fault.
    """
    dataset = read_dataset(folder, now=now, rejected=rejected)
    log = encode_events(dataset.events, dataset.products, dataset.customers)
    catalogue = encode_catalogue(dataset.products, log)
    end = int(log.known.max()) + 1 if len(log) else int(now.timestamp()) * SECOND
    return Shop(dataset, log, catalogue, end)
