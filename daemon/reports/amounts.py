"""Numbers as people read them. Pure; the same everywhere in reports, figures and the page's section."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def size(count: object) -> str:
    """Bytes with a binary unit: ``1.4 MiB``. "not measured" when there is no number."""
    if not _number(count):
        return UNMEASURED
    value = float(count)  # type: ignore[arg-type]  # _number() said that it is one
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def duration(seconds: object) -> str:
    """Seconds as ``84 ms``, ``2.41 s``, ``3 min 05 s``, ``2 h 07 min``, ``3 d 04 h``."""
    if not _number(seconds):
        return UNMEASURED
    value = max(0.0, float(seconds))  # type: ignore[arg-type]  # _number() said that it is one
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def when(at: object) -> str:
    """Epoch seconds (or a datetime) as ``2026-01-08 11:37:39 UTC``; "—" when there is none."""
    moment = _moment(at)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "—"


def day(at: object) -> str:
    """Epoch seconds (or a datetime) as ``2026-01-08`` in UTC; "—" when there is none."""
    moment = _moment(at)
    return moment.strftime("%Y-%m-%d") if moment else "—"


def iso(at: object) -> str:
    """Epoch seconds (or a datetime) for machines: ``2026-01-08T11:37:39Z``; "" when there is none."""
    moment = _moment(at)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


def plural(count: int, one: str, many: str = "") -> str:
    """``1 file``, ``2 files``, ``2,734 files``: the number with the right form of the noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def short_hash(digest: object, digits: int = 12) -> str:
    """The first digits of a hash, enough to compare by eye; "not measured" when there is none."""
    return str(digest)[:digits] if digest else UNMEASURED


UNMEASURED = "not measured"
"""What is shown where a number would stand that nobody measured. Never a zero, never a guess."""


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _moment(at: object) -> datetime | None:
    if isinstance(at, datetime):
        return at.astimezone(UTC)
    if not _number(at):
        return None
    try:
        return datetime.fromtimestamp(float(at), UTC)  # type: ignore[arg-type]  # _number() said so
    except (OverflowError, ValueError, OSError):
        return None
