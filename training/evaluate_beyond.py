"""What the lists of an evaluation are like beside being right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.past import products_by_person, target_kind
from recommender.beyond_accuracy import coverage, exposure, gini, intra_list_similarity, novelty
from training.split import Split


def beyond_accuracy(split: Split, catalogue: Catalogue, lists: NDArray[np.int32]) -> dict[str, Any]:
    """What the lists are like beside being right; formulas in `recommender.beyond_accuracy`.

    Who had a product is who had it by a target event before what was asked; people who had nothing are not counted.
    """
    log = split.fit_log
    had = products_by_person(log, log.of_kind(target_kind(log)))
    holders, people = np.bincount(had.values, minlength=len(catalogue)), int(np.count_nonzero(np.diff(had.indptr)))
    shown = exposure(lists, len(catalogue))
    return {
        "length": lists.shape[1],
        "lists": len(lists),
        "coverage": coverage(shown),
        "gini": gini(shown),
        "novelty": novelty(lists, holders, people),
        "intra_list_similarity": intra_list_similarity(lists, catalogue),
    }
