"""Asks a running collector from Python: ``connect().sql("SELECT …")`` gives a Polars frame."""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from collector.errors import ConfigurationError, LithoscopeError, QueryError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import polars as pl
    import pyarrow as pa

DEFAULT_URL = "http://127.0.0.1:4319"
KEY_VARIABLE = "LITHOSCOPE_API_KEY"
CERT_VARIABLE, CERT_KEY_VARIABLE = "LITHOSCOPE_CLIENT_CERT", "LITHOSCOPE_CLIENT_KEY"
_HOST_AND_PORT = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\]):\d+/?")  # as ``lithoscope serve`` prints it
ARROW = "application/vnd.apache.arrow.stream"


def connect(url: str = DEFAULT_URL, *, timeout_s: float = 60.0, api_key: str | None = None) -> Client:
    """Return a client of the query API at ``url``, which may be HOST:PORT alone; nothing is sent yet.

    Without an ``api_key`` it is that of the environment, ``LITHOSCOPE_API_KEY``. Over TLS, ``SSL_CERT_FILE`` may name
    who signs certificates, and ``LITHOSCOPE_CLIENT_CERT`` and ``LITHOSCOPE_CLIENT_KEY`` the files of one's own. Raises
    ``ConfigurationError`` for something that is no HTTP address.
    """
    api_key = api_key or os.environ.get(KEY_VARIABLE)
    if _HOST_AND_PORT.fullmatch(url):
        url = f"http://{url}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigurationError(f"{url!r} is not the address of a query API, for example {DEFAULT_URL}.")
    return Client(url.rstrip("/"), timeout_s, api_key)


@dataclass(frozen=True, slots=True)
class Client:
    """Every method raises ``QueryError`` with the collector's message, and ``LithoscopeError`` when none answers."""

    url: str
    timeout_s: float
    api_key: str | None = field(default=None, repr=False)

    def sql(self, query: str) -> pl.DataFrame:
        """Answer one reading statement; rows in its order, columns in Polars' types."""
        import polars as pl  # noqa: PLC0415  (loading it takes longer than looking a trace up)

        return pl.DataFrame(pl.from_arrow(self.sql_arrow(query)))

    def sql_arrow(self, query: str) -> pa.Table:
        """Answer one reading statement with DuckDB's own types."""
        import pyarrow as pa  # noqa: PLC0415  (as above)

        content = self.request("/v1/sql", query.encode(), {"Accept": ARROW})
        with pa.ipc.open_stream(content) as reader:
            return reader.read_all()

    def traces(self, **options: str) -> pl.DataFrame:
        """Return traces with a root, newest first.

        Columns: ``trace_id``; ``service``, ``operation``, ``start_time``, ``duration_ms`` and ``status`` of the root;
        ``spans``, ``services`` and ``errors``. Options are those of ``collector.query.search``, ``service="cart"`` or
        ``min_duration="200ms"`` for example.
        """
        import polars as pl  # noqa: PLC0415  (as above)
        import pyarrow as pa  # noqa: PLC0415

        content = self.request(f"/v1/traces?{urlencode(options, errors='surrogateescape')}")
        with pa.ipc.open_stream(content) as reader:
            return pl.DataFrame(pl.from_arrow(reader.read_all()))

    def trace(self, trace_id: str) -> dict[str, Any]:
        """Return the ``trace`` object of one trace; ``QueryError`` with code ``not_found`` when it is unknown."""
        trace: dict[str, Any] = self._json(f"/v1/traces/{quote(trace_id, safe='')}")
        return trace

    def report(self, **options: str) -> dict[str, Any]:
        """Return the ``report`` object; the options are those of the command, ``env="shop"`` for example."""
        report: dict[str, Any] = self._json(f"/v1/report?{urlencode(options, errors='surrogateescape')}")
        return report

    def diff(self, before: str, after: str, **options: str) -> dict[str, Any]:
        """Return the ``diff`` object of two sides, each as the command takes it, but for files."""
        query = urlencode({"before": before, "after": after, **options}, errors="surrogateescape")
        diff: dict[str, Any] = self._json(f"/v1/diff?{query}")
        return diff

    def simulate(self, options: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return the ``simulate`` object; the options are those of the command, each with all its values.

        ``{"slow": ["cart=+200ms"], "async": ["orders->mail"]}`` for example.
        """
        query = urlencode(options, doseq=True, errors="surrogateescape")
        simulated: dict[str, Any] = self._json(f"/v1/simulate?{query}")
        return simulated

    def analyze(self, **options: str) -> dict[str, Any]:
        """Have the minutes of a window analysed again; returns how many ``minutes``, and how many are ``waiting``."""
        asked: dict[str, Any] = json.loads(self.request(f"/v1/analyze?{urlencode(options)}", b""))
        return asked

    def analyzing(self) -> int:
        """Return how many minutes still wait to be analysed again."""
        return int(self._json("/v1/analyze")["waiting"])

    def series(self, **options: str) -> dict[str, Any]:
        """Return what services, endpoints or edges did over time; ``of="edges"``, ``since="6h"`` for example."""
        return self._asked("/v1/series", options)

    def saturation(self, **options: str) -> dict[str, Any]:
        """Return how full resources are over time, and how latency answers to load."""
        return self._asked("/v1/saturation", options)

    def coupling_history(self, **options: str) -> dict[str, Any]:
        """Return the coupling index of each hour."""
        return self._asked("/v1/coupling/history", options)

    def _asked(self, path: str, options: Mapping[str, str]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.request(f"{path}?{urlencode(options, errors='surrogateescape')}"))
        return answer

    def status(self) -> dict[str, Any]:
        """Return the collector's addresses, by name, and what keeps it from storing, if anything."""
        status: dict[str, Any] = self._json("/v1/status")
        return status

    def check(self) -> None:
        """Return when a query API answers; raises ``LithoscopeError`` when something else does, or nothing."""
        if self.request("/healthz").strip() != b"ok":
            raise _no_query_api(self.url)

    def _json(self, path: str) -> Any:
        try:
            return json.loads(self.request(path))
        except ValueError as error:
            raise _no_query_api(self.url) from error

    def request(self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
        """Return the body of the answer to a GET, or to a POST when there is a body."""
        key = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        request = urllib.request.Request(self.url + path, body, {**(headers or {}), **key})  # noqa: S310  (checked in connect)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s, context=self._tls()) as answer:  # noqa: S310
                content: bytes = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise _error(error.code, error.read(), self.url) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(error) from error
        return content

    @contextmanager
    def download(self, path: str) -> Iterator[IO[bytes]]:
        """Give the answer to a GET as a file, read as it comes; raises ``LithoscopeError`` when it ends early."""
        try:
            with urllib.request.urlopen(self._get(path), timeout=self.timeout_s, context=self._tls()) as answer:  # noqa: S310
                yield answer
        except urllib.error.HTTPError as error:
            with error:
                raise _error(error.code, error.read(), self.url) from error
        except http.client.IncompleteRead as error:
            raise LithoscopeError(f"{self.url} broke the answer off: its log says why.") from error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            raise self._no_answer(error) from error

    def _get(self, path: str) -> urllib.request.Request:
        key = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return urllib.request.Request(self.url + path, headers=key)  # noqa: S310  (checked in connect)

    def _tls(self) -> ssl.SSLContext | None:
        return client_context() if self.url.startswith("https:") else None

    def _no_answer(self, error: Exception) -> LithoscopeError:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            return LithoscopeError(f"{self.url} did not answer within {self.timeout_s:g} s: narrow the query.")
        if isinstance(error, http.client.HTTPException):  # its text would be whatever that port sent
            return LithoscopeError(f"What answers at {self.url} speaks no HTTP: give the address of the query API.")
        if isinstance(reason, ssl.SSLError):
            return LithoscopeError(_tls_remedy(self.url, reason))
        return UnreachableError(
            f"Nothing answers at {self.url} ({reason}): start a collector with `lithoscope serve`, "
            "or name another with --url, or a file that no collector holds with --db."
        )


def client_context() -> ssl.SSLContext:
    """Return what TLS to a collector begins with; raises ``ConfigurationError`` for files that are no certificate."""
    context = ssl.create_default_context()
    if cert := os.environ.get(CERT_VARIABLE):
        try:
            context.load_cert_chain(cert, os.environ.get(CERT_KEY_VARIABLE))
        except OSError as error:
            raise ConfigurationError(
                f"The files of {CERT_VARIABLE} and {CERT_KEY_VARIABLE} cannot be used ({error.strerror or error})."
            ) from error
    return context


def _tls_remedy(url: str, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = "set SSL_CERT_FILE to the certificate of who signed it"
    else:
        said = f"does that port speak TLS, and does it want a certificate ({CERT_VARIABLE}, {CERT_KEY_VARIABLE})?"
    return f"No TLS with {url} ({error.verify_message if hasattr(error, 'verify_message') else error.reason}): {said}."


def _error(status: int, content: bytes, url: str) -> LithoscopeError:
    try:
        error = json.loads(content)["error"]
        return QueryError(error["message"], code=error["code"], hint=error["hint"])
    except (ValueError, KeyError, TypeError):
        return _no_query_api(url, f"answered {status} and ")


def _no_query_api(url: str, said: str = "") -> LithoscopeError:
    return LithoscopeError(
        f"{url} {said}is no query API of a collector: give the address that `lithoscope serve` prints as query."
    )
