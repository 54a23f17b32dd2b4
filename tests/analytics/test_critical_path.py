"""Every nanosecond of a trace has exactly one span that it waited for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.critical_path import CriticalPath, critical_path, newest_first
from analytics.forest import build_forest
from analytics.schema import AFTER, BEFORE, BETWEEN, SECTIONS, WHOLE, empty
from analytics.self_time import self_time
from analytics.skew import correct_skew
from tests.analytics import oracle
from tests.analytics.frames import FORESTS, PATIENT, forest_of, resource_frame, span_columns
from tests.analytics.oracle import CONSUMER, INTERNAL, PRODUCER, SERVER, Span

if TYPE_CHECKING:
    from analytics.forest import Forest


def tree(*children: tuple[int, int], root: tuple[int, int] = (0, 100)) -> list[Span]:
    """Return a root with children of these intervals, whose ids count from 2."""
    spans = [Span(1, 1, None, 0, SERVER, root[0], root[1] - root[0])]
    return spans + [Span(1, place + 2, 1, 0, INTERNAL, b, e - b) for place, (b, e) in enumerate(children)]


def sections_of(forest: Forest, path: CriticalPath) -> list[tuple[int, int, int]]:
    """Return (span id, begin, end), newest first."""
    rows = newest_first(path.sections).select("span", "begin_unix_nano", "end_unix_nano").rows()
    return [(int(forest.span_id[span]), begin, end) for span, begin, end in rows]


def walk(spans: list[Span], tolerance: float = 0.0) -> list[tuple[int, int, int]]:
    """Return the sections of spans."""
    forest = forest_of(spans)
    return sections_of(forest, critical_path(forest, tolerance))


@PATIENT
@pytest.mark.parametrize("corrected", [False, True])
@given(spans=FORESTS, tolerance=st.sampled_from([0.0, 0.0, 0.05, 0.3]))
def test_sections_are_the_oracles_and_add_up_to_the_root(
    spans: list[Span], tolerance: float, *, corrected: bool
) -> None:
    """They follow each other without a gap from the root's end to its start."""
    forest = forest_of(spans)
    expected = oracle.trees(spans)
    if corrected:
        forest, _ = correct_skew(forest)
        oracle.correct_skew(expected)
    path = critical_path(forest, tolerance)
    place = {s: row for row, s in enumerate(expected)}
    for row, trace in enumerate(sorted({s.trace for s in spans})):
        root = oracle.root_of(expected, trace)
        sections = newest_first(path.sections.filter(trace=row)).select("span", "begin_unix_nano", "end_unix_nano")
        walked = oracle.critical_path(root, tolerance) if root else []
        assert sections.rows() == [(place[s], begin, end) for s, begin, end in walked]
        if root:
            bounds = [root.end, *(b for _, b, _ in walked)]
            assert [e for _, _, e in walked] == bounds[:-1]
            assert bounds[-1] == root.begin or not root.duration
            assert sum(e - b for _, b, e in walked) == root.duration


@PATIENT
@given(FORESTS)
def test_self_time_is_what_no_child_covers(spans: list[Span]) -> None:
    """Overlapping and overflowing children count once and only inside."""
    expected = oracle.trees(spans)
    assert self_time(forest_of(spans)).tolist() == [oracle.self_time(s) for s in expected]


def test_siblings_that_touch_are_sequential_and_those_that_overlap_are_not() -> None:
    """The end of one is the start of the next."""
    assert walk(tree((10, 40), (40, 70))) == [(1, 70, 100), (3, 40, 70), (2, 10, 40), (1, 0, 10)]
    assert walk(tree((10, 40), (20, 45), (40, 70))) == [(1, 70, 100), (4, 40, 70), (2, 10, 40), (1, 0, 10)]
    assert walk(tree((10, 41), (40, 70))) == [(1, 70, 100), (3, 40, 70), (1, 0, 40)]


def test_ties_go_to_the_later_start_and_then_to_the_smaller_id() -> None:
    """Of two that end together the later one was waited for."""
    assert walk(tree((10, 40), (20, 40))) == [(1, 40, 100), (3, 20, 40), (1, 0, 20)]
    assert walk(tree((10, 40), (10, 40))) == [(1, 40, 100), (2, 10, 40), (1, 0, 10)]


def test_overflow_is_cut_to_the_parent_and_to_the_parents_parent() -> None:
    """What is cut ties with its siblings at the new end, so that the later start wins."""
    assert walk(tree((50, 200), (60, 150))) == [(3, 60, 100), (1, 0, 60)]
    nested = [*tree((50, 200)), Span(1, 3, 2, 0, INTERNAL, 60, 130), Span(1, 4, 2, 0, INTERNAL, 70, 50)]
    assert walk(nested) == [(4, 70, 100), (2, 50, 70), (1, 0, 50)]


def test_what_lies_outside_its_parent_is_off_the_path_with_all_below_it() -> None:
    """Before it, after it, and just at its edges."""
    spans = [*tree((100, 150), (-20, 0), root=(0, 100)), Span(1, 9, 2, 0, INTERNAL, 20, 30)]
    for span in spans:
        span.start += 1000
    assert walk(spans) == [(1, 1000, 1100)]


def test_a_message_does_not_block_and_spans_without_length_do_not_matter() -> None:
    """A PRODUCER does not wait for its CONSUMER, though it may for other children."""
    spans = tree((10, 60), (20, 20))
    spans[1].kind = PRODUCER
    spans += [Span(1, 5, 2, 1, CONSUMER, 20, 10), Span(1, 6, 2, 0, INTERNAL, 30, 5)]
    assert walk(spans) == [(1, 60, 100), (2, 35, 60), (6, 30, 35), (2, 10, 30), (1, 0, 10)]


def test_tolerated_overlap_is_the_later_siblings() -> None:
    """Up to a share of the parent's duration, which the sections still cover exactly."""
    assert walk(tree((10, 42), (40, 70)), 0.02) == [(1, 70, 100), (3, 40, 70), (2, 10, 40), (1, 0, 10)]
    assert walk(tree((10, 43), (40, 70)), 0.02) == [(1, 70, 100), (3, 40, 70), (1, 0, 40)]


def test_tolerance_does_not_turn_back_to_a_sibling_inside_the_one_just_walked() -> None:
    """It would end within the tolerance, but it starts no earlier."""
    expected = [(1, 70, 100), (3, 40, 70), (2, 10, 40), (1, 0, 10)]
    assert walk(tree((10, 41), (40, 70), (40, 42), (41, 42)), 0.02) == expected


def test_parts_tell_where_a_section_lies_among_the_children() -> None:
    """Before the first, between, after the last, or without any."""
    path = critical_path(forest_of(tree((10, 40), (50, 70))))
    parts = newest_first(path.sections)["part"].to_list()
    assert parts == [AFTER, WHOLE, BETWEEN, WHOLE, BEFORE]


def test_traces_without_one_root_have_no_path() -> None:
    """Neither fragments nor several roots."""
    forest = forest_of(
        [Span(1, 1, 9, 0, SERVER, 0, 10), Span(2, 1, None, 0, SERVER, 0, 10), Span(2, 2, None, 0, 2, 0, 5)]
    )
    assert critical_path(forest).sections.equals(empty(SECTIONS))


def test_no_spans_have_no_path() -> None:
    """Neither fails."""
    forest = forest_of([])
    assert critical_path(forest).sections.equals(empty(SECTIONS))
    assert self_time(forest).tolist() == []


@pytest.mark.parametrize("shape", ["chain", "sequence", "nested siblings", "tree"])
def test_large_traces_take_under_two_seconds(shape: str) -> None:
    """A chain 10,000 deep; 100,000 spans one after another, all around each other, and as a tree."""
    count = 10_000 if shape == "chain" else 100_000
    place = np.arange(1, count)
    parent, start, end = {
        "chain": (place, place, 2 * count - place),
        "sequence": (np.ones_like(place), 10 * place, 10 * place + 10),
        "nested siblings": (np.ones_like(place), place, 2 * count - place),
        "tree": ((place + 1) // 2, place * 0 + 5, 10 * count - place),
    }[shape]
    spans = span_columns(
        span_id=[1, *(place + 1)],
        parent_span_id=[None, *parent],
        start_unix_nano=[0, *start],
        duration_ns=[20 * count, *(end - start)],
        kind=["client", "server"] * (count // 2),
    )
    began = time.process_time()
    forest, _ = correct_skew(build_forest(spans, resource_frame()))
    path = critical_path(forest)
    selfs = self_time(forest)
    assert time.process_time() - began < 2
    lengths = path.sections["end_unix_nano"] - path.sections["begin_unix_nano"]
    assert lengths.sum() == 20 * count
    assert selfs.min() >= 0
