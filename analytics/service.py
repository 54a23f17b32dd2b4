"""The analysis as the collector sees it: ``collector.analysis.Analysis``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analytics.trace import analyse_trace

if TYPE_CHECKING:
    import pyarrow as pa


class TraceAnalysis:
    """Implements ``collector.analysis.Analysis``."""

    def trace(self, trace: dict[str, Any], rows: pa.Table) -> dict[str, Any]:
        """See ``Analysis``."""
        return analyse_trace(trace, rows)
