"""Clocks are corrected where calls show that they differ, and only there."""

from __future__ import annotations

import dataclasses

from hypothesis import given

from analytics.critical_path import critical_path
from analytics.skew import correct_skew
from tests.analytics import oracle
from tests.analytics.frames import FORESTS, PATIENT, forest_of
from tests.analytics.oracle import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Span


def calls(*gaps: tuple[int, int], skew: int = 0) -> list[Span]:
    """Return a root that calls another host once for each (request, response) gap; its clock is ahead by ``skew``."""
    spans = [Span(1, 1, None, 0, SERVER, 0, 1000 * len(gaps))]
    for place, (request, response) in enumerate(gaps):
        begin, ident = 1000 * place, 10 * place + 10
        spans.append(Span(1, ident, 1, 0, CLIENT, begin, 500))
        server = Span(1, ident + 1, ident, 1, SERVER, begin + request + skew, 500 - request - response, host=1)
        spans += [server, Span(1, ident + 2, ident + 1, 1, INTERNAL, server.start + 10, 5, host=1)]
    return spans


@PATIENT
@given(FORESTS)
def test_starts_are_the_oracles(spans: list[Span]) -> None:
    """Every corrected start agrees, and traces are flagged exactly when a start in them moved."""
    forest, skew = correct_skew(forest_of(spans))
    expected = oracle.trees(spans)
    oracle.correct_skew(expected)
    assert forest.start.tolist() == [s.begin for s in expected]
    moved = [any(s.shift for s in expected if s.trace == trace) for trace in sorted({s.trace for s in spans})]
    assert skew.adjusted.tolist() == moved


def test_clocks_that_agree_are_left_alone() -> None:
    """A server span that fits its client proves no skew, however lopsided the gaps."""
    forest, skew = correct_skew(forest_of(calls((1, 90), (2, 80))))
    assert skew.adjusted.tolist() == [False]
    assert skew.offsets["offset_ns"].to_list() == [0]
    assert forest.start.tolist() == forest_of(calls((1, 90), (2, 80))).start.tolist()


def test_no_offset_is_needed_when_a_server_starts_or_ends_with_its_client() -> None:
    """The bounds themselves fit."""
    for gap in ((0, 90), (90, 0)):
        assert not correct_skew(forest_of(calls(gap)))[1].adjusted.any()


def test_the_offset_is_the_middle_of_what_suits_all_calls_and_moves_descendants_along() -> None:
    """The tightest request and the tightest response bound it."""
    forest, skew = correct_skew(forest_of(calls((5, 90), (80, 7), skew=100_000)))
    hosts = forest.origins.hosts
    named = skew.offsets.with_columns(
        *(hosts.gather(skew.offsets[name]).alias(name) for name in ("caller_host", "callee_host"))
    )
    assert named.rows() == [("h0", "h1", 0, 2, -99_999)]
    assert skew.adjusted.tolist() == [True]
    expected = calls((5, 90), (80, 7), skew=1)
    assert forest.start.tolist() == [s.start for s in sorted(expected, key=lambda s: s.id)]


def test_a_call_that_outlived_its_client_does_not_spoil_the_offset() -> None:
    """A timed-out call is longer than its client and fits nowhere."""
    spans = calls((5, 90), (80, 7), (10, -400), skew=100_000)
    _, skew = correct_skew(forest_of(spans))
    assert skew.offsets["offset_ns"].to_list() == [-99_999]


def test_an_asynchronous_child_on_another_host_is_never_moved() -> None:
    """A message may be consumed whenever."""
    spans = [
        Span(1, 1, None, 0, PRODUCER, 0, 10),
        Span(1, 2, 1, 1, CONSUMER, 5000, 10, host=1),
        Span(1, 3, 2, 1, INTERNAL, 5001, 3, host=1),
    ]
    forest, skew = correct_skew(forest_of(spans))
    assert forest.start.tolist() == [0, 5000, 5001]
    assert not skew.adjusted.any()


def test_correction_brings_a_remote_subtree_back_onto_the_path() -> None:
    """Without it, a server whose clock is off lies outside its client."""
    forest = forest_of(calls((5, 5), skew=100_000))
    assert critical_path(forest).on_path.tolist() == [True, True, False, False]
    assert critical_path(correct_skew(forest)[0]).on_path.all()


def test_offsets_are_estimated_for_each_minute() -> None:
    """A clock that drifts has another offset later."""
    later = [dataclasses.replace(s, trace=2, start=s.start + oracle.MINUTE) for s in calls((5, 5), skew=3000)]
    _, skew = correct_skew(forest_of(calls((5, 5), skew=1000) + later))
    assert skew.offsets["offset_ns"].to_list() == [-1000, -3000]
