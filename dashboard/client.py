"""The only way to data: the query API of a collector, each answer kept for some seconds for all who look."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import streamlit as st

from collector.client import DEFAULT_URL, connect
from dashboard.names import URL_VARIABLE
from dashboard.theme import MOST_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from collector.client import Client

FRESH_S = 5
"""Several people look at one incident; a newer answer would cost the collector more than it tells them."""
_MOST_ANSWERS = 200
_TIMEOUT_S = 30.0
_HOURS = 24 * 30
_POINTS = 200  # of a line: more are not seen
_METRICS = "metrics AS m JOIN resources AS r USING (resource_id)"


def address() -> str:
    """Return the address of the query API."""
    return os.environ.get(URL_VARIABLE, DEFAULT_URL)


def _collector() -> Client:
    return connect(address(), timeout_s=_TIMEOUT_S)


@st.cache_data(ttl=FRESH_S, max_entries=_MOST_ANSWERS, show_spinner="Analysing …")
def report(**options: str) -> dict[str, Any]:
    """Return the contract's ``report`` object."""
    return _collector().report(**options)


@st.cache_data(ttl=FRESH_S, max_entries=_MOST_ANSWERS, show_spinner="Comparing …")
def diff(before: str, after: str, **options: str) -> dict[str, Any]:
    """Return the contract's ``diff`` object."""
    return _collector().diff(before, after, **options)


@st.cache_data(ttl=60, max_entries=_MOST_ANSWERS, show_spinner="Replaying …")
def simulate(options: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the contract's ``simulate`` object; the options are the command's, each with all its values."""
    return _collector().simulate(options)


@st.cache_data(ttl=600, max_entries=_MOST_ANSWERS, show_spinner="Reading the trace …")
def trace(trace_id: str) -> dict[str, Any]:
    """Return the contract's ``trace`` object."""
    return _collector().trace(trace_id)


@st.cache_data(ttl=600, max_entries=_MOST_ANSWERS, show_spinner=False)
def moments(trace_id: str) -> pl.DataFrame:
    """Return ``span_id``, ``events`` and ``links`` of the spans of a trace that have some, as the view has them."""
    return _collector().sql(
        f"SELECT span_id, events, links FROM spans WHERE trace_id = {_text(trace_id)} "
        f"AND (len(events) > 0 OR len(links) > 0) ORDER BY start_time, span_id LIMIT {MOST_ROWS}"
    )


@st.cache_data(ttl=600, max_entries=_MOST_ANSWERS, show_spinner=False)
def attributes(trace_id: str, span_id: str) -> list[dict[str, Any]]:
    """Return ``status_message``, ``attributes`` and ``resource_attributes`` of a span, and of its other half if any."""
    found = _collector().sql(
        f"SELECT status_message, attributes, resource_attributes FROM spans "
        f"WHERE trace_id = {_text(trace_id)} AND span_id = {_text(span_id)}"
    )
    return found.to_dicts()


@st.cache_data(ttl=FRESH_S, max_entries=_MOST_ANSWERS, show_spinner=False)
def logs(trace_id: str) -> pl.DataFrame:
    """Return ``time``, ``service_name``, ``severity_text``, ``body`` and ``span_id`` of a trace's log lines."""
    return _collector().sql(
        f"SELECT time, service_name, severity_text, body, span_id FROM logs "
        f"WHERE trace_id = {_text(trace_id)} ORDER BY time LIMIT {MOST_ROWS}"
    )


@st.cache_data(ttl=60, max_entries=_MOST_ANSWERS, show_spinner=False)
def index_history(environment: str) -> list[float]:
    """Return the coupling index of each hour that was judged, the last month's, the newest last."""
    judged = _collector().coupling_history(env=environment)["rows"]
    return [hour["score"] for hour in judged if hour["score"] is not None][-_HOURS:]


@st.cache_data(ttl=60, max_entries=_MOST_ANSWERS, show_spinner=False)
def critical_findings() -> dict[str, int]:
    """Return how many critical findings the newest judged hour of each environment has, the most first."""
    found = _collector().sql(
        "SELECT environment, count(*) AS findings FROM ("
        "SELECT coalesce(environment, '') AS environment, severity, status, hour, "
        "max(hour) OVER (PARTITION BY environment) AS newest FROM findings) "
        "WHERE hour = newest AND severity = 'critical' AND status = 'found' "
        f"GROUP BY environment ORDER BY findings DESC, environment LIMIT {MOST_ROWS}"
    )
    return dict(found.iter_rows())


@st.cache_data(ttl=60, max_entries=_MOST_ANSWERS, show_spinner=False)
def versions(environment: str) -> pl.DataFrame:
    """Return ``service`` and ``version`` of an environment, in the order in which versions were first seen."""
    return _collector().sql(
        f"SELECT service_name AS service, service_version AS version FROM spans "
        f"WHERE coalesce(environment, '') = {_text(environment)} AND service_version IS NOT NULL "
        f"GROUP BY ALL ORDER BY service, min(start_time) LIMIT {MOST_ROWS}"
    )


@st.cache_data(ttl=FRESH_S, max_entries=_MOST_ANSWERS, show_spinner=False)
def durations(environment: str, service: str, operation: str, begin: int, end: int) -> pl.DataFrame:
    """Return ``low_ms``, ``high_ms`` and ``traces`` of an endpoint by duration, eight steps to each doubling.

    A trace is its root span here: the view of traces reads all spans, roots are few.
    """
    return _collector().sql(
        f"SELECT 2 ** (step / 8) / 1e6 AS low_ms, 2 ** ((step + 1) / 8) / 1e6 AS high_ms, count(*) AS traces FROM ("
        f"SELECT floor(log2(duration_ns) * 8) AS step FROM spans WHERE parent_span_id IS NULL AND duration_ns > 0 "
        f"AND coalesce(environment, '') = {_text(environment)} AND service_name = {_text(service)} "
        f"AND span_name = {_text(operation)} AND {_between(begin, end)}) "
        f"GROUP BY step ORDER BY step LIMIT {MOST_ROWS}"
    )


@st.cache_data(ttl=FRESH_S, max_entries=_MOST_ANSWERS, show_spinner=False)
def series(**options: str) -> dict[str, Any]:
    """Return what ``/v1/series`` answers: services over time."""
    return _collector().series(**options)


@st.cache_data(ttl=FRESH_S, max_entries=_MOST_ANSWERS, show_spinner="Analysing …")
def saturation(**options: str) -> dict[str, Any]:
    """Return what ``/v1/saturation`` answers."""
    return _collector().saturation(**options)


@st.cache_data(ttl=60, max_entries=_MOST_ANSWERS, show_spinner=False)
def metric_names(environment: str, service: str) -> list[str]:
    """Return the names of a service's metrics that are a number at a time."""
    found = _collector().sql(
        f"SELECT metric_name FROM {_METRICS} WHERE {_of_service(environment, service)} GROUP BY 1 ORDER BY 1 "
        f"LIMIT {MOST_ROWS}"
    )
    return found["metric_name"].to_list()


@st.cache_data(ttl=FRESH_S, max_entries=_MOST_ANSWERS, show_spinner=False)
def metric(environment: str, service: str, name: str) -> pl.DataFrame:
    """Return ``instance``, ``time``, ``value`` and ``unit`` of a metric, a mean for each of some hundred parts.

    An instance is told with what else tells its points apart, such as the name and the state of a pool.
    """
    return _collector().sql(
        f"WITH points AS (SELECT concat_ws(' ', m.service_instance_id, array_to_string(map_values(m.attributes), ' ')) "
        f"AS instance, m.time, m.value, m.unit "
        f"FROM {_METRICS} WHERE {_of_service(environment, service)} AND metric_name = {_text(name)}), "
        f"width AS (SELECT greatest((epoch_ns(max(time)) - epoch_ns(min(time))) // {_POINTS}, 1000000000) AS ns "
        f"FROM points) SELECT instance, make_timestamp_ns(epoch_ns(time) // ns * ns) AS time, avg(value) AS value, "
        f"any_value(unit) AS unit FROM points, width GROUP BY ALL ORDER BY instance, time LIMIT {MOST_ROWS}"
    )


def _of_service(environment: str, service: str) -> str:
    return (
        f"m.value IS NOT NULL AND coalesce(r.environment, '') = {_text(environment)} "
        f"AND m.service_name = {_text(service)}"
    )


def _between(begin: int, end: int) -> str:
    return f"start_time BETWEEN make_timestamp_ns({begin:d}) AND make_timestamp_ns({end:d})"


def _text(value: str) -> str:
    """SQL's literal of a text."""
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


@st.cache_data(ttl=60, max_entries=20, max_size="256MB", show_spinner="Asking …")
def sql(query: str) -> pl.DataFrame:
    """Answer one reading statement; kept while somebody looks at the answer, until it is asked for anew."""
    return _collector().sql(query)


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def environments() -> list[str]:
    """Return the environments that spans come from, that with most roots first; none when nothing is stored.

    A count over all spans: 0.1 s for ten million, where a report would take a second and more.
    """
    found = _collector().sql(
        "SELECT coalesce(environment, '') AS environment FROM spans GROUP BY 1 "
        "ORDER BY count(*) FILTER (parent_span_id IS NULL) DESC, environment"
    )
    return found["environment"].to_list()


@st.cache_data(ttl=FRESH_S, show_spinner=False)
def status() -> dict[str, Any]:
    """Return the collector's addresses and what keeps it from storing, if anything."""
    return _collector().status()


@st.cache_data(ttl=600, show_spinner=False)
def schema() -> pl.DataFrame:
    """Return ``table_name``, ``column_name`` and ``data_type`` of all views."""
    return _collector().sql(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'main' ORDER BY table_name, ordinal_position"
    )


@st.cache_data(ttl=FRESH_S, max_entries=_MOST_ANSWERS, show_spinner="Searching …")
def traces(**options: str) -> pl.DataFrame:
    """Return traces as ``collector.client.Client.traces`` does."""
    return _collector().traces(**options)
