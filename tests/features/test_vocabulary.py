"""Vocabularies take in more ids: in order, or behind those they have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from features.vocabulary import GrownVocabulary, Vocabulary

IDS = st.lists(st.text("abc💄", max_size=3), max_size=12)


@given(IDS, IDS)
def test_merged_is_what_would_have_been_made_at_once(own: list[str], more: list[str]) -> None:
    before = Vocabulary(own)
    after, codes = before.merged(more)
    assert list(after) == list(Vocabulary([*own, *more]))
    assert [after[code] for code in codes.tolist()] == list(before)
    assert after.found(more).tolist() == after.codes(more).tolist()


@given(IDS, IDS, IDS)
def test_growing_leaves_codes_as_they_are(own: list[str], more: list[str], asked: list[str]) -> None:
    base = Vocabulary(own)
    grown = GrownVocabulary(base, more)
    assert list(grown) == grown[:] == [*base, *(one for one in dict.fromkeys(more) if one not in base)]
    assert len(grown) == len(list(grown)) == len(set(grown))
    assert [grown[code] for code in range(len(grown))] == list(grown)
    for identifier in asked:
        known = identifier in {*own, *more}
        assert (identifier in grown) == known
        assert (grown.code(identifier) >= 0) == known
        assert not known or grown[grown.code(identifier)] == identifier
    assert grown.codes(asked).tolist() == [grown.code(one) for one in asked]
    in_order, places = grown.in_order()
    assert list(in_order) == sorted(grown)
    assert [in_order[place] for place in places.tolist()] == list(grown)
