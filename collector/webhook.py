"""One message to a webhook: a POST of JSON, signed when there is a secret; whoever calls tries again."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from collector.errors import LithoscopeError

if TYPE_CHECKING:
    from email.message import Message
    from typing import IO

TIMEOUT_S = 10.0
"""What Slack, GitHub and others give a webhook to answer."""
SIGNATURE, DELIVERY = "X-Lithoscope-Signature", "X-Lithoscope-Delivery"
_PORTS = {"http": 80, "https": 443}


class WebhookError(LithoscopeError):
    """A message was not taken; what it says names the host alone, since the rest of an address may be a secret."""

    code = "webhook"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Whoever answers for the webhook must not send what is in a message elsewhere."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Follow nothing: the answer is then an error with its status."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where messages go, and the secret that signs them."""

    url: str = field(repr=False)
    secret: bytes = field(default=b"", repr=False)

    @property
    def place(self) -> str:
        """The address without its path, which may be a secret."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port not in (None, _PORTS[parts.scheme]) else ""
        return f"{parts.scheme}://{parts.hostname}{port}"

    def post(self, body: bytes, delivery: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Send a message; raises ``WebhookError`` unless the answer is a status from 200 to 299.

        ``delivery`` is the same whenever this message is sent again.
        """
        request = urllib.request.Request(self.url, data=body, headers=self._headers(body, delivery))  # noqa: S310
        try:
            with _opener().open(request, timeout=timeout_s):
                return
        except urllib.error.HTTPError as error:
            with error:
                raise WebhookError(f"{self.place} answered {error.code}.", _retry_after(error)) from None
        except http.client.HTTPException as error:  # its text would be what the other side sent, or the address
            raise WebhookError(f"{self.place} gave no answer in HTTP ({type(error).__name__}).") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            said = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
            raise WebhookError(f"{self.place} cannot be reached ({said}).") from None

    def _headers(self, body: bytes, delivery: str) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"lithoscope/{version('lithoscope')}",
            DELIVERY: delivery,
        }
        return headers | ({SIGNATURE: sign(self.secret, body)} if self.secret else {})


def sign(secret: bytes, body: bytes) -> str:
    """Return the signature of a body as its header has it: ``sha256=`` and HMAC-SHA256 in hexadecimal."""
    return f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"


def check_address(url: str) -> None:
    """Raise ``ValueError`` with a sentence, that does not repeat it, for what is no address of a webhook."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("is no address of a webhook: write one such as https://hooks.example.org/services/T1")
    if "@" in parts.netloc:
        raise ValueError("has a user or a password in it: take them out, and let the webhook know messages by a secret")


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=ssl.create_default_context()))


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    text = str(error.headers.get("Retry-After", ""))
    return float(text) if text.isascii() and text.isdigit() else None
