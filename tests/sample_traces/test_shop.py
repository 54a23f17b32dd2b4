"""The recorded shop: every trace whole, and in every state what its truth file says, read back by SQL."""

from __future__ import annotations

import tomllib
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from collector.cli.importing import run_import
from collector.store import open_store
from collector.store.protocol import QueryLimits, Store
from sample_traces.shop.record import recording, truth_file
from sample_traces.shop.system import STATES, State
from sample_traces.shop.truth import truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Row = tuple[Any, ...]

LARGEST = 4 * 1024 * 1024
LIMITS = QueryLimits(rows=1_000_000, seconds=60.0)
DEPLOYED_WITHIN_S = 12
EDGES_SYNC = """
SELECT DISTINCT c.service_name, s.service_name FROM spans AS s
JOIN spans AS c ON c.trace_id = s.trace_id AND c.span_id = s.parent_span_id
WHERE c.service_name <> s.service_name AND s.kind <> 'consumer'
"""
EDGES_ASYNC = """
SELECT DISTINCT p.service_name, c.service_name, p.messaging_destination FROM spans AS c
JOIN spans AS p ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
WHERE c.kind = 'consumer' AND p.kind = 'producer'
"""
# A client has its server unless it asked a database; a producer has its consumer, or a second producer span that has:
# pika's instrumentation records each message on both layers of a blocking channel. A call that an open breaker forbids
# makes no client span at all, so there is no exception to the rule.
UNANSWERED = """
SELECT c.service_name, c.span_name FROM spans AS c
LEFT JOIN spans AS s ON s.trace_id = c.trace_id AND s.parent_span_id = c.span_id
    AND (s.service_name <> c.service_name OR s.kind = 'producer')
WHERE s.span_id IS NULL AND (c.kind = 'producer' OR (c.kind = 'client' AND c.db_system IS NULL))
"""
LOST_LINKS = """
WITH links AS (SELECT unnest(links) AS link FROM spans)
SELECT links.link FROM links LEFT JOIN spans ON spans.trace_id = link.trace_id AND spans.span_id = link.span_id
WHERE spans.span_id IS NULL
"""
POOLS = """
WITH first AS (SELECT min(start_time) AS start_time FROM spans),
points AS (
    SELECT service_name, replace(metric_name, 'connections', 'connection') AS name, value,
        coalesce(attributes['db.client.connection.state'], attributes['state']) AS state
    FROM metrics, first
    WHERE time BETWEEN first.start_time + INTERVAL ({start}) SECOND AND first.start_time + INTERVAL ({end}) SECOND
)
SELECT service_name,
    avg(value) FILTER (state = 'used') / max(value) FILTER (name = 'db.client.connection.max') AS used,
    avg(value) FILTER (name = 'db.client.connection.pending_requests') AS pending
FROM points WHERE name LIKE 'db.client.connection.%' GROUP BY service_name
"""
SELF_TIME = """
WITH first AS (SELECT min(start_unix_nano) AS nano FROM spans),
children AS (SELECT trace_id, parent_span_id AS span_id, sum(duration_ns) AS ns FROM spans GROUP BY ALL)
SELECT s.service_name, sum(s.duration_ns - coalesce(c.ns, 0)) AS ns FROM spans AS s
JOIN traces AS t ON t.trace_id = s.trace_id AND t.root_name = 'POST /orders'
JOIN spans AS r ON r.trace_id = s.trace_id AND r.parent_span_id IS NULL, first
LEFT JOIN children AS c ON c.trace_id = s.trace_id AND c.span_id = s.span_id
WHERE (r.start_unix_nano - first.nano) / 1e9 BETWEEN {start} AND {end} GROUP BY ALL ORDER BY ns DESC
"""


@dataclass(frozen=True)
class Sample:
    """One state's recording in a database, beside what is true of it."""

    state: State
    truth: dict[str, Any]
    store: Store

    def rows(self, query: str, **values: float) -> list[Row]:
        """Ask the database."""
        table = self.store.query(query.format(**values) if values else query, LIMITS)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sample]]:
    """Every state's recording, imported into a fresh database of its own."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("shop")
        yield {name: stack.enter_context(load(state, folder / f"{name}.duckdb")) for name, state in STATES.items()}


@contextmanager
def load(state: State, db: Path) -> Iterator[Sample]:
    """Import a recording; nothing in it is refused."""
    report = run_import([recording(state)], url=None, db=db, to_now=False)
    assert (report.bad, report.rejected) == (0, 0)
    with closing(open_store(db, read_only=True)) as store:
        yield Sample(state, tomllib.loads(truth_file(state).read_text()), store)


@pytest.fixture(params=list(STATES))
def sample(samples: dict[str, Sample], request: pytest.FixtureRequest) -> Sample:
    """Each state in turn."""
    return samples[request.param]


@pytest.fixture
def monolith(samples: dict[str, Sample]) -> Sample:
    """The distributed monolith."""
    return samples["monolith"]


@pytest.fixture
def decoupled(samples: dict[str, Sample]) -> Sample:
    """The same business with messages."""
    return samples["decoupled"]


@pytest.fixture
def incident(samples: dict[str, Sample]) -> Sample:
    """The monolith on a bad day."""
    return samples["incident"]


@pytest.mark.parametrize("name", STATES)
def test_the_truth_comes_from_the_configuration(name: str) -> None:
    """Every recording of a state has the same truth file, byte for byte."""
    assert truth_file(STATES[name]).read_text() == truth(STATES[name])


@pytest.mark.parametrize("name", STATES)
def test_a_recording_is_small(name: str) -> None:
    """A clone of the repository stays quick."""
    assert recording(STATES[name]).stat().st_size <= LARGEST


def test_all_telemetry_bears_the_name_of_its_state(sample: Sample) -> None:
    """Environments are told apart, also when all three are loaded together."""
    key = "deployment.environment.name"
    query = f"SELECT DISTINCT resource_attributes['{key}'] FROM {{}}"
    assert [sample.rows(query.format(view)) for view in ("spans", "logs", "metrics")] == [
        [(sample.truth["environment"],)]
    ] * 3


def test_every_trace_is_whole(sample: Sample) -> None:
    """Over a thousand traces, each with one root and no orphan."""
    [[traces, whole]] = sample.rows("SELECT count(*), count(*) FILTER (complete) FROM traces")
    assert traces == whole > 1000


def test_every_call_reached_somebody(sample: Sample) -> None:
    """Also while services were being replaced."""
    assert sample.rows(UNANSWERED) == []


def test_links_point_at_recorded_spans(sample: Sample) -> None:
    """Only the decoupled shop has links: from a batch of messages to those that sent them."""
    [[links]] = sample.rows("SELECT sum(len(links)) FROM spans")
    assert sample.rows(LOST_LINKS) == []
    assert (links > 50) == (sample.state.name == "decoupled")


def test_services_call_as_configured_and_no_further(sample: Sample) -> None:
    """Every edge of the truth was used, and no other one."""
    edges = sample.truth["edges"]
    assert set(sample.rows(EDGES_SYNC)) == {(e["caller"], e["callee"]) for e in edges if e["mode"] == "sync"}
    assert set(sample.rows(EDGES_ASYNC)) == {
        (e["caller"], e["callee"], e["queue"]) for e in edges if e["mode"] == "async"
    }


def test_databases_are_used_by_whom_the_truth_names(sample: Sample) -> None:
    """One for all, or one each."""
    used = "SELECT db_system, db_namespace, service_name FROM spans WHERE db_system IS NOT NULL GROUP BY ALL"
    databases = sample.truth["databases"]
    named = {(d["system"], d["namespace"], service) for d in databases for service in d["services"]}
    assert set(sample.rows(used)) == named


def test_tables_are_shared_by_whom_the_truth_names(sample: Sample) -> None:
    """Whoever names a table in a statement shares it."""
    text = "coalesce(attributes['db.query.text'], attributes['db.statement'])"
    for shared in sample.truth["shared_tables"]:
        query = f"SELECT DISTINCT service_name FROM spans WHERE regexp_matches({text}, '\\b{shared['table']}\\b')"
        assert {service for (service,) in sample.rows(query)} == set(shared["services"])


def test_names_old_and_new_fill_the_same_columns(sample: Sample) -> None:
    """Each service speaks one dialect of HTTP and SQL attributes, and the well-known columns understand both."""
    dialects = {"current": ("http.request.method", "db.query.text"), "old": ("http.method", "db.statement")}
    for service in sample.truth["services"]:
        spoken = sample.rows(
            f"SELECT DISTINCT key FROM (SELECT unnest(map_keys(attributes)) AS key FROM spans "
            f"WHERE service_name = '{service['name']}') WHERE key IN {dialects['current'] + dialects['old']}"
        )
        assert {key for (key,) in spoken} <= set(dialects[service["attribute_names"]])
        assert spoken
    columns = "http_method, http_route, http_status_code, rpc_method, db_system, db_namespace, server_address"
    counts = ", ".join(f"count(DISTINCT service_name) FILTER ({column} IS NOT NULL)" for column in columns.split(", "))
    assert min(sample.rows(f"SELECT {counts} FROM spans")[0]) >= 2


def test_versions_change_when_the_truth_says(sample: Sample) -> None:
    """Every deployment is seen in the spans soon after its second."""
    seen = sample.rows(
        "SELECT service_name, service_version, (min(start_unix_nano) - (SELECT min(start_unix_nano) FROM spans)) / 1e9 "
        "FROM spans GROUP BY ALL"
    )
    first = {(service, version): second for service, version, second in seen}
    deployed = {(d["service"], d["version"]): d["at_s"] for d in sample.truth["deployments"]}
    original = {(service["name"], service["version"]) for service in sample.truth["services"]}
    assert set(first) == set(deployed) | original
    late = {key: first[key] - at for key, at in deployed.items()}
    assert {key: delay for key, delay in late.items() if not 0 <= delay <= DEPLOYED_WITHIN_S} == {}


def test_several_instances_share_the_load(sample: Sample) -> None:
    """The first processes of a service each do their part of the work."""
    for service in sample.truth["services"]:
        counts = sample.rows(
            "SELECT count(*) FROM spans WHERE kind IN ('server', 'consumer') "
            f"AND service_name = '{service['name']}' AND service_version = '{service['version']}' "
            "GROUP BY service_instance_id"
        )
        assert len(counts) == service["instances"]
        assert min(counts)[0] > 0.7 * max(counts)[0]


def test_the_monolith_asks_once_an_item(monolith: Sample) -> None:
    """More than five calls in a row from one span, over 50 ms together: the N+1 of the truth."""
    for call in monolith.truth["chatty_calls"]:
        loops = monolith.rows(
            "SELECT count(*) FROM spans AS c "
            "JOIN spans AS s ON s.trace_id = c.trace_id AND s.parent_span_id = c.span_id "
            f"WHERE c.service_name = '{call['caller']}' AND s.service_name = '{call['callee']}' "
            f"AND s.span_name = '{call['operation']}' GROUP BY c.trace_id, c.parent_span_id "
            "HAVING count(*) > 5 AND sum(c.duration_ns) > 50e6"
        )
        assert len(loops) > 10


def test_the_monolith_commits_in_two_phases(monolith: Sample) -> None:
    """Each participant prepares, and every prepared transaction is then committed or rolled back."""
    participants = monolith.truth["distributed_transactions"][0]["participants"]
    text = "coalesce(attributes['db.query.text'], attributes['db.statement'])"
    counts: dict[str, dict[str, int]] = {
        word: dict(monolith.rows(f"SELECT service_name, count(*) FROM spans WHERE {text} LIKE '{word}%' GROUP BY ALL"))
        for word in ("PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED")
    }
    prepared, committed, rolled_back = counts.values()
    assert set(prepared) == set(participants)
    assert prepared == {service: committed[service] + rolled_back[service] for service in participants}


def test_the_monolith_waits_for_its_lock(monolith: Sample) -> None:
    """Some order waits for another one that holds the stock."""
    lock = monolith.truth["distributed_locks"][0]
    waits = monolith.rows(
        "SELECT service_name, max(duration_ns) / 1e6 FROM spans "
        f"WHERE contains(coalesce(attributes['db.query.text'], ''), '{lock['statement']}') GROUP BY ALL"
    )
    assert [service for service, _ in waits] == [lock["service"]]
    assert waits[0][1] > 10


def test_the_monolith_re_enters_a_service(monolith: Sample) -> None:
    """Checkout waits for a chain that ends in a call to checkout, five hops behind the visitor."""
    chain = monolith.truth["re_entries"][0]["path"]
    joins = "".join(
        f" JOIN spans AS s{n} ON s{n}.trace_id = c{n - 1}.trace_id AND s{n}.parent_span_id = c{n - 1}.span_id"
        f" AND s{n}.service_name = '{service}'"
        f" JOIN spans AS c{n} ON c{n}.trace_id = s{n}.trace_id AND c{n}.parent_span_id = s{n}.span_id"
        for n, service in enumerate(chain[1:], 1)
    )
    assert monolith.rows(f"SELECT count(*) FROM spans AS c0{joins} WHERE c0.service_name = '{chain[0]}'")[0][0] > 50


def test_the_decoupled_shop_compensates(decoupled: Sample) -> None:
    """Every compensation of the truth was needed, and each in a trace with an error or a refusal."""
    for name in decoupled.truth["compensations"]:
        query = f"SELECT count(*) FROM spans WHERE kind = 'consumer' AND messaging_destination LIKE '%.{name}'"
        assert decoupled.rows(query)[0][0] > 5


def test_the_decoupled_breaker_opens(decoupled: Sample) -> None:
    """While recommendations fail, most pages do not ask for them, and none of those pages fails."""
    opened = "len(list_filter(events, lambda e: contains(e.attributes['exception.type'], 'CircuitOpenError'))) > 0"
    errors = "count(*) FILTER (status_code = 'error')"
    [[pages, failed]] = decoupled.rows(f"SELECT count(*), {errors} FROM spans WHERE {opened}")
    assert pages > 50
    assert failed == 0


def test_the_incident_starves_the_pool_of_the_truth(incident: Sample) -> None:
    """In both phases the broken service's connections are nearly all in use and asked for; nobody else's are."""
    for starved in incident.truth["starved_resources"]:
        pools = incident.rows(POOLS, start=starved["from_s"] + 5, end=starved["to_s"])
        used = {service: share for service, share, _ in pools}
        pending = {service: number for service, _, number in pools}
        assert used.pop(starved["service"]) > 0.85
        assert pending.pop(starved["service"]) > 1
        assert max(used.values()) < 0.2
        assert max(pending.values()) < 0.1


def test_the_incident_is_where_the_time_goes(incident: Sample) -> None:
    """The broken service's own time makes up most of an order's, but only during the fault."""
    faults = incident.truth["faults"]
    for start, end, sick in [(0, faults[0]["from_s"] - 5, False), *((f["from_s"], f["to_s"], True) for f in faults)]:
        times: dict[str, int] = {service: int(ns) for service, ns in incident.rows(SELF_TIME, start=start, end=end)}
        assert (times["payment"] > 0.8 * sum(times.values())) == sick


def test_the_incident_fails_when_the_truth_says(incident: Sample) -> None:
    """Payment's charges fail in the second phase and hardly outside it."""
    fault = next(f for f in incident.truth["faults"] if f["kind"] == "error")
    second = "(start_unix_nano - (SELECT min(start_unix_nano) FROM spans)) / 1e9"
    charges = f"service_name = '{fault['service']}' AND span_name = 'POST /payments'"
    shares: dict[bool, float] = dict(
        incident.rows(
            f"SELECT {second} BETWEEN {fault['from_s']} AND {fault['to_s']}, avg((status_code = 'error')::INT) "
            f"FROM spans WHERE {charges} GROUP BY ALL"
        )
    )
    assert shares[True] > 0.9
    assert shares[False] < 0.2
