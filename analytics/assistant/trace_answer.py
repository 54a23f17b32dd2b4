"""One trace in a few lines: who it waited for, and its spans as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analytics.assistant.short import HIGHER, clipped, joined
from analytics.words import counted, percent
from collector.cli.waterfall import kept_rows, span_label, span_reasons, tree_rows
from collector.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.cli.waterfall import Row

_MOST_SERVICES = 6
_LABEL = 140
_REASON = 200


def trace_answer(trace: dict[str, Any], most: int) -> str:
    """Return a ``trace`` object as text: ``most`` spans, those in error first, then the longest, as a tree."""
    rows = tree_rows(trace["spans"])
    kept = kept_rows(rows, most)
    lines = [_head(trace), *_waited_for(trace), "Spans: duration, and their part of the critical path"]
    lines += [line for row in kept for line in _lines(row)]
    if len(kept) < len(rows):
        lines.append(f"({len(rows) - len(kept):,} more, shorter spans: {HIGHER})")
    return joined(lines, "ask with a lower limit, or in SQL with trace_spans('…')")


def _head(trace: dict[str, Any]) -> str:
    spans = trace["spans"]
    timed = [span for span in spans if int(span["start_unix_nano"])] or spans  # without a time is not in 1970
    begin = min(int(span["start_unix_nano"]) for span in timed)
    end = max(int(span["start_unix_nano"]) + int(span["duration_ns"]) for span in timed)
    services = len({span["service"] for span in spans})
    failed = sum(span["status"] == "error" for span in spans)
    said = [
        f"trace {trace['trace_id']}: {format_duration(max(end - begin, 0))}",
        counted(len(spans), "span"),
        counted(services, "service"),
        f"{failed:,} failed" if failed else "",
        "complete" if trace["complete"] else "incomplete: a parent or the root is missing",
        "clocks were corrected" if trace["skew_adjusted"] else "",
    ]
    return ", ".join(filter(None, said))


def _waited_for(trace: dict[str, Any]) -> list[str]:
    """Whose time it was, the longest first; nothing without a critical path."""
    times: dict[str, int] = {}
    for span in trace["spans"]:
        name = span["service"] or "?"
        times[name] = times.get(name, 0) + int(span.get("critical_path_ns") or 0)
    whole = sum(times.values())
    if not whole:
        return []
    ranked = sorted(((name, ns) for name, ns in times.items() if ns), key=lambda pair: -pair[1])
    said = [f"{name} {percent(ns / whole)} ({format_duration(ns)})" for name, ns in ranked[:_MOST_SERVICES]]
    more = [f"{len(ranked) - _MOST_SERVICES} more"] if len(ranked) > _MOST_SERVICES else []
    return [f"Critical path by service: {clipped(', '.join([*said, *more]), 1000)}"]


def _lines(row: Row) -> Iterator[str]:
    label = span_label(row).plain
    name = clipped(label, _LABEL)
    indent = label[: len(label) - len(label.lstrip())]
    on_path = row.span.get("critical_path_ns")
    waited = f", on path {format_duration(on_path)}" if on_path else ""
    yield f"{indent}{name}  {format_duration(int(row.span['duration_ns']))}{waited}"
    yield from (f"{indent}  ! {clipped(reason, _REASON)}" for reason in span_reasons(row))
