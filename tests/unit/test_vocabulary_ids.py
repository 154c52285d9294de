"""An id keeps its meaning whatever is counted later."""

from hypothesis import given
from hypothesis import strategies as st

from pagerec_dbx.features.vocabulary import extended

TOKENS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=3), unique=True, max_size=12)


def test_extended_appends_what_is_new_and_keeps_the_rest():
    # Size 6 has room for 4 tokens: two known ones, then two new ones by count; d no longer fits.
    assert extended(("a", "b"), ["c", "b", "e", "d"], 6) == ("a", "b", "c", "e")


def test_extended_cuts_the_newest_where_the_size_shrinks():
    assert extended(("a", "b", "c"), ["d"], 4) == ("a", "b")


@given(TOKENS, TOKENS, st.integers(3, 20), st.integers(3, 20))
def test_extended_never_changes_the_meaning_of_an_id(first, second, size, later_size):
    known = extended((), first, size)
    later = extended(known, second, later_size)
    shared = min(len(known), len(later))
    assert later[:shared] == known[:shared]
    assert len(set(later)) == len(later) <= later_size - 2
    assert set(later) <= set(first) | set(second)
