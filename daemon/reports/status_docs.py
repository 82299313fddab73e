"""Status documents: a marked region of a person's file, kept up to date in place.

The predecessor appended a dated block to its status document on every run: headings doubled, "Last Updated"
lines multiplied and contradicted each other (incident RP-5). Here the region between two markers is replaced
as a whole, newest run on top; every byte outside stays, and what fell off the end is still in its report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.core.errors import Ambiguous, ConfigError
from daemon.reports import folders
from daemon.reports.environment import Templates
from daemon.reports.index import Entry

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
LINES = 10
"""Runs that a region lists; the index has them all."""
TRIES = 3
"""How often an update is begun again because somebody saved the file meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """What an update did. ``changed`` False: the file said so already and was not touched."""

    path: Path
    changed: bool
    created: bool


def markers(name: str) -> tuple[bytes, bytes]:
    """The two lines that fence the region ``name`` (lower-case letters, digits, dashes)."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} can't name a region: a-z, 0-9 and dashes, at most 40")
    return f"<!-- handoffd:begin {name} -->".encode(), f"<!-- handoffd:end {name} -->".encode()


def regions(text: bytes) -> list[str]:
    """The names of the regions that a document carries, each once, in order."""
    found = re.findall(rb"^<!-- handoffd:begin ([a-z0-9][a-z0-9-]{0,39}) -->\r?$", text, re.MULTILINE)
    return [name.decode() for name in dict.fromkeys(found)]


def merge(text: bytes, name: str, body: bytes) -> bytes:
    """``text`` with the region ``name`` holding ``body``; without a region one is put at the end. Pure.

    Doing it twice gives the same bytes. The file's own line ends are kept in the region. ConfigError when
    the markers are broken (one without the other, twice, in the wrong order) or ``body`` holds a marker:
    then nobody can say what is ours, so nothing is changed.
    """
    begin, end = markers(name)
    if begin in body or end in body:
        raise ConfigError(f"the text for region {name} holds its own marker")
    newline = _newline(text, begin)
    region = newline.join([begin, *body.strip(b"\r\n").splitlines(), end])
    starts, ends = text.count(begin), text.count(end)
    if (starts, ends) == (0, 0):
        gap = b"" if not text else newline if text.endswith(newline) else newline * 2
        return text + gap + region + newline
    at, to = text.find(begin), text.find(end)
    if (starts, ends) != (1, 1) or to < at:
        raise ConfigError(
            f"the markers of region {name} are broken: {starts} begin, {ends} end",
            hint=f"leave one {begin.decode()} before one {end.decode()}, or delete both",
        )
    return text[:at] + region + text[to + len(end) :]


def _newline(text: bytes, begin: bytes) -> bytes:
    """What ends a line of the region: as it does after its marker; without one as in the file."""
    _, found, rest = text.partition(begin)
    if found and rest.startswith((b"\r\n", b"\n")):
        return b"\r\n" if rest.startswith(b"\r\n") else b"\n"
    return b"\r\n" if b"\r\n" in text else b"\n"


def update(path: Path, name: str, body: bytes, *, title: str = "") -> Updated:
    """Put ``body`` into the region ``name`` of the file at ``path``, atomically; create it when missing.

    ``title`` heads a new file. A file that a person saves between our look and our write is read again;
    Ambiguous when that happens every time. The file's mode is kept and a symbolic link stays one.
    """
    real = path.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES):
        try:
            before: bytes | None = real.read_bytes()
            mode = real.stat().st_mode & 0o777
        except FileNotFoundError:
            before, mode = None, 0o644
        text = before if before is not None else f"# {title}\n".encode() if title else b""
        after = merge(text, name, body)
        if after == before:
            return Updated(path=path, changed=False, created=False)
        if (real.read_bytes() if real.exists() else None) == before:
            folders.replace(real, after, mode=mode)
            return Updated(path=path, changed=True, created=before is None)
    raise Ambiguous(f"{path} was changed by somebody else {TRIES} times while it was being updated")


def render(templates: Templates, kind: str, entries: Sequence[Entry], *, reports: str) -> bytes:
    """The body of a region: the newest runs of one kind from the index, newest first.

    ``templates``: of the folder ``status_docs``. ``reports``: where links to reports begin (a relative
    path or a URL of the reports folder, without a slash at the end).
    """
    newest = sorted((e for e in entries if e.kind == kind), key=lambda e: (e.started, e.run), reverse=True)
    name = f"{kind}.md.j2"
    return templates.render(
        name if templates.has(name) else "runs.md.j2",
        entries=newest[:LINES],
        total=len(newest),
        kind=kind,
        reports=reports,
    )
