"""Answers keep their values in every form."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.query.formats import Form, choose_form, encode

_MAP = pa.map_(pa.string(), pa.string())
_EVENT = pa.struct([("time", pa.timestamp("ns")), ("name", pa.string()), ("attributes", _MAP)])

TABLE = pa.table(
    {
        "id": pa.array([2**63 - 1, None], pa.int64()),
        "big": pa.array([10**37, -1], pa.decimal128(38, 0)),
        "share": pa.array([0.5, math.nan], pa.float64()),
        "name": pa.array(['a "b"\n\\\t', ""], pa.string()),
        "kind": pa.array(["server", None]).dictionary_encode(),
        "time": pa.array([1_795_435_200_000_000_007, None], pa.timestamp("ns")),
        "ok": pa.array([True, None], pa.bool_()),
        "attributes": pa.array([[("http.route", "/a"), ('k"', "ü\x01")], []], _MAP),
        "events": pa.array([[{"time": 1, "name": "e", "attributes": [("a", "b")]}], None], pa.list_(_EVENT)),
        "body": pa.array([b"\x00\xff", None], pa.binary()),
    }
)

ROWS: list[dict[str, Any]] = [
    {
        "id": 2**63 - 1,
        "big": 10**37,
        "share": 0.5,
        "name": 'a "b"\n\\\t',
        "kind": "server",
        "time": "2026-11-23T12:00:00.000000007Z",
        "ok": True,
        "attributes": {"http.route": "/a", 'k"': "ü\x01"},
        "events": [{"time": "1970-01-01T00:00:00.000000001Z", "name": "e", "attributes": {"a": "b"}}],
        "body": "00ff",
    },
    {
        "id": None,
        "big": -1,
        "share": None,
        "name": "",
        "kind": None,
        "time": None,
        "ok": None,
        "attributes": {},
        "events": None,
        "body": None,
    },
]


def test_json_rows_are_objects() -> None:
    """Maps are objects, lists and structs nest, integers are exact, times have nanoseconds, NaN is null."""
    assert json.loads(encode(TABLE, Form.JSON)) == ROWS


def test_csv_has_nested_values_as_json() -> None:
    """A header, a null is empty, and an empty string is quoted so that it is no null."""
    content = encode(TABLE, Form.CSV).decode()
    first, second = csv.DictReader(io.StringIO(content))
    assert json.loads(first["attributes"]) == ROWS[0]["attributes"]
    assert json.loads(first["events"]) == ROWS[0]["events"]
    plain = ("id", "big", "share", "name", "kind", "time", "ok", "body")
    assert [first[name] for name in plain] == [
        "9223372036854775807",
        "1" + 37 * "0",
        "0.5",
        'a "b"\n\\\t',
        "server",
        "2026-11-23T12:00:00.000000007Z",
        "true",
        "00ff",
    ]
    assert [second[name] for name in plain] == ["", "-1", "NaN", "", "", "", "", ""]
    assert content.splitlines()[-1] == ',-1,NaN,"",,,,{},,'


def test_arrow_keeps_everything() -> None:
    """The stream reads back as the same table."""
    read = pa.ipc.open_stream(encode(TABLE, Form.ARROW)).read_all()
    assert read.schema == TABLE.schema
    assert encode(read, Form.JSON) == encode(TABLE, Form.JSON)


def test_parquet_keeps_everything() -> None:
    """The file reads back as the same table, in values and in types that pyarrow and Polars can use."""
    content = encode(TABLE, Form.PARQUET)
    read = pq.read_table(io.BytesIO(content))
    assert read.schema == TABLE.schema
    assert encode(read, Form.JSON) == encode(TABLE, Form.JSON)
    assert pl.read_parquet(io.BytesIO(content)).height == 2


@pytest.mark.parametrize("form", Form)
def test_no_rows_are_an_answer(form: Form) -> None:
    """An empty answer has its columns, or is an empty list."""
    empty = encode(TABLE.slice(0, 0), form)
    header = ",".join(TABLE.column_names) + "\n"
    expected = {Form.JSON: b"[]\n", Form.CSV: header.encode()}
    if form in expected:
        assert empty == expected[form]
    else:
        read = pa.ipc.open_stream(empty).read_all() if form is Form.ARROW else pq.read_table(io.BytesIO(empty))
        assert (read.num_rows, read.column_names) == (0, TABLE.column_names)


@pytest.mark.parametrize("form", [Form.CSV, Form.JSON])
def test_repeated_names_are_numbered(form: Form) -> None:
    """No column hides another."""
    table = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "a_1"])
    expected = {Form.CSV: b"a,a_1,a_1_1\n1,2,3\n", Form.JSON: b'[{"a":1,"a_1":2,"a_1_1":3}]\n'}
    assert encode(table, form) == expected[form]


def test_an_interval_has_a_form_everywhere() -> None:
    """Parquet and CSV have no intervals; ISO 8601 text stands for them."""
    table = pa.table({"i": pa.array([(1, 2, 3_000_000_004)], pa.month_day_nano_interval())})
    assert encode(table, Form.CSV) == b"i\nP1M2DT3.000000004S\n"
    assert json.loads(encode(table, Form.JSON)) == [{"i": "P1M2DT3.000000004S"}]
    assert pq.read_table(io.BytesIO(encode(table, Form.PARQUET))).to_pylist() == [{"i": "P1M2DT3.000000004S"}]


_VALUES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), st.text()),
    "integer": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "real": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "list": (pa.list_(pa.string()), st.lists(st.none() | st.text(max_size=3), max_size=3)),
    "map": (_MAP, st.dictionaries(st.text(max_size=3), st.none() | st.text(max_size=3), max_size=3)),
    "struct": (
        pa.struct([("a", pa.int64()), ('b"', pa.string())]),
        st.fixed_dictionaries({"a": st.none(), 'b"': st.text()}),
    ),
}


@pytest.mark.parametrize("name", _VALUES)
@given(data=st.data())
def test_json_agrees_with_the_standard_library(name: str, data: st.DataObject) -> None:
    """Whatever the values, sliced or not, parsing the text gives them back."""
    kind, values = _VALUES[name]
    column = data.draw(st.lists(st.none() | values, max_size=6))
    given_values = [list(one.items()) if name == "map" and one is not None else one for one in column]
    array = pa.array([None, *given_values], kind).slice(1)
    assert json.loads(encode(pa.table({"x": array}), Form.JSON)) == [{"x": one} for one in column]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form.JSON),
        ("*/*", Form.JSON),
        ("text/csv", Form.CSV),
        ("application/*", Form.JSON),
        ("text/html, application/vnd.apache.arrow.stream", Form.ARROW),
        ("text/csv;q=0.5, application/vnd.apache.parquet", Form.PARQUET),
        ("TEXT/CSV; charset=utf-8", Form.CSV),
        ("text/csv;q=0", None),
        ("text/html", None),
        ("text/csv;q=x", Form.CSV),
    ],
)
def test_accept_picks_the_form(accept: str, form: Form | None) -> None:
    """The highest weight that can be met wins; JSON is for those who do not care."""
    assert choose_form(accept) is form
