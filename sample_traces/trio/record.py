"""Records trio.otlp.zst: three instrumented processes under load, received by a scratch Lithoscope."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sample_traces.recording import FOLDER, collector, program, read_address, running, telemetry, write_recording
from sample_traces.trio.load import drive

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDING = FOLDER / "trio.otlp.zst"
LOAD_S = 20

VERSIONS = {"stock": "2.3.0", "orders": "1.8.1", "storefront": "5.0.0"}
# Stock still speaks the attribute names of before 2023, as services of mixed age do.
CURRENT_NAMES = {"orders", "storefront"}


def record_trio() -> None:
    """Record, and say how much."""
    with tempfile.TemporaryDirectory() as scratch:
        pages = run_under_load(Path(scratch))
        print(f"{pages} page visits; {write_recording(Path(scratch), RECORDING)}")


def run_under_load(scratch: Path) -> int:
    """Start the collector, then the services from the last to the first, visit them, and stop all in reverse."""
    with ExitStack() as stack:
        endpoint = stack.enter_context(collector(scratch))
        stock = stack.enter_context(service("stock", endpoint, STOCK_DATABASE=str(scratch / "stock.db")))
        orders = stack.enter_context(
            service("orders", endpoint, ORDERS_DATABASE=str(scratch / "orders.db"), STOCK_URL=stock)
        )
        storefront = stack.enter_context(service("storefront", endpoint, ORDERS_URL=orders, STOCK_URL=stock))
        return drive(storefront, LOAD_S)


@contextmanager
def service(name: str, endpoint: str, **settings: str) -> Iterator[str]:
    """Run one of the three processes under stock instrumentation; yield its address."""
    resource = {
        "service.version": VERSIONS[name],
        "service.instance.id": f"{name}-1",
        "deployment.environment.name": "trio",
    }
    command = [program("opentelemetry-instrument"), sys.executable, "-m", f"sample_traces.trio.{name}"]
    environment = telemetry(name, endpoint, resource, current_names=name in CURRENT_NAMES)
    with running(command, {**environment, **settings}) as process:
        yield read_address(process, name)
