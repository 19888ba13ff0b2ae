"""From the text of a filter to an expression: the grammar, its limits and its errors.

Nothing here knows which columns there are; what an expression means stands in `features.filters`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

MAX_LENGTH = 2_000  #: characters
MAX_NESTING = 20  #: parentheses open at once
MAX_TERMS = 200  #: comparisons; the values of one ``in (…)`` count as one

Operator = Literal["=", "!=", "<", "<=", ">", ">="]


class FilterError(ValueError):
    """A filter that cannot be honoured.

    Attributes:
        message: what is wrong and what would be right, one line.
        text: the filter as given.
        position: 0-based offset in characters of the culprit in ``text``; the length of ``text`` if it ends too early.
    """

    def __init__(self, message: str, text: str, position: int) -> None:
        super().__init__(message, text, position)
        self.message = message
        self.text = text
        self.position = position

    def __str__(self) -> str:
        """The message, the part of the filter around the position, and a caret below the culprit."""
        first = max(0, self.position - 50)
        excerpt = self.text[first : self.position + 50]
        return f"{self.message}\n  {_printable(excerpt)}\n  {' ' * (self.position - first)}^"


@dataclass(frozen=True)
class Column:
    """A column by name. ``quoted``: it was written in double quotes."""

    name: str
    quoted: bool
    position: int


@dataclass(frozen=True)
class Value:
    """A literal. Numbers are floats, also whole ones."""

    value: str | float | bool
    source: str
    position: int


Operand = Column | Value


@dataclass(frozen=True)
class Truth:
    """A boolean column standing alone."""

    column: Column


@dataclass(frozen=True)
class Constant:
    """``true`` or ``false`` standing alone."""

    value: bool
    position: int


@dataclass(frozen=True)
class Comparison:
    """``price < 30``, ``sale_price < price``; ``30 > price`` has been turned round."""

    column: Column
    operator: Operator
    operand: Operand


@dataclass(frozen=True)
class Between:
    """``price between 10 and 20``, both ends included."""

    column: Column
    low: Operand
    high: Operand
    negated: bool


@dataclass(frozen=True)
class Membership:
    """``brand in ('OPI', 'Essie')``."""

    column: Column
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True)
class Containment:
    """``'dry' in skin_type``. A column on the left has no meaning: it is text in the wrong quotes."""

    column: Column
    value: Operand
    negated: bool


@dataclass(frozen=True)
class Likeness:
    """``title like 'Gel%'``."""

    column: Column
    pattern: Value
    ignore_case: bool
    negated: bool


@dataclass(frozen=True)
class Absence:
    """``brand is null``."""

    column: Column
    negated: bool


@dataclass(frozen=True)
class Not:
    """The opposite of one expression."""

    part: Expression


@dataclass(frozen=True)
class And:
    """All of two or more expressions."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Or:
    """Any of two or more expressions."""

    parts: tuple[Expression, ...]


Term = Truth | Constant | Comparison | Between | Membership | Containment | Likeness | Absence
Expression = Term | Not | And | Or


# Bounded by number; MAX_LENGTH and MAX_TERMS bound what one entry holds.
@lru_cache(maxsize=256)
def parse(text: str) -> Expression:
    """The expression a text stands for.

    The depth of the result is at most three levels for each of `MAX_NESTING`, so walking it may recurse.

    Raises:
        FilterError: empty, too long, nested too deeply, too many terms, or not in the language.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH} characters, this one {len(text)}", text, MAX_LENGTH)
    if not text.strip():
        raise FilterError("the filter is empty", text, 0)
    _refuse_deep_nesting(text)
    try:
        expression: Expression = _grammar().parse(text)  # type: ignore[assignment]  # lark cannot know the transformer
    except UnexpectedCharacters as error:
        raise _unreadable(text, error.pos_in_stream or 0) from None
    except UnexpectedToken as error:
        raise _misplaced(text, error) from None
    for number, term in enumerate(_terms(expression)):
        if number == MAX_TERMS:
            position = term.position if isinstance(term, Constant) else term.column.position
            raise FilterError(f"a filter has at most {MAX_TERMS} terms", text, position)
    return expression


def _terms(expression: Expression) -> Iterator[Term]:
    match expression:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _terms(part)
        case Not(part):
            yield from _terms(part)
        case _:
            yield expression


def _refuse_deep_nesting(text: str) -> None:
    depth = 0
    for token in re.finditer(r"""'[^']*'|"[^"]*"|[()]""", text):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth > MAX_NESTING:
            raise FilterError(f"parentheses are nested more than {MAX_NESTING} deep", text, token.start())


@cache
def _grammar() -> Lark:
    return Lark.open(
        "filters.lark", rel_to=__file__, parser="lalr", lexer="basic", transformer=_Builder(), maybe_placeholders=True
    )


class _Builder(Transformer[Token, Expression]):
    """Called by the parser at each finished rule of filters.lark, with what the rule is made of."""

    def column(self, children: list[Token]) -> Column:
        (token,) = children
        quoted = token.type == "QUOTED_NAME"
        return Column(token[1:-1].replace('""', '"') if quoted else str(token), quoted, _position(token))

    def text(self, children: list[Token]) -> Value:
        (token,) = children
        return Value(token[1:-1].replace("''", "'"), str(token), _position(token))

    def number(self, children: list[Token]) -> Value:
        (token,) = children
        return Value(float(token), str(token), _position(token))

    def boolean(self, children: list[Token]) -> Value:
        (token,) = children
        return Value(token.type == "TRUE", str(token), _position(token))

    def truth(self, children: list[Column]) -> Truth:
        return Truth(*children)

    def constant(self, children: list[Value]) -> Constant:
        (literal,) = children
        return Constant(bool(literal.value), literal.position)

    def comparison(self, children: list[Any]) -> Comparison:
        left, symbol, right = children
        operator = _SYNONYMS.get(symbol, symbol)
        if isinstance(left, Column):
            return Comparison(left, operator, right)
        return Comparison(right, _TURNED.get(operator, operator), left)

    def between(self, children: list[Any]) -> Between:
        column, negation, _, low, high = children
        return Between(column, low, high, negated=negation is not None)

    def membership(self, children: list[Any]) -> Membership:
        column, negation, *values = children
        return Membership(column, tuple(values), negated=negation is not None)

    def containment(self, children: list[Any]) -> Containment:
        value, negation, column = children
        return Containment(column, value, negated=negation is not None)

    def likeness(self, children: list[Any]) -> Likeness:
        column, negation, keyword, pattern = children
        return Likeness(column, pattern, ignore_case=keyword.type == "ILIKE", negated=negation is not None)

    def absence(self, children: list[Any]) -> Absence:
        column, negation, _ = children
        return Absence(column, negated=negation is not None)

    def negation(self, children: list[Any]) -> Expression:
        # Two negations cancel (there are two truth values only), so a row of them adds no depth.
        _, part = children
        return part.part if isinstance(part, Not) else Not(part)

    def conjunction(self, children: list[Expression]) -> And:
        return And(tuple(children))

    def disjunction(self, children: list[Expression]) -> Or:
        return Or(tuple(children))


_SYNONYMS: dict[str, Operator] = {"==": "=", "<>": "!="}
_TURNED: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}

# Terminals of the grammar in the reader's words, in the order they are listed.
_WORDS = {
    "NAME": "a column",
    "STRING": "text in single quotes",
    "NUMBER": "a number",
    "TRUE": '"true"',
    "FALSE": '"false"',
    "COMPARISON": "a comparison (= != < <= > >=)",
    "NOT": '"not"',
    "BETWEEN": '"between"',
    "_IN": '"in"',
    "LIKE": '"like"',
    "ILIKE": '"ilike"',
    "_IS": '"is"',
    "NULL": '"null"',
    "_AND": '"and"',
    "_OR": '"or"',
    "COMMA": '","',
    "LPAR": '"("',
    "RPAR": '")"',
    "$END": "the end",
}


def _position(token: Token) -> int:
    return token.start_pos or 0


def _unreadable(text: str, position: int) -> FilterError:
    match text[position]:
        case "'":
            return FilterError("text without its closing single quote", text, position)
        case '"':
            return FilterError("column name without its closing double quote", text, position)
        case character:
            return FilterError(f"unexpected `{abridged(character)}`", text, position)


def _misplaced(text: str, error: UnexpectedToken) -> FilterError:
    token = error.token
    accepted = [words for terminal, words in _WORDS.items() if terminal in error.accepts]
    expected = f"expected {' or '.join([', '.join(accepted[:-1]), accepted[-1]] if accepted[1:] else accepted)}"
    if token.type == "$END":
        return FilterError(f"the filter ends too early: {expected}", text, len(text))
    if token.type == "NULL":
        expected = 'a comparison with null is never true, write "is null" or "is not null"'
    return FilterError(f"unexpected `{abridged(token)}`: {expected}", text, _position(token))


def abridged(source: str, limit: int = 40) -> str:
    """A piece of a filter, short and clean enough for a message of one line."""
    return _printable(source if len(source) <= limit else source[: limit - 1] + "…")


def _printable(source: str) -> str:
    """As many characters, but none that would break the line or, like a lone surrogate, cannot be encoded."""
    return "".join(" " if c.isspace() else c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in source)
