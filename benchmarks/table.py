"""The rows that rooms give, as text for a terminal and as the page that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Row = Mapping[str, object]
"""``name``, ``ours``, ``unit``; beside it ``peer`` and ``peer_name``; ``floor`` and ``floor_name`` (what
physics or the least possible work needs, in the same unit); ``limit`` in words with ``held``; ``note``.
All but ``name`` are optional."""


def number(value: object) -> str:
    """Three significant digits or so; anything that is no number as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.3g}"


def times(ours: object, other: object) -> str:
    """``ours ÷ other``, or nothing where that makes no sense."""
    if not isinstance(ours, int | float) or not isinstance(other, int | float) or not other:
        return ""
    ratio = ours / other
    return f"{ratio:.2f} ×" if ratio >= 0.1 else f"{ratio:.2g} ×"


def show(rows: Sequence[Row]) -> None:
    """One line each: ours, the peer and the ratio, the floor, the limit to hold."""
    for row in rows:
        ours, unit = row.get("ours"), row.get("unit", "")
        text = f"  {row['name']:<66} {number(ours):>10} {unit:<8}"
        if row.get("peer") is not None:
            text += (
                f" {number(row['peer']):>10}  {row.get('peer_name', ''):<44} {times(ours, row['peer']):>8}"
            )
        if row.get("floor") is not None:
            text += f"   floor {number(row['floor'])} ({row.get('floor_name', '')})"
        if row.get("limit"):
            text += f"   limit {row['limit']}" + ("" if row.get("held") is not False else "  NOT HELD")
        if row.get("note"):
            text += f"   [{row['note']}]"
        print(text, flush=True)


def page(title: str, rows: Sequence[Row]) -> list[str]:
    """A room as a Markdown section."""
    out = [f"## {title}", "", "| what | ours | peer | ours ÷ peer | floor | limit | note |"]
    out.append("|---|---|---|---|---|---|---|")
    for row in rows:
        unit, ours = f" {row['unit']}" if row.get("unit") else "", row.get("ours")
        peer = "" if row.get("peer") is None else f"{number(row['peer'])}{unit}: {row.get('peer_name', '')}"
        floor = (
            "" if row.get("floor") is None else f"{number(row['floor'])}{unit}: {row.get('floor_name', '')}"
        )
        limit = str(row.get("limit") or "") + (" **not held**" if row.get("held") is False else "")
        cells = (row["name"], number(ours) + unit, peer, times(ours, row.get("peer")), floor, limit)
        line = " | ".join(str(c).replace("|", "\\|").strip() for c in (*cells, row.get("note") or ""))
        out.append(f"| {line} |")
    return [*out, ""]
