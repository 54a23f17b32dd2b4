"""Answers for an assistant are bounded and say what they leave out, whatever telemetry holds."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from analytics.assistant.change_answers import diff_answer, simulation_answer
from analytics.assistant.report_answer import report_answer
from analytics.assistant.rows_answer import rows_answer
from analytics.assistant.short import MOST_LETTERS, bounded, clipped, joined
from analytics.assistant.trace_answer import trace_answer

NOTHING: dict[str, Any] = {"environment": "", "traces": 0, "spans": 0, "from": None, "to": None}


@given(st.text(), st.integers(1, 50))
def test_a_clipped_text_is_a_line_of_so_many_letters(text: str, most: int) -> None:
    """And what fits is the text itself, but for its spaces and what cannot be printed."""
    line = clipped(text, most)
    assert len(line) <= most
    assert line.isprintable()
    words = " ".join(text.split())
    if len(words) <= most and words.isprintable():
        assert line == words


@given(st.lists(st.text("ab", max_size=3)), st.integers(1, 5))
def test_bounded_lines_and_those_left_out_are_all(lines: list[str], most: int) -> None:
    """Nothing at all is said of no lines."""
    told = bounded("title", lines, most, "remedy")
    if not lines:
        assert told == []
    elif len(lines) <= most:
        assert told == ["title", *lines]
    else:
        assert told == ["title", *lines[:most], f"({len(lines) - most} more: remedy)"]


@given(st.lists(st.text("ab ", max_size=400), max_size=200))
def test_an_answer_has_a_bound_and_counts_the_lines_left_out(lines: list[str]) -> None:
    """Whole lines, from the first on."""
    text = joined(lines, "remedy")
    assert len(text) <= MOST_LETTERS
    whole = "\n".join(lines)
    if len(whole) <= MOST_LETTERS:
        assert text == whole
    else:
        *kept, end = text.split("\n")
        left = len(lines) - len(kept)
        assert (kept, end) == (
            lines[: len(kept)],
            f"({left:,} more lines, left out since the answer would be too long: remedy)",
        )


def test_one_endless_line_is_cut_too() -> None:
    """Where no line fits."""
    assert len(joined(["x" * 100_000], "remedy")) <= MOST_LETTERS


def test_rows_of_any_size_fit_an_answer() -> None:
    """Many columns of long values, in lines that a value cannot break."""
    wide = pa.table({f"c{number}": ["line\n\x1b[31m" + "x" * 1000] * 200 for number in range(40)})
    text = rows_answer(wide, 200)
    assert len(text) <= MOST_LETTERS
    assert "\x1b" not in text
    assert text.startswith("c0 | c1 | ")


def test_no_rows_have_their_columns() -> None:
    """So that an assistant learns them."""
    assert (
        rows_answer(pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())}), 5) == "a | b\n(0 rows)"
    )


def test_nothing_stored_is_said_in_words() -> None:
    """No traces in the window, or on a side."""
    empty = {"window": {**NOTHING}, "environment": "", "environments": []}
    nothing = "There are no traces in this window: widen it with since, from or to, or send some."
    assert [report_answer(empty, "summary", 5), simulation_answer(empty, 5)] == [nothing] * 2
    assert diff_answer({"before": NOTHING, "after": NOTHING}, 5) == (
        "before: environment without a name, 0 traces\nafter: environment without a name, 0 traces\n"
        "There are no traces before and none after: give a side that has some."
    )


def _span(number: int, **fields: Any) -> dict[str, Any]:
    span = {"span_id": f"{number:016x}", "parent_span_id": None, "service": None, "name": "", "status": "unset"}
    return {**span, "start_unix_nano": 0, "duration_ns": 0, **fields}


def test_a_trace_without_times_names_and_path_is_told() -> None:
    """One span of nothing, and a chain deeper than anybody indents."""
    trace = {"trace_id": "ab", "complete": False, "skew_adjusted": False, "critical_path": []}
    assert trace_answer({**trace, "spans": [_span(1)]}, 5) == (
        "trace ab: 0 ns, 1 span, 1 service, incomplete: a parent or the root is missing\n"
        "Spans: duration, and their part of the critical path\n?  0 ns"
    )
    chain = [_span(at, parent_span_id=f"{at - 1:016x}" if at else None, name="\x1b[2J" * 99) for at in range(300)]
    text = trace_answer({**trace, "spans": chain}, 200)
    assert len(text) <= MOST_LETTERS
    assert "\x1b" not in text
