"""Starts the dashboard, a process of its own: when it crashes, the collector goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from collector.errors import ConfigurationError, LithoscopeError
from dashboard.names import KEY_VARIABLE, URL_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.settings import Address

_ENTRY = Path(__file__).with_name("app.py")
_READY_S = 60.0
_STOP_S = 5.0
_OPTIONS = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "theme.paddingTop": "2rem",
    "theme.light.primaryColor": "#0072B2",
    "theme.dark.primaryColor": "#56B4E9",
}


@contextmanager
def running_dashboard(url: str, address: Address, api_key: str | None = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the dashboard for the collector at ``url`` inside the block; yields where it listens, and its process.

    Port 0 takes any free one. Raises ``ConfigurationError`` when the address is taken, and ``LithoscopeError`` when
    the dashboard does not come up.
    """
    port = _free_port(address)
    process = subprocess.Popen(_command(address.host, port), env=_environment(url, api_key), stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        _wait_until_ready(process, address.host, port)
        yield f"{address.host}:{port}", process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _free_port(address: Address) -> int:
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise ConfigurationError(f"The dashboard cannot listen at {address} ({error.strerror}): give another.") from error
        port: int = probe.getsockname()[1]
        return port


def _command(host: str, port: int) -> list[str]:
    options = _OPTIONS | {"server.address": host, "server.port": str(port)}
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(_ENTRY), *flags]


def _environment(url: str, api_key: str | None) -> dict[str, str]:
    return os.environ | {URL_VARIABLE: url} | ({KEY_VARIABLE: api_key} if api_key else {})


def _wait_until_ready(process: subprocess.Popen[bytes], host: str, port: int) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LithoscopeError(f"The dashboard ended with status {process.returncode} while it started.")
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/_stcore/health", timeout=1):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise LithoscopeError(f"The dashboard did not come up within {_READY_S:.0f} s.")
