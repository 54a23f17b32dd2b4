"""A collector that has stored nothing yet: how to send the first span, and a look every two seconds."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st

from dashboard import client
from dashboard.components.live import draw_live

_EVERY_S = 2

_PYTHON = """pip install opentelemetry-distro opentelemetry-exporter-otlp
opentelemetry-bootstrap -a install
OTEL_SERVICE_NAME=my-service \\
OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf \\
OTEL_EXPORTER_OTLP_ENDPOINT=http://{http} \\
opentelemetry-instrument python app.py"""


def draw_empty() -> NoReturn:
    """Say how to send, wait for the first span, and end the run."""
    st.title("Waiting for the first span", anchor=False)
    st.write("Nothing is stored yet. Point any OpenTelemetry exporter at this collector, for example from Python:")
    addresses = client.status()["addresses"]
    st.code(_PYTHON.format(http=addresses.get("http", "127.0.0.1:4318")), language="bash")
    st.write("Or look around in the samples:")
    st.code("lithoscope demo", language="bash")
    client.environments.clear()
    draw_live(_EVERY_S)
    st.stop()
