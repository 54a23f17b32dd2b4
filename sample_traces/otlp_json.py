"""OTLP requests as OTLP JSON: what protobuf's own JSON gets wrong for OTLP is that ids are hex there, not base64."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict

from collector.signals import PROTOCOL

if TYPE_CHECKING:
    from collector.signals import Signal

IDS = {"traceId", "spanId", "parentSpanId"}


def to_json(signal: Signal, body: bytes) -> str:
    """Return one request as one line of OTLP JSON."""
    message = PROTOCOL[signal].request.FromString(body)
    return json.dumps(_with_hex_ids(MessageToDict(message, use_integers_for_enums=True)), separators=(",", ":"))


def _with_hex_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hex(item) if key in IDS else _with_hex_ids(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    return value


def _hex(identifier: str) -> str:
    return base64.b64decode(identifier).hex()
