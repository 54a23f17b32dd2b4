"""Records the shop in one of its states, with the truth about it beside the recording."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from sample_traces.recording import FOLDER, collector, write_recording
from sample_traces.shop.fleet import Fleet
from sample_traces.shop.load import drive
from sample_traces.shop.servers import install_missing, postgres, rabbitmq, wait_until_settled
from sample_traces.shop.truth import truth

if TYPE_CHECKING:
    from sample_traces.shop.system import State


def record_shop(state: State) -> None:
    """Record one state, and say how much."""
    install_missing()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        pages = run_under_load(scratch, state)
        print(f"{pages} page visits; {write_recording(scratch, recording(state))}", flush=True)
    truth_file(state).write_text(truth(state))


def recording(state: State) -> Path:
    """Return where a state's telemetry lies."""
    return FOLDER / f"{state.environment}.otlp.zst"


def truth_file(state: State) -> Path:
    """Return where the truth about a state lies."""
    return FOLDER / f"{state.environment}.truth.toml"


def run_under_load(scratch: Path, state: State) -> int:
    """Run everything for the state's day, and stop it when the last request and message have been dealt with."""
    with ExitStack() as stack:
        endpoint = stack.enter_context(collector(scratch))
        settings = {"SHOP_POSTGRES": stack.enter_context(postgres(scratch, state))}
        port = stack.enter_context(rabbitmq(scratch, state)) if state.has_queues else None
        settings["SHOP_RABBITMQ"] = str(port or "")
        fleet = stack.enter_context(Fleet(state, scratch / "world.json", endpoint, settings))
        started = fleet.open()
        over = Event()
        with ThreadPoolExecutor(1) as pool:
            deployments = pool.submit(fleet.deploy_on_time, started, over)
            pages = drive(fleet.gateway, state, started, over)
            deployments.result()
        if port:
            wait_until_settled(port, state)
        return pages
