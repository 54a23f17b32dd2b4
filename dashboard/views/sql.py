"""SQL: any question, its answer as a table and as a file."""

from __future__ import annotations

import io

import polars as pl
import streamlit as st

from dashboard import client
from dashboard.theme import MOST_ROWS

_EXAMPLES = {
    "slowest endpoints": """SELECT service, operation, traces, p50_ms, p99_ms
FROM endpoints
ORDER BY p99_ms DESC LIMIT 20""",
    "failed traces": """SELECT trace_id, root_service, root_name, start_time, duration_ns / 1e6 AS ms, error_count
FROM traces
WHERE error_count > 0
ORDER BY start_time DESC LIMIT 50""",
    "spans by attribute": """SELECT attributes['http.route'] AS route, count(*) AS spans,
    quantile_cont(duration_ns, 0.99) / 1e6 AS p99_ms
FROM spans
WHERE kind = 'server'
GROUP BY ALL ORDER BY spans DESC""",
    "log lines of errors": """SELECT time, service_name, severity_text, body
FROM logs
WHERE severity_number >= 17
ORDER BY time DESC LIMIT 100""",
}


def draw() -> None:
    """Draw the page."""
    left, right = st.columns([3, 1], gap="medium")
    with right:
        _draw_schema()
    with left:
        example = st.pills("Examples", list(_EXAMPLES), key="example")
        if example and st.session_state.get("shown_example") != example:
            st.session_state["query"] = _EXAMPLES[example]
            st.session_state["shown_example"] = example
        query = st.text_area("Query", key="query", bind="query-params", height=180, placeholder="SELECT …")
        if st.button("Run", type="primary", shortcut="Ctrl+Enter", key="run"):
            client.sql.clear(query)
        if query:
            _draw_answer(query)


def _draw_schema() -> None:
    """Draw the views and their columns."""
    columns = client.schema()
    for view, rows in columns.group_by("table_name", maintain_order=True):
        with st.expander(str(view[0])):
            st.dataframe(rows.select("column_name", "data_type"), hide_index=True, height="content")


def _draw_answer(query: str) -> None:
    found = client.sql(query)
    shown = found.head(MOST_ROWS)
    st.caption(
        f"{found.height:,} row{'' if found.height == 1 else 's'}"
        + (f", the first {MOST_ROWS:,} shown" if found.height > MOST_ROWS else "")
    )
    st.dataframe(shown, hide_index=True)
    csv, parquet, _ = st.columns([1, 1, 3])
    csv.download_button(
        "CSV", _csv(found), "answer.csv", "text/csv", on_click="ignore", icon=":material/download:", key="csv"
    )
    content = io.BytesIO()
    found.write_parquet(content)
    parquet.download_button(
        "Parquet", content.getvalue(), "answer.parquet", on_click="ignore", icon=":material/download:", key="parquet"
    )
    _draw_chart(shown)


def _csv(found: pl.DataFrame) -> str:
    nested = [name for name, dtype in found.schema.items() if dtype.is_nested()]
    return found.with_columns(pl.col(nested).map_elements(str, pl.String) if nested else []).write_csv()


def _draw_chart(shown: pl.DataFrame) -> None:
    """Draw numbers by the first column, where there are both."""
    numbers = [name for name, dtype in shown.schema.items() if dtype.is_numeric()]
    others = [name for name in shown.columns if name not in numbers]
    if not numbers or not others or shown.height < 2:  # noqa: PLR2004  (one row is no chart)
        return
    with st.expander("Chart"):
        across = st.selectbox("Across", others, key="across")
        up = st.selectbox("Up", numbers, key="up")
        st.bar_chart(shown, x=across, y=up)
