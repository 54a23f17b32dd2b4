"""What a rule needs before silence means that all is well; each says what is missing, None when it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.coupling_index import ENOUGH_TRACES

if TYPE_CHECKING:
    from analytics.findings import Subject


def any_trace(subject: Subject) -> str | None:
    """A trace at all."""
    return None if subject.analysed.forest.traces.height else "there are no traces"


def traces(subject: Subject) -> str | None:
    """As many traces as the coupling index needs, too."""
    count = subject.analysed.forest.traces.height
    return any_trace(subject) or (None if count >= ENOUGH_TRACES else f"it takes {ENOUGH_TRACES} traces, not {count}")


def requests(subject: Subject) -> str | None:
    """As many that are known from their one root on."""
    count = subject.analysed.requests.traces.height
    if not count:
        return any_trace(subject) or "no trace has one root, so no request is known as a whole"
    return None if count >= ENOUGH_TRACES else f"it takes {ENOUGH_TRACES} traces with one root, not {count}"


def times(subject: Subject) -> str | None:
    """A span that took any time."""
    return None if bool((subject.analysed.forest.duration > 0).any()) else "no span says how long it took"


def services(subject: Subject) -> str | None:
    """Two services."""
    count = np.unique(subject.analysed.forest.service).size
    return None if count > 1 else f"it takes two services, there is {'one' if count else 'none'}"


def calls(subject: Subject) -> str | None:
    """A call from a service to another, or to an external system."""
    others = pl.col("callee_type").is_in(["service", "external"]) & (pl.col("caller_node") != pl.col("callee_node"))
    edges = subject.direct_edges.filter((pl.col("caller_type") == "service") & others)
    return None if edges.height else "no service is seen to call another"


def any_calls(subject: Subject) -> str | None:
    """A call from a service to anything."""
    edges = subject.analysed.edges.filter(pl.col("caller_type") == "service")
    return None if edges.height else "no service is seen to call anything"


def databases(subject: Subject) -> str | None:
    """A call to a database."""
    edges = subject.analysed.edges.filter(pl.col("callee_type") == "database")
    return None if edges.height else "no service is seen to call a database"
