"""Things of close lengths are computed at once, within limits."""

import pytest

from mlx_cc.buckets import buckets

LENGTHS = [90, 10, 100, 11, 40, 10]


@pytest.mark.parametrize(
    ("limits", "groups"),
    [
        ({}, [[10, 10, 11], [40], [90, 100]]),
        ({"max_padding": 1}, [[10, 10, 11, 40, 90, 100]]),
        ({"max_tokens": 20}, [[10, 10], [11], [40], [90], [100]]),
        ({"max_count": 1}, [[length] for length in sorted(LENGTHS)]),
        ({"kind": lambda length: length % 2}, [[10, 10], [11], [40], [90, 100]]),
    ],
)
def test_groups_hold_close_lengths_within_their_limits(limits, groups):
    assert list(buckets(LENGTHS, lambda length: (length,), **limits)) == groups


def test_every_part_of_a_thing_is_padded_by_itself():
    trees = [(100, 10), (100, 90), (101, 11)]
    assert list(buckets(trees, lambda tree: tree)) == [[(100, 10)], [(100, 90)], [(101, 11)]]
    assert list(buckets(trees, lambda tree: tree, max_padding=0.3)) == [[(100, 10), (100, 90), (101, 11)]]
