"""``lithoscope health``: whether a collector answers and stores, for probes that bring no tool of their own."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from collector.client import client_context, connect
from collector.errors import LithoscopeError
from collector.settings import Address, load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from collector.settings import Settings

_PATIENCE_S = 5.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (where what listens everywhere is reached from here)


def ask_health(url: str | None, config: Path | None = None, *, alive: bool = False) -> str:
    """Return what a collector says of itself, ``ready``, or ``ok`` when only asked whether it is alive.

    Without a ``url`` it is the collector whose settings these are. What keeps a collector from storing while it takes
    requests on comes after ``degraded:``. Raises ``LithoscopeError`` when it refuses them, or does not answer within
    five seconds.
    """
    settings = load_settings({}, config)
    address = connect(url or _own_url(settings)).url
    asked = f"{address}/{'healthz' if alive else 'readyz'}"
    context = _context(asked, settings, own=url is None)
    try:
        with urllib.request.urlopen(asked, timeout=_PATIENCE_S, context=context) as answer:  # noqa: S310  (checked above)
            said: str = answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            raise LithoscopeError(
                f"{asked} says {error.code}: {error.read().decode(errors='replace').strip()}"
            ) from error
    except (OSError, ValueError) as error:
        raise LithoscopeError(f"{asked} does not answer ({getattr(error, 'reason', error)}).") from error
    return said.strip()


def _own_url(settings: Settings) -> str:
    host = _EVERYWHERE.get(settings.query.host, settings.query.host)
    return f"{'http' if settings.certificates is None else 'https'}://{Address(host, settings.query.port)}"


def _context(url: str, settings: Settings, *, own: bool) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        return None
    context = client_context()
    if own and settings.certificates is not None:
        # Our own certificate, whatever name it has and whoever signed it: it is looked for on this machine.
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(settings.certificates.cert)
    return context
