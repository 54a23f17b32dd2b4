"""What travels through the pipeline: requests, then groups of them decoded, then durable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

    from collector.batch import Batch
    from collector.decode.validate import Rejection
    from collector.signals import Signal
    from collector.store.protocol import LogPosition


@dataclass(frozen=True, slots=True)
class Request:
    """A request on its way; ``answer`` gets its ``Rejection`` once it is durable, or the error that refuses it."""

    signal: Signal
    body: bytes
    digest: bytes
    answer: Future[Rejection]
    origin: Any = None  # of ``collector.tracing``


@dataclass(frozen=True, slots=True)
class Group:
    """Requests of one signal that were decoded together, and what was rejected of each."""

    requests: tuple[Request, ...]
    batch: Batch
    rejections: tuple[Rejection, ...]

    @property
    def size(self) -> int:
        """Bytes of the requests."""
        return sum(len(request.body) for request in self.requests)

    def signed_batch(self) -> Batch:
        """Return the batch with the digests of its requests."""
        return replace(self.batch, requests=tuple(request.digest for request in self.requests))


@dataclass(frozen=True, slots=True)
class Accepted:
    """Requests that one append made durable: decoded, their bytes, and the log position after the last of them."""

    batches: tuple[Batch, ...]
    size: int
    end: LogPosition
    origins: tuple[Any, ...] = ()
