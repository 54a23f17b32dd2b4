"""What a simulation answers, in JSON and in words, from a store and over the query API."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from rich.console import Console

from analytics.propagation_report import propagation_lines
from analytics.service import TraceAnalysis
from analytics.simulation_text import print_simulation
from collector.client import connect
from collector.decode.decoder import concatenate
from collector.errors import ConfigurationError, LithoscopeError
from collector.ingest.pipeline import Pipeline
from collector.position import LogPosition
from collector.query.api import create_app
from collector.web import WebServer
from tests.analytics.shop import shop_store
from tests.collector.store.telemetry import START_NS, spans

if TYPE_CHECKING:
    from collector.store.protocol import Store

MS = 10**6
CONTRACT = ("changes", "endpoints", "blast_radius", "amplification")
ENDPOINT = (
    *("service", "operation", "p50_before_ms", "p50_after_ms", "p99_before_ms", "p99_after_ms"),
    *("error_rate_before", "error_rate_after", "affected_share"),
)
NO_QUEUEING = "No queueing feedback: nobody gets busier, and pools, timeouts and retries behave as recorded."
_RADIUS = "Blast radius: 100 % of all requests. Amplification 1: the p99 of web GET /"
_ORDERS = "- A call waits for an earlier one of the same span unless a trace contradicts it"
_STAYS = "independently; it takes as long as recorded, and what failed on record stays failed"


class Request(NamedTuple):
    """The spans of one request by service, and the environment."""

    environment: str
    web: list[dict[str, Any]]
    stock: list[dict[str, Any]]


def request(number: int, stock_ms: int = 30, environment: str = "live", *, failed: bool = False) -> Request:
    """A request to web, which takes 10 ms, asks stock and takes another 10 ms."""
    start = START_NS + number * 1000 * MS
    status = {"status": {"code": 2}} if failed else {}

    def span(name: str, kind: int, place: int, begin: int, end: int) -> dict[str, Any]:
        parent = {"parent_span_id": (place - 1).to_bytes(8)} if place > 1 else {}
        times = {"start_time_unix_nano": start + begin * MS, "end_time_unix_nano": start + end * MS}
        ids = {"trace_id": number.to_bytes(16), "span_id": place.to_bytes(8)}
        return {"name": name, "kind": kind} | ids | times | parent | status

    end = 10 + stock_ms
    web = [span("GET /", 2, 1, 0, end + 10), span("GET /stock", 3, 2, 10, end)]
    return Request(environment, web, [span("GET /stock", 2, 3, 11, end - 1)])


def fill(store: Store, *requests: Request) -> None:
    """Append requests, a batch a service and environment."""
    batches = [
        spans(
            *(row for request in requests if request.environment == name for row in getattr(request, service)),
            resource={"service.name": service, "deployment.environment.name": name},
        )
        for name in sorted({request.environment for request in requests})
        for service in ("web", "stock")
    ]
    store.append(concatenate(batches), LogPosition(1, 1))


def fill_spans(store: Store, *rows: dict[str, Any], **resource: str) -> None:
    """Append any spans of one service."""
    named = {key.replace("_", "."): value for key, value in resource.items()} or None
    store.append(spans(*rows, resource=named), LogPosition(1, 1))


def fill_shop(store: Store, count: int = 120) -> None:
    """Requests to web that last 1 ms longer each."""
    fill(store, *(request(number, number + 2) for number in range(1, count + 1)))


def simulated(store: Store, **options: str | list[str]) -> dict[str, Any]:
    """The answer; ``async_`` stands for ``async``."""
    listed = {name.rstrip("_"): [value] if isinstance(value, str) else value for name, value in options.items()}
    return TraceAnalysis().simulate(store, listed)


def printed(answer: dict[str, Any], width: int = 100) -> list[str]:
    """The answer as text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_simulation(answer, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_slower_service_is_felt_by_its_caller(store: Store) -> None:
    """By all that was added, in every request."""
    fill_shop(store)
    answer = simulated(store, slow="stock=+200ms")
    assert tuple(key for key in answer if key in CONTRACT) == CONTRACT
    (endpoint,) = answer["endpoints"]
    assert {key: endpoint[key] for key in ENDPOINT} == {
        "service": "web",
        "operation": "GET /",
        "p50_before_ms": pytest.approx(82.5),
        "p50_after_ms": pytest.approx(282.5),
        "p99_before_ms": pytest.approx(140.81),
        "p99_after_ms": pytest.approx(340.81),
        "error_rate_before": 0,
        "error_rate_after": 0,
        "affected_share": 1,
    }
    assert answer["changes"] == [{"kind": "slow", "service": "stock", "delta_ms": 200}]
    assert (answer["blast_radius"], answer["amplification"]) == (1, pytest.approx(1))
    assert answer["assumptions"][0] == NO_QUEUEING
    assert json.loads(json.dumps(answer)) == answer


def test_nothing_added_changes_nothing(store: Store) -> None:
    """Identity, and no amplification of nothing."""
    fill_shop(store)
    answer = simulated(store, slow="stock=+0ms")
    (endpoint,) = answer["endpoints"]
    assert [endpoint[f"{name}_after_ms"] for name in ("p50", "p99")] == [
        endpoint[f"{name}_before_ms"] for name in ("p50", "p99")
    ]
    assert (answer["blast_radius"], answer["amplification"]) == (0, None)
    assert printed(answer)[4] == "No request is affected."


def test_changes_combine(store: Store) -> None:
    """Two services slower add up; a call that nobody waits for passes nothing on."""
    fill_shop(store)
    both = simulated(store, slow=["stock=+20ms", "web=+5ms"])
    assert both["endpoints"][0]["p50_after_ms"] == pytest.approx(82.5 + 25)
    handed = simulated(store, slow=["stock=+20ms", "web=+5ms"], async_="web->stock")
    assert handed["endpoints"][0]["p50_after_ms"] == pytest.approx(10 + 2 + 10 + 5)
    assert [change["kind"] for change in handed["changes"]] == ["slow", "slow", "async"]


def test_a_failing_service_fails_its_caller(store: Store) -> None:
    """A caller whose failures always climbed fails as often as its callee."""
    fill(store, *(request(number, failed=number % 4 == 0) for number in range(1, 121)))
    answer = simulated(store, fail="stock=40%")
    (endpoint,) = answer["endpoints"]
    assert (endpoint["error_rate_before"], endpoint["error_rate_after"]) == (0.25, pytest.approx(0.25 + 0.75 * 0.4))
    assert answer["blast_radius"] == pytest.approx(0.3)
    assert answer["amplification"] is None


def test_a_breaker_returns_what_failed_at_once(store: Store) -> None:
    """And what took far longer than healthy calls do, which then fails."""
    requests = [request(number, 3000 if number <= 5 else 30, failed=number % 4 == 0) for number in range(1, 121)]
    fill(store, *requests)
    answer = simulated(store, breaker="web->stock")
    (endpoint,) = answer["endpoints"]
    assert (endpoint["p99_before_ms"], endpoint["p99_after_ms"]) == (3020, 50)
    assert (endpoint["error_rate_before"], endpoint["error_rate_after"]) == (0.25, pytest.approx(34 / 120))
    assert answer["changes"][0]["thresholds_ms"] == {"GET /stock": pytest.approx(60)}
    (with_fallback,) = simulated(store, breaker="web->stock=fallback")["endpoints"]
    assert (with_fallback["p99_after_ms"], with_fallback["error_rate_after"]) == (50, 0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"nothing to simulate: give --slow SERVICE=\+200ms"),
        ({"slow": "stok=+1ms"}, r"There is no service 'stok': did you mean stock\?"),
        ({"slow": "elsewhere=+1ms"}, r"There is no service 'elsewhere': give one of stock and web\."),
        ({"slow": "stock"}, "--slow 'stock' is not understood: give SERVICE="),
        ({"slow": "stock=5"}, "--slow 'stock=5' is not understood .'5' is not a duration"),
        ({"slow": "stock=+30d"}, "at most a day"),
        ({"slow": "stock=x9999"}, "at most x1000"),
        ({"slow": "stock=-x2"}, "--slow 'stock=-x2' is not understood"),
        ({"fail": "stock=1.5"}, r"--fail 'stock=1.5' is not understood .did you mean 1.5%\?.: give SERVICE=0.5"),
        ({"fail": "stock=150"}, "--fail 'stock=150' is not understood: give SERVICE=0.5"),
        ({"slow": ["stock=+1ms", "stock=x2"]}, "stock is changed twice by --slow: give one change of it"),
        ({"async": "web->stock", "breaker": "web->stock=fallback"}, "web->stock is changed twice by --async or --br"),
        ({"fail": "stock=nan"}, "--fail 'stock=nan' is not understood"),
        ({"fail": "=0.5"}, "--fail '=0.5' is not understood"),
        ({"async_": "web=>stock"}, "--async 'web=>stock' is not understood: give \"CALLER->CALLEE\""),
        ({"async_": "web->stok"}, r"No call from web waits for 'stok': did you mean stock\?"),
        ({"breaker": "stock->web"}, r"No call from 'stock' waits for 'web': give one of web->stock\."),
        ({"slow": "stock=+1ms", "env": "prod"}, r"'prod': give one of live with --env"),
        ({"slow": "stock=+1ms", "since": "soon"}, "--since: 'soon' is not a duration"),
        ({"slow": "stock=+1ms", "endpoint": "x"}, "endpoint is no option of a simulation: give since, from, to, env"),
    ],
)
def test_what_is_wrong_is_told(store: Store, options: dict[str, str | list[str]], message: str) -> None:
    """In a sentence with the remedy."""
    fill_shop(store, 3)
    with pytest.raises(ConfigurationError, match=message):
        simulated(store, **options)


def test_environments_and_windows_are_kept_apart(store: Store) -> None:
    """As a report does."""
    fill(store, request(1), request(2), request(3, environment="test"))
    answer = simulated(store, slow="stock=+1ms")
    assert (answer["environment"], answer["environments"], answer["window"]["traces"]) == ("live", ["live", "test"], 2)
    assert simulated(store, slow="stock=+1ms", env="test")["window"]["traces"] == 1
    assert simulated(store, slow="stock=+1ms", to=f"{START_NS // 10**9 + 2}")["window"]["traces"] == 1


def test_an_empty_store_is_answered_in_words(store: Store) -> None:
    """There is nobody to be wrong about, and the keys are those of the contract."""
    answer = simulated(store, slow="stock=+1ms", async_="web->stock", fail="x=1", breaker="a->b")
    assert (answer["endpoints"], answer["blast_radius"], answer["amplification"]) == ([], 0, None)
    assert printed(answer) == ["There are no traces in this window: widen it, or send some."]


@pytest.mark.parametrize("change", ["slow=shop=+5ms", "slow=shop=x0", "slow=shop=-1h", "fail=shop=1"])
@pytest.mark.parametrize(
    "rows",
    [
        [{}],
        [{}, {"kind": 3}],
        [{"parent_span_id": b"\7" * 8}],
        [{"end_time_unix_nano": 0}],
        [{"end_time_unix_nano": START_NS}],
        [{"name": ""}],
    ],
)
def test_any_spans_are_answered(store: Store, rows: list[dict[str, Any]], change: str) -> None:
    """One span, several roots, none, one that ends before it starts, no length, no name: no NaN, nothing negative."""
    fill_spans(store, *rows)
    kind, _, what = change.partition("=")
    answer = simulated(store, **{kind: what})
    text = json.dumps(answer, allow_nan=False) + "\n".join(printed(answer))
    assert "nan" not in text.lower()
    for endpoint in answer["endpoints"]:
        assert min(endpoint[key] for key in ENDPOINT[2:]) >= 0


def test_without_roots_there_is_no_request(store: Store) -> None:
    """The text says so."""
    fill_spans(store, {"parent_span_id": b"\7" * 8})
    answer = simulated(store, slow="shop=+5ms")
    assert "No trace here has one root, so there is no request to replay." in printed(answer)
    assert "Left out: 1 trace without one root." in answer["assumptions"]


def test_the_text_is_for_people(store: Store) -> None:
    """What if, how far it reaches, before and after, and what that rests on."""
    fill_shop(store)
    assert printed(simulated(store, slow="stock=+200ms", fail="stock=0.1")) == [
        "live  120 traces  360 spans  2026-11-23 12:00 to 12:02 UTC",
        "",
        "What if each request to stock took 200 ms more?",
        "What if 10 % of the requests to stock failed?",
        "",
        f"{_RADIUS} grows by 200 ms, 1 times what was added.",
        "",
        "           traces            p50           p99      errors  affected",
        "web GET /     120  82.5 → 282 ms  141 → 341 ms  0 % → 10 %     100 %  ██████████",
        "",
        "What this rests on",
        f"- {NO_QUEUEING}",
        f"{_ORDERS}: of 0 orders seen, 0 are contradicted.",
        "- 200 ms are added to each request to stock, after all else in it.",
        f"- Each request to stock fails with probability 0.1, {_STAYS}.",
        "- Too few failures are on record to tell whether they fail the caller, taken as always: web->stock.",
    ]


def test_the_documentation_shows_what_is_printed() -> None:
    """docs/simulation.md has the answer about the sample shop, and the lines of its report."""
    page = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text(encoding="utf-8")
    shop = shop_store("monolith")
    assert "\n".join(printed(simulated(shop, slow="inventory=+200ms"))) in page
    propagation = TraceAnalysis().report(shop, {})["propagation"]
    assert "\n".join(line.plain for line in propagation_lines(propagation, 100)) in page
    decoupled = printed(simulated(shop_store("decoupled"), slow="payment=+200ms"))
    assert decoupled[4].startswith("No request is affected.")


def test_names_cannot_command_the_terminal(store: Store) -> None:
    """Telemetry comes from anywhere."""
    fill_spans(store, {"name": "\x1b[31mred"}, service_name="sh\x07op")
    text = "\n".join(printed(simulated(store, slow="sh\x07op=+5ms")))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_the_query_api_says_the_same(store: Store, tmp_path: Path) -> None:
    """Options are repeated parameters; what is wrong is status 400 and raises as on a file."""
    fill_shop(store, 5)
    pipeline = Pipeline(store, tmp_path / "log")
    server = WebServer(create_app(store, pipeline, analysis=TraceAnalysis()), "127.0.0.1", 0, option="--query")
    server.start()
    try:
        client = connect(f"http://127.0.0.1:{server.port}")
        options = {"slow": ["stock=+200ms", "web=x2"], "fail": ["stock=50%"], "async": ["web->stock"], "env": ["live"]}
        assert client.simulate(options) == TraceAnalysis().simulate(store, options)
        unquoted = json.loads(client.request("/v1/simulate?slow=stock=+200ms"))  # a plus there is a blank
        assert unquoted["changes"] == [{"kind": "slow", "service": "stock", "delta_ms": 200}]
        with pytest.raises(LithoscopeError, match="There is no service 'stok': did you mean stock"):
            client.simulate({"slow": ["stok=+1ms"]})
        with pytest.raises(LithoscopeError, match="There is nothing to simulate"):
            client.simulate({})
    finally:
        server.stop()
        pipeline.close()
