"""Imports files: into a database through the collector's own pipeline, or into a running collector over OTLP/HTTP."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from collector.cli.source import check_one_given, find_collector
from collector.cli.upload import Upload
from collector.errors import ConfigurationError, ImportFileError, LithoscopeError, OverloadedError, RequestError
from collector.importers.packing import packed
from collector.importers.reader import Problem, newest_unix_nano, read_requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from collector.decode.validate import Rejection
    from collector.importers.reader import Request
    from collector.ingest.pipeline import Pipeline

_SHOWN_PROBLEMS = 5
_UNANSWERED = 16  # requests on their way at once: enough that the disk's sync is shared


@dataclass(slots=True)
class Report:
    """What an import did: records by outcome.

    ``stored`` and ``duplicates`` are None where only the collector knows them; ``unsaid`` counts the problems that
    ``problems`` does not word.
    """

    records: int = 0
    rejected: int = 0
    bad: int = 0
    stored: int | None = None
    duplicates: int | None = None
    unsaid: int = 0
    problems: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        """How many records were refused."""
        return self.bad + self.rejected

    def add_problem(self, text: str, *, bad: int = 0, rejected: int = 0) -> None:
        """Count records that are left out; the first problems are kept in words."""
        self.bad += bad
        self.rejected += rejected
        if len(self.problems) < _SHOWN_PROBLEMS:
            self.problems.append(text)
        else:
            self.unsaid += 1


class Sink(Protocol):
    """Where requests go."""

    def send(self, request: Request, report: Report) -> None:
        """Send one request on; its outcome may reach the report later."""

    def finish(self, report: Report) -> None:
        """Wait for all outcomes."""


def run_import(files: Sequence[Path], *, url: str | None, db: Path | None, to_now: bool) -> Report:
    """Import files and return what became of their records; a file that fails does not keep the others out."""
    check_one_given(url, db)
    if to_now and Path("-") in files:
        raise ConfigurationError(
            "--now needs to read its input twice, and standard input can be read once: give a file."
        )
    report = Report()
    with _no_empty_file(db, report), _open_sink(url, db) as sink, _progress(files, passes=2 if to_now else 1) as bar:
        shift_ns = _shift_to_now(files, bar) if to_now else 0
        for path in files:
            try:
                _import_file(path, shift_ns, sink, report, bar)
            except ImportFileError as error:
                report.failures.append(str(error))
        sink.finish(report)
    return report


@contextmanager
def _no_empty_file(db: Path | None, report: Report) -> Iterator[None]:
    """Leave no new database behind when nothing could be read."""
    is_new = db is not None and not db.exists()
    try:
        yield
    finally:
        if db is not None and is_new and not report.records:
            from collector.log import log_folder  # noqa: PLC0415  (an upload has none)

            for file in (db, db.with_name(f"{db.name}.wal")):
                file.unlink(missing_ok=True)
            shutil.rmtree(log_folder(db), ignore_errors=True)


def _shift_to_now(files: Sequence[Path], bar: Bar) -> int:
    """One shift for all files, so that they keep their distances; a file that fails here fails again when imported."""
    newest = []
    for path in files:
        with suppress(ImportFileError):
            newest.append(newest_unix_nano(path, on_bytes=bar.on_bytes) or 0)
    return time.time_ns() - max(newest) if any(newest) else 0


def _import_file(path: Path, shift_ns: int, sink: Sink, report: Report, bar: Bar) -> None:
    for item in packed(read_requests(path, shift_ns=shift_ns, on_bytes=bar.on_bytes)):
        if isinstance(item, Problem):
            report.add_problem(f"{item.position}: {item.message}", bad=1)
        else:
            sink.send(item, report)
            report.records += item.records
            bar.show(path, report.records)


@contextmanager
def _open_sink(url: str | None, db: Path | None) -> Iterator[Sink]:
    if db is None:
        client = find_collector(url)
        address = client.status()["addresses"].get("http")
        if address is None:
            raise LithoscopeError(f"The collector at {client.url} does not say where it takes OTLP/HTTP.")
        with Upload(address, client.url) as upload:
            yield UploadSink(upload)
        return
    from collector.service import offline_pipeline  # noqa: PLC0415  (loads DuckDB, which an upload does not need)

    with offline_pipeline(db) as pipeline:
        yield PipelineSink(pipeline)


def _refused(sink: Sink, request: Request, error: RequestError, report: Report) -> None:
    """Send the parts of a refused request by themselves, so that one bad part keeps no other out."""
    if not request.parts:
        report.add_problem(f"{request.position}: {error}", rejected=request.records)
    for part in request.parts:
        sink.send(part, report)


class UploadSink:
    """Sends to a running collector, one request after the other."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def send(self, request: Request, report: Report) -> None:
        """See ``Sink``."""
        try:
            rejected, message = self._upload.post(request.signal, request.body)
        except RequestError as error:
            _refused(self, request, error, report)
            return
        if rejected:
            report.add_problem(f"{request.position}: {message}", rejected=rejected)

    def finish(self, report: Report) -> None:
        """See ``Sink``."""


class PipelineSink:
    """Sends into a pipeline of this process, many requests at a time."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._waiting: deque[tuple[Request, Future[Rejection]]] = deque()

    def send(self, request: Request, report: Report) -> None:
        """See ``Sink``."""
        while len(self._waiting) >= _UNANSWERED:
            self._settle_oldest(report)
        self._waiting.append((request, self._submit(request)))

    def _submit(self, request: Request) -> Future[Rejection]:
        while True:
            try:
                return self._pipeline.submit(request.signal, request.body)
            except OverloadedError as error:
                if not self._pipeline.flush() or self._pipeline.failure:
                    reason = self._pipeline.failure or error
                    raise LithoscopeError(f"The database cannot be written ({reason}): import again later.") from error

    def _settle_oldest(self, report: Report) -> None:
        request, answer = self._waiting.popleft()
        try:
            rejection = answer.result()
        except RequestError as error:
            _refused(self, request, error, report)
            return
        if rejection.count:
            report.add_problem(f"{request.position}: {rejection.message}", rejected=rejection.count)

    def finish(self, report: Report) -> None:
        """See ``Sink``."""
        while self._waiting:
            self._settle_oldest(report)
        self._pipeline.flush()
        stored = self._pipeline.telemetry.registry.get_sample_value("lithoscope_records_stored_total")
        report.stored = int(stored or 0)
        report.duplicates = report.records - report.rejected - report.stored


class Bar:
    """A progress bar over the bytes of all files; without a total it only shows that something happens."""

    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total)

    def on_bytes(self, size: int) -> None:
        """Advance."""
        self._progress.advance(self._task, size)

    def show(self, path: Path, records: int) -> None:
        """Say where the import is."""
        self._progress.update(self._task, description=f"{path.name}  {records:,} records")


@contextmanager
def _progress(files: Sequence[Path], *, passes: int) -> Iterator[Bar]:
    columns = BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}")
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        yield Bar(progress, _total_bytes(files, passes))


def _total_bytes(files: Sequence[Path], passes: int) -> int | None:
    """None when a file's size is not known: a pipe, standard input, or one that is not there."""
    if not all(path.is_file() for path in files):
        return None
    return passes * sum(path.stat().st_size for path in files)


def print_report(report: Report) -> None:
    """Print the counts on standard output, and on standard error what was left out and why."""
    counts = {
        "read": report.records,
        "stored": report.stored,
        "duplicates": report.duplicates,
        "rejected": report.rejected,
        "bad records": report.bad,
    }
    if report.records or not report.failures:
        typer.echo(", ".join(f"{name} {count:,}" for name, count in counts.items() if count is not None))
    for problem in report.problems:
        typer.echo(problem, err=True)
    if report.unsaid:
        typer.echo(f"… and {report.unsaid:,} more problems", err=True)
    if report.left_out:
        were = "record was" if report.left_out == 1 else "records were"
        typer.echo(f"lithoscope: {report.left_out:,} {were} refused and left out; the rest is kept.", err=True)
    for failure in report.failures:
        typer.echo(f"lithoscope: {failure}", err=True)
