"""The workflow of docs/pull-requests.md is YAML, and its commands do what the page says."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "pull-requests.md").read_text()
TRIO = ROOT / "sample_traces" / "trio.otlp.zst"
# The collector of a test listens on free ports, so that its probe has to be told.
LITHOSCOPE = f"""#!/bin/sh
if [ "$1" = health ]; then set -- health --url "$(sed -n 's/^query //p' lithoscope.addresses)"; fi
exec {shlex.quote(sys.executable)} {shlex.quote(str(ROOT / "lithoscope.py"))} "$@"
"""
TESTS = f"""#!/bin/sh
lithoscope import {shlex.quote(str(TRIO))} --url "$(sed -n 's/^query //p' lithoscope.addresses)"
"""
GH = '#!/bin/sh\necho "$@" > gh.called\n'


def workflow() -> dict[str, Any]:
    """The page's example."""
    (block,) = PAGE.split("```yaml\n")[1:]
    found: dict[str, Any] = yaml.safe_load(block.split("```")[0])
    return found


def steps() -> dict[str, str]:
    """What its steps run, by name."""
    return {
        step["name"]: step["run"] for step in workflow()["jobs"]["check"]["steps"] if "name" in step and "run" in step
    }


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository with a policy, and the programs of a runner."""
    (tmp_path / "bin").mkdir()
    programs = {"lithoscope": LITHOSCOPE, "opentelemetry-instrument": TESTS, "gh": GH, "pip": "#!/bin/sh\n"}
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "lithoscope.policy.toml").write_text("[index]\nmax = 100\n")
    return tmp_path


def run(place: Path, name: str) -> int:
    """Run a step as a runner does; return its exit status."""
    ports = {f"LITHOSCOPE_{port}": "127.0.0.1:0" for port in ("GRPC", "HTTP", "QUERY")}
    files = {"GITHUB_STEP_SUMMARY": str(place / "summary.md"), "PR": "7"}
    environment = os.environ | ports | files | {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
    script = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps()[name]]
    return subprocess.run(script, cwd=place, env=environment, check=False, timeout=120).returncode


def test_the_steps_end_in_a_comment(place: Path) -> None:
    """A run of the main branch is kept, a pull request is compared with it, and a broken policy fails."""
    collected = ("Install", "Start the collector", "Run the tests", "Stop the collector")
    assert [run(place, name) for name in (*collected, "Check the policy", "Keep what the main branch sent")] == [0] * 6
    assert "index" in (place / "comment.md").read_text()
    assert " → " not in (place / "comment.md").read_text()
    (place / "lithoscope.policy.toml").write_text("[index]\nmax = 0\n")
    assert [run(place, name) for name in ("Check the policy", "Comment")] == [1, 0]
    comment = (place / "comment.md").read_text()
    assert comment.startswith("<!-- lithoscope check -->\n\n### Lithoscope: ❌ policy broken, 1 of 1 clause\n")
    assert "(+0.0)**\n\nNo edge, cycle or finding came or went." in comment
    assert (place / "summary.md").read_text() == comment
    assert (place / "gh.called").read_text() == "pr comment 7 --edit-last --create-if-none --body-file comment.md\n"


def test_a_broken_policy_fails_the_job_last() -> None:
    """The comment is written before."""
    job = workflow()["jobs"]["check"]["steps"]
    (checks,) = [step for step in job if step.get("id") == "check"]
    assert checks["continue-on-error"] is True
    assert (job[-1]["if"], job[-1]["run"]) == ("steps.check.outcome == 'failure'", "exit 1")
