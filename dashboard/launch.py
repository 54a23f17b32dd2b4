"""Starts the dashboard as a process of its own: when it crashes, the collector goes on."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from collector.client import KEY_VARIABLE
from collector.errors import LithoscopeError
from collector.settings import Address, variable
from collector.web import check_free
from dashboard.names import URL_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.settings import Settings

OPTION = "--dashboard"
FORWARDED = ("dashboard_password", "dashboard_login", "tls_cert", "tls_key")
"""The settings that the dashboard's process needs too."""
_READY_S = 60.0  # a first start on a busy machine takes some ten
_STOP_S = 5.0
_LOOK_EVERY_S = 0.1


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

    Port 0 takes any free one. It asks with the ``key``, or that of the environment. Of the ``settings`` it takes its
    login and its certificate. What is secret goes by the environment: everybody can read arguments. Raises
    ``ConfigurationError`` when the address is taken, and ``LithoscopeError`` when the dashboard does not come up.
    """
    check_free(address.host, address.port, option)
    found = Address(address.host, address.port or _free_port(address.host))
    command = [sys.executable, "-m", "dashboard", found.host, str(found.port)]
    environment = os.environ | {URL_VARIABLE: url} | _environment(key, settings)
    try:
        process = subprocess.Popen(  # noqa: S603  (our own module)
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
    except OSError as error:
        raise LithoscopeError(f"The dashboard's process cannot be started ({error}).") from error
    try:
        _wait_until_ready(process, _health(found, is_tls=settings is not None and settings.certificates is not None))
        yield found
    finally:
        _stop(process)


def _environment(key: str | None, settings: Settings | None) -> dict[str, str]:
    given = {name: getattr(settings, name, None) for name in FORWARDED}
    variables = {variable(name): str(value) for name, value in given.items() if value is not None}
    return variables if key is None else variables | {KEY_VARIABLE: key}


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
