"""The dashboard's process: ``python -m dashboard HOST PORT``; it ends when whoever started it does."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pandas as pd  # noqa: F401  (else Altair may look into it while another page's thread has half of it)
from streamlit.web.cli import main as streamlit

from collector.settings import variable

_GIVES_WAY = 10  # of 19: on a busy machine the collector beside it acknowledges spans first
_ENTRY = Path(__file__).with_name("app.py")
_OPTIONS = {
    "logger.level": "warning",
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "theme.paddingTop": "2rem",
    "theme.light.primaryColor": "#0072B2",
    "theme.dark.primaryColor": "#56B4E9",
}
_FROM_SETTINGS = {
    "server.sslCertFile": "tls_cert",
    "server.sslKeyFile": "tls_key",
    "secrets.files": "dashboard_login",
}


def _end_with_parent() -> None:
    """Standard input is a pipe that nobody writes to: it ends with the other end's process, however that dies."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)


def main() -> None:
    """Serve until the parent is gone or a signal comes."""
    host, port = sys.argv[1:]
    os.nice(_GIVES_WAY)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    given = {option: os.environ.get(variable(name), "") for option, name in _FROM_SETTINGS.items()}
    options = _OPTIONS | {"server.address": host, "server.port": port}
    options |= {option: value for option, value in given.items() if value}
    sys.argv = ["streamlit", "run", str(_ENTRY), *(f"--{name}={value}" for name, value in options.items())]
    streamlit()


if __name__ == "__main__":
    main()
