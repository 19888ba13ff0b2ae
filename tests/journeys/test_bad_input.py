"""From files to answers when the files are bad, or merely unusual."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import pandas as pd
import pytest

from recommender.config import RecommenderConfig
from serving.app import create_app
from serving.schemas import RecommendationsAnswer
from serving.settings import Settings
from tests import shops
from tests.shell import Shell

START = shops.START
CONFIG = RecommenderConfig.default()
ODD = ("a/b", "'; drop table --", 'say "hi"', "💄 né", "100% & more?#", "..", " spaced ", "c,d\ne", "\\", "null")


def lists(segue: Shell, data: Path, placement: str, *more: str) -> pd.DataFrame:
    """What ``segue recommend`` writes."""
    out = data.parent / f"{placement}.parquet"
    segue.json("recommend", data, "--placement", placement, "--count", 5, "--out", out, *more)
    return pd.read_parquet(out)


# Faults of a table


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"events.csv": "event,customer_id\nview,c\n"}, "events.csv has no column timestamp"),
        ({"events.parquet": "no parquet"}, "events.parquet cannot be read"),
        ({"events.csv": "event,timestamp\n", "events.jsonl": ""}, "two forms"),
        ({"products.csv": "title\nx\n"}, "products.csv has no column product_id"),
        ({"readme.txt": "hello"}, "holds no table"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ("validate",),
        ("train", "recommender"),
        ("evaluate", "recommender", "--split", "temporal"),
        ("recommend", "--placement", "trending", "--count", "3", "--out", "lists.csv"),
    ],
    ids=lambda command: command[0],
)
def test_a_fault_of_a_table_stops_every_command_with_one_line(
    segue: Shell, mlflow_uri: str, tmp_path: Path, command: tuple[str, ...], files: dict[str, str], says: str
) -> None:
    data = tmp_path / "shop"
    data.mkdir()
    for name, text in files.items():
        (data / name).write_text(text, encoding="utf-8")
    code, out, err = segue.run(*command, data)
    assert (code, out) == (1, "")
    [line] = [line for line in err.splitlines() if not line.startswith("fitting")]
    assert says in line
    assert not Path("lists.csv").exists()


# Bad rows

GOOD = "event,timestamp,customer_id,product_id,quantity\n" + "".join(
    f"purchase,2026-01-{day:02}T10:00:00Z,c{person},{product},1\n"
    for day, product in enumerate(("milk", "tea", "jam", "rye", "oil", "egg"), start=1)
    for person in range(6)
)
BAD = (
    "purchase,yesterday,c1,milk,1\n"
    "purchase,2999-01-01T00:00:00Z,c1,milk,1\n"
    "purchase,2026-01-01T00:00:00Z,,milk,1\n"
    "purchase,2026-01-01T00:00:00Z,c1,milk,-1\n"
    "purchase,2026-01-01T00:00:00Z,c1,milk,many\n"
    ",2026-01-01T00:00:00Z,c1,milk,1\n"
)
REASONS = {"timestamp": 2, "customer_id": 1, "quantity": 2, "event": 1}


@pytest.fixture
def clean_and_soiled(tmp_path: Path) -> tuple[Path, Path]:
    """The same shop twice, once with six bad rows and a bad product in between."""
    for name, events, products in (
        ("clean", GOOD, "product_id,price\nmilk,1\ntea,2\n"),
        (
            "soiled",
            GOOD.replace("purchase,2026-01-03", BAD + "purchase,2026-01-03", 1),
            "product_id,price\nmilk,1\n,3\ntea,2\n",
        ),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.csv").write_text(events, encoding="utf-8")
        (tmp_path / name / "products.csv").write_text(products, encoding="utf-8")
    return tmp_path / "clean", tmp_path / "soiled"


def test_bad_rows_are_counted_and_told_by_place(segue: Shell, clean_and_soiled: tuple[Path, Path]) -> None:
    _, soiled = clean_and_soiled
    code, _, err = segue.run("validate", soiled)
    assert code == 0
    assert "7 bad rows" in err
    rejected = Path("home") / "rejected" / "soiled"
    found = pd.read_csv(rejected / "events.csv")
    assert found["column"].value_counts().to_dict() == REASONS
    assert found["row"].tolist() == list(range(14, 20)), "lines of the file, the header being the first"
    assert (found["file"] == "events.csv").all()
    assert found["reason"].notna().all()
    assert pd.read_csv(rejected / "products.csv")["row"].tolist() == [3]
    assert not list(soiled.glob("*rejected*"))


def test_the_run_goes_on_as_if_bad_rows_were_not_there(
    segue: Shell, mlflow_uri: str, clean_and_soiled: tuple[Path, Path]
) -> None:
    clean, soiled = clean_and_soiled
    pd.testing.assert_frame_equal(lists(segue, clean, "best_sellers"), lists(segue, soiled, "best_sellers"))
    trained = segue.json("train", "recommender", soiled, "--rejected", "aside")
    assert (trained["bad_rows"], trained["events"]) == (7, 36)
    assert {file.name for file in Path("aside").iterdir()} == {"events.csv", "products.csv"}
    one, two = (
        segue.json("evaluate", "recommender", data, "--split", "leave-one-out")["metrics"] for data in (clean, soiled)
    )
    assert one == two


def test_rows_set_aside_never_land_in_the_dataset(segue: Shell, clean_and_soiled: tuple[Path, Path]) -> None:
    _, soiled = clean_and_soiled
    assert "inside the dataset" in segue.refusal("validate", soiled, "--rejected", soiled / "aside")


# The merely unusual


def odd_ids() -> dict[str, pd.DataFrame]:
    """Ids that upset paths, SQL, JSON, HTML and terminals: of products, customers, orders and sessions."""
    rows = [
        (
            "purchase",
            START + pd.Timedelta(days=day, hours=place),
            person,
            ODD[(place + day) % len(ODD)],
            f"{person}{day}",
            ODD[day],
        )
        for place, person in enumerate(ODD)
        for day in range(4)
    ]
    columns = ["event", "timestamp", "customer_id", "product_id", "order_id", "session_id"]
    products = pd.DataFrame({"product_id": ODD, "title": ODD, "category": ODD, "brand": ODD[::-1], "price": 1.5})
    return {"events": pd.DataFrame(rows, columns=columns), "products": products}


def giant_order() -> dict[str, pd.DataFrame]:
    """One order of ten thousand lines beside ordinary ones."""
    giant = pd.DataFrame(
        {
            "event": "purchase",
            "timestamp": START + pd.Timedelta(days=5),
            "customer_id": "wholesaler",
            "product_id": [f"p{number:05}" for number in range(10_000)],
            "order_id": "giant",
            "price": 1.0,
        }
    )
    events = shops.companions()
    return {"events": pd.concat([events, giant], ignore_index=True)}


def everything_thrice() -> dict[str, pd.DataFrame]:
    """Every event delivered three times, under one event_id."""
    events, products = shops.planted_tastes(customers=12)
    events = events.assign(event_id=[f"e{number}" for number in range(len(events))])
    return {"events": pd.concat([events] * 3, ignore_index=True), "products": products}


def customers_only() -> dict[str, pd.DataFrame]:
    """People whom nobody has seen do anything, in a shop without products."""
    return {"customers": pd.DataFrame({"customer_id": ["a", "b"], "age": [30.0, None]})}


def catalogue_only() -> dict[str, pd.DataFrame]:
    """Products nobody has looked at yet."""
    return {"products": shops.catalogue(6, 2)}


UNUSUAL: dict[str, Callable[[], dict[str, pd.DataFrame]]] = {
    "odd ids": odd_ids,
    "giant order": giant_order,
    "everything thrice": everything_thrice,
    "one product": lambda: {"events": shops.one_product()},
    "one customer": lambda: {"events": shops.one_customer()},
    "empty shop": lambda: {"events": shops.no_events()},
    "customers only": customers_only,
    "catalogue only": catalogue_only,
}


@pytest.fixture(params=UNUSUAL)
def unusual(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A dataset folder of each unusual shop."""
    return shops.write(tmp_path / "shop", **UNUSUAL[request.param]())


def people_and_products(data: Path) -> tuple[set[str], set[str]]:
    """Every customer and every product of a dataset."""
    tables = [pd.read_parquet(file) for file in data.glob("*.parquet")]
    people, products = (
        {value for table in tables if column in table for value in table[column].dropna()}
        for column in ("customer_id", "product_id")
    )
    return people, products


@pytest.mark.anyio
async def test_an_unusual_shop_is_listed_trained_and_served(segue: Shell, mlflow_uri: str, unusual: Path) -> None:
    people, products = people_and_products(unusual)
    found = segue.json("validate", unusual)
    assert found

    listed = lists(segue, unusual, "recommended_for_you", "--repeats")
    assert set(listed["customer_id"]) == (people if products else set())
    assert set(listed["product_id"]) <= products
    assert not listed.duplicated(["customer_id", "product_id"]).any()
    assert (listed.groupby("customer_id").size() == min(5, len(products))).all()
    if len(products) < 100:
        beside = lists(segue, unusual, "similar_products")
        assert set(beside["anchor_id"]) == (products if len(products) > 1 else set())

    bundle = unusual.parent / "bundle"
    trained = segue.json("train", "recommender", unusual, "--bundle", bundle)
    assert (trained["version"], trained["bad_rows"], trained["products"]) == (1, 0, len(products))
    await every_placement_answers(bundle, sorted(people)[:12], sorted(products)[:12], empty=not products)


async def every_placement_answers(bundle: Path, people: list[str], products: list[str], *, empty: bool) -> None:
    """Over HTTP, by path and by body, for everyone and for strangers, beside every product and a strange one."""
    app = create_app(Settings(bundles=(bundle,), home=bundle.parent / "home"))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
    ):
        for placement, config in CONFIG.placements.items():
            asked: list[tuple[str | None, str | None]] = [(person, None) for person in [*people, "stranger/💄"]]
            asked += [(None, product) for product in [*products, "strange/💄"]]
            for person, product in asked:
                block = {"placement": placement, "count": 3, "context": {"product_ids": [product] if product else []}}
                posted = await client.post("/v1/recommendations", json={"customer_id": person, "blocks": [block]})
                parameters = {"customer_id": person, "product_id": product, "count": "3"}
                query = "&".join(f"{key}={quote(value, safe='')}" for key, value in parameters.items() if value)
                got = await client.get(f"/v1/recommendations/{placement}?{query}")
                answers = [RecommendationsAnswer.model_validate(one.raise_for_status().json()) for one in (posted, got)]
                one, two = ([item.id for item in answer.blocks[0].items] for answer in answers)
                assert one == two
                may_be_empty = empty or config.may_be_empty or products == [product]
                assert one or may_be_empty, (placement, person, product)
                assert product not in one or config.of == "groups"
        # A model that raised would have answered with best sellers, and been counted.
        assert "segue_degraded_requests_total 0.0" in (await client.get("/metrics")).text


def test_copies_of_events_change_nothing(segue: Shell, tmp_path: Path) -> None:
    thrice = everything_thrice()
    once = thrice | {"events": thrice["events"].drop_duplicates("event_id")}
    one, three = (
        lists(segue, shops.write(tmp_path / name / "shop", **tables), "recommended_for_you")
        for name, tables in (("one", once), ("three", thrice))
    )
    pd.testing.assert_frame_equal(one, three)


def test_a_giant_order_does_not_make_its_products_companions(segue: Shell, tmp_path: Path) -> None:
    data = shops.write(tmp_path / "shop", **giant_order())
    beside = lists(segue, data, "frequently_bought_together")
    first = beside[beside["rank"] == 1].set_index("anchor_id")["product_id"]
    assert (first["shampoo"], first["brush"]) == ("conditioner", "paste")


@pytest.mark.parametrize("split", ["leave-one-out", "next-basket", "basket", "session", "temporal"])
def test_what_cannot_be_evaluated_is_told_in_one_line(
    segue: Shell, mlflow_uri: str, tmp_path: Path, split: str
) -> None:
    data = shops.write(tmp_path / "shop", **customers_only())
    code, out, err = segue.run("evaluate", "recommender", data, "--split", split)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("segue: ")
    assert "Traceback" not in err
