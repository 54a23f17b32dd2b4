"""What the three processes share: a listening socket, a talkative log and a way to stop."""

from __future__ import annotations

import logging
import signal
import sys
from typing import TYPE_CHECKING

from werkzeug.serving import make_server

if TYPE_CHECKING:
    from types import FrameType

    from flask import Flask


def serve(app: Flask) -> None:
    """Listen on any free loopback port, print the address, and serve until SIGTERM."""
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    signal.signal(signal.SIGTERM, _stop)
    print(f"{app.name} http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Leave through the front door, so that the SDK's exit hooks send what they still hold."""
    sys.exit(0)
