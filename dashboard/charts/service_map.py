"""The map of services: who calls whom, how, and what a lens says of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from analytics.layout import layered_layout
from dashboard.theme import GREY, KINDS, RED, amount_colour
from dashboard.units import percent

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

LENSES = {
    "kind": None,
    "coupling": "blast_radius",
    "latency": "critical_path_share",
    "errors": "error_rate",
    "saturation": "saturation",
}
"""What colours show, and the key of a node that it is read from: kinds, or shares from dark to bright."""
_SYMBOLS = {
    "service": "roundRect",
    "database": "path://M0,3 C0,1 4,0 8,0 C12,0 16,1 16,3 L16,15 C16,17 12,18 8,18 C4,18 0,17 0,15 Z",
    "queue": "rect",
    "external": "diamond",
    "user": "circle",
}
HEIGHT = 680
"""Pixels of the whole chart."""
_WIDTH, _HEIGHT = 860, 590  # of the nodes' places, without what names need at the sides
_NAME_X, _NAME_Y = 120, 56
_FARTHEST_X, _FARTHEST_Y = 260, 130
_NEAREST_Y = 38  # a name under its node, and a node of the smallest size under the name
_SMALLEST, _LARGEST = 22, 46
_LEAST_ROOM = 0.35  # a node of eight pixels can still be clicked
_WIDEST = 7
_LONGEST = 24


def service_map(
    services: Sequence[Mapping[str, Any]],
    edges: Sequence[Mapping[str, Any]],
    lens: str = "kind",
    framed: Collection[str] = (),
) -> dict[str, Any]:
    """Return an ECharts option: nodes in layers from callers to callees, async edges dashed, width by calls.

    ``services`` and ``edges`` are the report's; ``framed`` names the nodes to put a frame around.
    """
    names = [service["name"] for service in services]
    shown = [edge for edge in edges if edge["caller"] in names and edge["callee"] in names]
    places, room = _spread(layered_layout(names, [(edge["caller"], edge["callee"]) for edge in shown]))
    most = max((edge["calls"] for edge in shown), default=1)
    busiest = max((service["calls"] for service in services), default=1)
    sized = [(service, _size(service["calls"] / max(busiest, 1), room)) for service in services]
    series = {
        "type": "graph",
        "layout": "none",
        "preserveAspect": "contain",
        "labelLayout": {"hideOverlap": True},
        "left": 60,
        "right": 60,
        "top": 30,
        "bottom": 50,
        "roam": True,
        "selectedMode": "single",
        "edgeSymbol": ["none", "arrow"],
        "edgeSymbolSize": 8,
        "label": {"show": True, "position": "bottom", "fontSize": 12},
        "emphasis": {"focus": "adjacency"},
        "select": {"itemStyle": {"borderColor": RED, "borderWidth": 3}, "lineStyle": {"color": RED}},
        "data": [_node(service, places[service["name"]], lens, framed, size, room) for service, size in sized],
        "edges": [_edge(edge, most, _thinner(room)) for edge in shown],
    }
    return {"tooltip": {"formatter": "{b}"}, "animation": False, "series": [series]}


def _spread(places: Mapping[str, tuple[float, float]]) -> tuple[dict[str, tuple[float, float]], float]:
    """Fill the width and the height that there are, from left to right or from top to bottom: as names have most room.

    Every other layer stands half a place aside, out of the lines. Where many layers share the height, the nodes of each
    are moved apart as far as names need: there is more room in most layers than in all together. The second is the room
    of a node, 1 when its name just fits.
    """
    aside = {name: y + (x % 2) / 2 for name, (x, y) in places.items()}
    layers = max((x for x, _ in places.values()), default=0.0)
    first, last = min(aside.values(), default=0.0), max(aside.values(), default=0.0)
    rightwards = _steps(layers, last - first)
    downwards = _steps(last - first, layers)
    turned = _room(downwards) > _room(rightwards)
    step_x, step_y = downwards if turned else rightwards
    spread = {
        name: ((aside[name] * step_x, x * step_y) if turned else (x * step_x, aside[name] * step_y))
        for name, (x, _) in places.items()
    }
    room = max(_room(downwards), _room(rightwards))
    return (_apart(spread) if room < 1 and not turned else spread), room


def _apart(places: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Keep names that stand above each other as far from each other as they need, or as the height allows."""
    layers: dict[float, list[str]] = {}
    for name in sorted(places, key=lambda name: places[name][1]):
        layers.setdefault(places[name][0], []).append(name)
    top = min((y for _, y in places.values()), default=0.0)
    moved: dict[str, tuple[float, float]] = {}
    for x, names in layers.items():
        least = min(_NEAREST_Y, _HEIGHT / max(len(names) - 1, 1))
        ys = [places[name][1] - top for name in names]
        for place in range(1, len(ys)):
            ys[place] = max(ys[place], ys[place - 1] + least)
        ys[-1] = min(ys[-1], _HEIGHT)
        for place in range(len(ys) - 2, -1, -1):
            ys[place] = min(ys[place], ys[place + 1] - least)
        moved |= {name: (x, y) for name, y in zip(names, ys, strict=True)}
    return moved


def _steps(across: float, down: float) -> tuple[float, float]:
    """Return how far places are from each other, in pixels."""
    return min(_WIDTH / max(across, 1), _FARTHEST_X), min(_HEIGHT / max(down, 1), _FARTHEST_Y)


def _room(steps: tuple[float, float]) -> float:
    """Return how many times a node with its name fits."""
    return min(steps[0] / _NAME_X, steps[1] / _NAME_Y)


def _size(share: float, room: float) -> float:
    """Return the pixels of a node with this share of the most calls."""
    return (_SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt(share)) * _thinner(room)


def _thinner(room: float) -> float:
    return min(max(room, _LEAST_ROOM), 1.0)


def _node(
    service: Mapping[str, Any],
    place: tuple[float, float],
    lens: str,
    framed: Collection[str],
    size: float,
    room: float = 1.0,
) -> dict[str, Any]:
    key = LENSES[lens]
    colour = KINDS[service["type"]] if key is None else amount_colour(service[key])
    frame = {"borderColor": RED, "borderWidth": 3, "borderType": "dashed"} if service["name"] in framed else {}
    told = f"{service['name']} · {service['type']} · {service['calls']:,} calls"
    return {
        "id": service["name"],
        "name": told if key is None else f"{told} · {lens} {percent(service[key])}",
        "x": place[0],
        "y": place[1],
        "symbol": _SYMBOLS[service["type"]],
        "symbolSize": [size * 1.4, size] if service["type"] in ("service", "queue") else size,
        "label": {"formatter": _short(service["name"], room)},
        "itemStyle": {"color": colour, **frame},
    }


def _short(name: str, room: float) -> str:
    """A database's name begins with its system and address, which matter less than its end and go where it is tight."""
    if room < 1 and " " in name:
        name = name.rpartition("/")[2]
    return name if len(name) <= _LONGEST else f"{name[:8]}…{name[9 - _LONGEST :]}"


def _edge(edge: Mapping[str, Any], most: int, thinner: float) -> dict[str, Any]:
    width = 1 + (_WIDEST - 1) * thinner * math.log1p(edge["calls"]) / math.log1p(max(most, 1))
    return {
        "source": edge["caller"],
        "target": edge["callee"],
        "lineStyle": {
            "type": "dashed" if edge["mode"] == "async" else "solid",
            "width": round(width, 1),
            "color": GREY,
            "opacity": 0.3 + 0.35 * thinner,
            "curveness": 0.08,
        },
    }
