"""Times as people read them. Pure; epoch seconds in, text out."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def span(seconds: float) -> str:
    """A duration with at most two units: ``72 ms``, ``1.4 s``, ``42 s``, ``3 min 20 s``, ``2 d 4 h``."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    left = round(seconds)
    parts: list[str] = []
    for size, name in _UNITS:
        count, left = divmod(left, int(size))
        if count:
            parts.append(f"{count} {name}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def age(seconds: float) -> str:
    """A duration with one unit, rounded down: ``3 h``. For lists, where the exact one would be noise."""
    for size, name in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return "0 s"


def relative(then: float, now: float) -> str:
    """``12 s ago``, ``in 5 min``, ``now``."""
    gap = now - then
    if abs(gap) < 1.0:
        return "now"
    return f"{age(gap)} ago" if gap > 0 else f"in {age(-gap)}"


def iso(then: float) -> str:
    """RFC 3339 in UTC to the second, for ``datetime`` attributes and JSON."""
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def absolute(then: float) -> str:
    """The same for people, as a tooltip beside a relative time."""
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def size(count: float) -> str:
    """Bytes with a decimal prefix: ``12 B``, ``3.4 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
