"""What DuckDB says about a failed query, as the error that reaches the person who wrote it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from collector.errors import LithoscopeError, QueryError, StoreError
from collector.store.bounding import TOO_LONG

if TYPE_CHECKING:
    import duckdb

    from collector.store.protocol import QueryLimits

# The kinds by the head of DuckDB's message and not by class: an error that comes while rows are streaming reaches
# Python through Arrow as a plain OSError with the same text.
_NOT_A_READ = ("Permission Error", "TransactionContext Error")
_BROKEN = ("FATAL Error", "INTERNAL Error", "IO Error", "Serialization Error", "Connection Error")
_WITH_ZONE = "TIMESTAMP WITH TIME ZONE"
_VIEWS = """
    SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'
    UNION ALL SELECT table_name FROM duckdb_tables() WHERE NOT internal AND schema_name = 'main'
    ORDER BY ALL
"""


def query_error(cursor: duckdb.DuckDBPyConnection, error: BaseException, limits: QueryLimits) -> LithoscopeError:
    """Return the ``QueryError`` for what DuckDB raised, or a ``StoreError`` when the database itself failed."""
    text = str(error)
    if text.startswith("INTERRUPT"):
        return _time_limit(limits)
    if text.startswith("Out of Memory Error"):
        return _out_of_memory()
    if TOO_LONG in text:
        return _too_long(text)
    if text.startswith(_BROKEN):
        return StoreError(f"The database failed: {one_line(text)}")
    if text.startswith(_NOT_A_READ):
        hint = "A query reads what is stored, not files or settings."
        return QueryError(one_line(text), code="not_a_read", hint=hint)
    return QueryError(one_line(text), code="bad_sql", hint=_hint(cursor, text))


def one_line(text: str) -> str:
    """Return a message of DuckDB without the excerpt of the query and its caret, on one line."""
    head = re.split(r"\n\s*(?:LINE \d+:|Candidate|Did you mean|Possible solutions)", text, maxsplit=1)[0]
    return " ".join(head.split())


def _time_limit(limits: QueryLimits) -> QueryError:
    return QueryError(
        f"The query took longer than {limits.seconds:g} seconds.",
        code="time_limit",
        hint="Narrow it, for example to a range of start_time, or raise LITHOSCOPE_QUERY_SECONDS.",
    )


def _out_of_memory() -> QueryError:
    return QueryError(
        "The query needs more memory than the database may use.",
        code="memory_limit",
        hint="Narrow it, for example to a range of start_time, or raise LITHOSCOPE_STORE_MEMORY.",
    )


def _too_long(text: str) -> QueryError:
    return QueryError(
        f"{text[text.index(TOO_LONG) :].partition(chr(39))[0]}.",
        code="memory_limit",
        hint="Take a part of long texts first, as left(body, 1000) does, or make shorter lists.",
    )


def _hint(cursor: duckdb.DuckDBPyConnection, text: str) -> str:
    if text.startswith("Binder Error") and _WITH_ZONE in text and re.search(r"\bTIMESTAMP(_NS)?\b(?! WITH)", text):
        return "Stored times are in UTC and have no zone, now() has one: write now() AT TIME ZONE 'UTC' in its place."
    if text.startswith("Catalog Error: Table with name"):
        names = [row[0] for row in cursor.execute(_VIEWS).fetchall()]
        return f"The views are {', '.join(names)}; DESCRIBE shows their columns."
    found = re.search(r"\n\s*(Candidate bindings:|Did you mean) (.*)", text)
    if found:
        return f"Did you mean {found[2].rstrip('?')}?"
    return ""
