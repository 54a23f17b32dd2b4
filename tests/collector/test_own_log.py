"""What the collector says of itself: one JSON object a line when asked, and no secret in any of it."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collector.access.keys import Scope, add_key
from collector.access.passwords import hash_password
from collector.client import connect
from collector.errors import LithoscopeError
from collector.own_log import configure_log
from tests.collector.receiver.running import trace_body

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "planted-password-of-people"
OIDC_SECRET = "planted-client-secret"
COOKIE_SECRET = "planted-cookie-secret"
WRONG_KEY = "lsk_planted-wrong-key"
LOGIN = f"""
[auth]
redirect_uri = "http://127.0.0.1/oauth2callback"
cookie_secret = "{COOKIE_SECRET}"
client_id = "lithoscope"
client_secret = "{OIDC_SECRET}"
server_metadata_url = "http://127.0.0.1:1/.well-known/openid-configuration"
"""


@pytest.fixture
def libraries() -> Iterator[logging.Logger]:
    """A library's logger; the root is as it was afterwards."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield logging.getLogger("some.library")
    root.handlers[:] = before


@pytest.mark.parametrize("form", ["json", "console"])
def test_libraries_speak_the_same_form(
    libraries: logging.Logger, capsys: pytest.CaptureFixture[str], form: Any
) -> None:
    """Once, however often the log is configured, and with the traceback inside the line."""
    configure_log(form)
    configure_log(form)
    libraries.info("too quiet")
    libraries.error("it broke", exc_info=ValueError("of a reason"))
    lines = capsys.readouterr().err.splitlines()
    assert "too quiet" not in " ".join(lines)
    if form == "json":
        found = json.loads(lines[0])
        assert (found["event"], found["level"], found["logger"]) == ("it broke", "error", "some.library")
        assert "ValueError: of a reason" in found["exception"]
        assert len(lines) == 1
    else:
        assert sum("it broke" in line for line in lines) == 1


class Secretive:
    """A collector of its own process with keys, a dashboard with a login, and everything it writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "keys.toml"
        self.keys = {scope: add_key(self.file, f"the-{scope.value}", [scope]) for scope in Scope}
        (folder / "login.toml").write_text(LOGIN)
        own = {
            "LITHOSCOPE_DASHBOARD_LOGIN": str(folder / "login.toml"),
            "LITHOSCOPE_DASHBOARD_PASSWORD": hash_password(PASSWORD),
            "LITHOSCOPE_DEBUG": "true",
        }
        self.hash = own["LITHOSCOPE_DASHBOARD_PASSWORD"]
        ports = [part for name in ("grpc", "http", "query", "dashboard") for part in (f"--{name}", "127.0.0.1:0")]
        command = [sys.executable, "-m", "lithoscope", "serve", "--db", str(folder / "a.duckdb"), *ports]
        self.stderr = folder / "stderr"
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*command, "--keys", str(self.file), "--log-format", "json"],
                env=os.environ | own,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self.process.stdout is not None
        self.addresses = dict(self.process.stdout.readline().split() for _ in range(4))

    @property
    def secrets(self) -> list[str]:
        """Nothing of these may be seen anywhere; the dashboard's own key is found by what every key begins with."""
        return [*self.keys.values(), WRONG_KEY, PASSWORD, self.hash, OIDC_SECRET, COOKIE_SECRET, "lsk_"]

    def stop(self) -> str:
        """End it, and return what it wrote."""
        with self.process:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0
        return self.stderr.read_text()


def ask(address: str, path: str, key: str, body: bytes | None = None) -> str:
    """One request; what came back."""
    connection = http.client.HTTPConnection(address, timeout=30)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-protobuf"}
    connection.request("GET" if body is None else "POST", path, body, headers)
    answer = connection.getresponse()
    try:
        return f"{answer.status} {answer.headers} {answer.read().decode(errors='replace')}"
    finally:
        connection.close()


def command_lines() -> str:
    """What ``ps`` shows of every process."""
    texts = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            texts.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(texts)


def test_no_secret_is_seen_from_outside(tmp_path: Path) -> None:
    """Not in answers, metrics, errors, the log or ``ps``; and every line of the log is a JSON object."""
    running = Secretive(tmp_path)
    try:
        query, ingest = running.addresses["query"], running.addresses["http"]
        shown = [command_lines()]
        for key in (*running.keys.values(), WRONG_KEY):
            shown.append(ask(ingest, "/v1/traces", key, trace_body(b"\1" * 16)))
            shown.append(ask(query, "/v1/sql", key, b"SELECT 1 FROM nowhere"))
            shown.append(ask(query, "/v1/status", key))
            shown.append(ask(query, "/metrics", key))
            try:
                connect(f"http://{query}", api_key=key).status()
            except LithoscopeError as error:
                shown.append(repr(error))
        shown.append(ask(running.addresses["dashboard"], "/", WRONG_KEY))
        _talk_nonsense(ingest)
        (tmp_path / "keys.toml").write_text(f'[[key]]\nname = "{WRONG_KEY}"\n')  # broken, and told in the log
    finally:
        logged = running.stop()
    everything = "\n".join([*shown, logged])
    assert [secret for secret in running.secrets if secret in everything] == []
    assert 'lithoscope_admitted_total{key="the-admin"' in everything
    own = [line for line in logged.splitlines() if not _is_dashboards(line)]
    assert {json.loads(line)["level"] for line in own} >= {"info", "warning"}


def _is_dashboards(line: str) -> bool:
    """Streamlit's process writes in its own form."""
    return not line.startswith("{")


def _talk_nonsense(address: str) -> None:
    """Something that is no HTTP, of which the web server tells its logger."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        while connection.recv(1024):
            pass


SAYS = """
import structlog
from collector.own_log import configure_log

configure_log()
structlog.get_logger().error("the disk is full")
print("goes on")
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_behind_standard_error_changes_nothing() -> None:
    """Standard error is often a file on the very disk that is full."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", SAYS], stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert done.stdout == "goes on\n"
