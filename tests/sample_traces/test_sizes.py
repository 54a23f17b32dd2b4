"""The page about the samples says how large they are."""

from __future__ import annotations

from pathlib import Path

import sample_traces.recording


def test_the_page_has_the_size_of_each_recording() -> None:
    """To the byte, so that whoever records anew writes it down."""
    folder = Path(sample_traces.recording.__file__).parent
    page = (folder / "README.md").read_text(encoding="utf-8")
    files = sorted(folder.glob("*.otlp.zst"))
    assert len(files) == 4
    for file in files:
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{file.name}`"))
        assert f"| {file.stat().st_size:,} |" in row
