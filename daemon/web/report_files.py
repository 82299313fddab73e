"""Report files for the dashboard: a run id names a row, the row a folder, and the folder must be a report's.

Nothing of an address ever becomes part of a path (research/reliability.md T78).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from daemon.store import Run
from daemon.web.answers import Refusal

FILES = {
    "report.html": "text/html; charset=utf-8",
    "report.md": "text/plain; charset=utf-8",
    "evidence.json": "application/json",
}
LIMIT = 32 * 1024 * 1024
"""Bytes of a report that is served."""

SANDBOX = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; "
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""A report may colour itself and show what it carries; it runs nothing, loads nothing and posts nothing.
A link in it opens a window of its own when a person follows it."""


def read(root: Path, run: Run, name: str) -> bytes:
    """The bytes of one of ``FILES``; Refusal 404 when the run has no such file below ``root``."""
    folder = folder_of(root, run)
    if folder is None or name not in FILES:
        raise _missing()
    try:
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _missing() from error
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > LIMIT:
        os.close(handle)
        raise _missing()
    with os.fdopen(handle, "rb") as file:
        return file.read(LIMIT)


def folder_of(root: Path, run: Run) -> Path | None:
    """The report's folder, or None when the run has none or it does not lie where reports lie."""
    if not run.report:
        return None
    base = root.resolve()
    folder = Path(run.report).resolve()
    inside = folder.is_relative_to(base) and folder.name.endswith(f"--{run.run}")
    return folder if inside and folder.is_dir() else None


def _missing() -> Refusal:
    hint = "it may have been removed by the retention; `handoffd report render RUN` makes it again"
    return Refusal(404, "not_found", "This run has no such report file.", hint)
