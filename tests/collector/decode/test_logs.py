"""Log requests come out of decoding as the protobuf classes read them, and bad records are refused one by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.signals import Signal
from tests.collector.decode import oracle
from tests.collector.decode.messages import log_requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.decode.validate import Rejection

REASONS = [
    "trace_id must be 16 bytes or empty",
    "span_id must be 8 bytes or empty",
    "time_unix_nano lies beyond the year 2262",
    "observed_time_unix_nano lies beyond the year 2262",
]


def expected(requests: Sequence[ExportLogsServiceRequest]) -> tuple[list[oracle.Row], list[Rejection]]:
    """The rows and rejections that requests must yield."""
    rows = []
    rejections = []
    for request in requests:
        problems = []
        for level in request.resource_logs:
            for scope_level in level.scope_logs:
                for record in scope_level.log_records:
                    if problem := oracle.problem_of(record, ids_needed=False):
                        problems.append(problem)
                    else:
                        origin = {"resource": oracle.resource_of(level), "scope": oracle.scope_of(scope_level)}
                        rows.append(_row(record) | origin)
        rejections.append(oracle.rejection_of(problems, REASONS))
    return rows, rejections


def _row(record: Any) -> oracle.Row:
    return {
        "time": record.time_unix_nano or None,
        "observed_time": record.observed_time_unix_nano or None,
        "trace_id": record.trace_id if any(record.trace_id) else None,
        "span_id": oracle.optional_id(record.span_id),
        "flags": record.flags,
        "severity_text": record.severity_text or None,
        "severity_number": record.severity_number,
        "event_name": record.event_name or None,
        "body": oracle.value_of(record.body),
        "attributes": oracle.attributes_of(record.attributes),
        "dropped_attributes_count": record.dropped_attributes_count,
    }


@settings(deadline=None, max_examples=150)
@given(st.lists(log_requests() | log_requests(refusable=True), max_size=3))
def test_every_field_comes_back_and_bad_records_are_refused_alone(requests: list[ExportLogsServiceRequest]) -> None:
    """Whole rows and the counts of what was refused equal the oracle's."""
    rows, rejections = oracle.decoded_rows(Signal.LOGS, [request.SerializeToString() for request in requests])
    for row in rows:
        letter = row.pop("body_type")
        row["body"] = (letter, oracle.parsed(row["body"], letter))
    assert (rows, rejections) == expected(requests)


def test_numbers_that_json_does_not_have_are_text_inside_a_body() -> None:
    """A map with NaN and infinities is JSON that any parser reads, in protobuf's own words for them."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    for name in ("nan", "inf", "-inf", "1.5"):
        record.body.kvlist_value.values.add(key=name).value.double_value = float(name)
    rows, _ = oracle.decoded_rows(Signal.LOGS, [request.SerializeToString()])
    found = json.loads(rows[0]["body"])
    assert found == {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity", "1.5": 1.5}
