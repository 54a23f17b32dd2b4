"""A simulated system behaves as queueing theory and its declaration say, and draws the same whatever goes wrong."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analytics.analysis import analyse
from analytics.resources import resource_minutes
from tests.analytics.systems.simulator import (
    Breaker,
    Call,
    Database,
    Delay,
    Endpoint,
    Failing,
    Fault,
    HeldLock,
    Inside,
    LongTransaction,
    Maybe,
    Parallel,
    Query,
    Repeat,
    Run,
    Send,
    Service,
    Slow,
    SlowDatabase,
    Starve,
    Step,
    Steps,
    System,
    Time,
    Transaction,
    Work,
    simulate,
)

ID = ["trace_low", "span_id"]
SHOP = System(
    services=(
        Service(
            "web",
            {
                "GET /": (
                    Work(Time(2, 0.5)),
                    Parallel(((Call("cart", "GET /cart"),), (Work(Time(1)), Call("stock", "stock.Get")))),
                    Maybe(0.5, (Inside("render", (Work(Time(1, 0.3), cpu=False),)),)),
                    Send("orders", (("mail", "mail order"), ("stock", "count"))),
                )
            },
            workers=8,
            cores=1,
        ),
        Service(
            "cart", {"GET /cart": (Repeat(3, (Query("carts", Time(2, 0.4), "SELECT * FROM cart", "cart"),)),)},
            instances=2, connections=3, deploys=((5.0, "2.0.0"),),
        ),
        Service(
            "stock", {"stock.Get": (Transaction("carts", "row", (Work(Time(1)),)),), "count": (Work(Time(1)),)},
            workers=4, cores=1, protocol="grpc",
        ),
        Service("mail", {"mail order": (Work(Time(5, 0.2)),)}),
    ),
    databases=(Database("carts", capacity=8),),
    endpoints=(Endpoint("web", "GET /", levels=((10.0, 20.0),)),),
)  # fmt: skip
FAULTS: list[Fault] = [
    Slow(service="cart", ms=30),
    Starve(service="web", factor=3),
    Delay(callee="stock", ms=20),
    SlowDatabase(database="carts", factor=3),
    LongTransaction(service="stock", ms=10),
    HeldLock(database="carts", lock="row", hold_ms=100, every_ms=300),
    Failing(service="cart", share=0.5),
]


def one_service(*steps: Step, rate: float = 50.0, seconds: float = 20.0, **service: int) -> System:
    """A system of one service, and a second one that does nothing."""
    return System(
        services=(
            Service("one", {"GET /": steps}, io=Time(0), **service),  # type: ignore[arg-type]
            Service("two", {"GET /two": (Work(Time(1)),)}, io=Time(0)),
        ),
        endpoints=(Endpoint("one", "GET /", levels=((seconds, rate),)),),
    )


def spans(run: Run, *columns: str) -> pl.DataFrame:
    """Columns of the spans in the order of their ids."""
    return run.traces.spans.sort(ID).select(*ID, *columns)


def durations(run: Run, kind: str) -> list[int]:
    """The durations of the spans of a kind in milliseconds, rounded."""
    found = run.traces.spans.filter(pl.col("kind") == kind)["duration_ns"]
    return [round(ns / 1e6) for ns in found]


def test_the_same_seed_gives_the_same_run() -> None:
    """Spans, resources, links and points; another seed gives others."""
    first, second, other = (simulate(SHOP, seed=seed) for seed in (1, 1, 2))
    for name in ("spans", "resources", "links"):
        assert_frame_equal(getattr(first.traces, name), getattr(second.traces, name))
    assert_frame_equal(first.metrics, second.metrics)
    assert not first.traces.spans.equals(other.traces.spans)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_what_goes_wrong_leaves_all_draws_alone(fault: Fault) -> None:
    """Spans have the same ids, parents and instances; one that fails early leaves some out."""
    before, after = simulate(SHOP, seed=3), simulate(SHOP, seed=3, faults=(fault,))
    columns = ["parent_span_id", "kind", "span_name"]
    here, there = spans(before, *columns), spans(after, *columns)
    assert_frame_equal(there, here.join(there, on=ID, how="semi"))
    assert isinstance(fault, Failing) or here.height == there.height
    assert not spans(before, "duration_ns").equals(spans(after, "duration_ns"))


def test_without_queueing_only_the_slow_one_is_slower() -> None:
    """Its spans by exactly as much, those around it by as much as they waited for it, all others not at all."""
    before, after = (
        simulate(SHOP, seed=4, queueing=False, faults=faults) for faults in ((), (Slow(service="cart", ms=30),))
    )
    columns = ["duration_ns", "span_name", "kind"]
    both = spans(before, *columns).join(spans(after, "duration_ns"), on=ID)
    grown = both.with_columns(by=(pl.col("duration_ns_right") - pl.col("duration_ns")) / 1e6)
    by = {key: set(rows["by"]) for key, rows in grown.group_by("span_name", "kind")}
    assert by.pop(("GET /cart", "server")) == by.pop(("GET /cart", "client")) == {30.0}
    assert 20 < min(by.pop(("GET /", "server"))) <= 30
    assert all(growth == {0.0} for growth in by.values())


def test_work_in_a_queue_waits_as_theory_says() -> None:
    """M/D/1: the mean wait is u / (2 (1 - u)) of the service time; the processor is used to u = 0.8."""
    run = simulate(one_service(Work(Time(8)), rate=100, seconds=300, cores=1), seed=5)
    mean = pl.Series(run.traces.spans["duration_ns"]).mean()
    assert isinstance(mean, float)
    assert mean / 1e6 == pytest.approx(8 * (1 + 2), rel=0.1)


def test_a_timed_out_call_is_outlived_by_its_server() -> None:
    """The client gives up and tries again; each time the server goes on working, and the caller fails."""
    calling = one_service(Call("two", "GET /two", timeout_ms=10, retries=1), rate=5)
    run = simulate(calling, seed=6, faults=(Slow(service="two", ms=99),))
    assert set(durations(run, "client")) == {10}
    assert set(durations(run, "server")) == {20, 100}
    failed = run.traces.spans.filter(pl.col("status") == "error")
    assert set(failed["error_type"].cast(pl.String)) == {"timeout"}
    assert run.traces.spans["resend_count"].drop_nulls().to_list() == [1] * run.traces.spans["trace_low"].n_unique()


def test_an_open_breaker_forbids_calls() -> None:
    """It opens when enough failed, and then calls fail at once without reaching the callee, for as long as it is open.

    Ten failures open it for a second, in which some fifty calls come.
    """
    calling = one_service(Call("two", "GET /two", breaker=Breaker(calls=10, open_ms=1_000)))
    run = simulate(calling, seed=7, faults=(Failing(service="two", share=1.0),))
    errors = run.traces.spans.filter(pl.col("kind") == "client")["error_type"].cast(pl.String).value_counts()
    count = dict(errors.iter_rows())
    assert count["CallNotPermitted"] > 3 * count["500"] > 0


def test_the_analysis_sees_the_system_that_was_declared() -> None:
    """Its edges with their modes and protocols, nothing else; traces are whole."""
    analysed = analyse(simulate(SHOP, seed=8).traces)
    edges = analysed.edges.select("caller", "callee", "mode", "protocol").rows()
    assert sorted(edges) == [
        ("cart", "postgresql carts-host/carts", "sync", "postgresql"),
        ("orders", "mail", "async", "kafka"),
        ("orders", "stock", "async", "kafka"),
        ("stock", "postgresql carts-host/carts", "sync", "postgresql"),
        ("user", "web", "sync", "http"),
        ("web", "cart", "sync", "http"),
        ("web", "orders", "async", "kafka"),
        ("web", "stock", "sync", "grpc"),
    ]
    assert analysed.forest.traces["complete"].all()


def test_metrics_tell_how_full_what_is_bounded_got() -> None:
    """Processors, threads and connections; a starved service's processors are fuller."""
    calm, starved = (resource_minutes(simulate(SHOP, seed=9, faults=f).metrics) for f in ((), (FAULTS[1],)))
    rows = calm.select("service", "resource").unique().sort("service", "resource").rows()
    assert rows == [("cart", "db_pool"), ("stock", "cpu"), ("stock", "threads"), ("web", "cpu"), ("web", "threads")]
    cpu = (pl.col("service") == "web") & (pl.col("resource") == "cpu")
    assert starved.filter(cpu)["utilisation"][0] > 2 * calm.filter(cpu)["utilisation"][0]


def test_load_and_versions_change_in_time() -> None:
    """As declared: requests by level, and what runs by when a request begins."""
    steps: dict[str, Steps] = {"GET /": (Work(Time(1)),)}
    system = System(
        services=(Service("one", steps, shares=(3.0, 1.0), instances=2, deploys=((10.0, "2"),)),),
        endpoints=(Endpoint("one", "GET /", levels=((10.0, 100.0), (10.0, 0.0), (10.0, 300.0))),),
    )
    traces = simulate(system, seed=10).traces
    named = traces.spans.join(traces.resources, on="resource")
    start = pl.Series((named["start_unix_nano"] - named["start_unix_nano"].min()) / 1e9)
    assert named.filter((start > 10.1) & (start < 19)).is_empty()
    assert set(named.filter(start < 9)["version"]) == {"1.0.0"}
    assert set(named.filter(start > 15)["version"]) == {"2"}
    counts = named.filter(start < 11).height, named.filter(start > 15).height
    assert counts[0] == pytest.approx(1000, rel=0.15)
    assert counts[1] == pytest.approx(3000, rel=0.1)
    assert named.filter(pl.col("instance") == "one-0").height / named.height == pytest.approx(0.75, abs=0.03)
