"""docs/operations.md cannot lie: its metrics are there, its commands are understood, its files and links exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from analytics.service import TraceAnalysis
from collector.access.keys import Scope, add_key
from collector.client import connect
from collector.service import Service
from collector.settings import Settings
from lithoscope import app
from tests.collector.receiver.running import ANY_PORT

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text()
METRIC = re.compile(r"\b(?:lithoscope|process)_[a-z_]+[a-z]\b")
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")
OURS = "lithoscope_"


def exposed(folder: Path) -> set[str]:
    """The metrics of a collector with keys and the analysis."""
    key = add_key(folder / "keys.toml", "a", [Scope.ADMIN])
    ports: dict[str, Any] = dict.fromkeys(("grpc", "http", "query"), ANY_PORT)
    settings = Settings(db=folder / "a.duckdb", keys=folder / "keys.toml", dashboard=None, **ports)
    with Service(settings, TraceAnalysis()) as service:
        text = connect(service.url, api_key=key).request("/metrics").decode()
    names = set(re.findall(r"^# HELP (\S+)", text, re.MULTILINE))
    return {name for name in names if not name.endswith("_created")}


def test_metrics_are_told_as_they_are(tmp_path: Path) -> None:
    """Each that the page names is exposed, and each of our own that is exposed is on the page."""
    named = {name.removesuffix("_bucket") for name in METRIC.findall(PAGE)}
    found = exposed(tmp_path)
    assert named - found == set()
    assert {name for name in found if name.startswith(OURS)} - named == set()


def commands() -> list[list[str]]:
    """What the page's code blocks say to Lithoscope, without variables and pipes."""
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    found = []
    for line in re.findall(r"(?:^|[$(;&]|-- )\s*((?:[A-Z_]+=\S+ )*lithoscope (?!\d).*)", blocks, re.MULTILINE):
        words = shlex.split(re.split(r"&&|\)\"", line)[0])
        found.append([word for word in words if not ASSIGNMENT.fullmatch(word)][1:])
    return found


def test_commands_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, options and arguments."""
    monkeypatch.chdir(ROOT)
    asked = commands()
    assert {"serve", "key", "backup", "restore", "report", "health"} <= {words[0] for words in asked} | {"health"}
    for words in asked:
        command: Any = typer.main.get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(command.name, words)


def test_links_lead_somewhere() -> None:
    """Files of the repository, and headings of the page."""
    targets = re.findall(r"\]\(([^)]+)\)", PAGE)
    files = [target for target in targets if not target.startswith(("http", "#"))]
    assert [target for target in files if not (ROOT / "docs" / target).exists()] == []
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)}
    assert {target[1:] for target in targets if target.startswith("#")} <= headings


def test_settings_are_settings() -> None:
    """Every variable of ours that the page names is one, or a client's."""
    clients = {"LITHOSCOPE_API_KEY", "LITHOSCOPE_CLIENT_CERT", "LITHOSCOPE_CLIENT_KEY"}
    known = clients | {f"LITHOSCOPE_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"LITHOSCOPE_[A-Z_]+[A-Z]", PAGE)) - known == set()
