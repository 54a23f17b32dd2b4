"""The certificate of the ports, and whose clients they take; files that are renewed are used from then on."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from collector.access.files import Watch
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
        renewal = Renewal(self)
        latest = context = self.context()

        def renew(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            nonlocal latest
            connection.context = latest = renewal.context() or latest

        context.sni_callback = renew  # called by each handshake, whether or not a name is sent
        return context


class Renewal:
    """Looks whether the files of certificates are new."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        files = (certificates.cert, certificates.key, certificates.client_ca)
        self._watch = Watch(*(file for file in files if file is not None))

    def context(self) -> ssl.SSLContext | None:
        """Return what handshakes begin with from now on; None when nothing changed, or to something that is broken."""
        if not self._watch.changed():
            return None
        try:
            context = self._certificates.context()
        except ConfigurationError as error:
            log.error("the certificate that was read before stays in use", error=str(error))  # noqa: TRY400
            return None
        log.info("certificate read again")
        return context


def _no_password() -> bytes:
    """Answer instead of a question on the terminal that nobody sees."""
    return b""
