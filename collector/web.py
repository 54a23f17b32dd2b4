"""An ASGI application on a socket of its own thread."""

from __future__ import annotations

import errno
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from collector.errors import ConfigurationError, LithoscopeError
from collector.settings import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette

    from collector.access.tls import Certificates

_BACKLOG = 256
_START_S = 10.0
_KEEP_ALIVE_S = 75  # SDKs send every 5 s: uvicorn's 5 s would close connections just as they are used again


class WebServer:
    """Serves an application until stopped; the socket is bound at construction, so that a port in use is told early."""

    def __init__(
        self,
        app: Starlette,
        host: str,
        port: int,
        *,
        option: str,
        grace_s: int = 5,
        certificates: Certificates | None = None,
    ) -> None:
        self._socket = _listen_on_first(host, port, option)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=grace_s,
            timeout_keep_alive=_KEEP_ALIVE_S,
            backlog=_BACKLOG,
            ssl_context_factory=None if certificates is None else lambda *_: certificates.renewing_context(),
        )
        self._started = threading.Event()
        self._server = _Server(config, self._started)
        self._thread = threading.Thread(target=self._run, name=option.strip("-"), daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Begin to serve; returns when requests are answered."""
        self._thread.start()
        if not self._started.wait(_START_S):
            raise LithoscopeError("The web server did not start; run again with --debug to see why.")

    def stop(self) -> None:
        """Let running requests finish, and end."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._is_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._is_started.set()


def check_free(host: str, port: int, option: str) -> None:
    """Raise ``ConfigurationError`` when any of a host's addresses is taken, for a server that binds for itself.

    gRPC is one: it writes its own line to standard error, and of several addresses is content with one, so that
    the others' senders would reach whoever has the port.
    """
    with _explained(host, port, option):
        for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                _listen(found).close()
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:  # localhost is an IPv6 address too where there is no IPv6
                    raise


def _listen_on_first(host: str, port: int, option: str) -> socket.socket:
    with _explained(host, port, option):
        return _listen(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0])


@contextmanager
def _explained(host: str, port: int, option: str) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError) as error:  # a host name may be one that cannot even be asked for
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"{Address(host, port)} cannot be listened on ({reason}): stop what uses it, or choose another address "
            f"with {option}."
        ) from error


def _listen(found: tuple[Any, Any, int, str, Any]) -> socket.socket:
    """Listen at once: with SO_REUSEADDR, two sockets may be bound to one port until one of them listens."""
    family, kind, protocol, _, address = found
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening
