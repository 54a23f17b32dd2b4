"""The dashboard beside a collector that has just come up, and where both are, on standard output."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from collector.errors import LithoscopeError
from dashboard.launch import running_dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.service import Service

_PORTS = ("grpc", "http", "query", "quack")


@contextmanager
def shown(service: Service) -> Iterator[None]:
    """Print the addresses, run the dashboard inside the block, and print where it is; then both as links."""
    _say(*(f"{name} {service.addresses[name]}" for name in _PORTS if name in service.addresses))
    if service.settings.dashboard is None:
        _say("", f"Queries: {service.url}")
        yield
        return
    door = service.dashboard_door
    running = running_dashboard(door.url, service.settings.dashboard, key=door.key, settings=service.settings)
    with ExitStack() as stack:
        try:
            found = stack.enter_context(running)
        except LithoscopeError as error:  # telemetry must not be lost for want of a picture
            sys.stderr.write(f"lithoscope: {error} The collector runs without it.\n")
        else:
            scheme = service.url.partition("://")[0]
            _say(f"dashboard {found}", "", f"Dashboard: {scheme}://{found}")
        _say(f"Queries:   {service.url}")
        yield


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
