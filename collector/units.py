"""Sizes, durations and times as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

_BYTES = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)},
}
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_NUMBER_AND_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zµ]*)\s*", re.IGNORECASE)
_RFC_3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9})\d*)?\s*(Z|[+-]\d{2}:\d{2})?)?", re.IGNORECASE
)
_UNIX_SECONDS = re.compile(r"-?\d{1,11}(?:\.\d+)?")
_INT64 = 2**63
_LONG = 600
"""From so many seconds on a duration is told in minutes, hours and days."""
_MINUTE = "min"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_size(text: str) -> int:
    """Return the bytes of ``64MiB``, ``20 GB`` or ``1024``; raises ``ValueError`` with a sentence."""
    return _scaled(text, _BYTES, "a size, for example 64MiB or 20GB")


def parse_duration_ns(text: str) -> int:
    """Return the nanoseconds of ``200ms``, ``5s``, ``1h`` or ``7d``; raises ``ValueError`` with a sentence."""
    return _scaled(text, _NANOSECONDS, "a duration, for example 200ms, 5s, 1h or 7d")


def _scaled(text: str, units: dict[str, int], wanted: str) -> int:
    found = _NUMBER_AND_UNIT.fullmatch(text)
    if found is None or found[2].lower() not in units:
        raise ValueError(f"{text!r} is not {wanted}")
    return int(Decimal(found[1]) * units[found[2].lower()])


def parse_time_ns(text: str) -> int:
    """Return a time as Unix nanoseconds.

    Takes Unix seconds, with or without a fraction, and RFC 3339, in which a missing offset means UTC and a missing
    time of day means midnight. Raises ``ValueError`` with a sentence, also for a time outside the years 1678 to 2262.
    """
    text = text.strip()
    is_number = _UNIX_SECONDS.fullmatch(text) is not None
    nanoseconds = int(Decimal(text) * 1_000_000_000) if is_number else _rfc_3339_ns(text)
    if not -_INT64 <= nanoseconds < _INT64:
        raise ValueError(f"{text!r} is outside the years 1678 to 2262")
    return nanoseconds


def _rfc_3339_ns(text: str) -> int:
    found = _RFC_3339.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)  # noqa: TRY301  (one message for both)
        date, clock, fraction, offset = found.groups(default="")
        moment = datetime.fromisoformat(f"{date}T{clock or '00:00'}{(offset or 'Z').upper()}")
    except ValueError:
        raise ValueError(f"{text!r} is not a time, for example 2026-11-23T12:00:00Z or 1795435200") from None
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)


def format_time(unix_nano: int) -> str:
    """Return a time as RFC 3339 in UTC with nine decimals."""
    seconds, nanoseconds = divmod(unix_nano, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return f"{moment.isoformat()}.{nanoseconds:09d}Z"


def format_window(begin: int, end: int, *, seconds: bool = False) -> str:
    """Return two times to the minute or second, for people: ``2026-11-23 12:00 to 13:00 UTC``.

    The day is told twice only when there are two.
    """
    length = len("2026-11-23T12:00:00" if seconds else "2026-11-23T12:00")
    first, last = (format_time(unix_nano)[:length].split("T") for unix_nano in (begin, end))
    return f"{' '.join(first)} to {' '.join(last[first[0] == last[0] :])} UTC"


def format_duration(duration_ns: int) -> str:
    """Return a duration with at most four digits and its unit: ``1.204 ms``, ``35 s``, ``7 h 22 min``."""
    if abs(duration_ns) >= _LONG * _NANOSECONDS["s"]:
        return _long_duration(duration_ns)
    for unit, factor in (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)):
        if abs(duration_ns) >= factor:
            return f"{duration_ns / factor:.4g} {unit}"
    return f"{duration_ns} ns"


def _long_duration(duration_ns: int) -> str:
    """A duration in the two largest units that it has."""
    sign, rest = "-" * (duration_ns < 0), abs(duration_ns)
    for large, small in (("d", "h"), ("h", "m"), ("m", "s")):
        if rest >= _NANOSECONDS[large]:
            count, below = divmod(round(rest / _NANOSECONDS[small]), _NANOSECONDS[large] // _NANOSECONDS[small])
            names = (_MINUTE if unit == "m" else unit for unit in (large, small))
            said = [f"{number:,} {name}" for number, name in zip((count, below), names, strict=True) if number]
            return sign + " ".join(said)
    raise AssertionError(duration_ns)


def format_size(size: int) -> str:
    """Return a size with one decimal and its binary unit: ``64.0 MiB``."""
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:  # noqa: PLR2004
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
