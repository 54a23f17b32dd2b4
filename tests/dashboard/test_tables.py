"""Cells of tables are told as people read them."""

from __future__ import annotations

from typing import Any

from dashboard.filters import beyond_noise
from dashboard.tables import readable
from dashboard.units import UNKNOWN


def test_durations_have_a_unit_that_fits_each() -> None:
    """And stay numbers, by which a column is sorted; what is unknown stays empty."""
    rows: list[dict[str, Any]] = [
        {"name": "a", "p99_ms": 9728.6, "delta_ms": 1.25},
        {"name": "b", "p99_ms": None, "delta_ms": -1.25},
    ]
    table = readable(rows, ["name", "p99_ms", "delta_ms", "error_rate"], signed=["delta_ms"])
    shown = table._translate(False, False)["body"]
    cells = [[cell["display_value"] for cell in row if cell["type"] == "td"] for row in shown]
    assert [row[:3] for row in cells] == [["a", "9.73 s", "+1.25 ms"], ["b", UNKNOWN, "-1.25 ms"]]
    assert table.data["p99_ms"].tolist()[0] == 9728.6


def test_no_rows_no_table() -> None:
    """But its columns."""
    assert list(readable([], ["name", "p99_ms"]).data.columns) == ["name", "p99_ms"]


def test_what_chance_explains_is_no_change() -> None:
    """By the noise that the answer tells; a service whose error rate moved is there all the same."""
    same = {"error_rate_before": 0.0, "error_rate_after": 0.0}
    rows = [
        {"name": "slower", "delta_ms": 9.0, "noise_ms": 2.0} | same,
        {"name": "noise", "delta_ms": -1.5, "noise_ms": 2.0} | same,
        {"name": "fails", "delta_ms": 0.0, "noise_ms": 2.0, "error_rate_before": 0.0, "error_rate_after": 0.2},
        {"name": "new", "delta_ms": 1.0, "noise_ms": 2.0, "error_rate_before": None, "error_rate_after": 0.2},
    ]
    assert [row["name"] for row in beyond_noise(rows)] == ["slower", "fails"]
