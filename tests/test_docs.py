"""What the pages say is true: links, commands, requests, tables, examples, and the examples in docstrings."""

from __future__ import annotations

import csv
import doctest
import importlib
import importlib.util
import io
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
import typer
from pydantic import BaseModel

from features.catalogue import Catalogue
from features.contract import EVENT_NAMES, TABLES
from features.dataset import read_dataset
from features.encode import encode_catalogue, encode_events
from features.events import INTEREST, EventLog, Kind
from features.filters import evaluate
from features.histories import Histories, Ragged
from recommender.answering import Answerer
from recommender.answers import Block, BlockRequest, Shopper
from recommender.config import PlacementConfig, RecommenderConfig, SourceConfig
from recommender.engine import Recommender, fit
from recommender.queries import Queries
from recommender.rules import Rule, Rules, parse_rules
from recommender.sources.base import Source
from serving.decision_schemas import DecisionBody, DecisionsBatchBody
from serving.messages import read_messages
from serving.products import product_of
from serving.schemas import AliasBody, ListQuery, RecommendationsBody
from tests import logs, shops
from tests.recommender.sources.contract import SourceContract
from training.cli import application

ROOT = Path(__file__).parents[1]
PACKAGES = ("features", "recommender", "nba", "training", "serving")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "mlruns" / "README.md"])
DEFAULTS = RecommenderConfig.default()


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def table(page: str, *heading: str) -> list[list[str]]:
    """Rows of the one Markdown table whose heading begins so."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
        first, _, *rows = ([cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines())
        if tuple(first[: len(heading)]) == heading:
            found.append(rows)
    [rows] = found
    return rows


def unquoted(cell: str) -> str:
    return cell.strip("`")


# Every page


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert file.is_relative_to(ROOT), f"{target} leaves the repository"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}, target


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8"))
        ahead += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert set(ROOT.glob("docs/**/*.md")) <= reached


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_are_named_exist(page: Path) -> None:
    folders = "|".join((*PACKAGES, "tests", "docs", "benchmarks"))
    for name in re.findall(rf"`((?:{folders})/[\w/.-]+)`", page.read_text(encoding="utf-8")):
        if "same_brand" not in name:  # the one that adding-a-source.md tells how to write
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_are_calls_that_parse(page: Path) -> None:
    root = typer.main.get_command(application())
    for block in code(page, "console"):
        for line in re.findall(r"^\$ segue (.*)$", block, re.MULTILINE):
            words, command = shlex.split(line, comments=True), root
            while hasattr(command, "commands"):
                command = command.commands[words.pop(0)]
            command.make_context("segue", words)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    told = page.read_text(encoding="utf-8")
    asked = re.findall(r"`make (?:PYTHON=\S+ )?([a-z]+)`", told) + re.findall(r"^make ([a-z]+)", told, re.MULTILINE)
    assert set(asked) <= targets


def test_there_are_commands_in_the_readme() -> None:
    assert len(re.findall(r"^\$ segue ", text("README.md"), re.MULTILINE)) >= 5
    assert text("README.md").index("make demo") < text("README.md").index("## Five minutes")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_requests_are_understood(page: Path) -> None:
    call = r"(/v1/\S+) (?:[^\n]* )?-d '(\{.*?\})'$"
    for path, said in (match for block in code(page, "sh") for match in re.findall(call, block, re.M | re.S)):
        body = json.loads(said)
        if path.startswith("/v1/products/"):
            product_of(body, path.rpartition("/")[2])
        elif path.startswith("/v1/events"):
            assert all(isinstance(message, list) for message in read_messages(body, 0).messages)
        elif path.startswith("/v1/decisions"):
            (DecisionsBatchBody if path.endswith(":batch") else DecisionBody).model_validate(body)
        elif path.startswith("/v1/models/"):
            AliasBody.model_validate(body)
        else:
            asked = RecommendationsBody.model_validate(body)
            assert {block.placement for block in asked.blocks} <= set(DEFAULTS.placements)
    for address in re.findall(r"http://[\w.:]+/v1/recommendations/[^\s'\"`)]*", page.read_text(encoding="utf-8")):
        parts = urlsplit(address)
        assert parts.path.rpartition("/")[2] in DEFAULTS.placements, address
        repeatable = {"product_id", "exclude"}
        ListQuery.model_validate(
            {name: given if name in repeatable else given[0] for name, given in parse_qs(parts.query).items()}
        )


# Docstrings


def modules_with_examples() -> list[str]:
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in files
        if ">>> " in file.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("module", modules_with_examples())
def test_examples_in_docstrings(module: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(module))
    assert attempted > 0
    assert failed == 0, "see standard output"


# docs/dataset.md


def test_the_columns_told_are_those_of_the_contract() -> None:
    page = text("docs/dataset.md")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    forms = {"id": "ID", "text": "TEXT", "number": "NUMBER", "time": "TIME", "boolean": "FLAG", "list": "TAGS"}
    for contract in TABLES:
        told = [
            (row[0].strip("*"), row[0].startswith("**"), forms[row[1]])
            for row in table(sections[contract.name], "column")
        ]
        assert told == [(column.name, column.required, column.form.name) for column in contract.columns]


def test_the_event_names_told_are_those_of_the_contract() -> None:
    [names] = re.findall(r"^Names: (.*?)\.$", text("docs/dataset.md"), re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", names)) == set(EVENT_NAMES)
    [learned] = re.findall(r"^Lists are learned from (.*?)\.$", text("docs/dataset.md"), re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", learned)) == {kind.name.lower() for kind in (*INTEREST, Kind.REFUND)}


def test_the_shop_in_three_files(tmp_path: Path) -> None:
    *tables, aside = code(ROOT / "docs" / "dataset.md", "csv")
    for name, content in zip(("products", "customers", "events"), tables, strict=True):
        (tmp_path / f"{name}.csv").write_text(content, encoding="utf-8")
    found = read_dataset(tmp_path, now=datetime(2026, 4, 1, tzinfo=UTC))

    rejected = [report.rejected for report in found.report.values()]
    told = list(csv.DictReader(io.StringIO(aside)))
    assert pd.concat(rejected)[["file", "row", "column", "reason"]].astype(str).to_dict("records") == told

    log = encode_events(found.events, found.products, found.customers)
    catalogue = encode_catalogue(found.products, log)
    kept = evaluate("vegan and 'dry' in skin_type", catalogue.filterable, len(catalogue))
    assert not kept.any(), "the only cream is not vegan"
    assert evaluate("'dry' in skin_type", catalogue.filterable, len(catalogue))[catalogue.ids.code("cream-2")]
    for day, products in ((4, ["file-3", "lip-1"]), (6, ["lip-1"])):
        known = log.known_before(int(datetime(2026, 3, day, tzinfo=UTC).timestamp()) * 1_000_000)
        bought = known.of_kind(Kind.PURCHASE)
        assert sorted(known.products[code] for code in known.product[bought]) == products
        assert len(set(known.order[bought])) == 1


# docs/placements.md


PLACEMENTS = text("docs/placements.md")


def test_every_placement_is_told_with_what_it_stands_on() -> None:
    told = {
        unquoted(name): (set(sources.split(", ")), profile, anchors)
        for name, _, sources, profile, anchors in table(PLACEMENTS, "placement")
    }
    assert told == {
        name: (set(placement.sources), placement.profile, placement.default_anchors)
        for name, placement in DEFAULTS.placements.items()
    }
    assert set(told) == set(re.findall(r"`(\w+)`", " ".join(row[0] for row in table(text("README.md"), "placement"))))


def test_what_placements_leave_out_is_told() -> None:
    prose = " ".join(PLACEMENTS.split())
    owners = prose.partition(" leave out what the shopper owns")[0].rpartition(" - ")[2]
    leaving = {name for name, placement in DEFAULTS.placements.items() if placement.leave_out_bought}
    assert set(re.findall(r"\*\*(\w+)\*\*", owners)) == leaving
    empty = prose.partition(" have no fallback and may be empty")[0].rpartition(". ")[2]
    assert set(re.findall(r"`(\w+)`", empty)) == {name for name, one in DEFAULTS.placements.items() if one.may_be_empty}


def test_every_kind_of_source_is_told() -> None:
    kinds = {config.model_fields["kind"].default for config in get_args(get_args(SourceConfig)[0])}
    assert {unquoted(row[0]) for row in table(PLACEMENTS, "kind of source")} == kinds


def test_every_field_of_a_placement_is_told_with_its_default() -> None:
    told = {unquoted(name): unquoted(default) for name, default, _ in table(PLACEMENTS, "field of a placement")}
    assert set(told) == set(PlacementConfig.model_fields)
    for name, default in told.items():
        field = PlacementConfig.model_fields[name]
        expected = None if field.is_required() else json.loads(json.dumps(field.default, default=BaseModel.model_dump))
        assert (tomllib.loads(f"value = {default}")["value"] if default else None) == expected


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    """Fitted on a shop with two products that nobody has bought yet."""
    events, products = shops.planted_tastes(order_size=2)[0], shops.catalogue(26, 3)
    log = encode_events(events, products)
    return fit(log, encode_catalogue(products, log), DEFAULTS, at=int(log.known.max()) + 1)


def answers(recommender: Recommender) -> Iterator[Block]:
    """Blocks of every placement for a known customer, with filter, category, pin, and a list as long as the shop."""
    pin = Rule(action="pin", product_ids=("p003",), placements=("trending",))
    answerer = Answerer(recommender, Rules((pin,), recommender.catalogue))
    for placement in recommender.config.placements:
        block = BlockRequest(placement, 26, ("p001",), "All > Taste 1", "price > 0")
        yield from answerer.answer(Shopper("c000"), [block], recommender.at)
        yield from answerer.answer(Shopper("c000"), [BlockRequest(placement, 26, ("p001",))], recommender.at)


def test_every_reason_is_told_with_what_belongs_to_it(recommender: Recommender) -> None:
    history = recommender.history(recommender.people.code("c000"), recommender.at)
    query = Queries(np.array([recommender.at]), history, Ragged.of([[1]]))
    products = np.arange(2, dtype=np.int32)
    reasons = [one for source in recommender.sources.values() for one in source.reasons(query, 0, products)]
    items = [item for block in answers(recommender) for item in block.items if item.kind == "product"]
    given: dict[str, set[str]] = {}
    for reason in (*reasons, *(one for item in items for one in item.reasons)):
        names = {"product_id" if name == "product" else name for name in reason}
        given.setdefault(reason["code"], set()).update(names - {"code"})
    told = {unquoted(name): set(re.findall(r"`(\w+)`", members)) for name, _, members in table(PLACEMENTS, "code")}
    assert told == given


def test_every_step_of_the_funnel_is_told_in_order(recommender: Recommender) -> None:
    told = [unquoted(row[0]) for row in table(PLACEMENTS, "step")]
    blocks = list(answers(recommender))
    assert set(told) == {step for block in blocks for step, _, _ in block.funnel}
    for block in blocks:
        steps = [step for step, _, _ in block.funnel]
        assert steps == sorted(steps, key=told.index)


def test_toml_of_the_pages_is_a_configuration_or_a_file_of_rules() -> None:
    configuration, rules = code(ROOT / "docs" / "placements.md", "toml")
    changed = RecommenderConfig.default(tomllib.loads(configuration))
    assert set(changed.placements) - set(DEFAULTS.placements) == {"this_week"}
    assert changed.placements["recommended_for_you"].sources == DEFAULTS.placements["recommended_for_you"].sources
    assert changed.placements["recommended_for_you"].diversity == 0.2

    found = parse_rules(rules, tuple(DEFAULTS.placements))
    assert [rule.action for rule in found] == ["pin", "boost", "bury", "exclude"]


# docs/adding-a-source.md


@pytest.fixture
def same_brand(tmp_path: Path) -> Iterator[ModuleType]:
    """The module that the page writes."""
    file = tmp_path / "same_brand.py"
    file.write_text(code(ROOT / "docs" / "adding-a-source.md", "python")[0], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("same_brand", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["same_brand"] = module  # pydantic looks its annotations up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["same_brand"]


class TestTheSourceOfThePage(SourceContract):
    @pytest.fixture(autouse=True)
    def _module(self, same_brand: ModuleType) -> None:
        self.same_brand = same_brand

    def fit(self, log: EventLog, catalogue: Catalogue) -> Source:
        fitted: Source = self.same_brand.fit(log, catalogue, self.same_brand.SameBrandConfig())
        return fitted

    def test_it_proposes_the_brand(self, shop: tuple[EventLog, Catalogue]) -> None:
        log, catalogue = shop
        anchor = Queries(np.array([0]), Histories.empty(1), Ragged.of([[catalogue.ids.code("p004")]]))
        proposed, _ = logs.scores(self.fit(log, catalogue), anchor).row(0)
        assert [catalogue.ids[place] for place in proposed.tolist()] == ["p001", "p007", "p010"]
