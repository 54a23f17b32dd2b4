"""The collector's own traces: they tell the way of a request, never grow out of themselves, and are off by default."""

from __future__ import annotations

import builtins
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from analytics.pipeline import MinutePipeline
from collector import tracing
from collector.errors import ConfigurationError
from collector.service import Service
from collector.settings import Address, Settings, load_settings
from collector.store import open_store
from tests.collector.receiver.running import PATIENCE_S, Collector, run_collector, trace_body

if TYPE_CHECKING:
    from pathlib import Path

OWN = "SELECT span_name, count(*) AS spans FROM spans WHERE service_name = 'lithoscope' GROUP BY ALL ORDER BY ALL"
SEND_EVERY_MS = 50
_pause = threading.Event()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", str(SEND_EVERY_MS))
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)


def own_spans(collector: Collector) -> dict[str, int]:
    """How many spans of each name the collector that runs here has sent to this one."""
    return {row["span_name"]: row["spans"] for row in collector.client.sql(OWN).to_dicts()}


def own_spans_once(collector: Collector, wanted: dict[str, int]) -> dict[str, int]:
    """The same, once these are there."""
    deadline = time.monotonic() + PATIENCE_S
    while not wanted.items() <= (found := own_spans(collector)).items() and time.monotonic() < deadline:
        _pause.wait(0.02)
    return found


def test_the_way_of_a_request_is_traced(tmp_path: Path) -> None:
    """Its reception by either transport, the log and the insert linked to it, and a question, sent to another one."""
    (tmp_path / "kept").mkdir()
    with (
        run_collector(tmp_path / "kept") as keeper,
        run_collector(tmp_path, trace_to=f"http://{keeper.http}") as traced,
    ):
        assert traced.send("http", trace_body(b"\1" * 16)).status == 200
        assert traced.send("grpc", trace_body(b"\2" * 16)).status == "OK"
        traced.rows("SELECT 1 FROM spans", 2)
        own_spans_once(keeper, {"receive traces": 2})
        links = (
            "SELECT w.span_name, count(DISTINCT r.span_id)::BIGINT AS requests "
            "FROM (SELECT span_name, unnest(links) AS link FROM spans) AS w "
            "JOIN spans AS r ON r.trace_id = link.trace_id AND r.span_id = link.span_id "
            "WHERE r.span_name = 'receive traces' GROUP BY ALL HAVING requests = 2 ORDER BY ALL"
        )
        linked = keeper.rows(links, 2)
        found = own_spans(keeper)
    assert found.keys() >= {"receive traces", "write log", "insert", "query sql"}
    assert linked == [{"span_name": "insert", "requests": 2}, {"span_name": "write log", "requests": 2}]


def test_traces_to_itself_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What carries them is not traced: after three requests there are their spans, and later still no more."""
    port = _free_port()
    settings: dict[str, Any] = {"http": Address("127.0.0.1", port), "trace_to": f"http://127.0.0.1:{port}"}
    with run_collector(tmp_path, **settings) as collector:
        monkeypatch.setattr("collector.tracing.answering", lambda _: tracing._NOTHING)  # looking would be traced too
        for number in range(3):
            assert collector.send("http", trace_body(bytes([number + 1]) * 16)).status == 200
        found = own_spans_once(collector, {"receive traces": 3, "insert": 1})
        _pause.wait(10 * SEND_EVERY_MS / 1000)
        later = own_spans(collector)
        arrived = collector.client.request("/metrics").decode()
    assert later["receive traces"] == found["receive traces"] == 3
    assert sum(later.values()) <= 3 * 3  # of each at most a reception, a log write and an insert
    assert 'lithoscope_requests_accepted_total{signal="traces"} 3.0' not in arrived


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def test_an_analysis_is_traced_once_for_what_came(tmp_path: Path) -> None:
    """Not for the minutes that its own span touches."""
    with run_collector(tmp_path) as keeper:
        stop = tracing.start(f"http://{keeper.http}")
        try:
            with tracing.receiving({tracing.OWN: "1"}, "traces", "http"), tracing.analysing(1):
                pass
            with tracing.receiving({}, "traces", "http"):
                pass
            for _ in range(3):
                with tracing.analysing(1):
                    pass
        finally:
            stop()
        assert own_spans_once(keeper, {"analyse": 1}) == {"analyse": 1, "receive traces": 1}


def test_the_analysis_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run over minutes is one span."""
    asked: list[int] = []

    def analysing(minutes: int) -> Any:
        asked.append(minutes)
        return tracing._NOTHING

    monkeypatch.setattr("collector.tracing.analysing", analysing)
    with run_collector(tmp_path) as collector:
        collector.send("http", trace_body(b"\1" * 16))
        collector.rows("SELECT 1 FROM spans")
    with closing(open_store(tmp_path / "test.duckdb")) as store:
        MinutePipeline(store, clock=lambda: 0.0).step()
        MinutePipeline(store, clock=lambda: 1000.0).step()  # as after a restart: what waits has rested
    assert asked == [1]


def test_off_it_is_not_even_imported(tmp_path: Path) -> None:
    """A collector without the extra starts, and spans are one object that does nothing."""
    assert tracing.receiving({}, "traces", "http") is tracing.working("insert", []) is tracing.answering("sql")
    program = (
        "import sys; from collector.service import Service; from collector.settings import load_settings\n"
        f"ports = dict.fromkeys(('grpc', 'http', 'query'), '127.0.0.1:0')\n"
        f"with Service(load_settings({{'db': {str(tmp_path / 'a.duckdb')!r}, **ports}})): pass\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_the_sdk_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, and nothing stays open."""
    plain = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith("opentelemetry.exporter"):
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    ports: dict[str, Any] = dict.fromkeys(("grpc", "http", "query"), Address("127.0.0.1", 0))
    settings = Settings(db=tmp_path / "a.duckdb", trace_to="http://127.0.0.1:1", **ports)
    with pytest.raises(ConfigurationError, match=r"pip install lithoscope\[otel\]"), Service(settings):
        pass


def test_a_target_that_is_none_is_a_mistake() -> None:
    """An address wants its scheme."""
    with pytest.raises(ConfigurationError, match=r"trace_to \(--trace-to, .*'localhost:4318' is not an address"):
        load_settings({"trace_to": "localhost:4318"})


def test_the_variables_of_opentelemetry_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, attributes and endpoint; whoever keeps traces being away delays the end by two seconds at most."""
    (tmp_path / "kept").mkdir()
    with run_collector(tmp_path / "kept") as keeper:
        monkeypatch.setenv("OTEL_SERVICE_NAME", "the-collector")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{keeper.http}")
        with run_collector(tmp_path, trace_to="otel") as traced:
            traced.send("http", trace_body(b"\1" * 16))
            query = "SELECT DISTINCT service_name, environment FROM spans WHERE span_name = 'receive traces'"
            assert keeper.rows(query) == [{"service_name": "the-collector", "environment": "staging"}]


def test_stopping_does_not_wait_for_who_keeps_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers there."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    stop = tracing.start("http://127.0.0.1:1")
    with tracing.receiving({}, "traces", "http"):
        pass
    begun = time.monotonic()
    stop()
    assert time.monotonic() - begun < 5
