"""A report in a few lines: what stands out, or one part of it in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analytics.assistant.short import HIGHER, bounded, clipped, joined
from analytics.findings_text import findings_title, found_findings, index_line, lowers_line, not_judged, shown_parts
from analytics.text import endpoint_line, heading_of
from analytics.words import ID_DIGITS, cell_ms, format_ms, percent, signed_cell_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    Row = dict[str, Any]

NO_TRACES = "There are no traces in this window: widen it with since, from or to, or send some."
_MOST_FINDINGS = 5
_MOST_ENDPOINTS = 6
_MOST_SERVICES = 8
_FEW_PARTS, _MORE_PARTS = 3, 12
_SENTENCE = 260
_PARAGRAPH = 900
_WORTH_SAYING = 0.005  # of an endpoint's latency


def report_answer(report: Row, part: str, most: int) -> str:
    """Return a ``report`` object as text: its ``summary``, or the first ``most`` rows of one of its lists."""
    if not report["window"]["traces"]:
        return NO_TRACES
    lines = [about(report)]
    if part == "summary":
        lines = [
            *([clipped(report["headline"], _SENTENCE)] if report.get("headline") else []),
            *lines,
            *_summary(report),
        ]
    else:
        lines += bounded(f"{part.capitalize()}:", _PARTS[part](report), most, HIGHER) or [f"No {part}."]
    return joined(lines, "ask for one part, or for one endpoint")


def about(answer: Row) -> str:
    """Return which traces an answer is about, given its ``window``, ``environment`` and ``environments``."""
    return heading_of(answer).plain.replace("\nOther environments (--env): ", "; other environments (env): ")


def _summary(report: Row) -> list[str]:
    found = found_findings(report)
    endpoint = report.get("endpoint") is not None
    unknown = sorted({finding["rule"] for finding in report["findings"] if finding["status"] == "unknown"})
    most_parts = _MORE_PARTS if endpoint else _FEW_PARTS
    endpoints = [_endpoint(row, most_parts) for row in report["endpoints"]]
    return [
        *([] if endpoint else _index(report["coupling_index"])),
        *(
            bounded(f"{findings_title(found)}:", _findings(found, _SENTENCE), _MOST_FINDINGS, 'part="findings"')
            or [findings_title(found)]
        ),
        *([f'Too little data to judge: {", ".join(unknown)} (why: part="findings").'] if unknown else []),
        *bounded("Endpoints, and whose time it is (mean a request):", endpoints, _MOST_ENDPOINTS, 'part="endpoints"'),
        *bounded("Services:", _services(report), _MOST_SERVICES, 'part="services"'),
    ]


def _index(index: Row | None) -> list[str]:
    told = shown_parts(index)
    lines = [f"- {part['name']} {points}: {clipped(part['explanation'] or '', _SENTENCE)}" for part, points in told]
    return [f"{index_line(index)}:" if lines else index_line(index), *lines, *filter(None, [lowers_line(index)])]


def _findings(found: Sequence[Row], most: int) -> list[str]:
    return [
        clipped(f"- {row['severity']} {row['rule']}: {row['title']}. {row['advice']}", most) + _trace(row)
        for row in found
    ]


def _trace(finding: Row) -> str:
    return f" (trace {finding['trace_ids'][0][:ID_DIGITS]})" if finding["trace_ids"] else ""


def _all_findings(report: Row) -> list[str]:
    said = [f"- {label.strip()} {line}".replace("-  ", "- ") for label, line in not_judged(report["findings"])]
    return [*_findings(found_findings(report), _PARAGRAPH), *(clipped(line, _PARAGRAPH) for line in said)]


def _endpoint(row: Row, most: int) -> str:
    parts = [part for part in row["contributions"] if part["share"] >= _WORTH_SAYING]
    told = [_contribution(part) for part in parts[:most]]
    more = len(row["contributions"]) - len(told)
    told += [f"{more:,} more"] if more else []
    return clipped(f"- {endpoint_line(row).plain}: {', '.join(told)}", _PARAGRAPH)


def _contribution(part: Row) -> str:
    tail = "" if part["excess_ms"] is None else f", in the tail {signed_cell_ms(part['excess_ms'])}"
    return f"{part['node']} {cell_ms(part['critical_path_ms'])} ({percent(part['share'], 1)}{tail})"


def _all_endpoints(report: Row) -> list[str]:
    return [_endpoint(row, _MORE_PARTS) for row in report["endpoints"]]


def _services(report: Row) -> list[str]:
    return [_service(row) for row in report["services"] if row["type"] != "user"]


def _service(row: Row) -> str:
    said = [
        f"{row['calls']:,} calls",
        f"{percent(row['error_rate'])} errors" if row["error_rate"] else "",
        f"p99 {format_ms(row['p99_ms'])}" if row["p99_known"] else "",
        f"{percent(row['critical_path_share'], 1)} of the latency",
        f"needed by {percent(row['blast_radius'])} of requests" if row["blast_radius"] else "",
        f"{row['saturation_source'].partition(':')[0]} {percent(row['saturation'], 1)} full"
        if row["saturation"]
        else "",
    ]
    kind = "" if row["type"] == "service" else f" ({row['type']})"
    return clipped(f"- {row['name']}{kind}: {', '.join(filter(None, said))}", _SENTENCE)


def _edges(report: Row) -> list[str]:
    return [_edge(row) for row in report["edges"] if row["caller"] != "user"]


def _edge(row: Row) -> str:
    said = [
        row["mode"] if row["mode"] == "async" else row["protocol"] or "sync",
        f"{row['calls']:,} calls",
        "" if row["calls_per_trace"] is None else f"{row['calls_per_trace']:.1f} a trace",
        f"{percent(row['error_rate'])} errors" if row["error_rate"] else "",
        f"p99 {format_ms(row['p99_ms'])}" if row["p99_known"] else "",
        "" if row["gap_ms"] is None else f"network and queue {cell_ms(row['gap_ms'])}",
        f"{row['retry_amplification']:.1f} tries a call" if (row["retry_amplification"] or 1) > 1 else "",
    ]
    return clipped(f"- {row['caller']} -> {row['callee']}: {', '.join(filter(None, said))}", _SENTENCE)


_PARTS = {"findings": _all_findings, "endpoints": _all_endpoints, "services": _services, "edges": _edges}
PARTS = ("summary", *_PARTS)
