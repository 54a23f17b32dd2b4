"""A backup has everything that was acknowledged before it was asked for, and a restore is that or nothing."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
import zipfile
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest

from collector.access.keys import Scope, add_key
from collector.backup.archive import Archive, write_archive
from collector.cli.backing_up import back_up, restore
from collector.client import connect
from collector.errors import BackupError, ConfigurationError, LithoscopeError, QueryError, StoreBusyError, StoreError
from collector.log import log_folder
from collector.service import Service, offline_pipeline
from collector.settings import Settings
from collector.signals import Signal
from collector.store import migrations, open_store
from collector.store.database import connect as connect_file
from collector.store.protocol import QueryLimits
from collector.store.snapshots import DuckDBSnapshot
from tests.collector.receiver.running import ANY_PORT, run_collector, serve, trace_body
from tests.collector.test_kill import SPANS, Load, stored

if TYPE_CHECKING:
    from pathlib import Path

PORTS: dict[str, Any] = {"grpc": ANY_PORT, "http": ANY_PORT, "query": ANY_PORT}
VIEWS = ("spans", "traces", "logs", "metrics", "resources", "services", "edges", "endpoints", "findings")
ENOUGH = 40


def contents(db: Path) -> dict[str, list[dict[str, Any]]]:
    """How many rows each view has, and what they hash to, in any order."""
    with closing(open_store(db, read_only=True)) as store:
        query = "SELECT count(*) AS rows, bit_xor(hash(v)) AS content FROM {} AS v"
        return {view: store.query(query.format(view), QueryLimits()).to_pylist() for view in VIEWS}


@pytest.fixture(scope="module")
def made(shop_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of the shop."""
    file = tmp_path_factory.mktemp("backup") / "shop.zip"
    back_up(file, None, shop_file)
    return file


def test_a_backup_under_load_has_what_was_acknowledged_exactly(tmp_path: Path) -> None:
    """Each request before it whole and once, each later one whole or not at all; senders go on meanwhile."""
    load, stopping, enough = Load(), threading.Event(), threading.Event()
    with serve(tmp_path) as (_, collector):
        senders = [threading.Thread(target=load.send, args=(collector.grpc, stopping)) for _ in range(3)]
        for sender in senders:
            sender.start()
        while len(load.acknowledged) < ENOUGH:
            enough.wait(0.01)
        before = set(load.acknowledged)
        made = back_up(tmp_path / "a.zip", collector.client.url, None)
        went_on = set(load.acknowledged) - before
        stopping.set()
        for sender in senders:
            sender.join()
    restore(tmp_path / "a.zip", tmp_path / "b.duckdb")
    found = stored(tmp_path / "b.duckdb")
    assert set(found.values()) == {SPANS}
    assert before <= found.keys() <= load.bodies.keys()
    assert made.rows["spans"] == found.total()
    assert went_on
    assert stored(tmp_path / "test.duckdb").keys() == load.acknowledged


def test_what_is_restored_is_what_was_stored(shop_file: Path, made: Path, tmp_path: Path) -> None:
    """Every view, byte for byte; the file is its owner's."""
    manifest, aside = restore(made, tmp_path / "b.duckdb")
    assert contents(tmp_path / "b.duckdb") == contents(shop_file)
    assert (aside, manifest.rows["spans"], manifest.schema_version) == (None, 4, migrations.VERSION)
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.duckdb"]


def test_a_restored_database_goes_on(made: Path, tmp_path: Path) -> None:
    """What comes next is stored, durable, and recognised when it comes again."""
    db = tmp_path / "b.duckdb"
    restore(made, db)
    with offline_pipeline(db) as pipeline:
        for _ in range(2):
            pipeline.submit(Signal.TRACES, trace_body(b"\7" * 16)).result()
    with closing(open_store(db, read_only=True)) as store:
        assert store.query("SELECT count(*) AS n FROM spans", QueryLimits()).to_pylist() == [{"n": 5}]


def test_what_only_the_log_has_is_in_the_backup_too(shop_file: Path, tmp_path: Path) -> None:
    """A file whose collector was killed: its last requests were acknowledged."""
    db = tmp_path / "test.duckdb"
    shutil.copy(shop_file, db)
    with serve(tmp_path) as (process, collector):
        assert collector.client.status()["failure"] is None
        collector.post("/v1/traces", trace_body(b"\7" * 16))
        process.kill()
        process.wait()
        process.returncode = 0  # for the fixture, which ends it in peace
    assert back_up(tmp_path / "a.zip", None, db).rows["spans"] == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[: len(data) // 2], "no whole backup"),
        (lambda data: data[:0], "no whole backup"),
        (lambda data: b"SQLite format 3\0" * len(data), "no whole backup"),
        (lambda data: data[:9000] + bytes([data[9000] ^ 1]) + data[9001:], "damaged"),
    ],
)
def test_half_a_backup_or_a_changed_byte_is_refused(made: Path, tmp_path: Path, change: Any, message: str) -> None:
    """In words, and nothing is left behind."""
    file = tmp_path / "broken.zip"
    file.write_bytes(change(made.read_bytes()))
    with pytest.raises(BackupError, match=message):
        restore(file, tmp_path / "b.duckdb")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.zip"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "lithoscope backup 2"}, "its format is 'lithoscope backup 2'"),
        ({"schema_version": migrations.VERSION + 1}, "upgrade Lithoscope"),
        ({"rows": {"spans": 3}}, "other rows than it says"),
        ({"rows": {"gone": 3}}, "damaged"),
    ],
)
def test_a_manifest_that_promises_something_else_is_refused(
    made: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Another format, a newer schema, other rows: nothing is left behind."""
    file = tmp_path / "other.zip"
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content if name != "manifest.json" else json.dumps(json.loads(content) | changes))
    with pytest.raises(LithoscopeError, match=message):
        restore(file, tmp_path / "b.duckdb")
    assert [path.name for path in tmp_path.iterdir()] == ["other.zip"]


@pytest.mark.parametrize("version", range(1, migrations.VERSION))
def test_a_backup_of_an_older_version_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    """Its tables are made as they were, filled, and migrated."""
    with closing(connect_file(":memory:")) as old:
        migrations.migrate(old, 0, version)
        old.execute("UPDATE store.log_position SET segment = 7")
        (tmp_path / "a.zip").write_bytes(b"".join(write_archive(DuckDBSnapshot(old.cursor(), version))))
    restore(tmp_path / "a.zip", tmp_path / "b.duckdb")
    with closing(open_store(tmp_path / "b.duckdb", read_only=True)) as store:
        assert store.log_position().segment == 7


def test_a_database_is_never_overwritten(made: Path, shop_file: Path, tmp_path: Path) -> None:
    """It is refused; when forced, what was there keeps its content and its log by another name."""
    db = tmp_path / "b.duckdb"
    shutil.copy(shop_file, db)
    log_folder(db).mkdir()
    with pytest.raises(ConfigurationError, match="say --force"):
        restore(made, db)
    _, aside = restore(made, db, force=True)
    assert aside is not None
    assert (contents(aside), contents(db)) == (contents(shop_file), contents(shop_file))
    assert (log_folder(aside).exists(), log_folder(db).exists()) == (True, False)


def test_what_is_broken_can_be_restored_over(made: Path, tmp_path: Path) -> None:
    """That is what a backup is for."""
    db = tmp_path / "b.duckdb"
    db.write_bytes(b"no database")
    restore(made, db, force=True)
    assert contents(db)["spans"][0]["rows"] == 4


def test_a_database_that_a_collector_holds_is_left_alone(made: Path, tmp_path: Path) -> None:
    """Whatever is forced: it would write on into a file that nobody sees."""
    with serve(tmp_path) as (_, collector):
        with pytest.raises(StoreBusyError, match="stop that one first"):
            restore(made, tmp_path / "test.duckdb", force=True)
        assert collector.client.status()["failure"] is None


def test_a_file_is_replaced_only_when_forced(shop_file: Path, made: Path, tmp_path: Path) -> None:
    """Of the old one nothing is left then, and nothing of a try that failed."""
    file = tmp_path / "a.zip"
    file.write_bytes(b"precious")
    with pytest.raises(ConfigurationError, match="say --force"):
        back_up(file, None, shop_file)
    with pytest.raises(LithoscopeError):
        back_up(file, "http://127.0.0.1:1", None, force=True)
    assert file.read_bytes() == b"precious"
    back_up(file, None, shop_file, force=True)
    with Archive(file) as archive, Archive(made) as other:
        assert archive.manifest.rows == other.manifest.rows
    assert os.listdir(tmp_path) == ["a.zip"]  # noqa: PTH208


def test_only_an_admin_may_have_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that reads may not take all of it away."""
    keys = {scope: add_key(tmp_path / "keys.toml", scope.value, [scope]) for scope in Scope}
    with run_collector(tmp_path, keys=tmp_path / "keys.toml") as collector:
        for number, scope in enumerate((Scope.QUERY, Scope.INGEST)):
            monkeypatch.setenv("LITHOSCOPE_API_KEY", keys[scope])
            with pytest.raises(QueryError, match="this wants one for admin"):
                back_up(tmp_path / f"{number}.zip", collector.client.url, None)
        monkeypatch.setenv("LITHOSCOPE_API_KEY", keys[Scope.ADMIN])
        back_up(tmp_path / "a.zip", collector.client.url, None)
    assert not list(tmp_path.glob("*.part"))


def test_one_at_a_time_and_one_that_is_given_up_ends(shop_file: Path, tmp_path: Path) -> None:
    """A second is told to come back; a receiver that goes away leaves nothing behind."""
    shutil.copy(shop_file, tmp_path / "a.duckdb")
    with Service(Settings(db=tmp_path / "a.duckdb", **PORTS)) as service:
        client = connect(service.url)
        with client.download("/v1/backup") as answer:
            assert answer.read(1)
        back_up_when_free(client.url, tmp_path / "b.zip")
    assert (tmp_path / "b.zip").exists()


def back_up_when_free(url: str, file: Path) -> None:
    """Try again while the one before is being given up."""
    pause = threading.Event()
    for _ in range(100):
        with suppress(QueryError):
            back_up(file, url, None)
            return
        pause.wait(0.05)


def test_a_table_of_nowhere_is_refused(made: Path, tmp_path: Path) -> None:
    """A file that somebody made by hand."""
    file = tmp_path / "other.zip"
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'"spans"', b'"nails"'))
        new.writestr("nails.parquet", old.read("spans.parquet"))
    with pytest.raises(StoreError, match="no table nails"):
        restore(file, tmp_path / "b.duckdb")
