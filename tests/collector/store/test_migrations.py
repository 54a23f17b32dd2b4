"""The schema's version is checked before anything is changed, and every step leaves its record."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import duckdb
import pytest

import collector
from collector.errors import SchemaVersionError, StoreBusyError, StoreError
from collector.store import migrations, open_store
from collector.store.sql import statement

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = ("resources", "scopes", "spans", "logs", "metrics")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database that a store has made and closed."""
    path = tmp_path / "t.duckdb"
    open_store(path).close()
    return path


def run(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """Carry statements out beside the store; return the last answer."""
    with duckdb.connect(str(path)) as connection:
        for sql in statements:
            answer = connection.execute(sql)
        return answer.fetchall()


def test_each_step_leaves_its_record(file: Path) -> None:
    """With version, name and time, once, however often the file is opened."""
    open_store(file).close()
    found = run(file, "SELECT version, name FROM store.migrations ORDER BY version")
    assert found == [(step.version, step.name) for step in migrations.MIGRATIONS]
    assert run(file, "SELECT bool_and(abs(epoch(applied_at) - epoch(now())) < 600) FROM store.migrations") == [(True,)]


def test_versions_count_up_from_one() -> None:
    """No step is skipped or comes twice."""
    assert [step.version for step in migrations.MIGRATIONS] == list(range(1, migrations.VERSION + 1))


SHIPPED = {
    "schema_1": "02d495b0",
    "schema_2": "42380440",
    "schema_3": "2e001ea5",
    "schema_4": "e683d665",
}
"""CRC-32 of the steps that users' files have taken."""


def test_a_step_that_users_have_taken_never_changes() -> None:
    """What such a file lacks is the work of a new step."""
    found = {step.sql: f"{crc32(statement(step.sql).encode()):08x}" for step in migrations.MIGRATIONS}
    assert {name: found[name] for name in SHIPPED} == SHIPPED


def test_a_file_of_version_1_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the same columns as a new one, and keeps them just as empty."""
    old, new = tmp_path / "old.duckdb", tmp_path / "new.duckdb"
    with duckdb.connect(str(old)) as connection:
        monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:1])
        monkeypatch.setattr(migrations, "VIEWS", ())
        migrations.migrate(connection, 0)
    monkeypatch.undo()
    for path in (old, new):
        open_store(path).close()
    columns = (
        "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() "
        "WHERE schema_name IN ('store', 'main') ORDER BY ALL"
    )
    assert run(old, columns) == run(new, columns)


def test_a_file_of_version_2_is_analysed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as its spans are still there; what it kept of the others stays."""
    path = tmp_path / "t.duckdb"
    with duckdb.connect(str(path)) as connection:
        monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:2])
        monkeypatch.setattr(migrations, "VIEWS", ())
        migrations.migrate(connection, 0)
    monkeypatch.undo()
    window = "INSERT INTO store.rollup_windows VALUES ({}, 'live', 1, 2, 0, 0, 1, 1)"
    latency = "INSERT INTO store.rollup_latency VALUES ({}, 'live', NULL, 'shop', 'GET /', 7, 1)"
    span = (
        "INSERT INTO store.spans (received, trace_id, span_id, resource_id, scope_id, service_name, span_name, kind, "
        "start_time, duration_ns, status_code) VALUES (now()::TIMESTAMP, uuid(), 1, 0, 0, 'shop', 'GET /', 'server', "
        "make_timestamp_ns(121 * 60_000_000_000), 5, 'ok')"
    )
    run(path, *(row.format(minute) for row in (window, latency) for minute in (61, 62, 121)), span)
    open_store(path).close()
    assert run(path, "SELECT minute, spans FROM store.pending_minutes") == [(121, 2)]
    assert run(path, "SELECT bucket, sum(weight) FROM store.all_latency GROUP BY ALL") == [(7, 3)]


def test_a_file_of_version_4_knows_what_retention_has_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes that are kept without a span, and the one after them; nothing when all are there."""
    path = tmp_path / "t.duckdb"
    with duckdb.connect(str(path)) as connection:
        monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:4])
        monkeypatch.setattr(migrations, "VIEWS", ())
        migrations.migrate(connection, 0)
    monkeypatch.undo()
    whole = tmp_path / "whole.duckdb"
    shutil.copyfile(path, whole)
    window = "INSERT INTO store.rollup_windows VALUES ({}, 'live', 1, 2, 0, 0, 1, 1, 0, 1)"
    span = (
        "INSERT INTO store.spans (received, trace_id, span_id, resource_id, scope_id, service_name, span_name, kind, "
        "start_time, duration_ns, status_code) VALUES (now()::TIMESTAMP, uuid(), 1, 0, 0, 'shop', 'GET /', 'server', "
        "make_timestamp_ns(63 * 60_000_000_000), 5, 'ok')"
    )
    run(path, *(window.format(minute) for minute in (61, 62, 63)), span)
    run(whole, window.format(63), span)
    for file, minute in ((path, 64), (whole, 0)):
        open_store(file).close()
        assert run(file, "FROM store.deleted_before") == [(minute * 60 * 10**9,)]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_file_is_refused_unchanged_with_the_remedy(file: Path, *, read_only: bool) -> None:
    """Before any statement that changes it, views included."""
    run(file, "INSERT INTO store.migrations VALUES (99, 'the future', now()::TIMESTAMP)", "DROP VIEW main.logs")
    content = file.read_bytes()
    with pytest.raises(SchemaVersionError, match=r"version 99.*upgrade Lithoscope, or give another file with --db"):
        open_store(file, read_only=read_only)
    assert file.read_bytes() == content


def test_a_step_that_fails_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its tables nor its record; the next try starts where the last good one ended."""
    path = tmp_path / "t.duckdb"
    last = migrations.VERSION
    broken = migrations.Migration(last + 1, "broken", "schema_broken")
    text = {"schema_broken": "CREATE TABLE store.half (i INT); CREATE TABLE store.half (i INT);"}
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, broken))
        patch.setattr(migrations, "VERSION", last + 1)
        patch.setattr(migrations, "statement", lambda name: text.get(name) or statement(name))
        with pytest.raises(StoreError, match=r"half.*already exists"):
            open_store(path)
    found = run(path, "SELECT (SELECT max(version) FROM store.migrations), count(*) FROM duckdb_tables()")
    open_store(path).close()
    assert found == run(path, f"SELECT {last}, count(*) FROM duckdb_tables()")


def test_a_crash_right_after_the_first_start_leaves_a_file_that_opens(tmp_path: Path) -> None:
    """DuckDB 1.5 cannot replay the schema from its write-ahead log, so it must not be there."""
    store = open_store(tmp_path / "t.duckdb")
    for name in ("t.duckdb", "t.duckdb.wal"):
        if (tmp_path / name).exists():
            shutil.copyfile(tmp_path / name, tmp_path / f"copy-of-{name}")
    store.close()
    copy = open_store(tmp_path / "copy-of-t.duckdb")
    assert copy.log_position() == (0, 0)
    copy.close()


def test_views_are_renewed_at_every_start(file: Path) -> None:
    """They belong to the program, not to the file."""
    run(file, "CREATE OR REPLACE VIEW main.logs AS SELECT 1 AS old", "DROP VIEW main.traces")
    open_store(file).close()
    assert run(file, "SELECT count(*) FROM main.traces")
    assert run(file, "SELECT count(*) FROM (DESCRIBE main.logs) WHERE column_name = 'body'") == [(1,)]


@pytest.mark.parametrize("stranger", ["CREATE TABLE spans (i INT)", "CREATE VIEW mine AS SELECT 1"])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_stranger_s_database_is_left_alone(tmp_path: Path, stranger: str, *, read_only: bool) -> None:
    """A path typed wrong must not put a schema into somebody's file."""
    path = tmp_path / "mine.duckdb"
    run(path, stranger)
    with pytest.raises(StoreError, match="not a Lithoscope database"):
        open_store(path, read_only=read_only)
    assert run(path, "SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 'store'") == [(0,)]


def test_a_file_that_does_not_exist_cannot_be_read(tmp_path: Path) -> None:
    """And is not made."""
    with pytest.raises(StoreError, match="--db"):
        open_store(tmp_path / "t.duckdb", read_only=True)
    assert not (tmp_path / "t.duckdb").exists()


@pytest.mark.parametrize("damage", [b"not a database", b"\0" * 20_000])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, damage: bytes) -> None:
    """With what to do about it."""
    path = tmp_path / "clock.duckdb"  # a name with "lock" in it is no lock
    path.write_bytes(damage)
    with pytest.raises(StoreError, match=r"clock.duckdb cannot be opened.*give another file with --db") as caught:
        open_store(path)
    assert not isinstance(caught.value, StoreBusyError | SchemaVersionError)


def test_a_file_that_another_process_holds_is_busy(file: Path) -> None:
    """The message names the ways out."""
    hold = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreBusyError, match=r"t.duckdb is held by another process: .*--url.*--db"):
            open_store(file)
        holder.communicate()
    open_store(file).close()


def test_a_damaged_block_is_not_taken_for_a_lock(file: Path) -> None:
    """DuckDB's message has the word "block"."""
    content = bytearray(file.read_bytes())
    content[20] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(StoreError, match="Corrupt") as caught:
        open_store(file)
    assert not isinstance(caught.value, StoreBusyError)


# -- the SQL files ----------------------------------------------------------------------------------------------------


def used_names() -> Iterator[str]:
    """The files that the collector's modules name: in ``statement(…)``, in migrations, and among the views."""
    yield from (step.sql for step in migrations.MIGRATIONS)
    yield from migrations.VIEWS
    for module in Path(str(files(collector))).rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "statement" and node.args:
                yield from _names(node.args[0])


def _names(argument: ast.expr) -> Iterator[str]:
    if isinstance(argument, ast.Constant):
        yield str(argument.value)
    elif isinstance(argument, ast.JoinedStr):
        yield from (f"{ast.literal_eval(argument.values[0])}{table}" for table in TABLES)


def test_every_sql_file_is_used_and_every_use_exists() -> None:
    """No statement is left over, and none is missing."""
    there = {path.name.removesuffix(".sql") for path in files("collector.store.sql").iterdir() if ".sql" in path.name}
    assert there == set(used_names())


@pytest.mark.parametrize("name", sorted(set(used_names())))
def test_a_sql_file_holds_one_statement(name: str) -> None:
    """Except the schema's, which are a migration's steps."""
    text = re.sub(r"--[^\n]*", "", statement(name))
    assert text.rstrip().endswith(";")
    assert name.startswith("schema_") or name in ("lake_schema", "lake_collector") or text.count(";") == 1
