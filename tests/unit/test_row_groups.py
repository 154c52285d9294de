"""Where row groups begin, by hand."""

import random

from pagerec_dbx.features.row_groups import places_of_starts


def test_row_groups_begin_where_a_sort_of_all_records_would_cut():
    chance = random.Random(5)
    for groups in (1, 2, 24, 48):
        counts = {bucket: chance.randint(1, 9) for bucket in range(-20, 20)}
        order = [(bucket, place) for bucket in sorted(counts) for place in range(counts[bucket])]
        total = len(order)
        cut = [
            order[number] for number in range(1, total) if number * groups // total != (number - 1) * groups // total
        ]
        assert places_of_starts(counts, groups) == cut
        ends = [0, *map(order.index, cut), total]
        sizes = [last - first for first, last in zip(ends, ends[1:], strict=False)]
        assert len(sizes) == groups and max(sizes) - min(sizes) <= 1


def test_one_row_group_needs_no_start():
    assert places_of_starts({0: 3}, 1) == []
