"""What ``/metrics`` says adds up with what was sent."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector.access.keys import Scope, add_key
from collector.client import connect
from collector.disk_use import DiskUse
from collector.errors import QueryError
from collector.log import log_folder
from collector.signals import Signal
from tests.collector.receiver.running import Collector, Senders, run_collector, trace_body

if TYPE_CHECKING:
    from pathlib import Path

    from collector.client import Client

SENT = {"grpc": 2, "http": 3, "json": 1}


def samples(client: Client) -> dict[tuple[str, ...], float]:
    """Every sample of ``/metrics``: its name, then its labels' values by the labels' names."""
    text = client.request("/metrics").decode()
    return {
        (
            sample.name.removeprefix("lithoscope_"),
            *(sample.labels[name] for name in sorted(sample.labels)),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_accepted_and_refused_add_up_to_what_was_sent(tmp_path: Path) -> None:
    """By signal and reason; a retry is accepted like what it repeats."""
    with run_collector(tmp_path, max_request_bytes=1000) as collector:
        for transport, count in SENT.items():
            for _ in range(count):
                assert collector.send(transport, trace_body(b"\1" * 16)).status in ("OK", 200)
        assert collector.send("grpc", b"\xff").status == "INVALID_ARGUMENT"
        assert collector.post("/v1/logs", b"\xff").status == 400
        assert collector.post("/v1/traces", b"x" * 1001).status == 413
        assert collector.post("/v1/metrics", b"", "text/plain").status == 415
        found = samples(collector.client)
    total = {key[1:]: value for key, value in found.items() if key[0] == "requests_refused_total"}
    assert total == {
        ("invalid_argument", "traces"): 1,
        ("invalid_argument", "logs"): 1,
        ("too_large", "traces"): 1,
        ("unsupported_media_type", "metrics"): 1,
    }
    accepted = [found["requests_accepted_total", signal.value] for signal in Signal]
    assert (accepted, found["requests_total", "traces"], found["requests_retried_total",]) == ([6, 0, 0], 1, 5)
    assert found["received_bytes_total", "traces"] == 6 * len(trace_body(b"\1" * 16)) + 1


def test_a_full_queue_is_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What back-pressure refuses is counted by signal, and is no event for the log."""
    with run_collector(tmp_path, queue_bytes=1) as collector:
        bodies = [trace_body(bytes([number + 1]) * 16) for number in range(50)]
        answers = [collector.post("/v1/traces", body).status for body in bodies]
        found = samples(collector.client)
    refused = found.get(("requests_refused_total", "unavailable", "traces"), 0)
    assert (answers.count(503), answers.count(200)) == (refused, found["requests_accepted_total", "traces"])
    assert set(answers) <= {200, 503}
    assert "failed" not in "".join(capsys.readouterr())


def test_every_key_is_accounted_by_its_name(tmp_path: Path) -> None:
    """Requests, bytes and query seconds, and questions that failed by their code."""
    file = tmp_path / "keys.toml"
    keys = {scope: add_key(file, f"the-{scope.value}", [scope]) for scope in Scope}
    with run_collector(tmp_path, keys=file) as collector:
        body = trace_body(b"\1" * 16)
        assert _send(collector, keys[Scope.INGEST], body) == 200
        asking = connect(collector.client.url, api_key=keys[Scope.QUERY])
        asking.sql("SELECT 1")
        with pytest.raises(QueryError):
            asking.sql("SELEC")
        found = samples(asking)
        text = asking.request("/metrics").decode()
    assert found["admitted_total", "the-ingest", "ingest"] == 1
    assert found["key_received_bytes_total", "the-ingest"] == len(body)
    assert found["key_query_seconds_total", "the-query"] >= found["query_seconds_sum", "sql"] > 0
    assert (found["query_seconds_count", "sql"], found["queries_failed_total", "bad_sql"]) == (2, 1)
    assert [key for key in keys.values() if key in text] == []


def _send(senders: Senders, key: str, body: bytes) -> Any:
    connection = http.client.HTTPConnection(senders.http, timeout=30)
    headers = {"Content-Type": "application/x-protobuf", "X-Api-Key": key}
    connection.request("POST", "/v1/traces", body, headers)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def test_disk_and_process_are_told(tmp_path: Path) -> None:
    """Sizes are those of the files; the disk's are what the system says."""
    with run_collector(tmp_path) as collector:
        _take(collector)
        found = samples(collector.client)
        assert found["database_bytes",] == (tmp_path / "test.duckdb").stat().st_size
        segments = log_folder(tmp_path / "test.duckdb").glob("*.segment")
        assert found["log_bytes",] == sum(file.stat().st_size for file in segments) > 0
    assert 0 < found["disk_free_bytes",] <= found["disk_size_bytes",]
    assert found["process_resident_memory_bytes",] > 0
    assert [value for key, value in found.items() if key[0] == "build_info"] == [1]
    assert found["log_append_seconds_count",] == found["decode_seconds_count",] == 1


def _take(collector: Collector) -> None:
    assert collector.send("http", trace_body(b"\1" * 16)).status == 200
    collector.rows("SELECT 1 FROM spans")


def test_a_disk_that_cannot_be_asked_leaves_the_rest(tmp_path: Path) -> None:
    """A folder that is gone makes the answer shorter, not an error."""
    found = {metric.name: metric.samples[0].value for metric in DiskUse(tmp_path / "gone" / "a.duckdb").collect()}
    assert found == {
        "lithoscope_database_bytes": 0,
        "lithoscope_database_wal_bytes": 0,
        "lithoscope_log_bytes": 0,
        "lithoscope_quarantine_bytes": 0,
    }
