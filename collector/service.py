"""The collector's life: store, log, receivers and query API come up in order, and go down in reverse."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

import structlog

from collector import tracing
from collector.access.exposure import check_exposure
from collector.access.gate import Gate
from collector.access.keys import FixedKeys, Keyring, Scope, make_key
from collector.access.usage import Usage
from collector.analysis import Beside
from collector.client import connect
from collector.disk_use import DiskUse
from collector.ingest.pipeline import Pipeline
from collector.log import log_folder, log_name
from collector.own_log import configure_log
from collector.query.api import create_app as create_query_app
from collector.receiver.export import Exporter
from collector.receiver.grpc_server import GrpcServer
from collector.receiver.http_server import create_app as create_ingest_app
from collector.retention import Retention
from collector.settings import Address
from collector.stopping import StoppedEarlyError, StopSignals, end_after
from collector.store import open_lake, open_store, quack_server
from collector.store.protocol import QueryLimits
from collector.upkeep import Upkeep
from collector.web import WebServer, check_free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa
    from starlette.applications import Starlette

    from collector.analysis import Analysis
    from collector.settings import Settings
    from collector.store.protocol import Store

_DRAIN_S = 9.5  # from the signal to the end of the process: service managers kill after ten seconds or more
_GRACE_S = 2  # of that, for answers that are under way
_QUACK_PATIENCE_S = 30.0  # for a turn, and for an answer's way
_STORING_S = 4.0  # of that, for what is durable already and could be stored by the next start as well

log = structlog.get_logger(__name__)


class Door(NamedTuple):
    """Where the dashboard asks, and with which key."""

    url: str
    key: str | None = None


class Service:
    """A running collector; leave the ``with`` block to drain and stop it."""

    def __init__(self, settings: Settings, analysis: Analysis | None = None) -> None:
        self.settings = settings
        self._analysis = analysis
        self._stack = ExitStack()
        self.addresses: dict[str, Address] = {}
        self.dashboard_door = Door("")

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """The query API."""
        return f"{'http' if self.settings.certificates is None else 'https'}://{self.addresses['query']}"

    def _start(self) -> None:
        settings = self.settings
        self._check()
        keyring = None if settings.keys is None else Keyring(settings.keys)
        store = self._open_store()
        pipeline = Pipeline(
            store,
            log_folder(settings.db),
            queue_bytes=settings.queue_bytes,
            log_bytes=settings.log_bytes,
            keep_log=settings.keep_log,
            redaction=settings.redaction,
        )
        self._stack.callback(pipeline.close, _STORING_S)
        self._start_retention(store)
        if self._analysis is not None:
            self._stack.enter_context(self._analysis.running(store, pipeline.telemetry.registry, self._beside()))
        pipeline.telemetry.registry.register(DiskUse(settings.db))
        gate = Gate(keyring, Usage(pipeline.telemetry.registry))
        self._start_query(store, pipeline, gate)
        exporter = Exporter(
            pipeline, settings.max_request_bytes, gate, pipeline.telemetry, receiving_bytes=settings.queue_bytes
        )
        self._start_grpc(exporter)
        self._start_http(exporter)
        self._stack.callback(tracing.start(settings.trace_to))

    def _beside(self) -> Beside:
        db = self.settings.db
        return Beside(db.with_name(f"{db.name}.alerts.json"), self.settings.dashboard_link)

    def _check(self) -> None:
        """Find the commonest mistakes before anything is created."""
        settings = self.settings
        listening = {name: getattr(settings, name) for name in ("grpc", "http", "query", "quack", "dashboard")}
        check_exposure(listening, settings)
        if settings.certificates is not None:
            settings.certificates.context()
        for name, address in listening.items():
            if address is not None:
                check_free(address.host, address.port, f"--{name}")

    def _open_store(self) -> Store:
        settings = self.settings
        if settings.store is None:
            store = open_store(settings.db, memory=settings.store_memory)
            self._stack.callback(store.close)
            return store
        name = log_name(log_folder(settings.db))
        store = open_lake(settings.store, str(settings.data), name, memory=settings.store_memory)
        self._stack.callback(store.close)
        upkeep = Upkeep(store)
        upkeep.start()
        self._stack.callback(upkeep.stop)
        return store

    def _start_retention(self, store: Store) -> None:
        settings = self.settings
        if settings.retain is None and settings.max_disk is None:
            return
        retention = Retention(store, retain_s=settings.retain, max_bytes=settings.max_disk)
        retention.start()
        self._stack.callback(retention.stop)

    def _start_query(self, store: Store, pipeline: Pipeline, gate: Gate) -> None:
        settings = self.settings
        limits = QueryLimits(seconds=settings.query_seconds, rows=settings.query_rows, bytes=settings.query_memory)
        create = partial(
            create_query_app,
            store,
            pipeline,
            limits=limits,
            addresses=self.addresses,
            analysis=self._analysis,
            concurrency=settings.query_concurrency,
        )
        self._start_web("query", create(gate=gate))
        self.dashboard_door = Door(self.url)
        if settings.dashboard is not None and (settings.keys is not None or settings.certificates is not None):
            # With a key that nobody else has and that ends with the process.
            text, key = make_key("dashboard", [Scope.QUERY])
            self.dashboard_door = Door(self._open_door(create(gate=Gate(FixedKeys(key), gate.usage))), text)
        if settings.quack is not None:
            self._start_quack(settings.quack, self._open_door(create(gate=gate)))

    def _open_door(self, app: Starlette) -> str:
        """Open a way in from inside, whatever the ports that others reach ask for; returns its address."""
        server = WebServer(app, "127.0.0.1", 0, option="--query", grace_s=_GRACE_S)
        self._stack.callback(server.stop)
        server.start()
        return f"http://127.0.0.1:{server.port}"

    def _start_quack(self, address: Address, url: str) -> None:
        timeout_s = self.settings.query_seconds + _QUACK_PATIENCE_S

        def admit(token: str) -> Callable[[str], pa.Table]:
            client = connect(url, timeout_s=timeout_s, api_key=token)
            client.status()
            return client.sql_arrow

        server = quack_server(*address, admit, memory=self.settings.store_memory)
        server.start()
        self._stack.callback(server.stop)
        self.addresses["quack"] = address

    def _start_grpc(self, exporter: Exporter) -> None:
        settings = self.settings
        address = settings.grpc
        server = GrpcServer(exporter, address, workers=settings.grpc_workers, certificates=settings.certificates)
        server.start()
        self._stack.callback(server.stop, _GRACE_S)
        self.addresses["grpc"] = Address(address.host, server.port)

    def _start_http(self, exporter: Exporter) -> None:
        self._start_web("http", create_ingest_app(exporter))

    def _start_web(self, name: str, app: Starlette) -> None:
        address = getattr(self.settings, name)
        certificates = self.settings.certificates
        server = WebServer(app, *address, option=f"--{name}", grace_s=_GRACE_S, certificates=certificates)
        self._stack.callback(server.stop)
        server.start()
        self.addresses[name] = Address(address.host, server.port)


def serve(
    settings: Settings,
    beside: Callable[[Service], AbstractContextManager[object]],
    analysis: Analysis | None = None,
) -> None:
    """Run the collector until SIGTERM or SIGINT, then drain and stop it.

    ``beside`` is entered with the collector when it is up, and left before it stops.
    """
    configure_log(settings.log_format, debug=settings.debug)
    signals = StopSignals()
    ending = None
    # Early is also while a log is replayed or samples load: neither need be waited for.
    with suppress(StoppedEarlyError), Service(settings, analysis) as service, beside(service):
        signals.wait()
        log.info("stopping", reason="signal")
        ending = end_after(_DRAIN_S)
    if ending is not None:
        ending.cancel()


@contextmanager
def offline_store(db: Path, *, read_only: bool = True) -> Iterator[Store]:
    """Open a database file that no collector holds, with what its log has in it too."""
    with offline_pipeline(db):
        pass
    store = open_store(db, read_only=read_only)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def offline_pipeline(db: Path) -> Iterator[Pipeline]:
    """Open a database file that no collector holds, for importing into it; all of it is stored on leaving."""
    configure_log()
    store = open_store(db)
    try:
        pipeline = Pipeline(store, log_folder(db))
        try:
            yield pipeline
        finally:
            pipeline.close()
    finally:
        store.close()
