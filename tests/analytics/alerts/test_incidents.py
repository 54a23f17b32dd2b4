"""An incident is told of once and its end once, whenever the collector is killed and whatever the webhook does."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.alerts import incidents as module
from analytics.alerts.incidents import FORGOTTEN_NS, Incident, Incidents
from tests.analytics.alerts.seen import MINUTE_NS, look, take

SUBJECTS = ("a", "b")


def begun(folder: Path, *alerts: str) -> Incidents:
    """What a collector that starts knows."""
    return Incidents(folder / "t.alerts.json", alerts or ("slow",))


def tell(incidents: Incidents) -> list[tuple[str, str | None]]:
    """Tell all that is to be told; the subjects and what was told of them."""
    told: list[tuple[str, str | None]] = []
    while waiting := incidents.untold(("slow",)):
        told.append((waiting[0].subject, waiting[0].untold))
        incidents.mark_told(waiting[0])
    return told


def test_what_stays_broken_is_told_once(tmp_path: Path) -> None:
    """However often it is looked at, through a restart too."""
    incidents = begun(tmp_path)
    for minute in (10, 11, 11, 12):
        take(incidents, look(minute, {"a"}, set()))
    assert tell(incidents) == [("a", "open")]
    again = begun(tmp_path)
    take(again, look(13, {"a"}, set()))
    assert tell(again) == []


def test_it_is_resolved_when_a_whole_window_holds(tmp_path: Path) -> None:
    """Not by one that overlaps the last broken one, nor by one that cannot tell."""
    incidents = begun(tmp_path)
    take(incidents, look(10, {"a"}, set()))
    assert tell(incidents) == [("a", "open")]
    take(incidents, look(14, set(), {"a"}))
    take(incidents, look(15, set(), set()))
    assert tell(incidents) == []
    take(incidents, look(15, set(), {"a"}))
    assert tell(incidents) == [("a", "resolved")]
    take(incidents, look(16, set(), {"a"}))
    assert (tell(incidents), incidents.counts()) == ([], (0, 0))


def test_an_end_that_was_not_told_is_taken_back(tmp_path: Path) -> None:
    """While a webhook is dead a rule may come and go: it keeps one incident."""
    incidents = begun(tmp_path)
    for minute in (10, 30, 50):
        take(incidents, look(minute, {"a"}, set()))
        take(incidents, look(minute + 10, set(), {"a"}))
    (waiting,) = incidents.untold(("slow",))
    assert waiting.state == "resolved"
    assert tell(incidents) == [("a", "open"), ("a", "resolved")]


def test_what_breaks_while_its_end_is_on_its_way_is_another(tmp_path: Path) -> None:
    """The receiver has heard that the first is over."""
    incidents = begun(tmp_path)
    take(incidents, look(10, {"a"}, set()))
    tell(incidents)
    take(incidents, look(20, set(), {"a"}))
    (on_its_way,) = incidents.untold(("slow",))
    incidents.mark_sending(on_its_way)
    take(incidents, look(21, {"a"}, set()))
    incidents.mark_told(on_its_way)
    (another,) = incidents.untold(("slow",))
    assert (another.untold, another.id == on_its_way.id) == ("open", False)


def test_what_nothing_is_heard_of_is_closed_after_a_day(tmp_path: Path) -> None:
    """The endpoint may be gone for good."""
    incidents = begun(tmp_path)
    take(incidents, look(10, {"a"}, set()), now=0)
    tell(incidents)
    incidents.forget(FORGOTTEN_NS - 1)
    assert incidents.untold(("slow",)) == []
    incidents.forget(FORGOTTEN_NS)
    assert [(one.untold, one.reason) for one in incidents.untold(("slow",))] == [("resolved", "unknown")]


def test_there_is_room_for_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is crowded out is counted, and found again when there is room."""
    monkeypatch.setattr(module, "MOST_INCIDENTS", 2)
    incidents = begun(tmp_path)
    take(incidents, look(10, {"a", "b", "c"}, set()))
    assert (incidents.counts(), incidents.crowded_out) == ((2, 2), 1)
    (gone,) = {"a", "b", "c"} - {one.subject for one in incidents.untold(("slow",))}
    tell(incidents)
    take(incidents, look(20, {gone}, {"a", "b", "c"} - {gone}))
    tell(incidents)
    take(incidents, look(21, {gone}, set()))
    assert tell(incidents) == [(gone, "open")]


def test_nothing_is_told_that_is_not_saved(tmp_path: Path) -> None:
    """After a crash it would be told again under another id."""
    incidents = begun(tmp_path)
    seen = look(10, {"a"}, set())
    incidents.take(seen, 0, {"a": {}})
    assert incidents.untold(("slow",)) == []
    incidents.save()
    assert [one.id for one in incidents.untold(("slow",))] == [one.id for one in begun(tmp_path).untold(("slow",))]


def test_incidents_of_alerts_that_are_gone_are_dropped(tmp_path: Path) -> None:
    """Nobody says where to tell of them."""
    take(begun(tmp_path), look(10, {"a"}, set()))
    assert begun(tmp_path, "other").counts() == (0, 0)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1, "incidents": [{"id": 5}], "through": 1}'])
def test_a_damaged_file_keeps_nothing_from_starting(tmp_path: Path, content: str) -> None:
    """It is kept aside for whoever wants to look."""
    file = tmp_path / "t.alerts.json"
    file.write_text(content)
    assert begun(tmp_path).counts() == (0, 0)
    assert (tmp_path / "t.alerts.json.damaged").read_text() == content
    take(begun(tmp_path), look(10, {"a"}, set()))
    assert begun(tmp_path).counts() == (1, 1)


def test_a_full_disk_keeps_nothing_from_being_told(tmp_path: Path) -> None:
    """It may come again after a restart, which is better than never."""
    folder = tmp_path / "gone"
    folder.mkdir()
    incidents = begun(folder)
    folder.rmdir()
    take(incidents, look(10, {"a"}, set()))
    assert tell(incidents) == [("a", "open")]


STEPS = st.one_of(
    st.tuples(st.just("look"), st.sampled_from([*SUBJECTS, ""]), st.booleans()),
    st.tuples(
        st.sampled_from(["tell", "tell and crash", "tell and hear nothing", "crash"]), st.just(""), st.just(False)
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=30))
def test_whatever_happens_a_receiver_knows_in_the_end(steps: list[tuple[str, str, bool]]) -> None:
    """Its view, by ids and with repetitions left out: each incident opens once and ends once, open ones are broken."""
    with tempfile.TemporaryDirectory() as folder:
        heard: dict[str, list[str | None]] = {}
        subjects: dict[str, str] = {}
        incidents, verdicts = begun(Path(folder)), dict.fromkeys(SUBJECTS, False)

        def send(one: Incident) -> None:
            subjects[one.id] = one.subject
            incidents.mark_sending(one)
            if one.untold not in heard.setdefault(one.id, []):
                heard[one.id].append(one.untold)

        for minute, (what, subject, is_broken) in enumerate(steps):
            if what == "look":
                verdicts[subject or "a"] = is_broken
                broken = {name for name, value in verdicts.items() if value}
                take(incidents, look(minute * 10, broken, set(SUBJECTS) - broken))
                continue
            for one in incidents.untold(("slow",))[:1]:
                if what != "crash":
                    send(one)
                if what == "tell":
                    incidents.mark_told(one)
            if what != "tell":
                incidents = begun(Path(folder))
        while waiting := incidents.untold(("slow",)):
            send(waiting[0])
            incidents.mark_told(waiting[0])
        assert all(told in (["open"], ["open", "resolved"]) for told in heard.values())
        still = sorted(subjects[key] for key, told in heard.items() if told == ["open"])
        assert still == sorted(name for name, value in verdicts.items() if value)


def test_times_are_those_of_the_looks(tmp_path: Path) -> None:
    """When it was noticed, and until when it was broken."""
    incidents = begun(tmp_path)
    take(incidents, look(10, {"a"}, set()), now=700 * MINUTE_NS)
    take(incidents, look(12, {"a"}, set()), now=800 * MINUTE_NS)
    (one,) = incidents.untold(("slow",))
    assert (one.opened_at, one.broken_until, one.seen_at) == (700 * MINUTE_NS, 13 * MINUTE_NS, 800 * MINUTE_NS)
