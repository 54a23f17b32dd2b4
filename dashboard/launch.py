"""Starts the dashboard as a process of its own: when it crashes, the collector goes on."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Self

import structlog

from collector.client import KEY_VARIABLE
from collector.errors import ConfigurationError, LithoscopeError
from collector.pauses import growing_pauses
from collector.settings import Address, variable
from collector.web import check_free
from dashboard.names import URL_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.settings import Settings

OPTION = "--dashboard"
FORWARDED = ("dashboard_password", "dashboard_login", "dashboard_users", "tls_cert", "tls_key")
"""The settings that the dashboard's process needs too."""
_NEEDED = ("authlib", "httpx")  # by st.login
_READY_S = 60.0  # a first start on a busy machine takes some ten
_STOP_S = 5.0
_LOOK_EVERY_S = 0.1
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0

log = structlog.get_logger(__name__)


@contextmanager
def running_dashboard(
    url: str,
    address: Address,
    option: str = OPTION,
    *,
    key: str | None = None,
    settings: Settings | None = None,
) -> Iterator[Address]:
    """Run the dashboard of the collector at ``url`` inside the block; yields where it listens, once it does.

    Port 0 takes any free one. When the dashboard ends by itself later, it is started again. It asks with the ``key``,
    or that of the environment. Of the ``settings`` it takes its login and its certificate. What is secret goes by the
    environment: everybody can read arguments. Raises ``ConfigurationError`` when the address is taken or the login
    cannot work, and ``LithoscopeError`` when the dashboard does not come up.
    """
    _check_login(settings)
    check_free(address.host, address.port, option)
    found = Address(address.host, address.port or _free_port(address.host))
    command = [sys.executable, "-m", "dashboard", found.host, str(found.port)]
    environment = os.environ | {URL_VARIABLE: url} | _environment(key, settings)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)  # noqa: S603

    try:
        process = start()
    except OSError as error:
        raise LithoscopeError(f"The dashboard's process cannot be started ({error}).") from error
    try:
        _wait_until_ready(process, _health(found, is_tls=settings is not None and settings.certificates is not None))
    except BaseException:
        _stop(process)
        raise
    with Supervisor(process, start):
        yield found


class Supervisor:
    """Starts a process again when it ends by itself, in pauses that grow; stops it at the end of the block."""

    def __init__(self, process: subprocess.Popen[bytes], start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.process = process
        self._start = start
        self._stopping = threading.Event()
        self._changing = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="dashboard", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changing:
            self._stopping.set()
        _stop(self.process)
        self._thread.join()

    def _watch(self) -> None:
        pauses = growing_pauses(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            started = time.monotonic()
            status = self.process.wait()
            if time.monotonic() - started > _LONGEST_PAUSE_S:  # it had worked
                pauses = growing_pauses(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
            if not self._stopping.is_set():
                pause = next(pauses)
                log.error("the dashboard ended, will be started again", status=status, pause_s=pause)
                self._stopping.wait(pause)
            with self._changing:
                if self._stopping.is_set():
                    return
                if self.process.stdin is not None:
                    self.process.stdin.close()
                self.process = self._start()


def _environment(key: str | None, settings: Settings | None) -> dict[str, str]:
    given = {name: getattr(settings, name, None) for name in FORWARDED}
    variables = {variable(name): _text(value) for name, value in given.items() if value}
    return variables if key is None else variables | {KEY_VARIABLE: key}


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _check_login(settings: Settings | None) -> None:
    """Tell at the start what would else be an error on a page."""
    if settings is None or settings.dashboard_login is None:
        return
    if not all(map(find_spec, _NEEDED)):
        raise ConfigurationError("dashboard_login needs what `pip install lithoscope[oidc]` brings.")
    try:
        has_auth = "auth" in tomllib.loads(settings.dashboard_login.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # whose text may be a line of the file, and that a secret
        raise ConfigurationError(
            f"The file of dashboard_login {settings.dashboard_login} cannot be read as TOML ({type(error).__name__})."
        ) from None
    if not has_auth:
        raise ConfigurationError(f"The file of dashboard_login {settings.dashboard_login} has no [auth] table.")


def _health(address: Address, *, is_tls: bool) -> str:
    return f"{'https' if is_tls else 'http'}://{address}/_stcore/health"


def _free_port(host: str) -> int:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], health: str) -> None:
    unchecked = ssl.create_default_context()  # our own process, and only whether it lives is asked
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LithoscopeError(f"The dashboard ended with status {process.returncode} while it started.")
        try:
            with urllib.request.urlopen(health, timeout=1, context=unchecked):  # noqa: S310  (as above)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_LOOK_EVERY_S)
    raise LithoscopeError(f"The dashboard did not come up within {_READY_S:.0f} s.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
