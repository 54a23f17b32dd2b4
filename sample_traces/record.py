"""Records trio.otlp.zst: three instrumented processes under load, received by a scratch Lithoscope.

Run it with ``make record``. Everything listens on free loopback ports, and nothing is left behind but the file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from collector.log import Record, read_records
from sample_traces.otlp_json import to_json
from sample_traces.trio.load import drive

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
RECORDING = FOLDER / "trio.otlp.zst"
LOAD_S = 20
STOP_S = 30

VERSIONS = {"stock": "2.3.0", "orders": "1.8.1", "storefront": "5.0.0"}
# Stock still speaks the attribute names of before 2023, as services of mixed age do.
STABLE_NAMES = {"orders": "http,database", "storefront": "http,database"}
# Stack traces name files by where they lie on the recording machine; what identifies the file stays.
SHORTER_PATHS = (
    (sysconfig.get_path("purelib"), "site-packages"),
    (sysconfig.get_path("stdlib"), "python"),
    (str(FOLDER.parent), "lithoscope"),
)


def main() -> None:
    """Record, and say how much."""
    with tempfile.TemporaryDirectory() as scratch:
        pages = run_under_load(Path(scratch))
        lines = [shorten_paths(to_json(record.signal, record.body)) for record in recorded(Path(scratch))]
    data = "".join(f"{line}\n" for line in lines).encode()
    RECORDING.write_bytes(zstandard.compress(data, 19))
    print(f"{pages} page visits in {len(lines)} requests: {len(data):,} bytes, {RECORDING.stat().st_size:,} compressed")


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
def collector(scratch: Path) -> Iterator[str]:
    """Run Lithoscope on a database of its own, keeping its log; yield its OTLP/HTTP endpoint."""
    anywhere = "127.0.0.1:0"
    command = [program("lithoscope"), "serve", "--db", str(scratch / "trio.duckdb")]
    command += ["--grpc", anywhere, "--http", anywhere, "--query", anywhere]
    with running(command, LITHOSCOPE_KEEP_LOG="1") as process:
        yield f"http://{read_address(process, 'http')}"


@contextmanager
def service(name: str, endpoint: str, **settings: str) -> Iterator[str]:
    """Run one of the three processes under stock instrumentation; yield its address."""
    resource = {
        "service.version": VERSIONS[name],
        "service.instance.id": f"{name}-1",
        "deployment.environment.name": "trio",
    }
    telemetry = {
        "OTEL_SERVICE_NAME": name,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in resource.items()),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "OTEL_SEMCONV_STABILITY_OPT_IN": STABLE_NAMES.get(name, ""),
    }
    command = [program("opentelemetry-instrument"), sys.executable, "-m", f"sample_traces.trio.{name}"]
    with running(command, **telemetry, **settings) as process:
        yield read_address(process, name)


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that stops on SIGTERM; it is gone on leaving, whatever happens."""
    everything = {**os.environ, **environment}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=everything)  # noqa: S603  (our own)
    try:
        yield process
        process.terminate()
        process.wait(STOP_S)
    finally:
        process.kill()
        process.communicate()


def read_address(process: subprocess.Popen[str], name: str) -> str:
    """Read what a process prints up to the line ``NAME ADDRESS``; return the address."""
    for line in process.stdout or ():
        match line.split():
            case [first, address] if first == name:
                return address
    message = f"{name} ended before it printed its address; its own message is above"
    raise SystemExit(message)


def recorded(scratch: Path) -> Iterator[Record]:
    """Yield the requests in the log that the collector kept, in order of arrival."""
    for folder in {segment.parent for segment in scratch.rglob("*.segment")}:
        yield from read_records(folder)


def shorten_paths(text: str) -> str:
    """Take the recording machine's folders out of stack traces."""
    for path, short in SHORTER_PATHS:
        text = text.replace(path, short)
    return text


def program(name: str) -> str:
    """Return the path of a command that is installed beside this Python."""
    return str(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    main()
