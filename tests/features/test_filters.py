"""Filters: every example of docs/filters.md, named edge cases, and two properties.

The properties: an expression means, row by row, what a plain reading of it means; and no text whatever gets anything
but a mask or a FilterError.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.catalogue import Column, Flag, Number, Tags, Text, Time
from features.filter_rows import keeps, single
from features.filter_syntax import MAX_LENGTH, MAX_NESTING, MAX_TERMS
from features.filters import FilterError, evaluate
from features.vocabulary import Vocabulary

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text(*values: str | None) -> Text:
    vocabulary = Vocabulary(value for value in values if value is not None)
    return Text(np.array([-1 if v is None else vocabulary.code(v) for v in values], dtype=np.int32), vocabulary)


def number(*values: float | None) -> Number:
    return Number(np.array([np.nan if v is None else v for v in values], dtype=np.float64))


def flag(*values: bool | None) -> Flag:
    return Flag(np.array([-1 if v is None else v for v in values], dtype=np.int8))


def time(*values: datetime | None) -> Time:
    null = np.iinfo(np.int64).min
    moments = [null if v is None else (v - EPOCH) // timedelta(microseconds=1) for v in values]
    return Time(np.array(moments, dtype=np.int64))


def tags(*values: Sequence[str]) -> Tags:
    vocabulary = Vocabulary(value for row in values for value in row)
    indptr = np.cumsum([0, *map(len, values)], dtype=np.int64)
    return Tags(indptr, vocabulary.codes(value for row in values for value in row), vocabulary)


# --- docs/filters.md -------------------------------------------------------------------------------------------------


def tables(page: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Heading and rows of each table of a Markdown page."""
    for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
        heading, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
        yield heading, rows


PAGE = (Path(__file__).parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")
PRODUCTS, *EXAMPLES = tables(PAGE)
KEPT = [row for heading, rows in EXAMPLES if heading == ["filter", "keeps"] for row in rows]
REFUSED = [row for heading, rows in EXAMPLES if heading == ["filter", "position", "message"] for row in rows]


def documented_products() -> dict[str, Column]:
    heading, rows = PRODUCTS
    cells: dict[str, Any] = {
        name: [cell or None for cell in column] for name, column in zip(heading, zip(*rows, strict=True), strict=True)
    }
    read: dict[str, Callable[[str], Any]] = {"price": float, "sale_price": float, "vegan": "true".__eq__}
    types: dict[str, Callable[..., Column]] = {"price": number, "sale_price": number, "vegan": flag}
    for name in ("skin_type", "ingredients"):
        cells[name] = [cell.split(", ") if cell else [] for cell in cells[name]]
        types[name] = tags
    cells["available_from"] = [
        cell and datetime.fromisoformat(cell).replace(tzinfo=UTC) for cell in cells["available_from"]
    ]
    types["available_from"] = time
    for name, of_cell in read.items():
        cells[name] = [cell and of_cell(cell) for cell in cells[name]]
    return {name: types.get(name, text)(*column) for name, column in cells.items()}


def test_the_page_has_examples_of_both_kinds() -> None:
    assert len(KEPT) > 40
    assert len(REFUSED) > 10
    assert len(KEPT) + len(REFUSED) == sum(len(rows) for _, rows in EXAMPLES)


@pytest.mark.parametrize(("expression", "keeps"), KEPT)
def test_documented_example(expression: str, keeps: str) -> None:
    ids = [row[0] for row in PRODUCTS[1]]
    mask = evaluate(expression.strip("`"), documented_products(), len(ids))
    assert mask.dtype == np.bool_
    assert ", ".join(np.array(ids)[mask]) == keeps.replace("none", "")


@pytest.mark.parametrize(("expression", "position", "message"), REFUSED)
def test_documented_error(expression: str, position: str, message: str) -> None:
    with pytest.raises(FilterError) as refused:
        evaluate(expression.strip("`"), documented_products(), 6)
    assert message in refused.value.message
    assert refused.value.position == int(position)
    assert refused.value.text == expression.strip("`")


def test_documented_limits() -> None:
    assert f"{MAX_LENGTH:,} characters, {MAX_TERMS} comparisons" in PAGE
    assert f"parentheses {MAX_NESTING} deep" in PAGE


# --- Edge cases ------------------------------------------------------------------------------------------------------

COLUMNS: dict[str, Column] = {
    "category": text("A", "A > B", "A!", "A >", "A > B > C", "B > A", "a", None),
    "trail": text("A", "A > B", "A!", "A >", "A > B > C", "B > A", "a", None),
    "size": number(1, 2, 3, -4, 0.5, 1e300, 0, None),
    "android": flag(True, True, False, False, None, None, True, None),
    "made in": text("France", None, "it's", '"', "%", "a_b", "line\nbreak", "emoji 💄"),
    'say "hi"': number(1, 2, 3, 4, 5, 6, 7, 8),
    "größe": number(1, 2, 3, 4, 5, 6, 7, 8),
    "notes": tags([], ["a"], ["a", "b"], ["b"], [], ["it's"], ["a"], []),
    "none": text(*[None] * 8),
    "empty": tags(*[[]] * 8),
    "since": time(*[EPOCH + timedelta(days=day) for day in range(7)], None),
}


def kept(expression: str, **options: Any) -> list[int]:
    return np.flatnonzero(evaluate(expression, COLUMNS, 8, **options)).tolist()


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("category = 'A'", [0, 1, 4]),
        ("category <> 'A'", [2, 3, 5, 6]),
        ("category == 'A > B'", [1, 4]),
        ("category in ('A > B', 'B', 'a', 'x', 'y', 'z')", [1, 4, 5, 6]),
        ("category not in ('A > B', 'B', 'a', 'x', 'y', 'z')", [0, 2, 3]),
        ("not category in ('A')", [2, 3, 5, 6, 7]),
        ("category = 'unknown'", []),
        ("category != 'unknown'", [0, 1, 2, 3, 4, 5, 6]),
        ("trail = 'A'", [0]),
        ("trail < 'A >'", [0]),
        ("trail <= 'A >'", [0, 3]),
        ("trail > 'A >'", [1, 2, 4, 5, 6]),
        ("trail >= 'A >'", [1, 2, 3, 4, 5, 6]),
        ("'A >' > trail", [0]),
        ("trail between 'A' and 'A > B'", [0, 1, 3]),
        ("none = 'x' or none != 'x' or none < 'x' or none >= '' or none like '%' or none not like 'x'", []),
        ("'a' in empty", []),
        ("empty is null and none is null", [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_text_and_categories(expression: str, rows: list[int]) -> None:
    assert kept(expression) == rows


def test_the_category_column_is_the_callers_choice() -> None:
    assert kept("category = 'A'", category_column=None) == [0]
    assert kept("trail = 'A'", category_column="trail") == [0, 1, 4]


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("size = -4", [3]),
        ("size=+1.", [0]),
        ("size<.6", [3, 4, 6]),
        ("size >= 1E300", [5]),
        ("size < 1e999", [0, 1, 2, 3, 4, 5, 6]),  # greater than any float, so everything that is known
        ("size in (1, 2.0, 99)", [0, 1]),
        ("size not in (1, 2.0, 99)", [2, 3, 4, 5, 6]),
        ("size != size", []),
        ("größe != size", [3, 4, 5, 6]),
        ("size != größe", [3, 4, 5, 6]),
        ("size = size", [0, 1, 2, 3, 4, 5, 6]),
        ("not size = size", [7]),
        ("size between 1 and größe", [0, 1, 2]),
        ("android", [0, 1, 6]),
        ("android != true", [2, 3]),
        ("true = android", [0, 1, 6]),
        ("android in (true, false)", [0, 1, 2, 3, 6]),
        ("android not in (true)", [2, 3]),
        ("android is NULL", [4, 5, 7]),
        ("since = '1970-01-02'", [1]),
        ("since != '1970-01-02T00:00:00Z'", [0, 2, 3, 4, 5, 6]),
        ("since < '1970-01-02 00:00:00.000001'", [0, 1]),
        ("since <= '1970-01-02t01:00+01:00'", [0, 1]),
        ("since < '1970-01-02T01:00:00-00:30'", [0, 1]),
        ("since between '1970-01-02' and '1970-01-03'", [1, 2]),
        ("since in ('1970-01-02', '2000-02-29')", [1]),
        ("since > '0001-01-01T00:00:00+23:59'", [0, 1, 2, 3, 4, 5, 6]),
        ("since is null", [7]),
    ],
)
def test_numbers_booleans_and_times(expression: str, rows: list[int]) -> None:
    assert kept(expression) == rows


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("\"made in\" = 'it''s'", [2]),
        ('"say ""hi""" < 3', [0, 1]),
        ("größe < 3", [0, 1]),
        ("\"made in\" in ('emoji 💄', '\"')", [3, 7]),
        ("\"made in\" like '_____ _'", [7]),
        ("\"made in\" like '%\nbreak'", [6]),
        ("\"made in\" like 'line%'", [6]),
        ("\"made in\" like ''", []),
        ("\"made in\" not like '%'", []),
        ("\"made in\" like '.%'", []),
        ("\"made in\" like '_'", [3, 4]),
        ("\"made in\" ILIKE 'fr%CE'", [0]),
        ("'it''s' in notes", [5]),
        ("'unknown' in notes", []),
        ("'b' NOT IN notes", [0, 1, 4, 5, 6, 7]),
    ],
)
def test_quoting_and_patterns(expression: str, rows: list[int]) -> None:
    assert kept(expression) == rows


@pytest.mark.parametrize(
    ("expression", "truth"),
    [
        ("true or true and false", True),
        ("(true or true) and false", False),
        ("not false and false", False),
        ("not (false and false)", True),
        ("not true or true", True),
        ("not not true", True),
        ("not not not true", False),
        ("Not\tTRUE\nOr not FaLsE", True),
        ("size between 0 and 9 and false", False),
        ("not size = 1 or true", True),
    ],
)
def test_precedence(expression: str, truth: bool) -> None:
    assert bool(evaluate(expression, COLUMNS, 8)[0]) is truth


@pytest.mark.parametrize(
    ("expression", "position", "message"),
    [
        ("", 0, "empty"),
        (" \n", 0, "empty"),
        ("margin > 0.4", 0, "there is no column margin"),
        ("SIZE > 1", 0, "did you mean size"),
        ("size = siez", 7, "did you mean size"),
        ("true or true or nope", 16, "there is no column nope"),
        ("false and nope", 10, "there is no column nope"),
        ("not nope is null", 4, "there is no column nope"),
        ('"a" in notes', 0, "text goes in single quotes"),
        ("1 in notes", 0, "is not text"),
        ("notes in ('a')", 10, "write 'a' in notes"),
        ("size in (1, 'a')", 12, "size is a number and 'a' is text"),
        ("trail in ('a', 1)", 15, "trail is text and 1 is a number"),
        ("android < true", 10, "not by <"),
        ("android = 1", 10, "android is a boolean and 1 is a number"),
        ("size = true", 7, "size is a number and true is a boolean"),
        ("since > 3", 8, "since is a time and 3 is a number"),
        ("since > '1970-02-30'", 8, "not a time"),
        ("since > '19700101'", 8, "not a time"),
        ("since > '1970-01-01T00:00:00+99:99'", 8, "not a time"),
        ("since > '\u0661970-01-01'", 8, "not a time"),
        ("size like '1%'", 0, "like is for text"),
        ("trail like size", 11, "unexpected `size`"),
        ("trail = category", 8, "trail is text and category is text"),
        ("since < size", 8, "since is a time and size is a number"),
        ("1 = 1", 4, "expected a column"),
        ("size = 1 size", 9, 'expected "and", "or" or the end'),
        ("(size = 1", 9, 'ends too early: expected ")"'),
        ("size = 1)", 8, "unexpected `)`"),
        ("size in ()", 9, "unexpected `)`"),
        ("size = 1; drop table products", 8, "unexpected `;`"),
        ("trail = 'a' -- and so on", 12, "unexpected `-`"),
        ("size is 'x'", 8, 'expected "not" or "null"'),
        ('"size = 1', 0, "without its closing double quote"),
        ("size = 1 and 'a", 13, "without its closing single quote"),
        ("size = \u0661", 7, "unexpected `\u0661`"),
        ('"a\nb" = 1', 0, "no column a b"),
        ("size = \ud800", 7, "unexpected `\ufffd`"),
        (f"{'x' * 100} = 1", 0, f"no column {'x' * 39}…"),
    ],
)
def test_refused(expression: str, position: int, message: str) -> None:
    with pytest.raises(FilterError) as refused:
        evaluate(expression, COLUMNS, 8)
    assert message in refused.value.message
    assert "\n" not in refused.value.message
    assert refused.value.position == position


def test_an_unknown_column_lists_the_columns_there_are() -> None:
    with pytest.raises(FilterError, match=re.escape("(columns: brand, price)")):
        evaluate("margin > 1", {"price": number(1), "brand": text("x")}, 1)
    with pytest.raises(FilterError, match=re.escape("(columns: none)")):
        evaluate("margin > 1", {}, 0)


@pytest.mark.parametrize("padding", [0, 300])
def test_the_rendered_error_has_a_caret_below_the_culprit(padding: int) -> None:
    with pytest.raises(FilterError) as refused:
        evaluate("size < 1 or" + "\n" * padding + " size = 'a'", COLUMNS, 8)
    _, excerpt, caret = str(refused.value).split("\n")
    assert excerpt[caret.index("^") :] == "'a'"


def test_nesting_is_limited() -> None:
    assert kept("(" * MAX_NESTING + "size = 1" + ")" * MAX_NESTING) == [0]
    with pytest.raises(FilterError, match="nested") as refused:
        evaluate("(" * (MAX_NESTING + 1) + "size = 1" + ")" * (MAX_NESTING + 1), COLUMNS, 8)
    assert refused.value.position == MAX_NESTING
    with pytest.raises(FilterError, match="nested"):
        evaluate("(" * MAX_LENGTH, COLUMNS, 8)
    assert kept("trail = '" + "(" * 100 + "' or size = 1") == [0]


def test_a_row_of_negations_is_no_nesting() -> None:
    deepest = "not(true and (false or " * (MAX_NESTING // 2) + "size = 1" + "))" * (MAX_NESTING // 2)

    def from_a_deep_stack(levels: int) -> list[list[int]]:
        return from_a_deep_stack(levels - 1) if levels else [kept("not " * 480 + "size = 1"), kept(deepest)]

    kept("true")  # the grammar is built once, wherever that is
    assert from_a_deep_stack(levels=600) == [[0], [0]]


def test_terms_are_limited() -> None:
    assert kept(" or ".join(["size=1"] * MAX_TERMS)) == [0]
    with pytest.raises(FilterError, match=f"at most {MAX_TERMS} terms") as refused:
        evaluate("or ".join(["true "] * (MAX_TERMS + 1)), COLUMNS, 8)
    assert refused.value.position == len("true or ") * MAX_TERMS


def test_length_is_limited() -> None:
    assert kept("size = 1".ljust(MAX_LENGTH)) == [0]
    with pytest.raises(FilterError, match="characters") as refused:
        evaluate("size = 1".ljust(MAX_LENGTH + 1), COLUMNS, 8)
    assert refused.value.position == MAX_LENGTH


def test_patterns_do_not_explode() -> None:
    # A backtracking matcher would try some 10^40 ways to place the letters.
    pattern = "%a" * 40 + "%b"
    assert not evaluate(f"title like '{pattern}'", {"title": text("a" * 5_000)}, 1).any()
    assert evaluate(f"title like '{pattern}'", {"title": text("a" * 5_000 + "b")}, 1).all()


def test_the_mask_is_the_callers_own() -> None:
    for expression in ("android", "size is not null", "true", "trail = 'A'", "size < 5", "'a' in notes"):
        before = kept(expression)
        evaluate(expression, COLUMNS, 8)[:] = False
        assert kept(expression) == before


def test_one_text_over_different_tables() -> None:
    assert evaluate("x = 'a'", {"x": text("b", "a")}, 2).tolist() == [False, True]
    assert evaluate("x = 'a'", {"x": text("a", "c", "b")}, 3).tolist() == [True, False, False]
    with pytest.raises(FilterError, match="x is a number"):
        evaluate("x = 'a'", {"x": number(1)}, 1)


def test_no_rows() -> None:
    columns: dict[str, Column] = {"a": text(), "b": number(), "c": flag(), "d": time(), "e": tags()}
    expression = "a = 'x' or a like '%' or b < 1 or c or d < '2026-01-01' or 'x' in e or a in ('1','2','3','4','5','6')"
    assert evaluate(expression, columns, 0).shape == (0,)


# --- Properties ------------------------------------------------------------------------------------------------------

Row = dict[str, Any]
Meaning = tuple[str, Callable[[Row], bool]]  # the text of an expression and a plain reading of it

STRINGS = ["", "A", "A > B", "A > B > C", "A > BB", "A!", "AB", "it's", "%", "ab"]
NUMBERS = [-3.0, 0.0, 0.5, 10.0, 1e9]
MOMENTS = [datetime(2026, 1, day, hour, tzinfo=UTC) for day in (1, 2) for hour in (0, 12)]
SYMBOLS = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "category": st.sampled_from([None, *STRINGS]),
            "brand": st.sampled_from([None, *STRINGS]),
            "price": st.sampled_from([None, *NUMBERS]),
            "sale_price": st.sampled_from([None, *NUMBERS]),
            "vegan": st.sampled_from([None, True, False]),
            "since": st.sampled_from([None, *MOMENTS]),
            "tags": st.lists(st.sampled_from(STRINGS), max_size=3),
        }
    ),
    max_size=8,
)
KINDS: dict[str, Callable[..., Column]] = {
    "category": text,
    "brand": text,
    "price": number,
    "sale_price": number,
    "vegan": flag,
    "since": time,
    "tags": tags,
}


def quoted(string: str) -> str:
    return "'" + string.replace("'", "''") + "'"


def keyword(word: str) -> st.SearchStrategy[str]:
    return st.sampled_from([word, word.upper(), word.title()])


def below(value: str, path: str) -> bool:
    return value == path or value.startswith(path + " > ")


def like(value: str, pattern: str) -> bool:
    if not pattern:
        return not value
    if pattern[0] == "%":
        return any(like(value[start:], pattern[1:]) for start in range(len(value) + 1))
    return bool(value) and pattern[0] in ("_", value[0]) and like(value[1:], pattern[1:])


@st.composite
def comparisons(draw: st.DrawFn) -> Meaning:
    name = draw(st.sampled_from(["category", "brand", "price", "since", "vegan"]))
    symbol = draw(st.sampled_from(list(SYMBOLS)[:4] if name == "vegan" else list(SYMBOLS)))
    value: Any
    match name:
        case "price":
            value = draw(st.sampled_from(NUMBERS))
            shown = draw(st.sampled_from([f"{value}", f"{value:e}", f"{value:+.1f}"]))
        case "since":
            value = draw(st.sampled_from(MOMENTS))
            zone = draw(st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), None]))
            shown = quoted((value.astimezone(zone) if zone else value.replace(tzinfo=None)).isoformat())
        case "vegan":
            value = draw(st.booleans())
            shown = draw(keyword(str(value).lower()))
        case _:
            value = draw(st.sampled_from(STRINGS))
            shown = quoted(value)

    def means(row: Row) -> bool:
        if row[name] is None:
            return False
        if name == "category" and SYMBOLS[symbol] in (operator.eq, operator.ne):
            return below(row[name], value) == (SYMBOLS[symbol] is operator.eq)
        return bool(SYMBOLS[symbol](row[name], value))

    if draw(st.booleans()):
        turned = symbol.translate(str.maketrans("<>", "><")) if symbol != "<>" else symbol
        return f"{shown}{turned}{name}", means
    return f"{name} {symbol} {shown}", means


@st.composite
def columns_compared(draw: st.DrawFn) -> Meaning:
    symbol = draw(st.sampled_from(list(SYMBOLS)))

    def means(row: Row) -> bool:
        known = row["price"] is not None and row["sale_price"] is not None
        return known and bool(SYMBOLS[symbol](row["sale_price"], row["price"]))

    return f"sale_price {symbol} price", means


@st.composite
def negatable(draw: st.DrawFn) -> Meaning:
    """The terms that have a "not" of their own: between, in, like, is null."""
    kind = draw(st.sampled_from(["between", "in", "contains", "like", "null"]))
    negated = draw(st.booleans())
    word = draw(keyword("not")) + " " if negated else ""
    name = draw(st.sampled_from(["category", "brand"]))
    match kind:
        case "between":
            low, high = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from(NUMBERS))
            sql = f"price {word}{draw(keyword('between'))} {low} {draw(keyword('and'))} {high}"
            return sql, lambda row: row["price"] is not None and (low <= row["price"] <= high) != negated
        case "in":
            values = draw(st.lists(st.sampled_from(STRINGS), min_size=1, max_size=7))
            same = below if name == "category" else operator.eq
            sql = f"{name} {word}{draw(keyword('in'))} ({', '.join(map(quoted, values))})"
            return sql, lambda row: row[name] is not None and any(same(row[name], v) for v in values) != negated
        case "contains":
            value = draw(st.sampled_from(STRINGS))
            return f"{quoted(value)} {word}{draw(keyword('in'))} tags", lambda row: (value in row["tags"]) != negated
        case "like":
            pattern = draw(st.text("AB%_ >'", max_size=7))
            sql = f"{name} {word}{draw(keyword('like'))} {quoted(pattern)}"
            return sql, lambda row: row[name] is not None and like(row[name], pattern) != negated
        case _:
            name = draw(st.sampled_from(list(KINDS)))
            return f"{name} {draw(keyword('is'))} {word}null", lambda row: (row[name] in (None, [])) != negated


VEGAN: Meaning = ("vegan", lambda row: row["vegan"] is True)


def joined(meanings: list[Meaning], word: str) -> Meaning:
    together = all if word == "and" else any
    return f"({f' {word} '.join(sql for sql, _ in meanings)})", lambda row: together(
        means(row) for _, means in meanings
    )


def negation(meaning: Meaning) -> Meaning:
    sql, means = meaning
    return f"not {sql}", lambda row: not means(row)


EXPRESSIONS: st.SearchStrategy[Meaning] = st.recursive(
    st.one_of(comparisons(), columns_compared(), negatable(), st.just(VEGAN)),
    lambda parts: st.one_of(
        st.builds(joined, st.lists(parts, min_size=2, max_size=4), st.sampled_from(["and", "or"])),
        st.builds(negation, parts),
    ),
    max_leaves=8,
)


@settings(deadline=None)  # a busy machine is no failure
@given(ROWS, EXPRESSIONS)
def test_means_what_a_plain_reading_means(rows: list[Row], expression: Meaning) -> None:
    sql, means = expression
    columns = {name: kind(*(row[name] for row in rows)) for name, kind in KINDS.items()}
    assert evaluate(sql, columns, len(rows)).tolist() == [means(row) for row in rows]
    assert evaluate(sql, columns, len(rows), checked=True).tolist() == [means(row) for row in rows]
    without_paths = evaluate(sql, columns, len(rows), category_column=None).tolist()
    singles = [{name: single(column, place) for name, column in columns.items()} for place in range(len(rows))]
    assert [keeps(sql)(row.__getitem__) for row in singles] == without_paths


def test_a_filter_that_was_checked_is_read_no_further_than_it_takes() -> None:
    for text in ("size > 1e305 and nope = 1", "size > -1e9 or size <= -1e9 or size is null or nope = 1"):
        with pytest.raises(FilterError):
            evaluate(text, COLUMNS, 8)
        assert len(evaluate(text, COLUMNS, 8, checked=True)) == 8


SOUP = """
size android trail notes since category nope and or not in between like ilike is null true false ( ) ,
= != <> < <= > >= == 1 -2.5 1e9 'a' '%_' '1970-01-02' 'it''s' "made in" ' " ; * é 💄 \x00 \ud800
"""


def outcome(expression: str) -> NDArray[np.bool_] | FilterError:
    try:
        return evaluate(expression, COLUMNS, 8)
    except FilterError as error:
        return error


@settings(deadline=None)  # a busy machine is no failure
@given(st.one_of(st.text(), st.lists(st.sampled_from(SOUP.split()), max_size=30).map(" ".join)))
def test_any_text_gets_a_mask_or_a_filter_error(expression: str) -> None:
    match outcome(expression):
        case FilterError() as error:
            assert error.text == expression
            assert 0 <= error.position <= len(expression)
            assert error.message.isprintable()
            assert [line.isprintable() for line in str(error).split("\n")] == [True] * 3
        case mask:
            assert mask.dtype == np.bool_
            assert mask.shape == (8,)
