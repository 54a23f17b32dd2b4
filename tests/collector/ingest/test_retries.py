"""A request is recognised for ten minutes, and not for longer."""

from __future__ import annotations

from collector.decode.validate import Rejection
from collector.ingest.retries import RecentRequests, request_digest
from collector.signals import Signal

REFUSED = Rejection(2, "two had no id")


def test_a_request_is_forgotten_after_ten_minutes() -> None:
    """Also when nothing else comes meanwhile."""
    now = [0.0]
    recent = RecentRequests(clock=lambda: now[0])
    recent.add([(b"a", REFUSED)])
    found = []
    for now[0] in (0.0, 599.0, 600.0, 601.0):
        found.append(recent.answer(b"a"))
    assert found == [REFUSED, REFUSED, REFUSED, None]
    assert recent.answer(b"b") is None


def test_a_request_that_comes_again_is_remembered_from_then() -> None:
    """And keeps none of those behind it from being forgotten."""
    now = [0.0]
    recent = RecentRequests(clock=lambda: now[0])
    for now[0], digest in ((0.0, b"a"), (1.0, b"b"), (500.0, b"a"), (700.0, b"c")):
        recent.add([(digest, REFUSED)])
    assert list(recent._seen) == [b"a", b"c"]
    assert recent.answer(b"a") == REFUSED


def test_digests_tell_bodies_and_signals_apart() -> None:
    """An empty request of one signal is not a retry of another's."""
    requests = [(signal, body) for signal in Signal for body in (b"", b"a", b"b")]
    assert len({request_digest(signal, body) for signal, body in requests}) == len(requests)
