"""What a catalogue answers about its products."""

import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.encode import encode_catalogue, encode_events

DAY = pd.Timestamp("2026-01-02", tz="UTC")


def micros(moment: pd.Timestamp) -> int:
    return moment.value // 1000


@pytest.fixture
def catalogue() -> Catalogue:
    products = pd.DataFrame(
        {
            "product_id": list("abcd"),
            "category": pd.Series(["Lips", "Lips > Gloss", None, "Lipstick"], dtype="str"),
            "price": [10.0, 10.0, np.nan, 5.0],
            "sale_price": [8.0, np.nan, np.nan, np.nan],
            "availability": pd.Series(["in_stock", "out_of_stock", None, "preorder"], dtype="str"),
            "available_from": pd.Series([DAY, None, None, DAY - pd.Timedelta(days=1)]),
        }
    )
    return encode_catalogue(products, encode_events(None, products))


def test_what_is_in_stock_may_be_shown_from_its_first_day(catalogue: Catalogue) -> None:
    assert catalogue.available(micros(DAY)).tolist() == [True, False, True, True]
    assert catalogue.available(micros(DAY) - 1).tolist() == [False, False, True, True]


def test_a_shop_that_tells_no_stock_has_everything() -> None:
    products = pd.DataFrame({"product_id": ["a"]})
    assert encode_catalogue(products, encode_events(None, products)).available(0).tolist() == [True]


def test_a_category_holds_those_below_it(catalogue: Catalogue) -> None:
    assert catalogue.in_category("Lips").tolist() == [True, True, False, False]
    assert catalogue.in_category("Lips > Gloss").tolist() == [False, True, False, False]
    assert not catalogue.in_category("Gloss").any()


def test_a_shopper_pays_the_sale_price_where_there_is_one(catalogue: Catalogue) -> None:
    np.testing.assert_array_equal(catalogue.asked_price, [8.0, 10.0, np.nan, 5.0])


def test_an_absent_column_is_null_everywhere(catalogue: Catalogue) -> None:
    assert catalogue.text("brand").codes.tolist() == [-1] * 4
    assert np.isnan(catalogue.number("margin")).all()
    assert np.isnan(catalogue.number("availability")).all()
