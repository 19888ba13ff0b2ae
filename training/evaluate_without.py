"""What columns of the catalogue bring: the same configuration, fitted and asked again without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from features.catalogue import Catalogue
from training.asking import Measured
from training.evaluate_diversity import price
from training.judgements import JUDGEMENTS
from training.split import EvaluationError, Split


def without(catalogue: Catalogue, columns: Sequence[str]) -> Catalogue:
    """The catalogue without some columns.

    Raises:
        EvaluationError: it has no such column.
    """
    unknown = [name for name in columns if name not in catalogue.columns]
    if unknown:
        known = ", ".join(sorted(catalogue.columns)) or "none"
        raise EvaluationError(f"products have no column {unknown[0]!r} to leave out; there are: {known}")
    kept = {name: column for name, column in catalogue.columns.items() if name not in columns}
    return Catalogue(catalogue.ids, kept)


def what_they_bring(
    split: Split, ours: Measured, bare: Measured, columns: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """``columns``, and the ``metrics``, ``ci`` and paired ``difference`` of lists made without them, less ours.

    Args:
        split: what was asked.
        ours, bare: what was reached with and without the columns.
        columns: their names.
        seed: for the resamples.
    """
    names = [metric.name for metric in JUDGEMENTS[split.name].metrics]
    return {"columns": list(columns), **price(names, ours.values, bare.values, split.person, split.weight, seed)}
