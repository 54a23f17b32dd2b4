"""What all recordings share: a scratch Lithoscope that listens, processes under stock instrumentation, and a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import zstandard

from collector.log import Record, read_records
from collector.otlp_json import from_document
from sample_traces.otlp_json import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = Path(__file__).parent
STOP_S = 40

# Stack traces name files by where they lie on the recording machine; what identifies the file stays.
SHORTER_PATHS = (
    (sysconfig.get_path("purelib"), "site-packages"),
    (sysconfig.get_path("stdlib"), "python"),
    (str(FOLDER.parent), "lithoscope"),
)


@contextmanager
def collector(scratch: Path) -> Iterator[str]:
    """Run Lithoscope on a database of its own, keeping its log; yield its OTLP/HTTP endpoint."""
    anywhere = "127.0.0.1:0"
    command = [program("lithoscope"), "serve", "--db", str(scratch / "scratch.duckdb")]
    command += ["--grpc", anywhere, "--http", anywhere, "--query", anywhere, "--dashboard", "off"]
    with running(command, {"LITHOSCOPE_KEEP_LOG": "1"}) as process:
        yield f"http://{read_address(process, 'http')}"


def telemetry(service: str, endpoint: str, resource: dict[str, str], *, current_names: bool) -> dict[str, str]:
    """Return the settings of the stock instrumentation for one process."""
    return {
        "OTEL_SERVICE_NAME": service,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in resource.items()),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database" if current_names else "",
    }


@contextmanager
def running(
    command: list[str],
    environment: Mapping[str, str],
    *,
    user: str | None = None,
    output: IO[str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run a process that stops on SIGTERM; it is gone on leaving, whatever happens."""
    process = subprocess.Popen(  # noqa: S603  (our own)
        command,
        stdin=subprocess.DEVNULL,
        stdout=output or subprocess.PIPE,
        stderr=output,
        text=True,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd="/" if user else None,  # another user may not be able to enter the present folder
        env={**os.environ, **environment},
    )
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


def write_recording(scratch: Path, file: Path) -> str:
    """Write what the collector received as OTLP protobuf, each request behind its length; say how much it was.

    Protobuf and not JSON, which takes twenty times as long to read back: the demo loads all recordings.
    """
    bodies = [shortened(record) for record in recorded(scratch)]
    data = b"".join(varint(len(body)) + body for body in bodies)
    file.write_bytes(zstandard.compress(data, 19))
    return f"{file.name}: {len(bodies)} requests, {len(data):,} bytes, {file.stat().st_size:,} compressed"


def shortened(record: Record) -> bytes:
    """Return a request without the recording machine's folders; one that names none stays as it came."""
    if not any(path.encode() in record.body for path, _ in SHORTER_PATHS):
        return record.body
    return from_document(record.signal, json.loads(shorten_paths(to_json(record.signal, record.body))))


def varint(number: int) -> bytes:
    """Return a number as protobuf writes lengths: seven bits a byte, the lowest first."""
    return bytes([number & 0x7F | 0x80]) + varint(number >> 7) if number > 0x7F else bytes([number])  # noqa: PLR2004


def shorten_paths(text: str) -> str:
    """Take the recording machine's folders out of stack traces."""
    for path, short in SHORTER_PATHS:
        text = text.replace(path, short)
    return text


def program(name: str) -> str:
    """Return the path of a command that is installed beside this Python."""
    return str(Path(sys.executable).with_name(name))
