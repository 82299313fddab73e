"""Untrusted text made harmless for Markdown.

Titles, descriptions, error texts and file names come from pages, downloads and agents. They may be read in
a report; they may not become a heading, a link, an image, HTML or a table cell of their own (threat T21).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from markupsafe import Markup

from daemon.core.text import shorten, visible

# An underscore between letters or digits is plain in CommonMark; paths stay readable that way.
_SPECIAL = re.compile(r"([\\`*\[\]#|~$]|(?<![^\W_])_|_(?![^\W_]))")
_LINE_START = re.compile(r"^(\s*)([-+=]|\d{1,9}[.)](?=\s|$))")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_HTML = str.maketrans({"<": "&lt;", ">": "&gt;"})
KEPT_NEWLINE = "\x1e"
"""Stands for a newline inside a fence until the page is whole, so that tidying never touches quoted text."""

TEXT_LIMIT = 20_000
"""UTF-16 units of one value in a report; a longer one ends in a visible mark. evidence.json has it whole."""


def shown(value: object) -> str:
    """``value`` as text, at most ``TEXT_LIMIT`` units, invisible characters written out; lines are kept."""
    text = shorten(str(value), TEXT_LIMIT)
    return text if text.isprintable() else visible(text)


def inline(value: object) -> Markup:
    """``value`` as text inside a Markdown line: one line, no markup of its own, invisible characters shown.

    Safe in a paragraph, list item, heading and table cell. What is Markup already stays as it is.
    """
    if isinstance(value, Markup):
        return value
    text = " ".join(shown(value).split())
    text = _SPECIAL.sub(r"\\\1", _ENTITY.sub("&amp;", text)).translate(_HTML)
    # Only what opens a block is escaped at the start; elsewhere these characters are plain.
    start = _LINE_START.match(text)
    if start:
        mark = start.group(2)
        text = f"{start.group(1)}{mark[:-1]}\\{mark[-1]}{text[start.end() :]}"
    return Markup(text)  # noqa: S704 - every special character was escaped in the lines above


def code(value: object) -> Markup:
    """``value`` as an inline code span whose fence is longer than any run of backticks in it."""
    text = " ".join(shown(value).split())
    if not text:
        return Markup("—")
    ticks = "`" * (_longest(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return Markup(f"{ticks}{pad}{text}{pad}{ticks}")  # noqa: S704 - a closed code span holds no markup


def cell_code(value: object) -> Markup:
    """``code`` inside a table cell, where GitHub's tables want a pipe escaped (and take the escape away)."""
    return Markup(code(value).replace("|", r"\|"))  # noqa: S704 - still a closed code span


def fence(value: object) -> Markup:
    """``value`` as a fenced block, all lines kept, behind a fence that no line of it can close."""
    text = shown(value).rstrip()
    ticks = "`" * max(3, _longest(text) + 1)
    text = text.replace("\n", KEPT_NEWLINE)
    return Markup(f"{ticks}text\n{text}\n{ticks}")  # noqa: S704 - the fence is longer than any run inside


def web_url(value: object) -> str:
    """``value`` when it is an absolute http(s) URL without white space or controls, else ``""``.

    Autoescape does not stop ``javascript:`` in an href (threat T20); an allow-list of schemes does.
    """
    text = str(value).strip()
    if not text or len(text) > 2000 or visible(text) != text or re.search(r"[\s<>\"'`\\]", text):
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc else ""


def link(text: object, url: object) -> Markup:
    """A Markdown link, or the text alone when the URL is not a web address."""
    target = web_url(url)
    if not target:
        return inline(text)
    label = inline(text)
    safe = target.replace("(", "%28").replace(")", "%29").translate(_HTML)
    return Markup(f"[{label}](<{safe}>)")  # noqa: S704 - see web_url


def report_link(text: object, base: object, place: object) -> Markup:
    """A Markdown link to a report of the index: ``base`` comes from settings, ``place`` was checked."""
    target = str(base).rstrip("/").replace(" ", "%20").replace("(", "%28").replace(")", "%29")
    target = target.translate(_HTML)
    return Markup(f"[{inline(text)}](<{target}/{place}/report.md>)")  # noqa: S704 - text escaped, target ours


def _longest(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
