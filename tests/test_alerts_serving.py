"""Alerts of a real collector: spans come by OTLP, and a webhook hears of the incident once, and of its end."""

from __future__ import annotations

import hashlib
import hmac
import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from collector.client import connect
from collector.signals import Signal
from collector.webhook import DELIVERY, SIGNATURE
from tests.collector.receiver.running import Collector, trace_request
from tests.collector.webhooks import receiving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collector.webhooks import Receiver

MINUTE_NS = 60 * 10**9
MS = 10**6
SECRET = b"0123456789abcdef"
WAITING = "SELECT count(*) AS n FROM store.pending_minutes HAVING n = {}"


def configure(folder: Path, receiver: Receiver) -> None:
    """A rule on an endpoint that 20 requests are enough for."""
    (folder / "secret").write_bytes(SECRET)
    (folder / "lithoscope.toml").write_text(
        f'dashboard_url = "https://lithoscope.example.org/"\n[[alerts]]\nname = "slow orders"\n'
        f'webhook = "{receiver.url}"\nsecret_file = "{folder / "secret"}"\nendpoint = "shop .*"\np99_ms = 500\n'
        "requests = 20\n"
    )


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Collector]]:
    """A collector of its own process; it is killed at the end."""
    command = [sys.executable, "-m", "lithoscope", "serve", "--db", str(folder / "t.duckdb")]
    command += ["--config", str(folder / "lithoscope.toml")]
    ports = [part for name in ("grpc", "http", "query") for part in (f"--{name}", "127.0.0.1:0")]
    with (
        (folder / "log").open("a") as errors,
        subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            addresses = dict(process.stdout.readline().split() for _ in range(3))
            yield process, Collector(addresses["grpc"], addresses["http"], connect(f"http://{addresses['query']}"))
        finally:
            process.send_signal(signal.SIGKILL)


def requests(minutes_ago: int, duration_ms: int, count: int = 20) -> bytes:
    """Requests to one endpoint, that began in one minute."""
    begin = (time.time_ns() // MINUTE_NS - minutes_ago) * MINUTE_NS
    ids = [(minutes_ago * 1000 + number).to_bytes(16) for number in range(1, count + 1)]
    times = {"start_time_unix_nano": begin, "end_time_unix_nano": begin + duration_ms * MS}
    request = trace_request(*ids, name="POST /orders", kind=2, **times)
    request.resource_spans[0].resource.attributes.add(key="service.name").value.string_value = "shop"
    return bytes(request.SerializeToString())


def send_and_kill(folder: Path, body: bytes) -> None:
    """Have a collector acknowledge spans and notice their minute, then kill it: the next one looks at them at once."""
    with serving(folder) as (_, collector):
        assert collector.send("http", body, Signal.TRACES).status == 200
        collector.rows(WAITING.format(1))


def sent(collector: Collector) -> dict[str, float]:
    """What the collector's metrics say of alerts, by name."""
    lines = collector.client.request("/metrics").decode().splitlines()
    found = [line.rsplit(" ", 1) for line in lines if line.startswith("lithoscope_alert_")]
    return {name.removeprefix("lithoscope_alert_").split("{")[0]: float(value) for name, value in found}


def wait_for_metrics(collector: Collector, **wanted: float) -> None:
    """Wait until they say so."""
    deadline = time.monotonic() + 60
    while not wanted.items() <= sent(collector).items():
        assert time.monotonic() < deadline, sent(collector)
        collector.rows("SELECT 1")


def test_an_incident_is_told_once_and_its_end_once(tmp_path: Path) -> None:
    """Through two refusals and two kills; what comes is signed, and names the limit, the traces and the dashboard."""
    with receiving(503, 503) as receiver:
        configure(tmp_path, receiver)
        send_and_kill(tmp_path, requests(20, duration_ms=900))
        with serving(tmp_path) as (_, collector):
            (opened,) = receiver.wait_for(1)
            wait_for_metrics(collector, messages_sent_total=1, attempts_failed_total=2, incidents=1, messages_waiting=0)
            assert "T0KEN" not in collector.client.request("/metrics").decode()
        send_and_kill(tmp_path, requests(3, duration_ms=20))
        with serving(tmp_path) as (_, collector):
            resolved = receiver.wait_for(2)[1]
            wait_for_metrics(collector, messages_sent_total=1, incidents=0, messages_waiting=0)
    assert (opened["status"], resolved["status"]) == ("open", "resolved")
    assert opened["id"] == resolved["id"]
    assert [headers[DELIVERY] for headers, _ in receiver.refused] == [f"{opened['id']}-open"] * 2
    assert len(receiver.taken) == 2
    for headers, body in receiver.taken:
        assert headers[SIGNATURE] == "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    check_message(opened)
    assert (resolved["reason"], resolved["compared"]) == ("holds", opened["compared"])
    check_secrets(tmp_path)


def check_message(opened: dict[str, Any]) -> None:
    """What the first message says."""
    (compared,) = opened["compared"]
    assert (compared["name"], compared["limit"]) == ("p99_ms", 500)
    assert abs(compared["value"] - 900) < 900 * 0.006
    assert opened["subject"] == "shop POST /orders"
    assert opened["services"] == ["shop"]
    assert opened["trace_ids"] == [(20_000 + number).to_bytes(16).hex() for number in range(1, 6)]
    assert opened["link"].startswith("https://lithoscope.example.org/latency?env=%28unnamed%29")
    assert opened["text"].startswith("ALERT slow orders: shop POST /orders: p99 89")


def check_secrets(folder: Path) -> None:
    """Neither the log nor what is kept of incidents has the address or the secret."""
    kept = (folder / "log").read_text() + (folder / "t.duckdb.alerts.json").read_text()
    assert "alert not sent, will be tried again" in kept
    assert "T0KEN" not in kept
    assert SECRET.decode() not in kept
    assert json.loads((folder / "t.duckdb.alerts.json").read_text())["incidents"] == []


def test_a_mistake_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    """Status 2, nothing created."""
    (tmp_path / "lithoscope.toml").write_text('[[alerts]]\nname = "a"\nwebhook = "x"\nfinding = "casacde"\n')
    command = [sys.executable, "-m", "lithoscope", "serve", "--db", str(tmp_path / "t.duckdb")]
    done = subprocess.run(
        [*command, "--config", str(tmp_path / "lithoscope.toml")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        2,
        (
            "lithoscope: alerts[1] (a): webhook is no address of a webhook: write one such as "
            "https://hooks.example.org/services/T1.\n"
            "alerts[1] (a): finding: 'casacde' is no rule of findings: did you mean cascade?\n"
        ),
    )
    assert not (tmp_path / "t.duckdb").exists()
