"""Minutes analysed again are what the pipeline made of them, whoever works on them and in whatever order."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analytics import reanalysis
from analytics.commands import analyze
from analytics.options import Options
from analytics.pipeline import MinutePipeline
from analytics.pools import Done, OneProcess
from analytics.reanalysis import analyse_again
from analytics.schema import ROLLUPS
from analytics.service import TraceAnalysis
from analytics.sides import ALL_TIME
from analytics.source import stored_minutes
from collector.access.keys import Scope, add_key
from collector.client import connect
from collector.decode.decoder import concatenate
from collector.errors import ConfigurationError, QueryError
from collector.position import LogPosition
from collector.service import Service
from collector.settings import Settings
from collector.store import open_store
from collector.store.duckdb_store import DuckDBStore
from collector.store.protocol import HORIZON_NS, QueryLimits, TraceWindow
from tests.analytics.kept import kept
from tests.analytics.test_report import request
from tests.collector.receiver.running import ANY_PORT
from tests.collector.store.telemetry import START_NS, spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics.pools import Task
    from collector.batch import Batch
    from collector.store.protocol import Store

MINUTE_NS = 60 * 10**9
FIRST = START_NS // MINUTE_NS
MINUTES = 4


class Shuffled(OneProcess):
    """Does the tasks in another order."""

    def run(self, tasks: Iterator[Task], shared: Any) -> Iterator[Done]:
        """See ``Pool``."""
        chosen = list(tasks)
        random.Random(7).shuffle(chosen)
        yield from super().run(iter(chosen), shared)


@contextmanager
def opened(db: Path) -> Iterator[Store]:
    """A store of one's own."""
    store = open_store(db)
    yield store
    store.close()


def sampled(number: int, service_ms: int, database_ms: int, environment: str) -> Batch:
    """As ``request``, but sampled: its weight is no whole number, so the order of additions shows in the last bits."""
    ids = {"trace_id": number.to_bytes(16), "trace_state": f"ot=th:{'5b3'[number % 3]}{number % 7}"}
    start = START_NS + number * 10**9
    asked = start + database_ms * 1_000_003
    end = asked + service_ms * 1_000_033
    root = {"name": f"GET /{number % 3}", "kind": 2, "start_time_unix_nano": start, "end_time_unix_nano": end}
    leaf = {"kind": 3, "parent_span_id": (1).to_bytes(8), "start_time_unix_nano": start, "end_time_unix_nano": asked}
    leaf |= {"attributes": {"db.system.name": "sqlite", "db.namespace": "main"}}
    return spans(ids | root, ids | leaf, resource={"service.name": "shop", "deployment.environment.name": environment})


def fill(db: Path) -> None:
    """Requests of two environments in each minute, in no order, analysed by nobody."""
    batches = [
        sampled(minute * 60 + second, 7 + second, 3 + minute, environment)
        for minute in range(MINUTES)
        for second in range(1, 40)
        for environment in (["live", "test"][second % 5 == 0],)
    ]
    random.Random(3).shuffle(batches)
    with opened(db) as store:
        store.append(concatenate(batches), LogPosition(1, 1))


def again(db: Path, window: TraceWindow = ALL_TIME, pool: OneProcess | None = None) -> reanalysis.Outcome:
    """Analyse a file again."""
    with opened(db) as store:
        return analyse_again(store, window, Options(), pool or OneProcess())


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is kept when one process has analysed all."""
    db = tmp_path_factory.mktemp("once") / "t.duckdb"
    fill(db)
    outcome = again(db)
    assert (outcome.minutes, outcome.hours, outcome.spans, outcome.failures) == (MINUTES, 1, MINUTES * 39 * 2, [])
    return kept(db)


def test_it_is_what_the_pipeline_says(tmp_path: Path, once: dict[str, list[str]]) -> None:
    """But for the order of additions."""
    db = tmp_path / "t.duckdb"
    fill(db)
    with opened(db) as store:
        store.touch_minutes(HORIZON_NS)
        MinutePipeline(store).step()
    with duckdb.connect(str(db)) as piped:
        found = {name: pl.DataFrame(piped.sql(f"SELECT * FROM store.{name}").to_arrow_table()) for name in ROLLUPS}
    assert again(db).minutes == MINUTES
    assert kept(db) == once
    with duckdb.connect(str(db)) as anew:
        for name, frame in found.items():
            other = pl.DataFrame(anew.sql(f"SELECT * FROM store.{name}").to_arrow_table())
            assert_frame_equal(other, frame, check_row_order=False, rel_tol=1e-12)


def test_order_does_not_matter(tmp_path: Path, once: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: of the tasks, and of the rows that the store gives."""
    db = tmp_path / "t.duckdb"
    fill(db)
    read = DuckDBStore.traces_within

    def shuffled(store: DuckDBStore, window: TraceWindow) -> Any:
        rows = read(store, window)
        return rows.take(random.Random(5).sample(range(rows.num_rows), rows.num_rows))

    monkeypatch.setattr(DuckDBStore, "traces_within", shuffled)
    assert again(db, pool=Shuffled()).failures == []
    assert kept(db) == once


def test_nothing_waits_afterwards(tmp_path: Path) -> None:
    """What was stored last is not analysed a third time."""
    db = tmp_path / "t.duckdb"
    fill(db)
    again(db)
    with opened(db) as store:
        assert (store.touch_minutes(HORIZON_NS).pending, store.pending_hours()) == ({}, [])


def test_a_window_is_its_minutes(tmp_path: Path) -> None:
    """Others stay as they are, even wrong."""
    db = tmp_path / "t.duckdb"
    fill(db)
    again(db)
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE store.rollup_windows SET traces = 1000")
    outcome = again(db, TraceWindow(START_NS + MINUTE_NS, START_NS + 2 * MINUTE_NS))
    assert outcome.minutes == 1
    with duckdb.connect(str(db)) as connection:
        rows = connection.sql("SELECT minute, traces FROM store.rollup_windows ORDER BY ALL").fetchall()
    assert {minute - FIRST for minute, traces in rows if traces != 1000} == {1}


def test_a_minute_that_fails_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told in words; the others of its batch are replaced."""
    db = tmp_path / "t.duckdb"
    fill(db)
    again(db)
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE store.rollup_windows SET traces = 1000")
    whole = reanalysis.roll_up_rows

    def failing(common: Any, rows: Any) -> Any:
        if min(rows.column("start_unix_nano").to_pylist()) >= START_NS + 3 * MINUTE_NS:
            raise ValueError("no good\nat all")
        return whole(common, rows)

    monkeypatch.setattr(reanalysis, "roll_up_rows", failing)
    outcome = again(db)
    assert (outcome.minutes, outcome.failures) == (3, ["minute 2026-11-23T12:03Z: ValueError: no good"])
    with duckdb.connect(str(db)) as connection:
        rows = connection.sql("SELECT minute FROM store.rollup_windows WHERE traces = 1000").fetchall()
    assert {minute - FIRST for (minute,) in rows} == {3}


def test_a_long_minute_is_analysed_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, once: dict[str, list[str]]
) -> None:
    """They add up to the same, in whatever order they come."""
    monkeypatch.setattr(reanalysis, "MOST_SPANS", 8)
    found = []
    for pool in (OneProcess(), Shuffled()):
        db = tmp_path / f"{type(pool).__name__}.duckdb"
        fill(db)
        again(db, TraceWindow(START_NS, START_NS + MINUTE_NS), pool)
        found.append(kept(db))
    assert found[0] == found[1]
    assert set(found[0]["rollup_endpoints"]) != set()
    assert [row.split(",")[:4] for row in found[0]["rollup_windows"]] == [
        row.split(",")[:4] for row in once["rollup_windows"] if row.startswith(f"({FIRST},")
    ]


def test_an_empty_store_has_nothing_to_analyse(tmp_path: Path) -> None:
    """No minutes, no hours."""
    outcome = again(tmp_path / "t.duckdb")
    assert (outcome.minutes, outcome.hours, outcome.spans, outcome.failures) == (0, 0, 0, [])


def run(*words: object, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command."""
    command = [sys.executable, "-m", "lithoscope", "analyze", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_command_analyses_a_file(tmp_path: Path, once: dict[str, list[str]]) -> None:
    """All that is stored, without a window."""
    fill(tmp_path / "t.duckdb")
    done = run("--db", tmp_path / "t.duckdb")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "4 minutes and 1 hour analysed again, 312 spans\n",
        "",
    )
    assert kept(tmp_path / "t.duckdb") == once


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"db": Path("none.duckdb")}, "There is no file none.duckdb: give an existing database with --db."),
        (
            {"db": Path("x"), "since": "1 fortnight"},
            "--since: '1 fortnight' is not a duration, for example 200ms, 5s, 1h or 7d.",
        ),
        (
            {"ray": "local"},
            "--ray wants a file with --db: a running collector holds its database and analyses by itself.",
        ),
        ({"config": Path("x")}, "--config wants a file with --db: a running collector has its own settings."),
        ({"db": Path("a"), "url": "b"}, "Give either --url or --db, not both."),
    ],
)
def test_wrong_use_is_one_sentence(given: dict[str, Any], said: str) -> None:
    """With the remedy."""
    with pytest.raises(ConfigurationError) as refused:
        analyze(**given)
    assert str(refused.value).startswith(said)


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed here")
def test_without_ray_the_remedy_is_told(tmp_path: Path) -> None:
    """Before the file is touched."""
    fill(tmp_path / "t.duckdb")
    before = (tmp_path / "t.duckdb").read_bytes()
    done = run("--db", tmp_path / "t.duckdb", "--ray", "local")
    assert (done.returncode, done.stderr) == (
        2,
        "lithoscope: --ray needs the package ray: `pip install 'lithoscope[ray]'`, or leave --ray out.\n",
    )
    assert (tmp_path / "t.duckdb").read_bytes() == before


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Store]:
    """A store whose minutes were analysed, and are wrong since."""
    fill(tmp_path / "t.duckdb")
    again(tmp_path / "t.duckdb")
    with duckdb.connect(str(tmp_path / "t.duckdb")) as connection:
        connection.execute("UPDATE store.rollup_windows SET traces = 1000")
    with opened(tmp_path / "t.duckdb") as store:
        yield store


def wrong(store: Store) -> set[int]:
    """The minutes that are not right yet."""
    rows = store.query("SELECT minute FROM store.rollup_windows WHERE traces = 1000", QueryLimits())
    return {minute - FIRST for minute in rows.column("minute").to_pylist()}


def test_a_running_pipeline_does_it_when_nothing_else_waits(filled: Store) -> None:
    """Each minute once; what has come for one meanwhile is left to the usual way."""
    pipeline = MinutePipeline(filled)
    pipeline.again(stored_minutes(filled, ALL_TIME))
    filled.append(request(63, 5, 5), LogPosition(1, 2))
    assert pipeline.step() == 0
    assert pipeline.waiting_again == MINUTES
    assert pipeline.step_again() == MINUTES - 1
    assert (pipeline.waiting_again, wrong(filled), pipeline.step_again()) == (0, {1}, 0)


def test_it_does_some_seconds_of_it_at_a_time(filled: Store) -> None:
    """So that what settles meanwhile does not wait for a month; and none while it is behind."""
    times = iter([0.0, 0.0, 11.0, 20.0, 20.0, 20.0])
    pipeline = MinutePipeline(filled, clock=lambda: next(times))
    pipeline.again({FIRST: 78, FIRST + 2: 78})
    assert (pipeline.step_again(), pipeline.waiting_again) == (1, 1)
    pipeline.kept = 0.5
    assert pipeline.step_again() == 0
    assert wrong(filled) == {1, 2, 3}


def test_a_running_collector_is_asked(tmp_path: Path) -> None:
    """By the command, and by the API alone with a key of the scope admin; only what runs can do it."""
    fill(tmp_path / "t.duckdb")
    again(tmp_path / "t.duckdb")
    with duckdb.connect(str(tmp_path / "t.duckdb")) as connection:
        connection.execute("UPDATE store.rollup_windows SET traces = 1000")
    keys = {scope: add_key(tmp_path / "keys.toml", scope, [scope]) for scope in (Scope.ADMIN, Scope.QUERY)}
    ports: dict[str, Any] = dict.fromkeys(("grpc", "http", "query"), ANY_PORT)
    settings = Settings(db=tmp_path / "t.duckdb", keys=tmp_path / "keys.toml", dashboard=None, **ports)
    with Service(settings, TraceAnalysis()) as service:
        with pytest.raises(QueryError) as refused:
            connect(service.url, api_key=keys[Scope.QUERY]).analyze()
        environment = {**os.environ, "LITHOSCOPE_API_KEY": keys[Scope.ADMIN]}
        done = run("--url", service.url, "--from", "2026-11-23T12:01", environment=environment)
        client = connect(service.url, api_key=keys[Scope.ADMIN])
        with pytest.raises(QueryError, match="colour is no option of an analysis: give since, from, to"):
            client.analyze(colour="red")
        left = client.sql("SELECT minute FROM store.rollup_windows WHERE traces = 1000")["minute"].unique()
    assert refused.value.code == "forbidden"
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "3 minutes analysed again; the hours follow within five minutes\n",
        "",
    )
    assert left.to_list() == [FIRST]
    with pytest.raises(ConfigurationError, match="Nothing is analysed here"), opened(tmp_path / "t.duckdb") as store:
        TraceAnalysis().analyse_again(store, {})
