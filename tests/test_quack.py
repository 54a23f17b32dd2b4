"""DuckDB's own command line on a collector, by ``ATTACH 'quack:…'``."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from collector.access.keys import Scope, add_key
from collector.errors import ConfigurationError, StoreError
from collector.service import Service
from collector.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND_LINE = Path(sys.executable).with_name("duckdb")
on_1_5 = pytest.mark.skipif(
    not (duckdb.__version__.startswith("1.") and COMMAND_LINE.exists()),
    reason="Quack needs DuckDB 1.5 with its extensions and command line: `make test-lake` runs this",
)
SECONDS = 2.0
ENDLESS = "SELECT count(*) FROM range(900000) a, range(900000) b, range(9000) c WHERE hash(a, b, c) = 1"


def settings(folder: Path, **more: Any) -> Any:
    """Of a collector with a port for Quack that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    anywhere = dict.fromkeys(("grpc", "http", "query"), "127.0.0.1:0")
    given = {"db": folder / "shop.duckdb", "quack": f"127.0.0.1:{port}", "dashboard": "off", "query_seconds": SECONDS}
    return load_settings({**given, **anywhere, **more})


@pytest.fixture
def collector(shop_file: Path, tmp_path: Path) -> Iterator[Service]:
    """One with the shop's traces, that answers for at most two seconds."""
    shutil.copy(shop_file, tmp_path / "shop.duckdb")
    with Service(settings(tmp_path, query_rows=1_000)) as service:
        yield service


def ask(collector: Service, *statements: str, token: str = "anything") -> list[dict[str, Any]]:
    """Return the rows that DuckDB's command line prints after it has attached the collector as ``traces``."""
    attach = f"ATTACH 'quack:{collector.addresses['quack']}' AS traces (TOKEN '{token}')"
    script = ";\n".join(("LOAD httpfs", "LOAD quack", attach, *statements, ""))
    done = subprocess.run(
        [COMMAND_LINE, "-json", "-bail"], input=script, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    printed = done.stdout[done.stdout.rindex("[{") :] if "[{" in done.stdout else "[]"
    rows: list[dict[str, Any]] = json.loads(printed)
    return rows


@on_1_5
def test_views_are_tables(collector: Service) -> None:
    """By name, and by a statement that runs in the collector."""
    rows = ask(collector, "SELECT service_name, count(*) AS spans FROM traces.spans GROUP BY ALL ORDER BY ALL")
    assert rows == [{"service_name": "cart", "spans": 2}, {"service_name": "web", "spans": 2}]
    assert ask(collector, "FROM traces.query('SELECT root_service FROM traces ORDER BY start_time LIMIT 1')") == [
        {"root_service": "web"}
    ]


@on_1_5
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("FROM traces.query('DELETE FROM store.spans')", "A query may only read, and this is DELETE"),
        ("FROM traces.query('SELECT 1; DROP TABLE store.spans')", "Expected one statement, found 2"),
        ("FROM traces.query('CALL checkpoint()')", "may only read"),
        ("FROM traces.query('FROM read_text(''/etc/hostname'')')", "read_text"),
        ("FROM traces.query('SELECT nonsense FROM spans')", "nonsense"),
        ("FROM traces.query('FROM range(2000)')", "more than 1,000 rows"),
        ("CREATE TABLE traces.mine (a INTEGER)", "may only read"),
        ("DROP VIEW traces.spans", "may only read"),
        ("INSERT INTO traces.spans SELECT * FROM traces.spans", "spans"),
    ],
)
def test_what_does_not_read_is_refused_with_the_sentence(collector: Service, statement: str, said: str) -> None:
    """As the query API words it; nothing is changed."""
    with pytest.raises(RuntimeError, match=said):
        ask(collector, statement)
    assert ask(collector, "SELECT count(*) AS n FROM traces.spans") == [{"n": 4}]


@on_1_5
def test_a_statement_ends_at_the_time_limit(collector: Service) -> None:
    """And its threads with it."""
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match="took longer than 2 seconds"):
        ask(collector, f"FROM traces.query('{ENDLESS}')")
    assert time.monotonic() - begun < 15
    assert is_idle()


@on_1_5
def test_a_client_that_is_killed_leaves_nothing_running(collector: Service) -> None:
    """Nor does it take the collector with it."""
    attach = f"LOAD httpfs; LOAD quack; ATTACH 'quack:{collector.addresses['quack']}' AS traces (TOKEN 'x');"
    script = f"{attach} FROM traces.query('{ENDLESS}');"
    with subprocess.Popen([COMMAND_LINE, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        time.sleep(1)
        client.kill()
    time.sleep(SECONDS)
    assert is_idle()
    assert ask(collector, "SELECT count(*) AS n FROM traces.spans") == [{"n": 4}]


def is_idle() -> bool:
    """Whether this process, in which the collector runs, takes little of a processor."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        cpu = time.process_time()
        time.sleep(0.5)
        if time.process_time() - cpu < 0.25:
            return True
    return False


@on_1_5
def test_a_token_is_an_api_key(shop_file: Path, tmp_path: Path) -> None:
    """Of the scope query; others come no further than ATTACH."""
    shutil.copy(shop_file, tmp_path / "shop.duckdb")
    keys = tmp_path / "keys.toml"
    reading, writing = (add_key(keys, scope.value, [scope]) for scope in (Scope.QUERY, Scope.INGEST))
    with Service(settings(tmp_path, keys=keys)) as collector:
        count = "SELECT count(*) AS n FROM traces.spans"
        assert ask(collector, count, token=reading) == [{"n": 4}]
        for token in (writing, "wrong"):
            with pytest.raises(RuntimeError, match="Authentication failed"):
                ask(collector, count, token=token)


@pytest.mark.skipif(duckdb.__version__.startswith("1."), reason="this DuckDB may have the extensions")
def test_without_the_extension_one_sentence_says_how_to_get_it(tmp_path: Path) -> None:
    """DuckDB 2.0 has none yet."""
    with pytest.raises(StoreError, match=r"--quack needs .* httpfs.*install duckdb==1\.5\.5.*docs/quack\.md"):
        Service(settings(tmp_path)).__enter__()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"quack": "0.0.0.0:4320", "keys": Path("keys")}, "has no TLS: listen on 127.0.0.1"),
        ({"tls_cert": Path("c"), "tls_key": Path("k"), "tls_client_ca": Path("a")}, "show no certificate"),
    ],
)
def test_it_is_offered_to_no_stranger(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    """Neither by the network nor past the certificates that other ports ask for."""
    with pytest.raises(ConfigurationError, match=said):
        Service(settings(tmp_path, **more)).__enter__()
