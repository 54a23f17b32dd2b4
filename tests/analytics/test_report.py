"""The report says what the contract promises, of whatever is stored."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from rich.console import Console

from analytics.rules import RULES
from analytics.service import TraceAnalysis
from analytics.source import read_traces
from analytics.text import bar, markdown, print_report
from collector.decode.decoder import concatenate
from collector.errors import ConfigurationError, NoTracesError
from collector.position import LogPosition
from collector.store.protocol import TraceWindow
from tests.collector.store.telemetry import START_NS, decoded, set_attributes, spans

if TYPE_CHECKING:
    from collector.batch import Batch
    from collector.store.protocol import Store

MS = 10**6
SERVICE_KEYS = {
    *("name", "type", "calls", "error_rate", "p50_ms", "p95_ms", "p99_ms", "self_time_ms", "critical_path_ms"),
    *("critical_path_share", "tail_critical_path_share", "tail_excess_ms", "blast_radius", "fan_in", "fan_out"),
    *("instability", "concurrency", "saturation", "saturation_source"),
}
EDGE_KEYS = {
    *("caller", "callee", "mode", "protocol", "calls", "calls_per_trace", "error_rate", "p99_ms", "gap_ms"),
    *("critical_path_share", "failure_propagation", "retry_amplification"),
}


def request(number: int, service_ms: int, database_ms: int, environment: str = "live") -> Batch:
    """One request of a service that asks its database and then works on."""
    ids = {"trace_id": number.to_bytes(16)}
    start = START_NS + number * 1000 * MS
    asked = start + database_ms * MS
    root = {"name": "GET /", "kind": 2, "start_time_unix_nano": start, "end_time_unix_nano": asked + service_ms * MS}
    leaf = {"kind": 3, "parent_span_id": (1).to_bytes(8), "start_time_unix_nano": start, "end_time_unix_nano": asked}
    leaf |= {"attributes": {"db.system.name": "sqlite", "db.namespace": "main"}}
    return spans(ids | root, ids | leaf, resource={"service.name": "shop", "deployment.environment.name": environment})


def fill(store: Store, *batches: Batch) -> None:
    """Append batches."""
    store.append(concatenate(batches), LogPosition(1, 1))


def asked(store: Store, **options: str) -> dict[str, Any]:
    """The report."""
    return TraceAnalysis().report(store, options)


def printed(report: dict[str, Any], *, every: bool = False) -> str:
    """The report as text."""
    console = Console(file=io.StringIO(), width=100, color_system=None)
    print_report(report, console, every=every)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def test_contributions_add_up_to_the_mean(store: Store) -> None:
    """Service and database, each with its share of the latency."""
    fill(store, *(request(number, service_ms=10, database_ms=number) for number in range(1, 40)))
    (endpoint,) = asked(store)["endpoints"]
    shares = {part["node"]: part["critical_path_ms"] for part in endpoint["contributions"]}
    assert shares == pytest.approx({"shop": 10, "sqlite main": 20})
    assert endpoint["mean_ms"] == pytest.approx(30)
    assert {key: endpoint[key] for key in ("service", "operation", "traces", "error_rate", "p50_ms")} == {
        "service": "shop",
        "operation": "GET /",
        "traces": 39,
        "error_rate": 0,
        "p50_ms": 30,
    }


def test_the_fullest_resource_is_told(store: Store) -> None:
    """Of the service's own environment, from its metrics."""
    metrics = ExportMetricsServiceRequest()
    for environment, used in (("live", 9), ("test", 1)):
        level = metrics.resource_metrics.add()
        set_attributes(level.resource.attributes, {"service.name": "shop", "deployment.environment.name": environment})
        for name, value in (("db.client.connection.count", used), ("db.client.connection.max", 10)):
            metric = level.scope_metrics.add().metrics.add(name=name)
            point = metric.gauge.data_points.add(time_unix_nano=START_NS, as_int=value)
            set_attributes(point.attributes, {"db.client.connection.state": "used"} if value == used else {})
    fill(store, request(1, 10, 5), decoded(metrics))
    report = asked(store, env="live")
    (shop,) = (row for row in report["services"] if row["name"] == "shop")
    assert shop["saturation"] == pytest.approx(0.9)
    assert shop["saturation_source"].startswith("db_pool: db.client.connection.count")
    assert "90 % db_pool" in printed(report)


def test_environments_are_never_mixed(store: Store) -> None:
    """Without one the report is of that with most traces, and says which others there are."""
    fill(store, request(1, 10, 5), request(2, 10, 5), request(3, 70, 5, "test"))
    report = asked(store)
    assert (report["environment"], report["environments"]) == ("live", ["live", "test"])
    assert report["window"]["traces"] == 2
    other = asked(store, env="test")
    assert [endpoint["mean_ms"] for endpoint in other["endpoints"]] == [75]
    with pytest.raises(ConfigurationError, match=r"'prod': give one of live, test with --env"):
        asked(store, env="prod")
    with pytest.raises(NoTracesError, match=r"test has no trace in this window, its newest is of 20.*Z: widen"):
        asked(store, env="test", to="1")


def test_a_window_has_the_traces_that_start_in_it(store: Store) -> None:
    """In words as on the command line."""
    fill(store, *(request(number, 10, 5) for number in range(1, 10)))
    window = {"from": f"{START_NS // 10**9 + 3}", "to": f"{START_NS // 10**9 + 5}"}
    assert asked(store, **window)["window"] == {
        "from": START_NS + 3000 * MS,
        "to": START_NS + 4015 * MS,
        "traces": 2,
        "spans": 4,
        "incomplete_traces": 0,
        "sampled": False,
        "settled_through": None,
    }
    assert asked(store, since="1s")["window"]["traces"] in (0, 9)  # the traces may lie in the future


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"since": "soon"}, "--since: 'soon' is not a duration"),
        ({"since": "1h", "from": "0"}, "either --since or --from and --to"),
        ({"from": "5", "to": "5"}, "--from must come before --to"),
        ({"to": "tomorrow"}, "--to: 'tomorrow' is not a time"),
        ({"services": "a"}, "services is no option of a report"),
        ({"endpoint": "shop GET /x"}, 'no endpoint .*: give one of "shop GET /"'),
    ],
)
def test_a_wrong_option_is_told(store: Store, options: dict[str, str], message: str) -> None:
    """In a sentence with the remedy."""
    fill(store, request(1, 10, 5))
    with pytest.raises(ConfigurationError, match=message):
        asked(store, **options)


def test_an_empty_store_is_answered_in_words(store: Store) -> None:
    """And with the keys of the contract."""
    report = asked(store)
    assert report["endpoints"] == report["services"] == report["edges"] == []
    assert [found["title"] for found in report["findings"]] == ["Unknown: there are no traces"] * len(RULES)
    assert printed(report) == "There are no traces in this window: widen it, or send some."


@pytest.mark.parametrize(
    "rows", [[{}], [{}, {"kind": 3}], [{"parent_span_id": b"\7" * 8}], [{"end_time_unix_nano": 0}]]
)
def test_any_spans_are_answered(store: Store, rows: list[dict[str, Any]]) -> None:
    """One span, several roots, none, one that ends before it starts: no traceback and no NaN."""
    fill(store, spans(*rows, resource={}))
    report = asked(store)
    assert report["window"]["traces"] == 1
    assert "nan" not in printed(report).lower() + markdown(report).lower()


def test_the_report_is_a_picture(store: Store) -> None:
    """The findings first; then what takes most is on top, with its share as a bar."""
    fill(store, *(request(number, service_ms=10, database_ms=number) for number in range(1, 40)))
    lines = printed(asked(store)).splitlines()
    begin = ["Coupling index unknown: it takes a second service: there is one", "", "No rule found anything."]
    assert lines[2:5] == begin
    assert lines[5].startswith("Not judged: ")
    assert lines[lines.index("", 5) + 1 :] == [
        "If one of these took 200 ms more for each request",
        "             requests slower  p99 grows by  endpoint",
        "sqlite main            100 %       unknown  shop GET /",
        "",
        (
            "shop GET /  39 traces  mean 30 ms  p50 30 ms  p95 47.1 ms  p99 unknown below 100 traces"
            "  tail uncertain: fewer than 30 requests are in it"
        ),
        "                mean  share                  more in the tail",
        "sqlite main  20.0 ms   67 %  █████████████▍          +18.5 ms",
        "shop         10.0 ms   33 %  ██████▋                   0.0 ms",
        "mean: what a request waits for it, or it works for the request; they add up to the endpoint's mean",
        "more in the tail: than in the middle; the mean of the slowest twentieth less that of the middle fifth",
        "",
        "Services",
        "             calls  errors  p99  latency  fullest resource  needed by  tail",
        "sqlite main     39                  67 %                        100 %  79 %",
        "shop            39                  33 %                        100 %  21 %",
        "latency: its share of the time that requests take",
        "needed by: share of the requests that wait for it",
        "tail: its share of the time of the slowest twentieth",
        "",
        "Edges",
        "                     protocol  calls  a trace  errors  p99  network+queue",
        "shop -> sqlite main  sqlite       39      1.0",
        "a trace: calls in a trace in which the caller takes part",
    ]


def test_errors_say_whose_they_are(store: Store) -> None:
    """A refusal failed for its caller and not for the service: tables in which rates differ say why."""
    ids, times = {"trace_id": (1).to_bytes(16)}, {"start_time_unix_nano": START_NS, "end_time_unix_nano": START_NS + MS}
    call = ids | times | {"span_id": (2).to_bytes(8), "kind": 3, "status": {"code": 2}}
    answer = ids | times | {"parent_span_id": (2).to_bytes(8), "kind": 2}
    fill(store, spans(call, resource={"service.name": "shop"}), spans(answer, resource={"service.name": "stock"}))
    report = asked(store)
    (edge,) = (row for row in report["edges"] if row["caller"] == "shop")
    (stock,) = (row for row in report["services"] if row["name"] == "stock")
    assert (edge["error_rate"], stock["error_rate"]) == (1.0, 0.0)
    services, edges = printed(report).split("\nServices\n")[1].split("\nEdges\n")
    assert "\nerrors: what failed for the caller: also refusals (4xx)" in edges
    assert "\nerrors: what it says itself has failed; a refusal (4xx) is none" in services
    fill(store, request(2, 10, 5, "calm"))
    assert "\nerrors: " not in printed(asked(store, env="calm"))


def test_all_means_the_rows_of_an_endpoint_too(store: Store) -> None:
    """Where the short report sums up what takes little, ``every`` row is there."""
    leaves = [
        {"name": f"ask {number}", "kind": 3, "attributes": {"db.system.name": "sqlite", "db.namespace": f"db{number}"}}
        for number in range(12)
    ]
    ids, second = {"trace_id": (1).to_bytes(16)}, 1000 * MS
    times = [{"start_time_unix_nano": START_NS + at * second, "end_time_unix_nano": START_NS + (at + 1) * second}
             for at in range(12)]  # fmt: skip
    root = {"kind": 2, "start_time_unix_nano": START_NS, "end_time_unix_nano": START_NS + 12 * second}
    below = [ids | leaf | time | {"parent_span_id": (1).to_bytes(8)} for leaf, time in zip(leaves, times, strict=True)]
    fill(store, spans(ids | root | {"name": "GET /"}, *below, resource={"service.name": "shop"}))
    short, full = (printed(asked(store), every=every).split("\nServices")[0] for every in (False, True))
    assert re.search(r"^\d+ more ", short, re.MULTILINE)
    assert not re.search(r"^\d+ more ", full, re.MULTILINE)
    assert all(f"\nsqlite db{number} " in full for number in range(12))


def test_services_and_edges_have_the_keys_of_the_contract(store: Store) -> None:
    """And what they say of a service and its database is right."""
    fill(store, *(request(number, service_ms=10, database_ms=number) for number in range(1, 40)))
    report = asked(store)
    services = {row["name"]: row for row in report["services"]}
    assert set(services) == {"shop", "sqlite main", "user"}
    assert services["shop"].keys() >= SERVICE_KEYS
    assert all(row.keys() >= EDGE_KEYS for row in report["edges"])
    shop = {key: services["shop"][key] for key in ("type", "calls", "error_rate", "fan_in", "fan_out", "blast_radius")}
    assert shop == {"type": "service", "calls": 39, "error_rate": 0, "fan_in": 0, "fan_out": 1, "blast_radius": 1}
    for name, expected in (("self_time_ms", 10), ("critical_path_ms", 10), ("critical_path_share", 1 / 3)):
        assert services["shop"][name] == pytest.approx(expected)
    edges = [(row["caller"], row["callee"], row["mode"], row["protocol"], row["calls"]) for row in report["edges"]]
    assert edges == [("user", "shop", "sync", None, 39), ("shop", "sqlite main", "sync", "sqlite", 39)]
    assert json.loads(json.dumps(report)) == report


def test_a_link_to_anything_is_no_hindrance(store: Store) -> None:
    """Senders may put any bytes there; the good ones beside them count."""
    ids = [{}, {"trace_id": b"\1" * 20, "span_id": b"\2" * 9}, {"trace_id": b"\3" * 16, "span_id": b"\4" * 8}]
    fill(store, spans({"links": ids}), request(2, 10, 5))
    assert read_traces(store, TraceWindow(0, 2**62)).links.height == 1
    assert len(asked(store)["environments"]) == 2


@pytest.mark.parametrize(("share", "drawn"), [(0, ""), (0.5, "██"), (1, "████"), (0.03125, "▏"), (7, "████")])
def test_a_bar_is_as_long_as_its_share(share: float, drawn: str) -> None:
    """To an eighth of a character."""
    assert bar(share, 4) == drawn
