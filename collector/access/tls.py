"""The certificate of the ports, and whose clients they take; files that are renewed are used from then on."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM: a certificate with its chain, its key, and if clients must show one, who signs theirs."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return what a server's handshakes begin with; raises ``ConfigurationError`` when the files are no pair."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert, self.key, password=_no_password)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"The files of tls_cert {self.cert}, tls_key {self.key}{self._and_client_ca()} cannot be used "
                f"({getattr(error, 'reason', None) or getattr(error, 'strerror', None) or error}): give a certificate "
                "and the key that belongs to it, in PEM, the key without a password."
            ) from error
        return context

    def _and_client_ca(self) -> str:
        return "" if self.client_ca is None else f" and tls_client_ca {self.client_ca}"

    def contents(self) -> tuple[bytes, bytes, bytes | None]:
        """Return certificate, key and who signs the clients', as the files have them now."""
        ca = None if self.client_ca is None else self.client_ca.read_bytes()
        return self.cert.read_bytes(), self.key.read_bytes(), ca

    def renewing_context(self) -> ssl.SSLContext:
        """Return a context whose later handshakes use the files as they are then; broken ones change nothing."""
        return _Renewal(self).context

    def stamp(self) -> tuple[int, ...]:
        """Return something that changes when a file does."""
        files = (self.cert, self.key, *([self.client_ca] if self.client_ca else []))
        return tuple(part for file in files if file.exists() for part in (file.stat().st_mtime_ns, file.stat().st_ino))


class _Renewal:
    """Every handshake looks at the files; what it finds new, it begins with itself."""

    def __init__(self, files: Certificates) -> None:
        self._files = files
        self._stamp = files.stamp()
        self.context = self._latest = files.context()
        self.context.sni_callback = self._renew

    def _renew(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        stamp = self._files.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._latest = self._files.context()
            except ConfigurationError as error:
                log.error("the certificate that was read before stays in use", error=str(error))  # noqa: TRY400
            else:
                log.info("certificate read again")
        connection.context = self._latest


def _no_password() -> bytes:
    """Answer instead of a question on the terminal that nobody sees."""
    return b""
