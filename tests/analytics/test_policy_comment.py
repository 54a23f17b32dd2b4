"""A comment says what matters first, and nothing that telemetry says does anything in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from analytics.policy_comment import MARK, plain, verdict_markdown
from tests.analytics.policies import TRACE, check, finding, report

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.policy import PolicyFile

POLICY = '[rules]\nforbid = ["cycle"]\n[[endpoints]]\nendpoint = "other endpoint"\np50_ms = 1'
NASTY = "<img src=x> **bold** [link](http://evil) @team #12 `code` | www.evil.com \x1b[31m"
INDEX = {"score": 41.25, "grade": "coupled"}


def edge(caller: str, callee: str, calls: int = 12, *, certain: bool = True) -> dict[str, Any]:
    """An edge that came or went."""
    return {"caller": caller, "callee": callee, "mode": "sync", "calls": calls, "certain": certain}


def coupling(**parts: Any) -> dict[str, Any]:
    """A comparison in which nothing changed but what is given."""
    lists: dict[str, Any] = {f"{when}_{what}": [] for when in ("new", "gone") for what in ("edges", "findings")}
    return {"index_before": 40.0, "index_after": 47.1, "new_cycles": [], "changed_findings": []} | lists | parts


def test_the_verdict_comes_first(policy: Callable[[str], PolicyFile]) -> None:
    """Then violations, what is new, and folded the rest."""
    verdict = check(policy(POLICY), report(findings=[finding("cycle", "stock")], environments=["live", "test"]))
    changes = coupling(
        new_cycles=[["payment", "stock"]],
        new_edges=[edge("a", "b"), edge("a", "c", 1, certain=False)],
        new_findings=[finding("hub", "a") | {"certain": True}],
        gone_edges=[edge("c", "d")],
    )
    assert verdict_markdown(verdict, changes, INDEX).splitlines() == [
        MARK,
        "",
        "### Lithoscope: ❌ policy broken, 1 of 2 clauses, 1 unknown",
        "",
        "live, 500 traces, 1970-01-01 00:00 to 00:00 UTC.",
        "",
        f"- **rule cycle**: A cycle. `lithoscope trace {TRACE[:12]}`<br>Mend it.",
        "",
        "**Coupling index 40 → 47.1 (+7.1)**",
        "",
        "- **new cycle** payment, stock",
        "- **new edge** a → b, sync, 12 calls",
        "- **new edge** a → c, sync, 1 call (or too little data on the other side)",
        "- **new finding** hub, warning: A hub",
        "",
        "<details><summary>Gone: 1 edge, 0 findings</summary>",
        "",
        "- **gone edge** c → d, sync, 12 calls",
        "",
        "</details>",
        "",
        "<details><summary>Not known, and notes</summary>",
        "",
        "- no trace is of the endpoint other endpoint: p50\\_ms of other endpoint at most 1 ms",
        "- Other environments, not checked (--env): test.",
        "",
        "</details>",
    ]


def test_without_a_baseline_there_is_the_index_alone(policy: Callable[[str], PolicyFile]) -> None:
    """And nothing where it is not known."""
    verdict = check(policy('[rules]\nforbid = ["cycle"]'), report())
    lines = verdict_markdown(verdict, None, INDEX).splitlines()
    assert lines[2:] == [
        "### Lithoscope: ✅ policy held, 1 of 1 clause",
        "",
        "live, 500 traces, 1970-01-01 00:00 to 00:00 UTC.",
        "",
        "**Coupling index 41.2 of 100, coupled**",
    ]
    assert verdict_markdown(verdict, None, None).splitlines() == lines[:-2]


def test_an_unknown_index_is_said(policy: Callable[[str], PolicyFile]) -> None:
    """And that nothing changed."""
    verdict = check(policy('[rules]\nforbid = ["cycle"]'), report())
    text = verdict_markdown(verdict, coupling(index_before=None), INDEX)
    assert text.endswith("**Coupling index unknown → 47.1**\n\nNo edge, cycle or finding came or went.\n")


def test_a_finding_that_became_another_is_told_with_both(policy: Callable[[str], PolicyFile]) -> None:
    """It is neither new nor gone."""
    before = finding("hub", "a") | {"certain": True}
    change = {"before": before, "after": before | {"title": "A wider hub"}}
    text = verdict_markdown(check(policy(POLICY), report()), coupling(changed_findings=[change]), INDEX)
    assert "- **changed finding** hub, warning: A wider hub; before: A hub\n" in text


def test_a_comment_is_never_too_long(policy: Callable[[str], PolicyFile]) -> None:
    """GitHub takes 65,536 letters; what is left out is counted."""
    long = "x" * 5000
    verdict = check(policy(POLICY), report(findings=[finding("cycle", long) | {"title": long}] * 50))
    many = [edge(f"{long}{number}", long) for number in range(500)]
    text = verdict_markdown(verdict, coupling(new_edges=many, gone_edges=many), INDEX)
    assert len(text) < 20_000
    assert "… and 40 more; `--format json` has all." in text
    assert "… and 492 more new edges; `--format json` has all." in text


@pytest.mark.parametrize("where", ["service", "title", "advice", "edge"])
def test_telemetry_commands_nothing(policy: Callable[[str], PolicyFile], where: str) -> None:
    """Rendered, the comment has the elements it would have without."""

    def elements(text: str) -> list[str]:
        parts = {"title": "A cycle", "advice": "Mend it."} | ({where: text} if where in ("title", "advice") else {})
        found = finding("cycle", text if where == "service" else "stock") | parts
        changes = coupling(new_edges=[edge(text if where == "edge" else "a", "b")])
        comment = verdict_markdown(check(policy(POLICY), report(findings=[found])), changes, INDEX)
        tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(comment)
        return [token.type for block in tokens for token in (block, *(block.children or ())) if token.type != "text"]

    assert [kind for kind in elements(NASTY) if kind != "text_special"] == elements("plain")


@given(st.text(max_size=60))
def test_plain_text_comes_back_from_markdown(text: str) -> None:
    """Whatever it is, it is one text, less what parts mentions and references."""
    (block,) = [token for token in MarkdownIt("commonmark").parse(f"- x{plain(text)}x") if token.type == "inline"]
    assert {token.type for token in block.children or ()} <= {"text", "text_special"}
    shown = "".join(token.content for token in block.children or ())
    assert shown.replace("\u200b", "") == "x" + "".join(c if c.isprintable() else "\ufffd" for c in text) + "x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@team", "@\u200bteam"),
        ("see #12 of a/b#3", "see #\u200b12 of a/b#\u200b3"),
        ("GH-12", "GH\u200b-12"),
        ("http://evil", "http\\://evil"),
        ("www.evil.com", "www\u200b.evil.com"),
        ("a: b", "a: b"),
    ],
)
def test_what_github_would_link_is_parted(text: str, shown: str) -> None:
    """Mentions would notify people, and references would appear in other issues."""
    assert plain(text) == shown
