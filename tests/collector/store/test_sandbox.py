"""A query reads, within its limits, and can do nothing else."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

from collector.errors import QueryError
from collector.store.allowed import TABLE_FUNCTIONS
from collector.store.protocol import QueryLimits
from collector.store.sandbox import HARDENING, _Checked, run_read
from tests.collector.store.hostile import REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LIMITS = QueryLimits(seconds=30, rows=1000, bytes=10_000_000)

READS = {
    "select": ("SELECT a FROM v ORDER BY a", [{"a": 1}, {"a": 2}]),
    "from first": ("FROM v SELECT max(a) AS m", [{"m": 2}]),
    "values": ("VALUES (7)", [{"col0": 7}]),
    "with": ("WITH x AS (SELECT a + 1 AS b FROM v) SELECT sum(b)::INT AS s FROM x", [{"s": 5}]),
    "one semicolon": ("SELECT 1 AS one;", [{"one": 1}]),
    "comment before": ("-- how many\nSELECT count(*) AS n FROM v", [{"n": 2}]),
    "table functions": ("SELECT sum(r.range)::INT AS s FROM range(3) r, unnest([1, 1]) u", [{"s": 6}]),
    "show": ("SHOW TABLES", [{"name": "v"}]),
    "names that look like functions": ("SELECT 'checkpoint()' AS glob", [{"glob": "checkpoint()"}]),
}

EXPLANATIONS = (
    "EXPLAIN SELECT * FROM v",
    "EXPLAIN ANALYZE SELECT * FROM v",
    "EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM v",
    "-- why\nEXPLAIN SELECT * FROM v",
    "DESCRIBE v",
    "DESCRIBE SELECT * FROM v",
    "SUMMARIZE v",
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A hardened database file with one table, one view and one sequence."""
    (tmp_path / "seen.csv").write_text("secret\n1\n")
    with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
        connection.execute("CREATE SCHEMA store; CREATE TABLE store.t AS SELECT unnest([1, 2]) AS a; CREATE SEQUENCE s")
        connection.execute("CREATE VIEW v AS SELECT * FROM store.t")
        for setting, value in HARDENING.items():
            connection.execute(f"SET {setting} = {value}")
        yield connection


@pytest.mark.parametrize("name", READS)
def test_a_read_is_answered(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Every way to read gives the rows in the statement's order."""
    sql, rows = READS[name]
    assert run_read(connection.cursor(), sql, _LIMITS).to_pylist() == rows


@pytest.mark.parametrize("sql", EXPLANATIONS)
def test_an_explanation_is_answered(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """EXPLAIN, DESCRIBE and SUMMARIZE of a read say something."""
    assert run_read(connection.cursor(), sql, _LIMITS).num_rows > 0


@pytest.mark.parametrize("sql", REFUSED)
def test_a_hostile_statement_is_refused_without_a_trace(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, sql: str
) -> None:
    """It raises QueryError, changes no row, writes no file, and the database works afterwards."""
    leaked = pa.table({"secret": [1]})
    files = sorted(tmp_path.iterdir())
    cursor = connection.cursor()
    with pytest.raises(QueryError) as caught:
        run_read(cursor, sql.replace("{folder}", str(tmp_path)), _LIMITS)
    assert caught.value.code in ("not_a_read", "bad_sql")
    assert leaked.num_rows == 1
    assert sorted(tmp_path.iterdir()) == files
    connection.execute("CHECKPOINT")
    assert connection.execute("SELECT a FROM store.t ORDER BY a").fetchall() == [(1,), (2,)]
    assert connection.execute("SELECT nextval('s')").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "sql", ["SELECT 1", "SELECT * FROM nope", "SELECT error('x') FROM range(9)", "DROP TABLE store.t"]
)
def test_no_transaction_stays_open(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """The cursor can begin a transaction of its own after success and after failure."""
    cursor = connection.cursor()
    with suppress(QueryError):
        run_read(cursor, sql, _LIMITS)
    cursor.execute("BEGIN")
    cursor.execute("ROLLBACK")


def test_a_hardened_connection_still_writes_and_spills(tmp_path: Path) -> None:
    """Registered Arrow tables, checkpoints and temporary files are the store's own and go on working."""
    with duckdb.connect(str(tmp_path / "x.duckdb"), config={"memory_limit": "100MB"}) as connection:
        connection.execute("CREATE TABLE t (a BIGINT)")
        for setting, value in HARDENING.items():
            connection.execute(f"SET {setting} = {value}")
        cursor = connection.cursor()
        cursor.register("incoming", pa.table({"a": [1, 2, 3]}))
        cursor.execute("INSERT INTO t SELECT * FROM incoming")
        cursor.unregister("incoming")
        cursor.execute("CHECKPOINT")
        sql = (
            "SELECT range FROM (SELECT range, hash(range) AS h, repeat('x', 40) AS x FROM range(3000000)) ORDER BY h, x"
        )
        table = run_read(connection.cursor(), f"SELECT count(*) AS n FROM ({sql} OFFSET 1) ", _LIMITS)
        assert table.to_pylist() == [{"n": 2_999_999}]
        assert (tmp_path / "x.duckdb.tmp").exists()
        assert connection.execute("SELECT sum(a) FROM t").fetchall() == [(6,)]


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        (
            "SELECT * FROM nope",
            "Catalog Error: Table with name nope does not exist!",
            "The views are v; DESCRIBE shows their columns.",
        ),
        (
            "SELECT b FROM v",
            'Binder Error: Referenced column "b" not found in FROM clause!',
            'Did you mean "a"?',
        ),
        (
            "SELECT TIMESTAMP_NS '2026-11-23 12:00:00' > now()",
            (
                "Binder Error: Cannot compare values of type TIMESTAMP_NS and type TIMESTAMP WITH TIME ZONE - "
                "an explicit cast is required"
            ),
            "Stored times are in UTC and have no zone, now() has one: write now() AT TIME ZONE 'UTC' in its place.",
        ),
        (
            "SELECT now() - TIMESTAMP_NS '2026-11-23 12:00:00'",
            (
                "Binder Error: No function matches the given name and argument types '-(TIMESTAMP WITH TIME ZONE, "
                "TIMESTAMP_NS)'. You might need to add explicit type casts."
            ),
            "Stored times are in UTC and have no zone, now() has one: write now() AT TIME ZONE 'UTC' in its place.",
        ),
        ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"', ""),
        ("SELECT CAST('b' AS INT)", "Conversion Error: Could not convert string 'b' to INT32", ""),
        (
            "SELECT CASE WHEN range > 900000 THEN error('late') ELSE '' END AS e FROM range(1000000)",
            "Invalid Input Error: late",
            "",
        ),
    ],
)
def test_wrong_sql_comes_with_a_hint(connection: duckdb.DuckDBPyConnection, sql: str, message: str, hint: str) -> None:
    """DuckDB's message on one line, without the excerpt, and what to write instead where that is known."""
    limits = QueryLimits(rows=2_000_000)
    with pytest.raises(QueryError) as caught:
        run_read(connection.cursor(), sql, limits)
    assert (str(caught.value), caught.value.code, caught.value.hint) == (message, "bad_sql", hint)


@pytest.mark.parametrize(
    ("sql", "limits", "code"),
    [
        ("SELECT * FROM range(1000000000000)", QueryLimits(rows=1000), "row_limit"),
        ("SELECT repeat('x', 1000) AS x FROM range(1000000000)", QueryLimits(rows=10**9, bytes=10**6), "memory_limit"),
        ("SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b", QueryLimits(0.05), "time_limit"),
        ("SELECT sleep_ms(60000)", QueryLimits(0.05), "time_limit"),
        ("SELECT * FROM range(1000000000000)", QueryLimits(0.05, 10**12, 10**12), "time_limit"),
        ("SELECT count(*) FROM range(1000000000000)", QueryLimits(0.0), "time_limit"),
        ("EXPLAIN ANALYZE SELECT count(*) FROM range(1000000000000)", QueryLimits(0.05), "time_limit"),
    ],
)
def test_a_limit_ends_the_query(
    connection: duckdb.DuckDBPyConnection, sql: str, limits: QueryLimits, code: str
) -> None:
    """A query that would take hours, or memory without end, is stopped and says why."""
    cursor = connection.cursor()
    with pytest.raises(QueryError) as caught:
        run_read(cursor, sql, limits)
    assert caught.value.code == code
    assert cursor.execute("SELECT 1").fetchall() == [(1,)]


def test_a_statement_that_python_has_no_name_for_is_refused(connection: duckdb.DuckDBPyConnection) -> None:
    """DuckDB 2.0 has one; as an inner error it would look like a defect."""
    with pytest.raises(QueryError) as caught:
        run_read(connection.cursor(), "UPDATE EXTENSIONS", _LIMITS)
    assert caught.value.code in ("not_a_read", "bad_sql")


def test_a_query_that_nobody_waits_for_ends(connection: duckdb.DuckDBPyConnection) -> None:
    """Long before its time limit, while it computes."""
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(QueryError):
        run_read(connection.cursor(), "SELECT count(*) FROM range(1000000000000)", _LIMITS, stop)
    assert time.monotonic() - began < 10


def test_a_limit_is_inclusive(connection: duckdb.DuckDBPyConnection) -> None:
    """As many rows as the limit says are still answered."""
    limits = QueryLimits(rows=1000)
    assert run_read(connection.cursor(), "SELECT * FROM range(1000)", limits).num_rows == 1000
    with pytest.raises(QueryError, match=r"more than 1,000 rows"):
        run_read(connection.cursor(), "SELECT * FROM range(1001)", limits)


def test_out_of_memory_is_a_limit() -> None:
    """DuckDB's own memory limit ends the query alone."""
    with duckdb.connect(config={"memory_limit": "50MB", "temp_directory": ""}) as connection:
        with pytest.raises(QueryError) as caught:
            run_read(connection.cursor(), "SELECT list(range ORDER BY -range) FROM range(100000000)", _LIMITS)
        assert caught.value.code == "memory_limit"
        assert run_read(connection.cursor(), "SELECT 1 AS a", _LIMITS).to_pylist() == [{"a": 1}]


def test_writes_in_with_are_still_part_of_a_select() -> None:
    """Canary: when no supported DuckDB parses INSERT in WITH as SELECT any more, the check for it can go."""
    connection = duckdb.connect()
    statements = (
        connection.extract_statements("SELECT 1")
        if duckdb.__version__ < "2"
        else (connection.extract_statements("WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x"))
    )
    assert [statement.type for statement in statements] == [duckdb.StatementType.SELECT]


@pytest.mark.skipif(duckdb.__version__ < "2", reason="DuckDB 1.5 does not parse it at all")
def test_writes_in_with_are_named(connection: duckdb.DuckDBPyConnection) -> None:
    """They are recognised before a transaction, and said in plain words."""
    with pytest.raises(QueryError, match=r"this WITH changes data"):
        run_read(connection.cursor(), "WITH x AS (DELETE FROM store.t RETURNING *) FROM x", _LIMITS)


def test_the_read_only_transaction_stands_alone(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a write ever pass the look at the syntax, DuckDB itself refuses it."""
    monkeypatch.setattr("collector.store.sandbox._check_is_read", lambda _, sql: _Checked(sql, []))
    with pytest.raises(QueryError, match=r"launched in read-only mode") as caught:
        run_read(connection.cursor(), "INSERT INTO store.t VALUES (3)", _LIMITS)
    assert caught.value.code == "not_a_read"
    assert connection.execute("SELECT count(*) FROM store.t").fetchall() == [(2,)]


def test_allowed_table_functions_exist() -> None:
    """The list of allowed table functions names no function that DuckDB has dropped."""
    connection = duckdb.connect()
    known = {row[0] for row in connection.execute("SELECT function_name FROM duckdb_functions()").fetchall()}
    assert sorted(TABLE_FUNCTIONS - known) == ["trace_spans"]


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        ("p95(1)", "Write quantile_cont(duration_ns, 0.95)."),
        ("percentile(1, 0.9)", "Write quantile_cont(duration_ns, 0.99)."),
        ("medain(1)", "Did you mean median"),
    ],
)
def test_an_unknown_function_is_answered_with_what_to_write(
    connection: duckdb.DuckDBPyConnection, call: str, hint: str
) -> None:
    """In place of a sentence about reading."""
    with pytest.raises(QueryError, match=r"may not be used") as error:
        run_read(connection.cursor(), f"SELECT {call}", _LIMITS)
    assert hint in error.value.hint
