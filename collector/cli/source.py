"""Where a command reads from: a running collector, or a file that none holds."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import typer

from collector.client import DEFAULT_URL, Client, connect
from collector.errors import ConfigurationError, LithoscopeError, QueryError
from collector.store.protocol import QueryLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from collector.analysis import Analysis
    from collector.store.protocol import Store

# A file of one's own: only the machine's memory bounds the answer.
_FILE_LIMITS = QueryLimits(seconds=86_400, rows=10**9, bytes=16 * 1024**3)


_OF_ANALYSIS = re.compile(r"\b(services|edges|endpoints|findings|coupling_index)\b", re.IGNORECASE)
_ANY_MINUTE = "SELECT minute FROM store.rollup_windows LIMIT 1"
_SOME_DIGITS = re.compile("[0-9a-f]{1,31}")
_FEWEST_DIGITS = 4
_MOST_TOLD = 3
_GONE = "A trace appears a moment after it was received; retention may have deleted it."


class SqlSource(Protocol):
    """Answers SQL."""

    def sql_arrow(self, query: str) -> pa.Table:
        """Answer one reading statement; raises ``QueryError`` as ``collector.client.Client`` does."""


class Source(SqlSource, Protocol):
    """Answers questions about telemetry; all raise ``QueryError`` as ``collector.client.Client`` does."""

    def trace(self, trace_id: str) -> dict[str, Any]:
        """Return the ``trace`` object of one trace."""

    def report(self, **options: str) -> dict[str, Any]:
        """Return the ``report`` object."""

    def diff(self, before: str, after: str, **options: str) -> dict[str, Any]:
        """Return the ``diff`` object."""

    def simulate(self, options: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return the ``simulate`` object; each option has all its values."""


class FileSource:
    """A database file that this process holds."""

    def __init__(self, store: Store, load_analysis: Callable[[], Analysis], limits: QueryLimits = _FILE_LIMITS) -> None:
        self._store = store
        self._load_analysis = load_analysis
        self._limits = limits

    def sql_arrow(self, query: str) -> pa.Table:
        """See ``Source``."""
        answer = self._store.query(query, self._limits)
        if _OF_ANALYSIS.search(query) and not self._store.query(_ANY_MINUTE, self._limits).num_rows:
            typer.echo(
                "lithoscope: nothing is analysed in this file, so services, edges, endpoints, findings and "
                "coupling_index are empty: `lithoscope analyze --db FILE` fills them, or ask `lithoscope report`.",
                err=True,
            )
        return answer

    def trace(self, trace_id: str) -> dict[str, Any]:
        """See ``Source``."""
        rows = self._store.trace(trace_id)
        if not rows.num_rows:
            raise QueryError(f"There is no trace {trace_id}.", code="not_found", hint=_GONE)
        from collector.query.trace_json import trace_json  # noqa: PLC0415  (loads Arrow; a collector sends JSON)

        return trace_json(trace_id, rows, self._load_analysis())

    def report(self, **options: str) -> dict[str, Any]:
        """See ``Source``."""
        return self._load_analysis().report(self._store, options)

    def diff(self, before: str, after: str, **options: str) -> dict[str, Any]:
        """See ``Source``."""
        return self._load_analysis().diff((self._store, before), (self._store, after), options.get("env"))

    def simulate(self, options: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """See ``Source``."""
        return self._load_analysis().simulate(self._store, options)


@contextmanager
def open_source(
    url: str | None, db: Path | None, load_analysis: Callable[[], Analysis], limits: QueryLimits = _FILE_LIMITS
) -> Iterator[Source]:
    """Open what ``--url`` and ``--db`` name; with neither, the collector at the default address.

    A collector has an analysis and limits of its own; ``load_analysis`` is called for a file, and only where one is
    asked for, and ``limits`` are those of SQL there.
    """
    check_one_given(url, db)
    if db is None:
        yield find_collector(url)
        return
    with _opened(db) as store:
        yield FileSource(store, load_analysis, limits)


@contextmanager
def _opened(db: Path) -> Iterator[Store]:
    from collector.store import open_store  # noqa: PLC0415  (loads DuckDB, which asking a collector does not need)

    if not db.exists():
        raise ConfigurationError(f"There is no file {db}: give an existing database with --db.")
    store = open_store(db, read_only=True)
    try:
        _warn_of_log(store, db)
        yield store
    finally:
        store.close()


def diff_files(before: Path, after: Path, analysis: Analysis, env: str | None, side: str = "") -> dict[str, Any]:
    """Return the ``diff`` object of two database files that no collector holds; ``side`` is of the one after.

    Its windows say which ``file`` each is of.

    Raises ``ConfigurationError`` when both are the same.
    """
    if before.resolve() == after.resolve():
        raise ConfigurationError(f"Both sides are {after}: give another file, or compare two windows of it with --db.")
    with _opened(before) as first, _opened(after) as second:
        found = analysis.diff((first, ""), (second, side), env)
    for name, path in (("before", before), ("after", after)):
        found[name]["file"] = str(path)
    return found


def find_trace_id(source: SqlSource, text: str) -> str:
    """Return the id of the one trace whose id begins so; raises ``QueryError`` for none and for several.

    All 32 digits, and what is no beginning of an id, are returned as they are.
    """
    start = text.strip().lower()
    if not _SOME_DIGITS.fullmatch(start):
        return text
    if len(start) < _FEWEST_DIGITS:
        hint = f"Give at least {_FEWEST_DIGITS} of its 32 hexadecimal digits."
        raise QueryError(f"{text} is too short for a trace id.", code="bad_sql", hint=hint)
    rows = source.sql_arrow(
        "SELECT DISTINCT trace_id FROM spans "
        f"WHERE trace_id BETWEEN '{start:0<32}' AND '{start:f<32}' ORDER BY ALL LIMIT {_MOST_TOLD + 1}"
    )
    found = rows.column("trace_id").to_pylist()
    if not found:
        raise QueryError(f"No trace id begins with {text}.", code="not_found", hint=_GONE)
    if len(found) > 1:
        told = ", ".join(found[:_MOST_TOLD]) + (" and others" if len(found) > _MOST_TOLD else "")
        raise QueryError(f"Several trace ids begin with {text}: {told}.", code="bad_sql", hint="Give more digits.")
    return str(found[0])


def service_names(source: SqlSource) -> list[str]:
    """Return the names of all services that stored spans come from."""
    rows = source.sql_arrow("SELECT DISTINCT service_name FROM spans WHERE service_name IS NOT NULL ORDER BY ALL")
    return [str(name) for name in rows.column("service_name").to_pylist()]


def operation_names(source: SqlSource) -> list[str]:
    """Return "SERVICE OPERATION" of all stored spans."""
    rows = source.sql_arrow(
        "SELECT DISTINCT concat(service_name, ' ', span_name) AS name FROM spans WHERE service_name IS NOT NULL "
        "ORDER BY ALL"
    )
    return [str(name) for name in rows.column("name").to_pylist()]


def _warn_of_log(store: Store, db: Path) -> None:
    """After a crash the last requests are in the log alone; who reads the file should know."""
    from collector.log import log_folder, read_records  # noqa: PLC0415  (as above)

    if next(read_records(log_folder(db), store.log_position()), None) is not None:
        typer.echo(
            f"lithoscope: {db} was not closed properly, and its last requests are still in its log: "
            f"`lithoscope serve --db {db}` takes them in.",
            err=True,
        )


def check_one_given(url: str | None, db: Path | None) -> None:
    """Raise ``ConfigurationError`` when both are given."""
    if url is not None and db is not None:
        raise ConfigurationError("Give either --url or --db, not both.")


def find_collector(url: str | None) -> Client:
    """Return a client that has had an answer; without a ``url`` the default one is tried, and the message says so."""
    client = connect(url or DEFAULT_URL)
    try:
        client.check()
    except LithoscopeError as error:
        if url is not None:
            raise
        raise LithoscopeError(f"Neither --url nor --db was given, so {DEFAULT_URL} was tried. {error}") from error
    return client
