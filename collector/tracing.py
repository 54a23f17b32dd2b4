"""The collector's own traces, when asked for: what it does with a request, an insert, an analysis and a query.

Off, a span is an object that does nothing. On, the OpenTelemetry SDK makes them (``pip install lithoscope[otel]``), and
its own variables hold: OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and so on.

Its traces may go to itself, or round through another collector. So that they do not trace their own arrival for ever,
what exports them says so in a header, and nothing is traced of such a request, nor of what it alone gives rise to.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

OWN = "x-lithoscope-own-traces"
"""The header of requests that carry a collector's traces."""
FROM_VARIABLES = "otel"
"""In place of an address: OTEL_EXPORTER_OTLP_ENDPOINT and its like say where."""
_STOP_S = 2.0  # what cannot be sent by then is lost: stopping must not wait for whoever keeps traces
_NOTHING: AbstractContextManager[None] = nullcontext()


class _Off:
    """No tracer."""

    tracer: Any = None
    has_news = False  # whether something was traced since the last analysis


_state = _Off()


def start(target: str | None) -> Callable[[], None]:
    """Begin to send traces to an OTLP/HTTP address, None for none; return what ends it.

    Raises ``ConfigurationError`` when the SDK is not installed.
    """
    if target is None:
        return _nothing
    try:
        provider = _provider(None if target == FROM_VARIABLES else target)
    except ImportError as error:
        raise ConfigurationError("trace_to needs what `pip install lithoscope[otel]` brings.") from error
    _state.tracer = tracer = provider.get_tracer("lithoscope", version("lithoscope"))
    _state.has_news = False

    def stop() -> None:
        if _state.tracer is tracer:
            _state.tracer = None
        ending = threading.Thread(target=provider.shutdown, name="trace-end", daemon=True)
        ending.start()
        ending.join(_STOP_S)

    return stop


def _nothing() -> None:
    """Nothing began."""


def _provider(url: str | None) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  (an extra)
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({"service.version": version("lithoscope")})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "lithoscope"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    endpoint = None if url is None else f"{url.rstrip('/')}/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, headers={OWN: "1"})))
    return provider


def receiving(headers: Mapping[str, str], signal: str, transport: str) -> AbstractContextManager[Any]:
    """Return the span of a request with telemetry; ``headers`` have names in lower case."""
    if _state.tracer is None or OWN in headers:
        return _NOTHING
    _state.has_news = True
    return _span(f"receive {signal}", "SERVER", {"lithoscope.signal": signal, "network.protocol.name": transport})


def answering(what: str) -> AbstractContextManager[Any]:
    """Return the span of a question to the query API."""
    return _NOTHING if _state.tracer is None else _span(f"query {what}", "SERVER", {})


def origin() -> Any:
    """Return where the present work comes from, for spans of later work by other threads; None when nowhere."""
    if _state.tracer is None:
        return None
    from opentelemetry import trace  # noqa: PLC0415  (an extra)

    context = trace.get_current_span().get_span_context()
    return context if context.is_valid else None


def working(name: str, origins: Iterable[Any]) -> AbstractContextManager[Any]:
    """Return the span of work for several requests, linked to each; none when none of them is traced."""
    if _state.tracer is None:
        return _NOTHING
    from opentelemetry.trace import Link  # noqa: PLC0415  (an extra)

    links = [Link(origin) for origin in origins if origin is not None]
    return _span(name, "INTERNAL", {"lithoscope.requests": len(links)}, links) if links else _NOTHING


def analysing(minutes: int) -> AbstractContextManager[Any]:
    """Return the span of an analysis; none when since the last one nothing came but traces of collectors."""
    if _state.tracer is None or not _state.has_news:
        return _NOTHING
    _state.has_news = False
    return _span("analyse", "INTERNAL", {"lithoscope.minutes": minutes})


def _span(
    name: str, kind: str, attributes: dict[str, Any], links: list[Any] | None = None
) -> AbstractContextManager[Any]:
    from opentelemetry.trace import SpanKind  # noqa: PLC0415  (an extra)

    begun: AbstractContextManager[Any] = _state.tracer.start_as_current_span(
        name, kind=SpanKind[kind], attributes=attributes, links=links
    )
    return begun
