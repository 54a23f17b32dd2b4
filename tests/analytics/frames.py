"""Random and hand-made spans, for the oracle as objects and for the analysis as frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from analytics.forest import build_forest
from analytics.schema import KINDS, RESOURCES, SPANS, conform
from tests.analytics.oracle import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Span

if TYPE_CHECKING:
    from analytics.forest import Forest

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Properties hold on a busy machine, too."""

HOSTS = 3
SERVICES = 3


def span_frame(spans: list[Span], **columns: Any) -> pl.DataFrame:
    """Return SPANS; further columns replace those of the spans."""
    rows = {
        "trace_high": [0 for _ in spans],
        "trace_low": [s.trace for s in spans],
        "span_id": [s.id for s in spans],
        "parent_span_id": [s.parent_id for s in spans],
        "resource": [s.service * HOSTS + s.host for s in spans],
        "span_name": [s.name for s in spans],
        "kind": [KINDS[s.kind] for s in spans],
        "start_unix_nano": [s.start for s in spans],
        "duration_ns": [s.duration for s in spans],
        "server_address": [s.peer for s in spans],
    }
    return conform(pl.DataFrame(rows | columns, strict=False), SPANS)


def span_columns(**columns: Any) -> pl.DataFrame:
    """Return SPANS of trace 1, service 0, host 0 from columns as long as ``span_id``."""
    fixed = {"trace_high": 0, "trace_low": 1, "resource": 0, "span_name": "op", "kind": "internal"}
    return conform(pl.DataFrame(fixed | columns, strict=False), SPANS)


def resource_frame() -> pl.DataFrame:
    """Return RESOURCES: services 0 to 2 named s0 to s2, on hosts 0 to 2 which they share."""
    rows = [{"resource": s * HOSTS + h, "service": f"s{s}", "host": f"h{h}"} for s in range(3) for h in range(HOSTS)]
    return conform(pl.DataFrame(rows), RESOURCES)


def forest_of(spans: list[Span], **columns: Any) -> Forest:
    """Return the forest of these spans."""
    return build_forest(span_frame(spans, **columns), resource_frame())


def _spans(ids: int, parents: st.SearchStrategy[int | None]) -> st.SearchStrategy[Span]:
    return st.builds(
        Span,
        trace=st.integers(1, 2),
        id=st.integers(2, ids),
        parent_id=parents,
        service=st.integers(0, SERVICES - 1),
        kind=st.sampled_from([INTERNAL, SERVER, SERVER, CLIENT, CLIENT, PRODUCER, CONSUMER]),
        start=st.integers(0, 24),
        duration=st.integers(-1, 24),
        host=st.integers(0, HOSTS - 1),
        peer=st.sampled_from([None, "peer"]),
    )


def _root(trace: int) -> st.SearchStrategy[Span]:
    fixed = {"trace": st.just(trace), "id": st.just(1), "parent_id": st.none(), "kind": st.just(SERVER)}
    return st.builds(
        Span, **fixed, service=st.just(0), start=st.integers(0, 6), duration=st.integers(10, 40), host=st.just(0)
    )


def _renumber(spans: list[Span]) -> list[Span]:
    """Give spans distinct ids and parents among the earlier ones: trees without a flaw."""
    for place, span in enumerate(spans):
        span.id = place + 2
        span.parent_id = 1 + (span.parent_id or 0) % (place + 1)
        span.trace = 1
    return spans


TIDY = st.builds(
    lambda root, rest: [root, *_renumber(rest)],
    _root(1),
    st.lists(_spans(9, st.integers(1, 50)), max_size=14),
)
"""One trace with one root."""

WILD = st.builds(
    lambda one, two, rest: [one, two, *rest],
    _root(1),
    _root(2),
    st.lists(_spans(8, st.none() | st.integers(1, 9)), max_size=14),
)
"""Two traces whose ids repeat, whose parents lack, or form cycles."""

MIXED = st.builds(
    lambda one, two, rest: [one, two, *rest],
    _root(1),
    _root(2),
    st.lists(_spans(12, st.integers(1, 12)), max_size=16),
)
"""Two traces with one root each, and shared ids, duplicates and cycles."""

FORESTS = TIDY | MIXED | WILD
