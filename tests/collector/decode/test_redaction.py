"""What is not to be stored is not in what is decoded, and everything else is."""

from __future__ import annotations

import hashlib
import hmac
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1 import common_pb2

from collector.decode.decoder import Decoder
from collector.errors import ConfigurationError
from collector.redaction import CUT, Redaction
from collector.settings import load_settings
from collector.signals import PROTOCOL, Signal
from tests.collector.decode.messages import log_requests, metric_requests, trace_requests

if TYPE_CHECKING:
    from pathlib import Path

    from collector.batch import Batch

_REQUESTS = {Signal.TRACES: trace_requests(), Signal.LOGS: log_requests(), Signal.METRICS: metric_requests()}
_ORIGIN = ["resource", "scope"]
_MESSAGE = 11  # FieldDescriptor.TYPE_MESSAGE


def _attribute_lists(message: Any) -> list[Any]:
    """All lists of attributes in a request, but for maps that are values."""
    found = []
    for field, value in message.ListFields():
        if field.type != _MESSAGE or field.message_type.name == "AnyValue":
            continue
        if field.message_type.name == "KeyValue":
            found.append(value)
        else:
            found += [part for item in (value if field.is_repeated else [value]) for part in _attribute_lists(item)]
    return found


def _without(request: Any, patterns: tuple[str, ...]) -> Any:
    for attributes in _attribute_lists(request):
        kept = [item for item in attributes if not any(fnmatchcase(item.key, pattern) for pattern in patterns)]
        copies = [common_pb2.KeyValue.FromString(item.SerializeToString()) for item in kept]
        del attributes[:]
        attributes.extend(copies)
    return request


def _rows(batch: Batch) -> list[Any]:
    """Everything but the digests of resources and scopes, which are of their bytes."""
    tables = [table.drop_columns(_ORIGIN) for table in (batch.spans, batch.logs, batch.metrics)]
    return [table.to_pylist() for table in tables]


def _decode(signal: Signal, request: Any, redaction: Redaction | None = None) -> Batch:
    return Decoder(redaction).decode(signal, [request.SerializeToString()]).batch


@pytest.mark.parametrize("signal", list(Signal))
def test_dropping_is_never_having_been_sent(signal: Signal) -> None:
    """Whole rows equal those of the request without these attributes, well-known columns too."""
    patterns = ("http.*", "[aA]", "é?")

    @settings(deadline=None, max_examples=80)
    @given(_REQUESTS[signal])
    def check(request: Any) -> None:
        redacted = _decode(signal, request, Redaction(drop=patterns))
        plain = _decode(signal, _without(request, patterns))
        assert str(_rows(redacted)) == str(_rows(plain))  # as text: NaN equals itself
        for name in ("resources", "scopes"):
            both = [getattr(batch, name).drop_columns(["digest"]).to_pylist() for batch in (redacted, plain)]
            assert {str(row) for row in both[0]} == {str(row) for row in both[1]}

    check()


_SECRET = "alice@example.org"


def _fill(message: Any, depth: int = 0) -> None:
    """Put a personal attribute wherever attributes can be."""
    for field in message.DESCRIPTOR.fields:
        if field.type != _MESSAGE or field.message_type.name in {"AnyValue", "EntityRef"} or depth > 8:
            continue
        item = getattr(message, field.name)
        item = item.add() if field.is_repeated else item
        if field.message_type.name == "KeyValue":
            item.key = "user.email"
            item.value.string_value = _SECRET
            getattr(message, field.name).add(key="keep").value.string_value = "kept"
        else:
            item.SetInParent()
            _fill(item, depth + 1)


def _full_request(signal: Signal) -> Any:
    """A request with the secret everywhere; of a metric's kinds, which exclude each other, all."""
    request: Any = PROTOCOL[signal].request()
    _fill(request)
    if signal is Signal.TRACES:
        span = request.resource_spans[0].scope_spans[0].spans[0]
        span.trace_id, span.span_id = b"\1" * 16, b"\2" * 8
    if signal is Signal.LOGS:
        record = request.resource_logs[0].scope_logs[0].log_records[0]
        record.body.string_value = f"login of {_SECRET} from 10.0.0.1"
    if signal is Signal.METRICS:
        metrics = request.resource_metrics[0].scope_metrics[0].metrics
        for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
            metric = metrics.add(name=kind)
            part = getattr(metric, kind)
            part.SetInParent()
            _fill(part)
            _fill(metric.metadata.add().value, 9)
    return request


_HASH = Redaction(hash=("user.*",), key=b"k" * 16, texts=(r"[^ ]+@[^ ]+",))


@pytest.mark.parametrize("signal", list(Signal))
@pytest.mark.parametrize("redaction", [_HASH, Redaction(drop=("*.email",), texts=_HASH.texts)], ids=["hash", "drop"])
def test_a_secret_is_found_nowhere(signal: Signal, redaction: Redaction) -> None:
    """In no table of what goes to the store; without redaction it is there."""
    request = _full_request(signal)
    for batch, is_there in ((_decode(signal, request), True), (_decode(signal, request, redaction), False)):
        tables = [batch.spans, batch.logs, batch.metrics, batch.resources, batch.scopes]
        assert any(_SECRET in str(table.to_pylist()) for table in tables) is is_there
        assert any("kept" in str(table.to_pylist()) for table in tables)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(max_size=9) | st.integers(-5, 5), max_size=6))
def test_equal_values_have_equal_hashes(values: list[str | int]) -> None:
    """Keyed by the secret, as text, and nothing is lost beside the value."""
    request: Any = PROTOCOL[Signal.TRACES].request()
    spans = request.resource_spans.add().scope_spans.add().spans
    for value in values:
        span = spans.add(trace_id=b"\1" * 16, span_id=b"\2" * 8)
        attribute = span.attributes.add(key="user.id").value
        setattr(attribute, "int_value" if isinstance(value, int) else "string_value", value)
    table = _decode(Signal.TRACES, request, _HASH).spans
    expected = [hmac.new(b"k" * 16, str(value).encode(), hashlib.sha256).hexdigest()[:32] for value in values]
    assert table.column("attribute_values").to_pylist() == [[digest] for digest in expected]
    assert table.column("attribute_types").to_pylist() == ["s"] * len(values)


def test_bodies_are_cut() -> None:
    """Only what matches, in each record."""
    batch = _decode(Signal.LOGS, _full_request(Signal.LOGS), _HASH)
    assert batch.logs.column("body").to_pylist() == [f"login of {CUT} from 10.0.0.1"]


def test_settings_say_what_is_wrong(tmp_path: Path) -> None:
    """Hashes without a secret, broken expressions and unknown names are refused at start, with the remedy."""
    config = tmp_path / "c.toml"
    secret = tmp_path / "secret"
    secret.write_text("x" * 32 + "\n")
    for wrong, message in (
        ('hash = ["user.*"]', "hash wants hash_key"),
        (f'hash = ["user.*"]\nhash_key = "{tmp_path}/none"', "cannot be read"),
        ('bodies = ["("]', "no regular expression"),
        ('colour = "red"', "redact"),
    ):
        config.write_text(f"[redact]\n{wrong}\n")
        with pytest.raises(ConfigurationError, match=message):
            load_settings({}, config)
    config.write_text('keep_log = true\n[redact]\ndrop = ["a"]\n')
    with pytest.raises(ConfigurationError, match="exclude each other"):
        load_settings({}, config)
    config.write_text(f'[redact]\nhash = ["user.*"]\nhash_key = "{secret}"\n')
    assert load_settings({}, config).redaction == Redaction(hash=("user.*",), key=b"x" * 32)
    assert load_settings({}).redaction is None
