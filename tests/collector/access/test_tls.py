"""TLS on every port, with certificates that are signed for the test."""

from __future__ import annotations

import http.client
import os
import ssl
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider

from collector.access.tls import Certificates
from collector.client import connect
from collector.errors import ConfigurationError, LithoscopeError
from collector.service import Service
from collector.settings import load_settings
from collector.signals import PROTOCOL, Signal
from tests.collector.receiver.running import ANY_PORT, trace_body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collector.access.conftest import Authority

WEB = ("http", "query")
TRANSPORTS = ("grpc", *WEB)


@contextmanager
def _running(folder: Path, **settings: Any) -> Iterator[Service]:
    ports: dict[str, Any] = {"grpc": ANY_PORT, "http": ANY_PORT, "query": ANY_PORT, "dashboard": "off"}
    with Service(load_settings({"db": folder / "a.duckdb", **ports, **settings})) as service:
        yield service


def _serial(port: int, ca: Path, own: dict[str, Path] | None = None) -> str:
    """Shake hands and ask; the serial number of the certificate that was shown."""
    context = ssl.create_default_context(cafile=ca)
    if own:
        context.load_cert_chain(own["tls_cert"], own["tls_key"])
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
    try:
        connection.request("GET", "/healthz")
        shown: Any = connection.sock.getpeercert()
        serial = str(shown["serialNumber"])
        connection.getresponse().read()
        return serial
    finally:
        connection.close()


def _export(port: int, ca: Path, own: dict[str, Path] | None = None) -> str:
    """Send by gRPC; the name of the code."""
    pair = (own["tls_key"].read_bytes(), own["tls_cert"].read_bytes()) if own else (None, None)
    with grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(ca.read_bytes(), *pair)) as channel:
        method = channel.unary_unary(f"/{PROTOCOL[Signal.TRACES].grpc_service}/Export")
        try:
            method(trace_body(b"\1" * 16), timeout=20)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"


def _accepts(service: Service, ca: Path, own: dict[str, Path] | None = None) -> dict[str, bool]:
    """By port, whether somebody with this certificate, who trusts this authority, gets through."""
    accepted = {"grpc": _export(service.addresses["grpc"].port, ca, own) == "OK"}
    for name in WEB:
        try:
            accepted[name] = bool(_serial(service.addresses[name].port, ca, own))
        except (ssl.SSLError, ConnectionError, http.client.HTTPException):
            accepted[name] = False
    return accepted


def test_every_port_speaks_tls(tmp_path: Path, authority: Authority) -> None:
    """To those who trust its authority, and to nobody without TLS."""
    (tmp_path / "other").mkdir()
    other = type(authority)(trustme.CA(), tmp_path / "other")
    with _running(tmp_path, **authority.sign("server")) as service:
        assert _accepts(service, authority.pem) == dict.fromkeys(TRANSPORTS, True)
        assert _accepts(service, other.pem) == dict.fromkeys(TRANSPORTS, False)
        with pytest.raises(LithoscopeError):
            connect(f"http://{service.addresses['query']}").status()


def test_mutual_tls_wants_a_certificate_of_its_authority(tmp_path: Path, authority: Authority) -> None:
    """None and one that another signed are refused on every port."""
    (tmp_path / "other").mkdir()
    other = type(authority)(trustme.CA(), tmp_path / "other")
    with _running(tmp_path, **authority.sign("server"), tls_client_ca=authority.pem) as service:
        assert _accepts(service, authority.pem) == dict.fromkeys(TRANSPORTS, False)
        assert _accepts(service, authority.pem, other.sign("client")) == dict.fromkeys(TRANSPORTS, False)
        assert _accepts(service, authority.pem, authority.sign("client")) == dict.fromkeys(TRANSPORTS, True)


def test_an_expired_certificate_is_refused_on_both_sides(tmp_path: Path, authority: Authority) -> None:
    """A client refuses the server's, and the server a client's."""
    past = datetime.now(UTC) - timedelta(days=1)
    with _running(tmp_path, **authority.sign("server", not_after=past)) as service:
        assert _accepts(service, authority.pem) == dict.fromkeys(TRANSPORTS, False)
    with _running(tmp_path, **authority.sign("server"), tls_client_ca=authority.pem) as service:
        expired = authority.sign("client", not_after=past)
        assert _accepts(service, authority.pem, expired) == dict.fromkeys(TRANSPORTS, False)


def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path, authority: Authority) -> None:
    """From an authority that is new too: whoever trusts only that one gets through, on every port."""
    (tmp_path / "later").mkdir()
    later = type(authority)(trustme.CA(), tmp_path / "later")
    files = authority.sign("server")
    with _running(tmp_path, **files) as service:
        before = {name: _serial(service.addresses[name].port, authority.pem) for name in WEB}
        for name, path in later.sign("server").items():
            os.replace(path, files[name])  # noqa: PTH105  (as those do that renew)
        assert _accepts(service, later.pem) == dict.fromkeys(TRANSPORTS, True)
        assert _accepts(service, authority.pem) == dict.fromkeys(TRANSPORTS, False)
        after = {name: _serial(service.addresses[name].port, later.pem) for name in WEB}
        assert all(before[name] != after[name] for name in WEB)


def test_files_that_break_meanwhile_change_nothing(tmp_path: Path, authority: Authority) -> None:
    """A certificate without its key yet, as between two copies; the pair that is whole again is used."""
    files = authority.sign("server")
    with _running(tmp_path, **files) as service:
        good = files["tls_cert"].read_bytes()
        files["tls_cert"].write_text("no certificate")
        assert _accepts(service, authority.pem) == dict.fromkeys(TRANSPORTS, True)
        files["tls_cert"].unlink()
        assert _accepts(service, authority.pem) == dict.fromkeys(TRANSPORTS, True)
        files["tls_cert"].write_bytes(good)
        assert _accepts(service, authority.pem) == dict.fromkeys(TRANSPORTS, True)


def test_the_client_speaks_tls_by_its_environment(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom it trusts and who it is are files that variables name; without them the error names them."""
    own = authority.sign("client")
    with _running(tmp_path, **authority.sign("server"), tls_client_ca=authority.pem) as service:
        with pytest.raises(LithoscopeError, match="SSL_CERT_FILE"):
            connect(service.url).status()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
        with pytest.raises(LithoscopeError):
            connect(service.url).status()
        monkeypatch.setenv("LITHOSCOPE_CLIENT_CERT", str(own["tls_cert"]))
        monkeypatch.setenv("LITHOSCOPE_CLIENT_KEY", str(own["tls_key"]))
        assert connect(service.url).status()["failure"] is None


def test_exporters_of_the_sdk_bring_their_certificate(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OTEL_EXPORTER_OTLP_CERTIFICATE and its siblings set them up."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)  # it wins over what the exporter is told
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    own = authority.sign("client")
    with _running(tmp_path, **authority.sign("server"), tls_client_ca=authority.pem) as service:
        credentials = grpc.ssl_channel_credentials(
            authority.pem.read_bytes(), own["tls_key"].read_bytes(), own["tls_cert"].read_bytes()
        )
        exporters = (
            GrpcExporter(endpoint=f"https://{service.addresses['grpc']}", credentials=credentials),
            HttpExporter(
                f"https://{service.addresses['http']}/v1/traces",
                certificate_file=str(authority.pem),
                client_certificate_file=str(own["tls_cert"]),
                client_key_file=str(own["tls_key"]),
            ),
        )
        for exporter in exporters:
            span: Any = TracerProvider().get_tracer("test").start_span("over tls")
            span.end()
            assert exporter.export([span]).name == "SUCCESS"
            exporter.shutdown()


@pytest.mark.parametrize("wrong", ["missing", "text", "another's key"])
def test_files_that_are_no_pair_are_one_sentence(tmp_path: Path, authority: Authority, wrong: str) -> None:
    """The settings are named; a password is not asked for on a terminal that nobody sees."""
    files = authority.sign("server")
    if wrong == "missing":
        files["tls_key"].unlink()
    elif wrong == "text":
        files["tls_key"].write_text("x")
    else:
        files["tls_key"] = authority.sign("other")["tls_key"]
    with pytest.raises(ConfigurationError, match=r"tls_cert .* cannot be used"):
        Certificates(files["tls_cert"], files["tls_key"]).context()
    with pytest.raises(ConfigurationError, match="tls_cert"), _running(tmp_path, **files):
        pass
