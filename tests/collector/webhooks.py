"""A webhook as its owner sees it: a real HTTP server that keeps what it was sent."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 60


@dataclass(slots=True)
class Receiver:
    """What came; ``answers`` are the statuses of the first answers, all later ones are 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def answer(self, headers: dict[str, str], body: bytes) -> int:
        """Keep a message and return the status of the answer to it."""
        with self.news:
            status = self.answers.pop(0) if self.answers else 200
            (self.taken if status == 200 else self.refused).append((headers, body))
            self.news.notify_all()
            return status

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """Return the messages that were taken, once there are so many."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.taken) >= count, PATIENCE_S), f"{len(self.taken)} messages came"
            return [json.loads(body) for _, body in self.taken]


@contextmanager
def receiving(*answers: int, **headers: str) -> Iterator[Receiver]:
    """A webhook on a free port of this machine, with these headers in each answer."""
    receiver = Receiver(answers=list(answers), headers={name.replace("_", "-"): text for name, text in headers.items()})

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.answer(dict(self.headers), body))
            for name, text in receiver.headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/services/T0KEN"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
