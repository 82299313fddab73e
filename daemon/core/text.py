"""Text limits and safe forms of untrusted text.

Page text is data: it may be shown, fenced or slugged, never used as a path, a command or a template.
Notion counts UTF-16 units (research: 2,000 a rich-text run, 100 runs an array).
"""

from __future__ import annotations

import re
import unicodedata

RUN_UNITS = 2000
"""UTF-16 units that one rich-text run may hold (Notion API limit)."""

_KEEP = {"\n", "\t"}


def utf16_units(text: str) -> int:
    """Length as Notion counts it: code points beyond the BMP count twice."""
    return len(text) + sum(1 for c in text if ord(c) > 0xFFFF)


def chunks(text: str, limit: int = RUN_UNITS) -> list[str]:
    """Cut into runs of at most ``limit`` UTF-16 units, never through a surrogate pair; nothing is lost."""
    out: list[str] = []
    start = units = 0
    for i, char in enumerate(text):
        width = 2 if ord(char) > 0xFFFF else 1
        if units + width > limit:
            out.append(text[start:i])
            start, units = i, 0
        units += width
    if start < len(text):
        out.append(text[start:])
    return out


def shorten(text: str, units: int, mark: str = " […]") -> str:
    """At most ``units`` UTF-16 units, ending in ``mark`` when something was left out, so the cut shows."""
    if utf16_units(text) <= units:
        return text
    head = chunks(text, max(1, units - utf16_units(mark)))[0]
    return head + mark


def visible(text: str) -> str:
    """Control, format and bidi characters made visible (``\\u202e``); newline and tab stay.

    For logs, reports and packets: what a person reads is what is there.
    """
    return "".join(
        c if c in _KEEP or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else _escape(c)
        for c in text
    )


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str, units: int = 300) -> str:
    """Visible, on one line, bounded: for a title in a message or a Why line."""
    return shorten(" ".join(visible(text).split()), units)


def slug(text: str, limit: int = 40) -> str:
    """ASCII ``[a-z0-9-]``, at most ``limit``; "untitled" when nothing is left. Never unique by itself."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    clean = re.sub(r"[^a-z0-9]+", "-", folded).strip("-")
    return clean[:limit].strip("-") or "untitled"
