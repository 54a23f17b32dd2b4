"""What all services share: a listening socket, a talkative log, and an end that lets everybody finish."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import grpc
from flask import Flask
from werkzeug.serving import make_server
from werkzeug.wsgi import ClosingIterator

from sample_traces.shop.calls import CallFailedError, RefusedError
from sample_traces.shop.runtime import SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sample_traces.shop.messages import Consumer

QUIET_LOGS = ("werkzeug", "pika")
WORKERS = 16
DRAIN_S = 20.0
POLL_S = 0.02

log = logging.getLogger(SERVICE.name)
_stopping = threading.Event()


class InFlight:
    """Counts the requests that an application is busy with."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._count = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        self._add(1)
        return ClosingIterator(self._application(environ, start_response), lambda: self._add(-1))

    def drain(self) -> None:
        """Wait until there are none."""
        deadline = time.monotonic() + DRAIN_S
        while self._count and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def _add(self, number: int) -> None:
        with self._lock:
            self._count += number


def create_app() -> Flask:
    """Make an application that passes on what the services behind it answered."""
    app = Flask(SERVICE.name)

    @app.errorhandler(CallFailedError)
    def _failed(error: CallFailedError) -> tuple[dict[str, str], int]:
        log.error("request failed: %s", error)
        return {"error": str(error)}, HTTPStatus.BAD_GATEWAY

    @app.errorhandler(RefusedError)
    def _refused(error: RefusedError) -> tuple[dict[str, str], int]:
        log.warning("request refused: %s", error)
        return {"error": str(error)}, error.status

    return app


def serve_http(app: Flask, consumers: Sequence[Consumer] = ()) -> None:
    """Serve on any free loopback port until SIGTERM, then finish what has begun."""
    in_flight = InFlight(app)
    server = make_server("127.0.0.1", 0, in_flight, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _wait_for_the_end(f"http://127.0.0.1:{server.server_port}")
    in_flight.drain()
    _stop(consumers)
    server.shutdown()


def serve_grpc(methods: dict[str, Callable[[Any], Any]], consumers: Sequence[Consumer] = ()) -> None:
    """Serve the methods of the service's one interface; messages are JSON."""
    server = grpc.server(ThreadPoolExecutor(WORKERS))
    handlers = {name: _handler(method) for name, method in methods.items()}
    interface = f"{SERVICE.name}.{SERVICE.name.capitalize()}"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(interface, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    _wait_for_the_end(f"127.0.0.1:{port}")
    server.stop(DRAIN_S).wait()
    _stop(consumers)


def _handler(method: Callable[[Any], Any]) -> Any:
    def answer(request: Any, context: Any) -> Any:
        try:
            return method(request)
        except RefusedError as error:
            log.warning("request refused: %s", error)
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except CallFailedError as error:
            log.exception("request failed")
            context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

    return grpc.unary_unary_rpc_method_handler(answer, json.loads, lambda message: json.dumps(message).encode())


def _wait_for_the_end(address: str) -> None:
    logging.getLogger().setLevel(logging.INFO)
    for name in QUIET_LOGS:
        logging.getLogger(name).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda _number, _frame: _stopping.set())
    print(f"{SERVICE.name} {address}", flush=True)
    _stopping.wait()


def _stop(consumers: Sequence[Consumer]) -> None:
    for consumer in consumers:
        consumer.stop()
