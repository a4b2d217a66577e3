"""Where the parts of a graph go: layers, an order within each, and places that nothing shares.

The classical steps (Sugiyama, Tagawa and Toda, 1981): layers by distance from a root, order by barycentres, places as
near to the neighbours' as the sizes allow. `along` runs from layer to layer, `across` runs within one.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

SWEEPS = 12
"""Beyond this, neither order nor places get better on graphs of this size."""

STRIDES = (1, 2, 3, 5, 7)
"""The orders to begin with: sweeps alone may get stuck in one that is not the best."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a part, in pixels. `stiff`: how strongly it keeps to its neighbours' places, against others."""

    along: float
    across: float
    stiff: float = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """The middle of a part, its size, and the bounds of its layer."""

    along: float
    across: float
    size: Size
    since: float
    until: float


Ties = Sequence[tuple[str, str]]
"""Pairs of parts that are joined."""


def layers_from(root: str, parts: Sequence[str], ties: Ties) -> dict[str, tuple[int, int]]:
    """Of each part: the number of its component, and its distance from that component's root.

    The first component has `root`, every other the first of its own in `parts`.
    """
    near = neighbours(ties)
    found: dict[str, tuple[int, int]] = {}
    component = 0
    for start in (root, *parts):
        if start in found:
            continue
        found[start] = (component, 0)
        waiting = deque([start])
        while waiting:
            part = waiting.popleft()
            for other in near.get(part, ()):
                if other not in found:
                    found[other] = (component, found[part][1] + 1)
                    waiting.append(other)
        component += 1
    return found


def neighbours(ties: Ties) -> dict[str, list[str]]:
    """Who is joined to whom."""
    near: dict[str, list[str]] = {}
    for a, b in ties:
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    return near


def ordered(layers: Mapping[str, tuple[int, int]], ties: Ties) -> list[list[str]]:
    """The rows of parts, a row for each layer, in the order found in which the fewest ties cross.

    Every tie must join parts of two layers that follow each other.
    """
    rows: list[list[str]] = [[] for _ in range(max((layer for _, layer in layers.values()), default=-1) + 1)]
    for part, (_, layer) in layers.items():
        rows[layer].append(part)
    near = neighbours(ties)
    best, fewest = rows, _crossings(rows, ties)
    for stride, first in product(STRIDES, (1, -1)):
        if fewest == 0:
            break
        for tried in _swept([_shuffled(row, stride) for row in rows], first, near, layers):
            crossings = _crossings(tried, ties)
            if crossings < fewest:
                best, fewest = tried, crossings
    return best


def _shuffled(row: Sequence[str], stride: int) -> list[str]:
    """Another order of the row, always the same: every `stride`th, then every `stride`th of the others, and so on."""
    return [part for first in range(min(stride, len(row))) for part in row[first::stride]]


def _swept(
    rows: list[list[str]], first: int, near: Mapping[str, Sequence[str]], layers: Mapping[str, tuple[int, int]]
) -> Iterator[list[list[str]]]:
    """`rows` after each sweep forwards (1) or backwards (-1), the `first` so; a row is ordered by the one before."""
    for sweep in range(SWEEPS):
        step = first if sweep % 2 == 0 else -first
        for i in range(len(rows))[::step][1:]:
            fixed = {part: at for at, part in enumerate(rows[i - step])}
            rows[i] = _by_barycentre(rows[i], fixed, near, layers)
        yield [list(row) for row in rows]


def _by_barycentre(
    row: Sequence[str],
    fixed: Mapping[str, int],
    near: Mapping[str, Sequence[str]],
    layers: Mapping[str, tuple[int, int]],
) -> list[str]:
    """The row in the order of the mean place of each part's neighbours; who has none keeps its place in the row."""
    row = sorted(row, key=lambda part: layers[part][0])
    keys: dict[str, tuple[int, float]] = {}
    for part in row:
        beside = [fixed[other] for other in near.get(part, ()) if other in fixed]
        if beside:
            keys[part] = (layers[part][0], sum(beside) / len(beside))
    moving = iter(sorted(keys, key=lambda part: keys[part]))
    return [next(moving) if part in keys else part for part in row]


def _crossings(rows: Sequence[Sequence[str]], ties: Ties) -> int:
    where = {part: (i, at) for i, row in enumerate(rows) for at, part in enumerate(row)}
    between: dict[int, list[tuple[int, int]]] = {}
    for one, other in ties:
        (i, at), (_, there) = sorted((where[one], where[other]))
        between.setdefault(i, []).append((at, there))
    found = 0
    for pairs in between.values():
        seen: list[int] = []
        for _, there in sorted(pairs):
            found += len(seen) - bisect_right(seen, there)
            insort(seen, there)
    return found


def lay_out(
    rows: Sequence[Sequence[str]], sizes: Mapping[str, Size], ties: Ties, gap_along: float, gap_across: float
) -> dict[str, Place]:
    """A place for each part of the rows, with gaps between the rows and between the parts of one."""
    across = _spread(rows, sizes, ties, gap_across)
    places = {}
    since = 0.0
    for row in rows:
        deep = max((sizes[part].along for part in row), default=0.0)
        for part in row:
            places[part] = Place(since + deep / 2, across[part], sizes[part], since, since + deep)
        since += deep + gap_along
    return places


def _spread(rows: Sequence[Sequence[str]], sizes: Mapping[str, Size], ties: Ties, gap: float) -> dict[str, float]:
    """A place across for each part, near to the mean of its neighbours', in the order given, with `gap` in between."""
    near = neighbours(ties)
    across: dict[str, float] = {}
    for row in rows:
        at = 0.0
        for part in row:
            across[part] = at + sizes[part].across / 2
            at += sizes[part].across + gap
    for sweep in range(SWEEPS):
        for row in rows[:: 1 if sweep % 2 == 0 else -1]:
            wanted = [_mean([across[other] for other in near.get(part, ())], across[part]) for part in row]
            apart = [(sizes[a].across + sizes[b].across) / 2 + gap for a, b in pairwise(row)]
            across.update(zip(row, _settled(wanted, apart, [sizes[part].stiff for part in row]), strict=True))
    least = min((at - sizes[part].across / 2 for part, at in across.items()), default=0.0)
    return {part: at - least for part, at in across.items()}


def _mean(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def _settled(wanted: Sequence[float], apart: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The numbers nearest to `wanted` by least squares that are `apart` each from the next.

    Less the distances it is an isotonic regression, solved by pooling adjacent violators.
    """
    offsets = [0.0]
    for distance in apart:
        offsets.append(offsets[-1] + distance)
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for want, offset, weight in zip(wanted, offsets, weights, strict=False):
        pools.append((want - offset, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, heavy, many = pools.pop()
            other, light, few = pools.pop()
            pools.append(((mean * heavy + other * light) / (heavy + light), heavy + light, many + few))
    means = [mean for mean, _, many in pools for _ in range(many)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]
