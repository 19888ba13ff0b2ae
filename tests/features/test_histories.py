"""What was put into the cart and taken out again was only looked at."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from features.events import Kind
from features.histories import Histories
from tests import logs


@pytest.mark.parametrize(
    ("events", "kinds"),
    [
        (["cart", "remove_from_cart"], [Kind.VIEW]),
        (["cart", "cart", "remove_from_cart"], [Kind.VIEW, Kind.VIEW]),
        (["cart", "remove_from_cart", "cart"], [Kind.VIEW, Kind.CART]),
        (["cart", "purchase", "remove_from_cart"], [Kind.CART, Kind.PURCHASE]),
        (["cart", "remove_from_cart", "purchase"], [Kind.VIEW, Kind.PURCHASE]),
        (["cart", "view", "remove_from_cart"], [Kind.VIEW, Kind.VIEW]),
        (["remove_from_cart", "cart"], [Kind.CART]),
        (["remove_from_cart"], []),
    ],
)
def test_a_removal_takes_back_the_cart_before_it(events: list[str], kinds: list[Kind]) -> None:
    log, _ = logs.log_of([(event, day, "a", "x") for day, event in enumerate(events)])
    assert Histories.of(log).kind.tolist() == kinds


def test_a_removal_concerns_one_person_and_one_product() -> None:
    log, _ = logs.log_of(
        [
            ("cart", 1, "a", "x"),
            ("cart", 1, "a", "y"),
            ("cart", 1, "b", "x"),
            ("remove_from_cart", 2, "a", "x"),
            ("purchase", 3, "b", "x"),
        ]
    )
    history = Histories.of(log)
    assert history.indptr.tolist() == [0, 2, 4]
    assert history.kind.tolist() == [Kind.VIEW, Kind.CART, Kind.CART, Kind.PURCHASE]
    assert history.product.tolist() == [0, 1, 0, 0]


def test_what_is_not_known_yet_takes_nothing_back() -> None:
    log, _ = logs.log_of([("cart", 1, "a", "x"), ("remove_from_cart", 2, "a", "x")])
    assert Histories.of(log.known_before(logs.day(2))).kind.tolist() == [Kind.CART]


def test_what_is_all_of_a_history_does_not_keep_it() -> None:
    """Chunks of training would stay in memory until garbage is collected, which arrays do not set off."""
    product = np.arange(3, dtype=np.int32)
    history = Histories.of_one(product, np.full(3, Kind.PURCHASE, dtype=np.int8), np.arange(3))
    assert history.bought.product is product
    there = weakref.ref(product)
    gc.disable()
    try:
        del history, product
        assert there() is None
    finally:
        gc.enable()
