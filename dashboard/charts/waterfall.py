"""One trace as a waterfall: a bar a span, its part of the critical path on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard.theme import RED, YELLOW, service_colours
from dashboard.units import ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROW_HEIGHT = 20
MOST_BARS = 400
"""Rows at once: more are not read, and the browser draws them slowly."""
_MOST_SECTIONS = 2_000
_NS_PER_MS = 1e6
_INDENT = "\u2007\u2007"  # a space that is not trimmed
_PER_LEVEL = 32  # pixels for names, for each level that is indented: the deepest have 2 of 3 left for the name


def waterfall(
    rows: Sequence[Mapping[str, Any]],
    sections: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]] = (),
    labels: int = 380,
    until_ms: float | None = None,
) -> dict[str, Any]:
    """Return an ECharts option of spans, as ``tree_rows`` has them with their depth, and the trace's critical path.

    ``events`` have ``span_id``, ``time_unix_nano``, ``name`` and ``failed``; ``labels`` are the pixels for names,
    ``until_ms`` is where the axis ends, at the last span when None.
    """
    begin = min((row["start_unix_nano"] for row in rows), default=0)
    colours = service_colours([row["service"] for row in rows])
    names = [_label(row, labels // _PER_LEVEL) for row in rows]
    return {
        "animation": False,
        "tooltip": {"formatter": "{b}"},
        "grid": {
            "left": labels,
            "right": 30,
            "top": 30,
            "bottom": 10,
            "containLabel": False,
            "outerBoundsMode": "none",
        },
        "xAxis": {
            "type": "value",
            "position": "top",
            "max": until_ms,
            "axisLabel": {"formatter": "{value} ms", "showMinLabel": True},
        },
        "yAxis": {
            "type": "category",
            "inverse": True,
            "data": names,
            "axisTick": {"show": False},
            "axisLine": {"show": False},
            "axisLabel": {
                "width": labels - 10,
                "overflow": "truncate",
                "align": "left",
                "margin": labels,
                "interval": 0,
            },
        },
        "series": [
            _bars("before", [(row["start_unix_nano"] - begin) / _NS_PER_MS for row in rows], stack="span", hidden=True),
            _spans(rows, colours),
            *_path(rows, sections, begin),
            _events(rows, events, begin),
        ],
    }


def _label(row: Mapping[str, Any], deepest: int) -> str:
    mark = ("✗ " if row["status"] == "error" else "") + ("\u2197 " if row.get("links") else "")
    return f"{_INDENT * min(row['depth'], deepest)}{mark}{row['service']} {row['name']}"


def _bars(name: str, values: Sequence[Any], stack: str, *, hidden: bool = False) -> dict[str, Any]:
    style = {"itemStyle": {"color": "transparent"}, "silent": True} if hidden else {}
    return {
        "name": name,
        "type": "bar",
        "stack": stack,
        "barWidth": 12,
        "barMinHeight": 0 if hidden else 2,
        "data": list(values),
        **style,
    }


def _spans(rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> dict[str, Any]:
    values = [
        {
            "value": max(row["duration_ns"] / _NS_PER_MS, 0.001),
            "name": f"{row['service']} {row['name']} · {ms(row['duration_ns'] / _NS_PER_MS)} · {row['kind']}",
            "itemStyle": {
                "color": colours[row["service"]],
                **({"borderColor": RED, "borderWidth": 2} if row["status"] == "error" else {}),
            },
        }
        for row in rows
    ]
    return _bars("span", values, stack="span") | {"selectedMode": "single"}


def _path(rows: Sequence[Mapping[str, Any]], sections: Sequence[Mapping[str, Any]], begin: int) -> list[dict[str, Any]]:
    """Return the critical path as lines over the bars: of too many, the longest."""
    place = {row["span_id"]: number for number, row in enumerate(rows)}
    drawn = sorted(
        (section for section in sections if section["span_id"] in place),
        key=lambda section: section["start_unix_nano"] - section["end_unix_nano"],
    )
    lines = [
        [
            {"coord": [(section["start_unix_nano"] - begin) / _NS_PER_MS, place[section["span_id"]]]},
            {"coord": [(section["end_unix_nano"] - begin) / _NS_PER_MS, place[section["span_id"]]]},
        ]
        for section in drawn[:_MOST_SECTIONS]
    ]
    style = {"color": RED, "width": 3, "type": "solid"}
    mark = {"symbol": "none", "silent": True, "animation": False, "lineStyle": style, "data": lines}
    return [{"name": "critical path", "type": "bar", "data": [], "markLine": mark}]


def _events(rows: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]], begin: int) -> dict[str, Any]:
    """Return a diamond an event, red where something failed."""
    place = {row["span_id"]: number for number, row in enumerate(rows)}
    points = [
        {
            "value": [(event["time_unix_nano"] - begin) / _NS_PER_MS, place[event["span_id"]]],
            "name": event["name"],
            "itemStyle": {"color": RED if event["failed"] else YELLOW, "borderColor": "#333", "borderWidth": 1},
        }
        for event in events
        if event["span_id"] in place
    ]
    return {"name": "event", "type": "scatter", "symbol": "diamond", "symbolSize": 11, "z": 5, "data": points}
