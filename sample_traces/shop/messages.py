"""Messages through RabbitMQ: JSON on durable names, one consumer thread a queue."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pika
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from sample_traces.shop.runtime import SERVICE, STATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.adapters.blocking_connection import BlockingChannel

Message = dict[str, Any]
POLL_S = 0.2


def connect() -> BlockingChannel:
    """Open a connection of its own: pika's are not to be shared by threads. A quiet one must live on."""
    parameters = pika.ConnectionParameters("127.0.0.1", int(os.environ["SHOP_RABBITMQ"]), heartbeat=0)
    return pika.BlockingConnection(parameters).channel()


class Consumer:
    """A thread that takes the messages of one queue, one after the other."""

    def __init__(self, queue: str, handle: Callable[[Message, dict[str, str]], None]) -> None:
        self._queue = queue
        self._handle = handle
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        _watched.append(queue)
        self._thread.start()

    def stop(self) -> None:
        """Finish the message at hand."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        channel = connect()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(self._queue, self._receive)
        while not self._stopping.is_set():
            channel.connection.process_data_events(POLL_S)
        channel.connection.close()

    def _receive(self, channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        self._handle(json.loads(body), properties.headers)
        channel.basic_ack(method.delivery_tag)


def publish(queue: str, message: Message) -> None:
    """Send a message; that this service may send it there is part of the system's description."""
    if not any((edge.caller, edge.queue) == (SERVICE.name, queue) for edge in STATE.edges):
        raise LookupError(f"{SERVICE.name} has no business with {queue}")
    with _lock:
        _outgoing.basic_publish("", queue, json.dumps(message).encode())


def _messages(_options: CallbackOptions) -> list[Observation]:
    """Ask the broker how much waits in the queues that this process consumes."""
    with _watch_lock:
        return [
            Observation(
                _watching.queue_declare(queue, passive=True).method.message_count,
                {"rabbitmq.queue.name": queue, "state": "ready"},
            )
            for queue in _watched
        ]


_lock = threading.Lock()
_outgoing = connect()
_watch_lock = threading.Lock()
_watching = connect()
_watched: list[str] = []
metrics.get_meter("shop.messages").create_observable_up_down_counter(
    "rabbitmq.message.current", [_messages], unit="{messages}"
)
