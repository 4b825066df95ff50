"""Grouping by length: what is computed at once is padded to the longest, so lengths in a group should be close."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

PADDING = 0.15
"""The most of the tokens computed at once that may be padding."""

T = TypeVar("T")


def buckets(
    things: Iterable[T],
    lengths: Callable[[T], Sequence[int]],
    max_tokens: float = math.inf,
    max_count: float = math.inf,
    max_padding: float = PADDING,
    kind: Callable[[T], Any] = lambda thing: None,
) -> Iterator[list[T]]:
    """Things in groups of close lengths, shortest first.

    Args:
        lengths: tokens of a thing's parts. Each part is padded to the longest of its group; the first part orders.
        max_tokens: of a group, padding included. A longer thing is a group of its own.
        max_count: things of a group.
        max_padding: share of a group's tokens.
        kind: only things of one kind share a group.
    """
    group: list[T] = []
    longest: Sequence[int] = ()
    tokens = 0
    for thing in sorted(things, key=lambda thing: lengths(thing)[0]):
        parts = lengths(thing)
        longer = tuple(map(max, parts, longest or parts))
        size = (len(group) + 1) * sum(longer)
        fits = len(group) < max_count and size <= max_tokens and tokens + sum(parts) >= (1 - max_padding) * size
        if group and not (fits and kind(thing) == kind(group[0])):
            yield group
            group, longer, tokens = [], parts, 0
        group.append(thing)
        longest, tokens = longer, tokens + sum(parts)
    if group:
        yield group
