"""The parts of the examples: each ends before the next begins."""

import pytest

from pagerec_dbx.errors import LeakageError
from pagerec_dbx.features.parts import Part, require_no_overlap
from pagerec_dbx.pipelines.order import OrderKey


def _part(first: OrderKey, last: OrderKey) -> Part:
    return Part({0: 2}, {}, first, last, longest_menu=3)


def _parts(**changed: tuple[OrderKey, OrderKey]) -> dict[str, Part]:
    ends = {
        "train": (OrderKey(1, "a", 1), OrderKey(5, "b", 2)),
        "validation": (OrderKey(5, "b", 3), OrderKey(7, None, 4)),  # the same instant and request, a later id
        "holdout": (OrderKey(7, "a", 1), OrderKey(9, "a", 1)),  # no request comes before any
    }
    return {name: _part(*keys) for name, keys in (ends | changed).items()}


def test_parts_in_the_order_of_page_views_are_taken():
    assert require_no_overlap(_parts()) == _parts()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"validation": (OrderKey(5, "b", 2), OrderKey(7, None, 4))}, "train overlaps validation"),
        ({"train": (OrderKey(1, "a", 1), OrderKey(6, "a", 1))}, "train overlaps validation"),
        ({"holdout": (OrderKey(7, None, 4), OrderKey(9, "a", 1))}, "validation overlaps holdout"),
    ],
)
def test_a_part_that_begins_before_the_one_before_ends_is_refused(changed, said):
    with pytest.raises(LeakageError, match=f"{said}.*Report this"):
        require_no_overlap(_parts(**changed))
