"""Sizes, durations and times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.units import format_duration, format_size, format_time, parse_duration_ns, parse_size, parse_time_ns


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1024", 1024),
        ("64MiB", 67_108_864),
        ("20GB", 20_000_000_000),
        ("1.5 kb", 1500),
        ("2TiB", 2 * 1024**4),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """Decimal and binary units, in either case, with or without a space."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [("200ms", 200_000_000), ("5s", 5_000_000_000), ("1h", 3_600_000_000_000), ("7d", 604_800_000_000_000), ("3ns", 3)],
)
def test_durations(text: str, duration_ns: int) -> None:
    """The units of the command line."""
    assert parse_duration_ns(text) == duration_ns


@pytest.mark.parametrize(
    ("text", "unix_nano"),
    [
        ("0", 0),
        ("1795435200", 1_795_435_200_000_000_000),
        ("1795435200.000000001", 1_795_435_200_000_000_001),
        ("2026-11-23T12:00:00Z", 1_795_435_200_000_000_000),
        ("2026-11-23t12:00:00z", 1_795_435_200_000_000_000),
        ("2026-11-23T13:00:00.123456789+01:00", 1_795_435_200_123_456_789),
        ("2026-11-23 12:00", 1_795_435_200_000_000_000),
        ("2026-11-23", 1_795_392_000_000_000_000),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
    ],
)
def test_times(text: str, unix_nano: int) -> None:
    """RFC 3339 with any offset and up to nine decimals, or Unix seconds."""
    assert parse_time_ns(text) == unix_nano


@pytest.mark.parametrize("text", ["", "x", "5", "5 parsecs", "-5s", "5s 3ms", "1e3s", "٣s"])
def test_a_wrong_duration_is_named(text: str) -> None:
    """The message repeats what was given and shows what is wanted."""
    with pytest.raises(ValueError, match=r"is not a duration, for example 200ms") as caught:
        parse_duration_ns(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1PB", "64 MiB x"])
def test_a_wrong_size_is_named(text: str) -> None:
    """The message repeats what was given."""
    with pytest.raises(ValueError, match=r"is not a size, for example 64MiB") as caught:
        parse_size(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "2026-11-23T25:00:00Z", "2026-11-23T", "12:00"])
def test_a_wrong_time_is_named(text: str) -> None:
    """The message shows both forms."""
    with pytest.raises(ValueError, match=r"is not a time, for example 2026-11-23T12:00:00Z or 1795435200"):
        parse_time_ns(text)


@pytest.mark.parametrize("text", ["99999999999", "0001-01-01", "9999-12-31T23:59:59Z"])
def test_a_time_beyond_64_bits_is_refused(text: str) -> None:
    """Nanoseconds in 64 bits end in 2262."""
    with pytest.raises(ValueError, match=r"outside the years 1678 to 2262"):
        parse_time_ns(text)


@given(st.integers(min_value=-(2**63) + 10**9, max_value=2**63 - 10**9))
def test_every_time_survives_its_text(unix_nano: int) -> None:
    """Formatting and parsing are exact to the nanosecond."""
    assert parse_time_ns(format_time(unix_nano)) == unix_nano


@given(st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001  (made UTC below)
def test_times_agree_with_the_standard_library(moment: datetime) -> None:
    """The clock arithmetic is Python's."""
    seconds = (moment - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001
    assert abs(parse_time_ns(moment.replace(tzinfo=UTC).isoformat()) - seconds * 1e9) < 4096


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.5 µs"),
        (1_204_000, "1.204 ms"),
        (35_000_000_000, "35 s"),
        (599_000_000_000, "599 s"),
        (600_000_000_000, "10 min"),
        (26_550_000_000_000, "7 h 22 min"),
        (-5_400_000_000_000, "-1 h 30 min"),
        (172_800_000_000_000, "2 d"),
        (-2_000, "-2 µs"),
    ],
)
def test_durations_are_short(duration_ns: int, text: str) -> None:
    """Four digits and a unit."""
    assert format_duration(duration_ns) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (67_108_864, "64.0 MiB"), (2**50, "1024.0 TiB")]
)
def test_sizes_are_short(size: int, text: str) -> None:
    """One decimal and a binary unit."""
    assert format_size(size) == text
