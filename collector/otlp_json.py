"""OTLP/JSON to protobuf (placeholder until the importer work lands)."""
import base64, json
from google.protobuf import json_format
from collector.errors import InvalidRequestError
from collector.signals import PROTOCOL, Signal
_IDS = {"traceId","spanId","parentSpanId"}
def _fix(x):
    if isinstance(x, dict):
        return {k:(base64.b64encode(bytes.fromhex(v)).decode() if k in _IDS and isinstance(v,str) else _fix(v)) for k,v in x.items()}
    return [_fix(v) for v in x] if isinstance(x,list) else x
def to_protobuf(signal: Signal, body: bytes) -> bytes:
    try:
        return json_format.ParseDict(_fix(json.loads(body)), PROTOCOL[signal].request(), ignore_unknown_fields=True).SerializeToString()
    except (ValueError, json_format.ParseError) as error:
        raise InvalidRequestError(f"not OTLP JSON ({error})") from error
