"""OTLP/JSON requests to protobuf.

OTLP departs from protobuf's JSON in two ways: ids are hex, not base64, and only lowerCamelCase names are known.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from collector.errors import InvalidRequestError
from collector.signals import PROTOCOL

if TYPE_CHECKING:
    from collector.signals import Signal

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})
_HEX = re.compile("(?:[0-9A-Fa-f]{2})*")  # bytes.fromhex would pass over blanks
_INVALID_ID = b"\0"  # of a length that no id has, so that the receiver refuses the one record and says why


def to_protobuf(signal: Signal, body: bytes) -> bytes:
    """Return an OTLP/JSON request as protobuf; fields it does not know are ignored.

    Raises ``InvalidRequestError`` when the body as a whole is not OTLP/JSON; an id that is no hex stays in its record,
    as one that the receiver refuses.
    """
    try:
        return from_document(signal, parse(body))
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f"The body is not OTLP JSON ({_first_line(error)}); send what the exporter encoded."
        ) from error


def parse(text: bytes | str) -> Any:
    """Parse strict JSON in UTF-8; raises ``ValueError`` for anything else, NaN and Infinity included."""
    if isinstance(text, bytes):  # json.loads would let lone surrogates pass, and guess at UTF-16
        text = text.decode("utf-8-sig")
    return json.loads(text, parse_constant=_refuse_constant)


def from_document(signal: Signal, document: Any) -> bytes:
    """Return a parsed request as protobuf; raises ``ValueError`` when it does not fit the signal."""
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004  (the value is wrong, whatever its type)
    message = PROTOCOL[signal].request()
    try:
        json_format.ParseDict(_adapted(document), message, ignore_unknown_fields=True)
    except (json_format.Error, TypeError, AttributeError, OverflowError) as error:  # it varies what a wrong type raises
        raise ValueError(_first_line(error)) from error
    except SystemError as error:  # how protobuf's lookup of field and enum names answers a lone surrogate
        raise ValueError("a name in it has half of a surrogate pair") from error
    content: bytes = message.SerializeToString()
    return content


def _adapted(value: Any) -> Any:
    """The document as protobuf's parser wants it: ids in base64, and no snake_case names, which it would take."""
    if isinstance(value, dict):
        return {key: _field(key, item) for key, item in value.items() if "_" not in key}
    return [_adapted(item) for item in value] if isinstance(value, list) else value


def _field(key: str, item: Any) -> Any:
    return _id(item) if key in _IDS and item is not None else _adapted(item)


def _id(value: Any) -> str:
    is_hex = isinstance(value, str) and _HEX.fullmatch(value)
    raw = bytes.fromhex(value) if is_hex else _INVALID_ID
    return base64.b64encode(raw).decode()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON; OTLP writes it as the string {name!r}")


def _first_line(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
