"""A trace stands for as many as its sampler let pass unrecorded."""

from __future__ import annotations

import polars as pl
import pytest

from analytics.sampling import sampling_weight, trace_weights
from tests.analytics.frames import forest_of
from tests.analytics.oracle import INTERNAL, Span


@pytest.mark.parametrize(
    ("state", "weight"),
    [
        ("ot=th:c", 4.0),
        ("ot=th:8", 2.0),
        ("ot=th:0", 1.0),
        ("ot=th:fd70a4", 100.0000954),
        ("ot=th:ffffffffffffff", 2.0**56),
        ("ot=rv:ab;th:c;x:y", 4.0),
        ("vendor=1, ot=th:c ,other=th:8", 4.0),
        ("other=th:c", 1.0),
        ("foot=th:c", 1.0),
        ("ot=th:C", 1.0),
        ("ot=th:123456789abcdef", 1.0),
        ("ot=oth:c", 1.0),
        ("", 1.0),
        (None, 1.0),
    ],
)
def test_weights_follow_the_threshold(state: str | None, weight: float) -> None:
    """Anything but a valid threshold of the ``ot`` vendor weighs 1."""
    assert sampling_weight(pl.Series([state], dtype=pl.String)).to_list() == [pytest.approx(weight, rel=1e-6)]


def test_a_trace_weighs_what_its_root_does() -> None:
    """Whatever other spans say; without one root it weighs 1."""
    spans = [Span(t, i, p, 0, INTERNAL, 0, 9) for t, i, p in ((1, 1, None), (1, 2, 1), (2, 1, 9), (3, 1, None))]
    forest = forest_of(spans, trace_state=["ot=th:c", "ot=th:8", "ot=th:8", None])
    assert trace_weights(forest).tolist() == [4.0, 1.0, 1.0]
    assert trace_weights(forest_of([])).tolist() == []
