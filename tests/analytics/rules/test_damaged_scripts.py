"""Rules about calls and data survive columns that are missing, null or mixed up, and say finite things of the rest."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import polars as pl
import pytest

from analytics.analysis import analyse
from analytics.findings import Subject, describe_finding
from analytics.rules import (
    async_candidate,
    chatty_call,
    distributed_lock,
    distributed_transaction,
    incomplete_saga,
    shared_database,
)
from analytics.schema import empty
from analytics.service_schema import RESOURCE_USE, SATURATION
from analytics.source import Traces
from tests.analytics.clean_scripts import clean_script
from tests.analytics.scripts import Ask, Sql, Work, script_traces, writes

MODULES = (chatty_call, shared_database, async_candidate, distributed_transaction, distributed_lock, incomplete_saga)
KEPT = ("trace_high", "trace_low", "span_id")


@cache
def smelly() -> Traces:
    """Traces in which every rule finds something."""
    ship = Ask("shipping", "POST /ship", (writes("parcel"), Ask("mail", "POST /mails", (writes("mail", 20),))))
    steps = (
        Sql("BEGIN"),
        Sql("SELECT pg_advisory_xact_lock(1)", 5),
        writes("stock"),
        ship,
        Sql("PREPARE TRANSACTION 'x'"),
    )
    locked = Ask("stock", "POST /take", (*steps, Sql("COMMIT PREPARED 'x'")))
    loop = Ask("catalog", "GET /list", tuple(Ask("prices", "GET /price", (Work(8),)) for _ in range(8)))
    refused = Ask("orders", "POST /orders", (locked, Ask("payment", "POST /pay", failed=True)), failed=True)
    return script_traces([*clean_script(1, 20), *[locked] * 21, *[loop] * 4, *[refused] * 6])


def damaged(spans: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Lose some columns, some values of others, and mix up a few; some seeds have no length or no tree."""
    chance = np.random.default_rng(seed)
    for name in (name for name in spans.columns if name not in KEPT):
        fate = chance.random()
        if fate < 0.15:
            spans = spans.with_columns(pl.lit(None).cast(spans[name].dtype).alias(name))
        elif fate < 0.4:
            lost = pl.Series(chance.random(spans.height) < 0.3)
            spans = spans.with_columns(pl.when(lost).then(None).otherwise(pl.col(name)).alias(name))
        elif fate < 0.5:
            spans = spans.with_columns(pl.col(name).shuffle(seed))
    if seed % 5 == 0:
        spans = spans.with_columns(duration_ns=pl.lit(0, pl.Int64))
    if seed % 7 == 0:
        spans = spans.with_columns(parent_span_id=pl.col("span_id"))
    return spans.head(1) if seed % 11 == 0 else spans


@pytest.mark.parametrize("seed", range(30))
def test_damaged_spans_are_survived(seed: int) -> None:
    """Every finding can be written down."""
    traces = smelly()
    spans = damaged(traces.spans, seed)
    if seed % 3 == 0:
        spans = spans.with_columns(pl.col("span_name", "db_system", "messaging_destination").cast(pl.String))
    analysed = analyse(Traces(spans, traces.resources, traces.links))
    subject = Subject(analysed, empty(RESOURCE_USE), empty(SATURATION))
    for module in MODULES:
        for finding in module.RULE.find(subject, module.RULE.limits()):
            json.dumps(describe_finding(finding), allow_nan=False)
            assert 0 <= finding.score <= 1
            assert all(isinstance(name, str) for name in finding.services)


def test_undamaged_they_all_find_something() -> None:
    """So that the test above tests."""
    traces = smelly()
    subject = Subject(analyse(traces), empty(RESOURCE_USE), empty(SATURATION))
    silent = [m.NAME for m in MODULES if not any(f.status == "found" for f in m.RULE.find(subject, m.RULE.limits()))]
    assert silent == []
