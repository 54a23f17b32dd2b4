"""Where nodes of the service graph stand on a map: in layers, callers left of callees, the same at every refresh.

Source: Sugiyama, Tagawa and Toda 1981: layers by longest path, order within them by the mean place of the neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Place: TypeAlias = "tuple[float, float]"

_SWEEPS = 8
"""The order of 60 nodes does not change any more after five."""


def layered_layout(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, Place]:
    """Return for each node its place: x is the layer from 0, y the place within it around 0.

    Edges whose ends are no nodes, and edges to itself, are left out. Cycles share no layer: their edges back are
    ignored, from the node that comes first by name. Layers that edges cross keep a place free for all that lead to one
    node. The order of nodes and edges does not matter.
    """
    names = sorted(set(nodes))
    known = set(names)
    pairs = sorted({(a, b) for a, b in edges if a in known and b in known and a != b})
    forward = _without_cycles(names, pairs)
    layer = _longest_paths(names, forward)
    steps = _in_steps(forward, layer)
    layers = _by_layer(sorted(layer), layer)
    _order(layers, steps)
    return {
        name: (float(x), float(y - (len(members) - 1) / 2))
        for x, members in enumerate(layers)
        for y, name in enumerate(members)
        if name in known
    }


def _in_steps(forward: Sequence[tuple[str, str]], layer: dict[str, int]) -> list[tuple[str, str]]:
    """Cut edges across layers into steps from layer to layer; the free places between are added to ``layer``.

    A free place is named by its node and its distance, with a character that no name begins with.
    """
    steps: set[tuple[str, str]] = set()
    for a, b in forward:
        here = a
        for between in range(layer[a] + 1, layer[b]):
            free = f"\0{b}\0{layer[b] - between}"
            layer[free] = between
            steps.add((here, free))
            here = free
        steps.add((here, b))
    return sorted(steps)


def _neighbours(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in names}
    for a, b in pairs:
        found[a].append(b)
    return found


def _without_cycles(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out the edges that lead back, found by walking from the nodes that nobody calls."""
    called = {b for _, b in pairs}
    callees = _neighbours(names, pairs)
    done: set[str] = set()
    back: set[tuple[str, str]] = set()
    for start in sorted(names, key=lambda name: (name in called, name)):
        _walk(start, callees, done, back)
    return [pair for pair in pairs if pair not in back]


def _walk(start: str, callees: Mapping[str, Sequence[str]], done: set[str], back: set[tuple[str, str]]) -> None:
    """Go down from one node, depth first and without recursion: an edge to a node on the way here leads back."""
    if start in done:
        return
    way = [(start, iter(callees[start]))]
    here = {start}
    while way:
        name, rest = way[-1]
        following = next(rest, None)
        if following is None:
            way.pop()
            here.discard(name)
            done.add(name)
        elif following in here:
            back.add((name, following))
        elif following not in done:
            way.append((following, iter(callees[following])))
            here.add(following)


def _longest_paths(names: Sequence[str], forward: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return the layer of each node: one more than the last of its callers'."""
    layer = dict.fromkeys(names, 0)
    for _ in names:
        moved = False
        for a, b in forward:
            if layer[b] <= layer[a]:
                layer[b] = layer[a] + 1
                moved = True
        if not moved:
            break
    return layer


def _by_layer(names: Sequence[str], layer: Mapping[str, int]) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in names:
        found[layer[name]].append(name)
    return found


def _order(layers: list[list[str]], forward: Sequence[tuple[str, str]]) -> None:
    """Sort each layer by where its neighbours stand, from left to right and back."""
    names = [name for layer in layers for name in layer]
    callers, callees = _neighbours(names, [(b, a) for a, b in forward]), _neighbours(names, forward)
    for sweep in range(_SWEEPS):
        place = {name: y - len(layer) / 2 for layer in layers for y, name in enumerate(layer)}
        near, order = (callers, layers) if sweep % 2 == 0 else (callees, layers[::-1])
        for layer in order:
            means = {name: _mean([place[other] for other in near[name]], place[name]) for name in layer}
            layer.sort(key=lambda name: (means[name], name))
            place |= {name: y - len(layer) / 2 for y, name in enumerate(layer)}


def _mean(places: Sequence[float], otherwise: float) -> float:
    return float(np.mean(places)) if places else otherwise
