"""What the collector asks of the analysis, which imports the collector and is handed to it by the front door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


class Analysis(Protocol):
    """The analysis, as the query API and the commands see it."""

    def trace(self, trace: dict[str, Any], rows: pa.Table) -> dict[str, Any]:
        """Return the contract's ``trace`` object with its analysis, given it without and its ``spans`` rows."""
