"""Sampling: how many traces one recorded trace stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE

if TYPE_CHECKING:
    from analytics.arrays import Floats
    from analytics.forest import Forest

_THRESHOLD = r"(?:^|,)\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,\s]|$)"
_DIGITS = 14
_ALL = 1 << 56


def sampling_weight(trace_state: pl.Series) -> pl.Series:
    """Return 1/p for each W3C tracestate: p = (2^56 - T) / 2^56 where ``ot=th:`` gives T, right-padded to 14 digits.

    Null, and a state without a valid threshold, weigh 1. Source: OpenTelemetry's probability sampling specification.
    """
    digits = trace_state.cast(pl.String).str.extract(_THRESHOLD)
    threshold = digits.str.pad_end(_DIGITS, "0").str.to_integer(base=16, dtype=pl.Int64).fill_null(0)
    return (_ALL / (_ALL - threshold)).alias("weight")


def trace_weights(forest: Forest) -> Floats:
    """Return for each trace the weight of its root's tracestate, 1 for traces without one root."""
    roots = forest.trace_root
    weights = np.ones(len(roots))
    with_root = np.flatnonzero(roots != NONE)
    states = forest.column("trace_state", roots[with_root])
    if states.null_count() < len(states):
        weights[with_root] = sampling_weight(states).to_numpy()
    return weights
