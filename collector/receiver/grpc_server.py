"""OTLP over gRPC: the three Export methods, on raw bytes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

from collector import tracing
from collector.access.tls import Renewal
from collector.errors import ConfigurationError, OverloadedError
from collector.receiver.export import ANSWER_LIMIT_S
from collector.receiver.status import retry_info, rpc_status, status_of
from collector.signals import PROTOCOL, Signal
from collector.web import check_free

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.access.tls import Certificates
    from collector.errors import RequestError
    from collector.receiver.export import Exporter
    from collector.settings import Address

_STATUS_DETAILS = "grpc-status-details-bin"
_RETRY_INFO = "google.rpc.retryinfo-bin"  # where the Python SDK looks; without it, it doubles its pause each time
_STREAMS = 64  # of one connection; an SDK uses one, the Collector ten
_MOST_WAITING = 256  # calls, for a thread: about a second's worth; an SDK gives up after ten
_TURN_S = 1.0
_MOST_PEERS = 10_000  # remembered; some 2 MB


class _Workers(ThreadPoolExecutor):
    """Threads that know how many calls wait for one of them."""

    @property
    def waiting(self) -> int:
        return self._work_queue.qsize()


class _Turns:
    """Lets each connection in once a second, however many calls wait: who sends seldom does not pay for a flood."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._changing = threading.Lock()

    def is_due(self, peer: str) -> bool:
        now = time.monotonic()
        with self._changing:
            if now - self._last.get(peer, -_TURN_S) < _TURN_S:
                return False
            if len(self._last) >= _MOST_PEERS:
                self._last.clear()
            self._last[peer] = now
            return True


class GrpcServer:
    """Serves until stopped; ``port`` is the bound port."""

    def __init__(
        self, exporter: Exporter, address: Address, *, workers: int, certificates: Certificates | None = None
    ) -> None:
        check_free(*address, option="--grpc")
        self._threads = _Workers(workers, thread_name_prefix="grpc")
        self._server = grpc.server(
            self._threads,
            options=[
                ("grpc.max_receive_message_length", exporter.max_request_bytes),
                # What waits for a thread waits in the sender, beyond these; flow control bounds the bytes of each.
                ("grpc.max_concurrent_streams", _STREAMS),
                ("grpc.so_reuseport", 0),  # two collectors on one port would share the load without a word
            ],
        )
        for signal, protocol in PROTOCOL.items():
            handlers = {"Export": grpc.unary_unary_rpc_method_handler(_export(exporter, signal, self._threads))}
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(protocol.grpc_service, handlers),)
            )
        try:
            self.port: int = self._listen(str(address), certificates)
        except RuntimeError as error:
            raise ConfigurationError(
                f"gRPC cannot listen on {address} ({error}): choose another address with --grpc."
            ) from error

    def _listen(self, address: str, certificates: Certificates | None) -> int:
        port: int = (
            self._server.add_insecure_port(address)
            if certificates is None
            else self._server.add_secure_port(address, _credentials(certificates))
        )
        return port

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Refuse new calls, let running ones finish for at most ``grace_s``, and end."""
        self._server.stop(grace_s).wait()


def _credentials(certificates: Certificates) -> Any:
    """Ask the files at every handshake whether they are new; broken ones change nothing, as elsewhere."""
    renewal = Renewal(certificates)

    def renewed() -> Any:
        return None if renewal.context() is None else _configuration(certificates)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(certificates),
        renewed,
        require_client_authentication=certificates.client_ca is not None,
    )


def _configuration(certificates: Certificates) -> Any:
    cert, key, client_ca = certificates.contents()
    return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=client_ca)


def _export(exporter: Exporter, signal: Signal, threads: _Workers) -> Callable[[bytes, Any], bytes]:
    turns = _Turns()

    def export(body: bytes, context: Any) -> bytes:
        headers = _headers(context)
        try:
            with tracing.receiving(headers, signal.value, "grpc"):
                key = exporter.admit(headers)
                if threads.waiting > _MOST_WAITING and not turns.is_due(context.peer()):
                    raise OverloadedError(f"{threads.waiting} calls wait to be taken: send this request again.")  # noqa: TRY301
                rejection = exporter.submit(signal, body, key).result(ANSWER_LIMIT_S)
        except Exception as error:  # noqa: BLE001  (gRPC would answer UNKNOWN, on which senders drop their data)
            _abort(context, exporter.refusal(signal, error))
        answer: bytes = exporter.response(signal, rejection).SerializeToString()
        return answer

    return export


def _headers(context: Any) -> dict[str, str]:
    """Metadata that are text, names in lower case as gRPC demands."""
    return {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}


def _abort(context: Any, error: RequestError) -> None:
    status = rpc_status(error)
    metadata = [(_STATUS_DETAILS, status.SerializeToString())]
    if error.retry_after_s is not None:
        metadata.append((_RETRY_INFO, retry_info(error.retry_after_s).SerializeToString()))
    context.set_trailing_metadata(metadata)
    context.abort(status_of(error).grpc, status.message)  # raises
