"""A probe learns in one word, and an exit status, whether a collector is alive and whether it stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme

from collector.cli.health import ask_health
from collector.errors import LithoscopeError
from collector.ingest.pipeline import Pipeline
from collector.settings import Address, Settings, variable
from tests.collector.access.conftest import Authority
from tests.collector.receiver.running import run_collector

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)


def test_a_collector_that_stores_is_ready(tmp_path: Path) -> None:
    """Both questions are answered."""
    with run_collector(tmp_path) as collector:
        url = collector.client.url
        assert (ask_health(url), ask_health(url, alive=True)) == ("ready", "ok")


def test_one_that_refuses_is_alive_and_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is what a person reads."""
    with run_collector(tmp_path) as collector:
        monkeypatch.setattr(Pipeline, "failure", "No space left on device")
        url = collector.client.url
        assert ask_health(url) == "degraded: No space left on device"
        monkeypatch.setattr(Pipeline, "is_refusing", True)
        assert ask_health(url, alive=True) == "ok"
        with pytest.raises(LithoscopeError, match=r"readyz says 503: refusing: No space left on device"):
            ask_health(url)


def test_nobody_there_is_a_sentence() -> None:
    """The address that was asked is named."""
    with pytest.raises(LithoscopeError, match=r"^http://127\.0\.0\.1:1/readyz does not answer \(.*refused\)\.$"):
        ask_health("http://127.0.0.1:1")


def test_without_an_address_the_settings_say_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What listens everywhere is asked on this machine; the variables are those of the collector beside."""
    with run_collector(tmp_path, query=Address("0.0.0.0", 0), insecure=True) as collector:
        monkeypatch.setenv("LITHOSCOPE_QUERY", f"0.0.0.0:{collector.client.url.rpartition(':')[2]}")
        assert ask_health(None) == "ready"


def test_with_mutual_tls_it_shows_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health asks for one too; without it, the answer is a sentence."""
    authority = Authority(trustme.CA(), tmp_path)
    pair = authority.sign("server")
    with run_collector(tmp_path, **pair, tls_client_ca=authority.pem, dashboard=None) as collector:
        monkeypatch.setenv("LITHOSCOPE_QUERY", f"127.0.0.1:{collector.client.url.rpartition(':')[2]}")
        for name, file in pair.items():
            monkeypatch.setenv(variable(name), str(file))
        with pytest.raises(LithoscopeError, match="does not answer"):
            ask_health(None)
        own = authority.sign("client")
        monkeypatch.setenv("LITHOSCOPE_CLIENT_CERT", str(own["tls_cert"]))
        monkeypatch.setenv("LITHOSCOPE_CLIENT_KEY", str(own["tls_key"]))
        assert ask_health(None) == "ready"


def test_over_tls_the_own_certificate_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever signed it, and whatever name it has; with an address, the usual rules hold."""
    pair = Authority(trustme.CA(), tmp_path).sign("server", "lithoscope.example")
    with run_collector(tmp_path, **pair) as collector:
        port = collector.client.url.rpartition(":")[2]
        monkeypatch.setenv("LITHOSCOPE_QUERY", f"127.0.0.1:{port}")
        for name, file in pair.items():
            monkeypatch.setenv(variable(name), str(file))
        assert ask_health(None) == "ready"
        with pytest.raises(LithoscopeError, match="CERTIFICATE_VERIFY_FAILED"):
            ask_health(f"https://127.0.0.1:{port}")
