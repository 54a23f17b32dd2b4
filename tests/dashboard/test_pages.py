"""Every page opens on any data, and says what it has to say in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from collector.client import connect
from dashboard import client
from dashboard.names import URL_VARIABLE
from dashboard.views import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = [entry.name for entries in PAGES.values() for entry in entries]
ENVIRONMENTS = ("shop-decoupled", "shop-monolith")


def page(name: str) -> None:
    """What the entry does, without the navigation, which Streamlit's tests cannot follow."""
    from importlib import import_module  # noqa: PLC0415  (Streamlit runs this function's text alone)

    from dashboard.components.header import draw_header  # noqa: PLC0415
    from dashboard.components.trouble import told_in_words  # noqa: PLC0415

    with told_in_words():
        draw_header(name)
        import_module(f"dashboard.views.{name}").draw()


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """No test sees the answers that another one got."""
    st.cache_data.clear()
    yield
    st.cache_data.clear()


def opened(name: str, url: str, monkeypatch: pytest.MonkeyPatch, **parameters: str | list[str]) -> AppTest:
    """Run a page against a collector."""
    monkeypatch.setenv(URL_VARIABLE, url)
    test = AppTest.from_function(page, kwargs={"name": name}, default_timeout=60)
    for key, value in parameters.items():
        test.query_params[key] = value
    return test.run()


def words(elements: Any) -> str:
    """The texts of elements."""
    return " ".join(str(element.value) for element in elements)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_collector_says_how_to_send(name: str, empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On every page, with the address to send to."""
    test = opened(name, empty, monkeypatch)
    assert not test.exception
    assert "Waiting for the first span" in words(test.title)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:" in words(test.code)


@pytest.mark.parametrize("name", NAMES)
def test_two_traces_are_enough(name: str, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open every page without an error; where something cannot be told, it says so."""
    test = opened(name, tiny, monkeypatch)
    assert not test.exception
    assert not test.error, [one.value for one in test.error]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_the_shop_opens(
    name: str, environment: str, shop_system: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a monolith and decoupled."""
    test = opened(name, f"http://{shop_system['query']}", monkeypatch, env=environment)
    assert not test.exception
    assert not test.error, [one.value for one in test.error]
    assert test.session_state["env"] == environment


@pytest.mark.parametrize("name", NAMES)
def test_a_collector_that_is_gone_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the address, the remedy and a button that tries again."""
    test = opened(name, "http://127.0.0.1:9", monkeypatch)
    assert not test.exception
    assert "Nothing answers at http://127.0.0.1:9" in words(test.error)
    assert [button.label for button in test.button] == ["Try again"]


def test_the_overview_names_what_is_worst(shop_system: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The index with its grade, and the findings with what to do."""
    test = opened("overview", f"http://{shop_system['query']}", monkeypatch, env="shop-monolith")
    assert next(metric.value for metric in test.metric) == "73"
    told = words(test.markdown)
    assert "catalog calls inventory 10 times in a row" in told
    assert "shared\\-database" in told or "shared-database" in told


def test_the_overview_points_at_what_is_worse(shop_system: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as the hours are judged: to each environment with more critical findings, and from the worst to none."""
    url = f"http://{shop_system['query']}"
    judged = "SELECT count(DISTINCT environment) FROM findings"
    deadline = time.monotonic() + 60
    while connect(url).sql(judged).item() < len(ENVIRONMENTS) + 1:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    pointed = {}
    for environment in ("shop-decoupled", "shop-incident"):
        test = opened("overview", url, monkeypatch, env=environment)
        labels = [link.proto.label for link in test.get("page_link")]
        pointed[environment] = [label.partition(" has ")[0] for label in labels if "critical finding" in label]
    assert pointed == {"shop-decoupled": ["**shop-incident**", "**shop-monolith**"], "shop-incident": []}


@pytest.mark.parametrize("part", ["Index", "Propagation", "What if"])
@pytest.mark.parametrize("system", ["tiny", "shop_system"])
def test_every_part_of_coupling_opens(
    part: str, system: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On few traces as on many."""
    url = request.getfixturevalue(system)
    url = url if isinstance(url, str) else f"http://{url['query']}"
    test = opened("coupling", url, monkeypatch, part=part)
    assert not test.exception
    assert not test.error, [one.value for one in test.error]
    assert test.session_state["part"] == part


@pytest.mark.parametrize("kind", ["Environments", "Times", "Versions"])
@pytest.mark.parametrize("system", ["tiny", "shop_system"])
def test_whatever_is_compared(
    kind: str, system: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no two sides, it says so."""
    url = request.getfixturevalue(system)
    url = url if isinstance(url, str) else f"http://{url['query']}"
    test = opened("compare", url, monkeypatch, compare=kind)
    assert not test.exception
    assert not test.error, [one.value for one in test.error]
    if (system, kind) in (("tiny", "Environments"), ("tiny", "Versions")):
        assert test.info
    else:
        assert next(metric.label for metric in test.metric) == "Coupling index"


def test_a_link_restores_the_times_that_are_compared(
    shop_system: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the second."""
    times = ["2026-11-23T05:32:00", "2026-11-23T05:33:00"]
    parameters: dict[str, str | list[str]] = {"env": "shop-incident", "compare": "Times", "before_time": times}
    test = opened("compare", f"http://{shop_system['query']}", monkeypatch, **parameters)
    assert not test.error, [one.value for one in test.error]
    assert [time.isoformat()[:19] for time in test.slider(key="before_time").value] == times


def test_saturation_says_what_is_full(shop_system: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The incident's empty pool is on top."""
    parameters: dict[str, str | list[str]] = {"env": "shop-incident", "metric": "db.client.connection.count"}
    test = opened("saturation", f"http://{shop_system['query']}", monkeypatch, **parameters)
    fullest = test.dataframe[0].value.iloc[0]
    assert (fullest["name"], fullest["saturation"]) == ("payment", 1.0)
    assert test.selectbox(key="metric").value == "db.client.connection.count"


def test_saturation_says_what_is_unknown(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without metrics, that none have arrived."""
    test = opened("saturation", tiny, monkeypatch)
    assert "unknown, because no metric" in test.dataframe[0].value.iloc[0]["source"]
    assert "no metrics of" in words(test.info)


LAW = {"service": "op", "knee_calls_per_s": None, "knee_unknown": "not enough load levels: 3 of 6", "peak": None}
UNKNOWN_LAW = LAW | {"rate": None, "law_unknown": "not enough load levels: 5 of 6"}
KNOWN_LAW = LAW | {"knee_calls_per_s": 40.0, "knee_low": 35.0, "knee_high": 45.0, "rate": 9.0, "contention": 0.1}
KNOWN_LAW |= {"crosstalk": 0.01, "peak": 9.5}


def saturation_answer(service: str, law: dict[str, Any], status: str, reason: str | None) -> dict[str, Any]:
    """What ``/v1/saturation`` answers, of one service."""
    load = {"service": service, "calls_per_s": 20.0, "concurrency": 2.0, "p99_ms": 30.0}
    numbers = {"gap_low_ms": 1.0, "gap_high_ms": 9.0, "load_low": 10.0, "load_high": 40.0}
    edge = {"caller": "web", "callee": service}
    return {
        "resources": [
            {
                "service": service,
                "instance": "i1",
                "metric": "pool",
                "part": "name=a",
                "start_unix_nano": 0,
                "utilisation": 1.0,
            }
        ],
        "load": [load],
        "laws": [law | {"service": service}],
        "queueing": [edge | numbers | {"status": status, "reason": reason}],
        "gaps": [edge | {"callee_calls_per_s": 20.0, "gap_ms": 4.0}],
        "hot_instances": [],
    }


def test_how_a_service_answers_to_load(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Knee, greatest throughput and queueing, each with its figures."""
    answer = saturation_answer("cart", KNOWN_LAW, "found", None)
    monkeypatch.setattr(client, "saturation", lambda **_: answer)
    test = opened("saturation", tiny, monkeypatch, full_service="cart")
    assert not test.error, [one.value for one in test.error]
    told = words(test.caption)
    assert "Latency turns up at 40 a second (95 %: 35 to 45)" in told
    assert "throughput is greatest at 9.5 requests at once" in told
    assert "It queues: the gap is 1 ms at 10 a second, 9 ms at 40." in told


def test_what_is_unknown_of_a_service_has_a_reason(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is."""
    answer = saturation_answer("cart", UNKNOWN_LAW, "unknown", "few windows") | {"resources": []}
    monkeypatch.setattr(client, "saturation", lambda **_: answer)
    test = opened("saturation", tiny, monkeypatch, full_service="cart")
    assert not test.error, [one.value for one in test.error]
    reasons = [caption.value.rpartition(", because ")[2] for caption in test.caption if "because" in caption.value]
    assert reasons == [
        "no metric tells of a resource with a limit.",
        "not enough load levels\\: 3 of 6.",
        "not enough load levels\\: 5 of 6.",
        "few windows.",
    ]


def test_the_overview_has_a_line_for_each_service(shop_system: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its requests a second add up to its calls, minute by minute; a database has none."""
    test = opened("overview", f"http://{shop_system['query']}", monkeypatch, env="shop-monolith")
    rows = {row["name"]: row for row in test.dataframe[0].value.to_dict("records")}
    gateway = rows["gateway"]
    assert 60 * sum(gateway["calls_per_s_line"]) == pytest.approx(gateway["calls"])
    assert max(gateway["p99_ms_line"]) >= gateway["p99_ms"] >= min(gateway["p99_ms_line"])
    assert not isinstance(rows["postgresql 127.0.0.1/shop"]["calls_per_s_line"], list)


def test_a_link_fills_the_what_if_panel(shop_system: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With changes and amounts; a change that this system cannot have is left out."""
    parameters: dict[str, str | list[str]] = {
        "env": "shop-monolith",
        "part": "What if",
        "what": ["payment fails", "ghost fails"],
        "share": "100%",
    }
    test = opened("coupling", f"http://{shop_system['query']}", monkeypatch, **parameters)
    assert not test.error, [one.value for one in test.error]
    assert test.multiselect(key="what").value == ["payment fails"]
    simulated = next(frame.value for frame in test.dataframe if "error_rate_after" in frame.value)
    after = dict(zip(simulated["endpoint"], simulated["error_rate_after"], strict=True))
    assert after["gateway POST /orders"] == 1.0
    assert after["gateway GET /"] == 0.0


def test_two_traces_side_by_side(shop_system: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the address names, each with its log lines and what it is linked to."""
    url = f"http://{shop_system['query']}"
    linked = connect(url).sql(
        "SELECT trace_id, links[1].trace_id AS other FROM spans "
        "WHERE len(links) > 0 AND environment = 'shop-decoupled' ORDER BY start_time LIMIT 1"
    )
    pair = list(linked.row(0))
    test = opened("traces", url, monkeypatch, env="shop-decoupled", trace=pair)
    assert not test.exception
    assert not test.error, [one.value for one in test.error]
    assert [heading.value for heading in test.subheader] == [f"Trace {trace_id[:8]}…" for trace_id in pair]
    assert [expander.label for expander in test.expander if "log line" in expander.label]
    assert "Linked to" in words(test.caption)


def test_a_trace_that_is_gone_is_one_sentence(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the address says it is."""
    for trace_id, told in (("ab" * 16, "There is no trace"), ("'; DROP TABLE spans", "is not a trace id")):
        test = opened("traces", tiny, monkeypatch, trace=trace_id)
        assert not test.exception
        assert told in words(test.error)


def test_wrong_sql_is_one_sentence(shop_system: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB's own, not a traceback."""
    test = opened("sql", f"http://{shop_system['query']}", monkeypatch, query="SELECT nothing FROM spans")
    assert not test.exception
    assert "nothing" in words(test.error)


def test_a_query_in_the_address_is_answered(shop_system: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to an answer shows it."""
    test = opened("sql", f"http://{shop_system['query']}", monkeypatch, query="SELECT 6 * 7 AS answer")
    answers = [frame.value["answer"].to_list() for frame in test.dataframe if "answer" in frame.value]
    assert answers == [[42]]
