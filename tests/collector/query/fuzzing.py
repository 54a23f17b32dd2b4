"""Every call of the query API with odd values, by schemathesis, against a running collector; `make fuzz` runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.collector.receiver.running import serve

_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
_EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "200")


def main() -> int:
    """Return what schemathesis returns: 0 when every answer is one that the description names, and none is 5xx."""
    os.environ.setdefault("LITHOSCOPE_QUERY_SECONDS", "2")
    command = ["schemathesis", "run", "--checks", _CHECKS, "--max-examples", _EXAMPLES, "--seed", "1"]
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as (_, collector):
        address = f"{collector.client.url}/openapi.json"
        return subprocess.run([*command, address], check=False, cwd=folder).returncode  # where it leaves its own notes


if __name__ == "__main__":
    sys.exit(main())
