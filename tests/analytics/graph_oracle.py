"""The service graph once more, call by call: who called whom, by the definitions, over spans as objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.analytics.oracle import CLIENT, CONSUMER, PRODUCER, SERVER

if TYPE_CHECKING:
    from tests.analytics.oracle import Span

ATTRIBUTES: list[dict[str, str]] = [
    {},
    {"server_address": "one"},
    {"server_address": "two", "status": "error"},
    {"server_address": "two", "resend_count": "1"},
    {"peer_service": "s1"},
    {"peer_service": "s9", "http_method": "GET", "status": "error"},
    {"rpc_system": "grpc"},
    {"rpc_system": "grpc", "span_name": "m"},
    {"db_system": "redis"},
    {"db_system": "redis", "server_address": "one", "status": "error"},
    {"messaging_system": "kafka"},
    {"messaging_system": "kafka", "messaging_destination": "q", "messaging_operation": "send"},
    {"messaging_system": "kafka", "messaging_destination": "q", "messaging_operation": "process"},
    {"messaging_system": "kafka", "messaging_destination": "r", "messaging_operation": "receive", "status": "error"},
    {"messaging_operation": "settle"},
    {"messaging_operation": "publish"},
]

Call = tuple["Span | None", "Span | None", str, str, str, str]
Link = tuple[int, int, int, int]


def attributes(span: Span) -> dict[str, str]:
    """Return what a span says, which follows from what makes its identity: so duplicates say the same."""
    return ATTRIBUTES[hash((span.id, span.start, max(span.duration, 0), span.kind, span.service)) % len(ATTRIBUTES)]


def _operation(span: Span) -> str | None:
    return attributes(span).get("messaging_operation")


def _own(span: Span) -> list[Span]:
    return [child for child in span.children if child.service == span.service]


def sends(span: Span) -> bool:
    """Tell whether the span hands a message over."""
    said = attributes(span)
    unsaid = "messaging_system" in said and "messaging_operation" not in said and "db_system" not in said
    says = _operation(span) in {"send", "publish"} and span.kind not in {CONSUMER, SERVER}
    return span.kind == PRODUCER or says or (span.kind == CLIENT and unsaid)


def _may_take(span: Span) -> bool:
    return not sends(span) and (span.kind == CONSUMER or _operation(span) == "process")


def takes(span: Span) -> bool:
    """Tell whether the span takes a message, and none inside it does."""
    return _may_take(span) and not any(_may_take(child) for child in _own(span))


def polls(span: Span) -> bool:
    """Tell whether the span only talks with the broker."""
    return not sends(span) and not takes(span) and (_may_take(span) or _operation(span) in {"receive", "settle"})


def _only_receives(span: Span) -> bool:
    return polls(span) or _operation(span) in {"receive", "settle"}


def _created(span: Span) -> bool:
    above = span.parent
    return bool(
        sends(span) and span.kind != PRODUCER and above and above.kind == PRODUCER and above.service == span.service
    )


def wraps(span: Span) -> bool:
    """Tell whether another span of the service stands for the message."""
    return sends(span) and (_created(span) or any(sends(c) and not _created(c) for c in _own(span)))


def answers(span: Span) -> list[Span]:
    """Return the spans by which this one's calls were answered."""
    if sends(span) or polls(span):
        return []
    return [
        child
        for child in span.children
        if (child.service != span.service or (span.kind, child.kind) == (CLIENT, SERVER))
        and not takes(child)
        and not polls(child)
    ]


@dataclass
class Graph:
    """Finds calls in a forest; services are named s0, s1, s2 and all live in one environment."""

    forest: list[Span]
    links: list[Link]

    def calls(self) -> list[Call]:
        """Return span, answer, caller, callee, mode and how the callee is known of every call."""
        found: list[Call] = []
        for span in self.forest:
            me = f"s{span.service}"
            found += [(span, a, me, f"s{a.service}", "sync", "answer") for a in answers(span)]
            callee = self._callee(span)
            if callee and not self._repeats(span):
                found.append((span, None, me, callee[0], "sync", callee[1]))
            if span.kind == SERVER and not span.parent and not span.cut and span.parent_id in {None, span.id}:
                found.append((None, span, "user", me, "sync", "answer"))
        return found + self._messages()

    def _asks(self, span: Span) -> bool:
        talks = sends(span) or takes(span) or polls(span)
        return span.kind == CLIENT and not answers(span) and not talks

    def _callee(self, span: Span) -> tuple[str, str] | None:
        if not self._asks(span):
            return None
        said = attributes(span)
        peer = _peer(span)
        if "db_system" in said:
            return peer, "peer"
        answered = [(s, a) for s in self.forest if s.kind == CLIENT for a in answers(s)]
        at_address = {a.service for s, a in answered if peer and _peer(s) == peer and "db_system" not in attributes(s)}
        if len(at_address) == 1:
            return f"s{at_address.pop()}", "address"
        if said.get("peer_service") in {f"s{s}" for s in range(3)}:
            return said["peer_service"], "name"
        of_method = {a.service for s, a in answered if "rpc_system" in said and _method(s) == _method(span)}
        if len(of_method) == 1:
            return f"s{of_method.pop()}", "operation"
        return (peer, "peer") if peer else None

    def _strength(self, span: Span) -> int:
        if answers(span):
            return 3
        return 0 if not self._callee(span) else 2 if "db_system" in attributes(span) else 1

    def _repeats(self, span: Span) -> bool:
        mine, above = self._strength(span), span.parent
        while above and above.kind == CLIENT and above.service == span.service and self._asks(above):
            if self._strength(above) > mine:
                return True
            above = above.parent
        return any(self._strength(inner) >= mine for inner in _clients_inside(span))

    def _messages(self) -> list[Call]:
        every = self._pairs()
        taken = {(s, t.service) for s, t in every if not _only_receives(t)}
        pairs = [(s, t) for s, t in every if not _only_receives(t) or (s, t.service) not in taken]
        found: list[Call] = []
        for span in self.forest:
            mine = [t for s, t in pairs if s is span]
            queue = _queue(span) or (_queue(mine[0]) if mine else None)
            if queue and (mine or sends(span)) and not wraps(span):
                found.append((span, None, f"s{span.service}", queue, "async", "peer"))
            for taker in mine:
                via = _queue(span) or _queue(taker) or f"s{span.service}"
                found.append((span, taker, via, f"s{taker.service}", "async", "answer"))
            if takes(span) and _queue(span) and span not in [t for _, t in every]:
                found.append((None, span, str(_queue(span)), f"s{span.service}", "async", "answer"))
        return found

    def _pairs(self) -> list[tuple[Span, Span]]:
        found = []
        for sender in self.forest:
            for taker in self.forest:
                foreign = sender.service != taker.service
                child = taker.parent is sender and (
                    (takes(taker) and (foreign or sends(sender))) or (sends(sender) and foreign)
                )
                linked = (taker.trace, taker.id, sender.trace, sender.id) in self.links and sends(sender)
                linked = linked and (takes(taker) or polls(taker) or foreign)
                if (child or linked) and not sends(taker):
                    found.append((sender, taker))
        return found


def gap_of(client_ns: int | None, server_ns: int | None) -> list[int]:
    """Return how long a caller waited for more than its callee's work: nothing is known of one that gave up."""
    if client_ns is None or server_ns is None or server_ns > client_ns:
        return []
    return [client_ns - server_ns]


def _method(span: Span) -> tuple[str | None, str]:
    said = attributes(span)
    return said.get("rpc_system"), said.get("span_name", span.name)


def _clients_inside(span: Span) -> list[Span]:
    inner = [child for child in _own(span) if child.kind == CLIENT]
    return [*inner, *(deeper for child in inner for deeper in _clients_inside(child))]


def _peer(span: Span) -> str:
    said = attributes(span)
    address = said.get("server_address")
    if "db_system" in said:
        return f"{said['db_system']} {address}" if address else said["db_system"]
    queue = said.get("messaging_destination") or said.get("messaging_system")
    return queue or said.get("peer_service") or address or ""


def _queue(span: Span) -> str | None:
    said = attributes(span)
    names = ("messaging_destination", "messaging_system", "peer_service", "server_address")
    return next((said[name] for name in names if name in said), None)
