from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from features.events import Kind
from features.slots import (
    CUSTOMER,
    PRODUCT,
    Count,
    Decayed,
    Declaration,
    HoursOfDay,
    Occasions,
    Ratio,
    Since,
    Slot,
    days,
    fading,
)

PAGE = (Path(__file__).parents[2] / "docs" / "state.md").read_text(encoding="utf-8")


def test_half_lives_are_named() -> None:
    assert [slot.name for slot in fading("views", Kind.VIEW, 1, 30)] == ["views_1d", "views_30d"]
    assert [slot.half_life for slot in fading("views", Kind.VIEW, 1, 30)] == [days(1), days(30)]


def test_a_changed_line_changes_the_fingerprint() -> None:
    lines = (Decayed("views", Kind.VIEW), Since("seen", Kind.VIEW))
    first = Declaration(lines).fingerprint
    assert first == Declaration(lines).fingerprint
    changed = (
        Declaration((replace(lines[0], half_life=days(31)), lines[1])),
        Declaration((replace(lines[0], on=Kind.CART), lines[1])),
        Declaration((replace(lines[0], channel="email"), lines[1])),
        Declaration(lines[::-1]),
        Declaration(lines[:1]),
    )
    assert len({first, *(declaration.fingerprint for declaration in changed)}) == 6


@pytest.mark.parametrize(
    ("slots", "fault"),
    [
        ((Count("x", Kind.VIEW), Since("x", Kind.CART)), "two slots are called x"),
        ((Occasions("x", Kind.VIEW), Count("x_last_gap", Kind.VIEW)), "two slots are called x_last_gap"),
        ((Decayed("x", Kind.VIEW, half_life=days(0)),), "x: half_life must be above 0"),
        ((HoursOfDay("x", Kind.VIEW, half_life=days(0)),), "x: half_life must be above 0"),
        ((HoursOfDay("x", Kind.VIEW), Count("x_23", Kind.VIEW)), "two slots are called x_23"),
        ((Occasions("x", Kind.VIEW, newest=1),), "x: newest must be 2 or more"),
        ((Count("a", Kind.VIEW), Ratio("x", "a", "b")), "x: b is no count"),
        ((Count("a", Kind.VIEW), Count("b", Kind.CART, less=Kind.REFUND), Ratio("x", "a", "b")), "x: b is no count"),
        ((Count("b", Kind.VIEW), Ratio("x", "a", "b")), "x: a is no count"),
    ],
)
def test_a_declaration_that_cannot_be(slots: tuple[Slot | Ratio, ...], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Declaration(slots)


@pytest.mark.parametrize(("title", "declaration"), [("Customers", CUSTOMER), ("Products", PRODUCT)])
def test_the_page_names_every_slot_and_feature(title: str, declaration: Declaration) -> None:
    [section] = re.findall(rf"^### {title}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    told = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    names = [name for slot in declaration.slots for name in slot.features or (slot.name,)]
    assert sorted(told) == sorted(names)
